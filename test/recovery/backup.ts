/**
 * A backup taken and restored under load: how long it takes, what clients and nodes notice of it, and whether it is one
 * state of the history.
 */
import { spawn } from "node:child_process"
import { statSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { root, startCluster, until, type Cluster } from "../cluster.ts"
import { fill } from "../rejoin.ts"
import { ErrorReply, type RespClient } from "../resp.ts"
import { percentile } from "./table.ts"

/** Runs `stepraft …`: its exit code and output. */
export const stepraft = (
  ...words: readonly string[]
): Promise<{ readonly code: number | null; readonly text: string }> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [join(root, "dist/kv/cli.js"), ...words], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
    })
    let text = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (text += chunk.toString()))
    child.once("close", (code) => resolve({ code, text }))
  })
export const done = async (...words: readonly string[]): Promise<string> => {
  const { code, text } = await stepraft(...words)
  if (code !== 0) throw new Error(`stepraft ${words.join(" ")} ended with ${code}:\n${text}`)
  return text
}
const portOf = (cluster: Cluster, id: string): string => String(cluster.member(id).clientPort)

export interface Writers {
  readonly acknowledged: () => number
  readonly sent: () => number
  /** While the writers rest, no request is outstanding. */
  readonly rest: () => Promise<void>
  readonly goOn: () => void
  readonly stop: () => Promise<void>
}
/**
 * Writers whose every transaction increments a shared counter and appends to a list of their own: in each state of the
 * history the counter and the lists agree.
 */
export const startWriters = async (cluster: Cluster, count: number, pause = 0): Promise<Writers> => {
  const control = { going: true, resting: false, acknowledged: 0, sent: 0, busy: 0 }
  const write = async (client: RespClient, name: string): Promise<void> => {
    while (control.going && !client.closed()) {
      if (control.resting) {
        await sleep(5)
        continue
      }
      control.busy += 1
      control.sent += 1
      const [, , , exec] = await Promise.allSettled([
        client.call("MULTI"),
        client.call("INCR", "total"),
        client.call("APPEND", name, "."),
        client.call("EXEC"),
      ])
      control.busy -= 1
      // The node may have been killed.
      if (exec.status === "fulfilled" && Array.isArray(exec.value)) control.acknowledged += 1
      if (pause > 0) await sleep(pause)
    }
    client.close()
  }
  const clients = await Promise.all(
    Array.from({ length: count }, (_, i) => cluster.connect(cluster.ids[i % cluster.ids.length] ?? "")),
  )
  const writing = Promise.all(clients.map((client, i) => write(client, `writer:${i}`)))
  return {
    acknowledged: () => control.acknowledged,
    sent: () => control.sent,
    rest: async () => {
      control.resting = true
      await until("nothing is under way", () => control.busy === 0)
    },
    goOn: () => {
      control.resting = false
    },
    stop: async () => {
      control.going = false
      await writing
    },
  }
}
/** The writers' counter and lists. Throws unless they agree: then this is no state of the history. */
export const transactionsIn = async (client: RespClient, count: number): Promise<number> => {
  const names = Array.from({ length: count }, (_, i) => `writer:${i}`)
  const [total, ...lengths] = await Promise.all([
    client.call("GET", "total"),
    ...names.map((name) => client.call("STRLEN", name)),
  ])
  const sum = lengths.reduce<number>((so, length) => so + Number(length), 0)
  if (Number(total) !== sum)
    throw new Error(`the counter says ${JSON.stringify(total)}, the lists ${sum}: no state of the history`)
  return sum
}

/** One call at a time, as a person or a web page would make it: a write, and a read of it at each node. */
const startPolite = async (cluster: Cluster): Promise<{ readonly take: () => number[]; readonly stop: () => void }> => {
  let times: number[] = []
  const control = { going: true }
  for (const id of cluster.ids) {
    const client = await cluster.connect(id)
    void (async () => {
      for (let i = 0; control.going; i++) {
        const from = performance.now()
        const reply = await (i % 2 === 0 ? client.call("SET", `polite:${id}`, i) : client.call("GET", `polite:${id}`))
        if (reply instanceof ErrorReply) throw new Error(reply.text)
        times.push(performance.now() - from)
        await sleep(10)
      }
      client.close()
    })()
  }
  return {
    take: () => {
      const taken = times
      times = []
      return taken
    },
    stop: () => {
      control.going = false
    },
  }
}
const stallOf = async (cluster: Cluster): Promise<number> =>
  Math.max(
    0,
    ...(await Promise.all(cluster.ids.map(cluster.status))).map((one) => one?.counters["loop.longestStallMs"] ?? 0),
  )
/** Restarts their measurement. */
const restart = async (cluster: Cluster): Promise<void> => {
  for (const id of cluster.ids) {
    await cluster.kill(id, "SIGTERM")
    cluster.start(id)
    await until(`${id} is well`, async () => (await cluster.status(id))?.health === "ok")
  }
}

export interface BackupFigures {
  readonly bytes: number
  readonly saveMs: number
  readonly restoreMs: number
  /** From the start of the restored node to its first reply. */
  readonly startMs: number
  /** Calls of the one-at-a-time clients: before the backup, and while it is taken. */
  readonly before: readonly number[]
  readonly during: readonly number[]
  /** The longest pause of any node while the backup is taken; 0: none of 50 ms or more. */
  readonly stallBeforeMs: number
  readonly stallMs: number
  /** Transactions in the backup, and transactions that were acknowledged before the backup was requested. */
  readonly transactions: number
  readonly due: number
  readonly sent: number
}
export interface BackupOptions {
  /** The approximate amount of data in the cluster. */
  readonly bytes: number
  /** Milliseconds for which the clients are measured before the backup. */
  readonly quietMs: number
  readonly say: (text: string) => void
}
const VALUE = 10_000
const WRITERS = 12

/**
 * Runs on an empty cluster of three. Afterwards `file` is the backup, restored as the data of n1 of `fresh`, which runs
 * and leads.
 */
export const measureBackup = async (
  cluster: Cluster,
  { bytes, quietMs, say }: BackupOptions,
): Promise<{ readonly figures: BackupFigures; readonly file: string; readonly fresh: Cluster }> => {
  const filling = await cluster.connect(await cluster.leader())
  await fill(filling, Math.ceil(bytes / VALUE), VALUE, 32)
  filling.close()
  await cluster.settled()
  await restart(cluster)
  const writers = await startWriters(cluster, WRITERS, 10)
  const polite = await startPolite(cluster)
  await until("some transactions", () => writers.acknowledged() > 200)
  polite.take()
  await sleep(quietMs)
  const before = polite.take()
  const stallBeforeMs = await stallOf(cluster)
  say(`before: p99 ${percentile(before, 99).toFixed(1)} ms`)

  const file = join(cluster.folder, "one.backup")
  const [from = ""] = await cluster.followers()
  const due = writers.acknowledged()
  const saving = performance.now()
  await done("snapshot", "save", file, "--port", portOf(cluster, from))
  const saveMs = performance.now() - saving
  const during = polite.take()
  const stallMs = await stallOf(cluster)
  const sent = writers.sent()
  say(`saved in ${(saveMs / 1000).toFixed(1)} s: p99 ${percentile(during, 99).toFixed(1)} ms, stall ${stallMs} ms`)
  polite.stop()
  await writers.stop()
  if (!/whole/.test(await done("snapshot", "inspect", file))) throw new Error("the backup is not whole")

  const fresh = await startCluster()
  try {
    await fresh.killAll()
    // These nodes must be new: what they had begun to make before they were killed is left aside.
    for (const member of fresh.members) Object.assign(member, { data: `${member.data}.restored` })
    const restoring = performance.now()
    await done("snapshot", "restore", file, "--id", "n1", "--data", fresh.member("n1").data)
    const restoreMs = performance.now() - restoring
    const starting = performance.now()
    fresh.start("n1")
    await until("n1 leads", async () => (await fresh.status("n1"))?.role === "leader")
    const client = await fresh.connect("n1")
    const transactions = await transactionsIn(client, WRITERS)
    const startMs = performance.now() - starting
    client.close()
    return {
      figures: {
        bytes: statSync(file).size,
        saveMs,
        restoreMs,
        startMs,
        before,
        during,
        stallBeforeMs,
        stallMs,
        transactions,
        due,
        sent,
      },
      file,
      fresh,
    }
  } catch (error) {
    await fresh.dispose()
    throw error
  }
}
/** Empty: the backup is one state of the history, and contains everything acknowledged before it was requested. */
export const wrongIn = ({ transactions, due, sent }: BackupFigures): readonly string[] =>
  transactions >= due && transactions <= sent
    ? []
    : [
        `${transactions} transactions are in the backup; ${due} were acknowledged before it began, ${sent} sent before it ended`,
      ]

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
const calls = (times: readonly number[]): string =>
  [percentile(times, 50), percentile(times, 99), Math.max(...times)].map((ms) => ms.toFixed(1)).join(" / ")
export const describeBackup = (figures: BackupFigures): string => {
  const { bytes, saveMs, restoreMs, startMs, before, during, stallBeforeMs, stallMs, transactions } = figures
  const stall = (ms: number): string => (ms === 0 ? "none of 50 ms" : `${ms} ms`)
  return [
    `A backup of ${(bytes / 1e9).toFixed(2)} GB from a follower of three under load (12 writers of transactions):`,
    `saved in ${seconds(saveMs)}, restored in ${seconds(restoreMs)}, serving ${seconds(startMs)} after its start.`,
    `Polite clients, one call at a time at each node, p50 / p99 / max: ${calls(before)} ms before, ${calls(during)} ms meanwhile (${during.length} calls).`,
    `Longest stall of a node's event loop: ${stall(stallBeforeMs)} before, ${stall(stallMs)} in all.`,
    wrongIn(figures).length === 0
      ? `What was restored is one state of the history: ${transactions.toLocaleString("en-US")} transactions, all that were acknowledged before, each whole.`
      : `WRONG: ${wrongIn(figures).join("; ")}`,
  ].join(" ")
}
