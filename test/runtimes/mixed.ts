/**
 * Three nodes, each on a different runtime: `kill -9` of each in turn under load; then the checker gets the history of
 * all clients.
 */
import { spawn, type ChildProcess } from "node:child_process"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { makeRandom } from "../../interpreters/simulation/index.ts"
import { makeHistory, type Recorder, type Value } from "../../spec/linearizability/index.ts"
import { startClients } from "../chaos/clients.ts"
import { linearizability } from "../chaos/judge.ts"
import { contents, digestOf, freePort, startCluster, temporaryFolder, until } from "../cluster.ts"
import type { App } from "./app.ts"
import type { Asked } from "./programs/server.ts"
import type { Runtime } from "./tools.ts"

export interface Mixed {
  readonly operations: number
  readonly unknown: number
  /** Empty: all checks passed. */
  readonly violations: readonly string[]
}

/** Operations that must succeed between two kills. */
const PROGRESS = 150

const killEachInTurn = async (
  ids: readonly string[],
  done: () => number,
  kill: (id: string) => Promise<void>,
  start: (id: string) => void,
  ready: (id: string) => Promise<unknown>,
): Promise<void> => {
  const more = (what: string): Promise<unknown> => {
    const before = done()
    return until(`more operations succeed ${what}`, () => done() >= before + PROGRESS)
  }
  await more("at first")
  for (const id of ids) {
    await kill(id)
    await more(`without ${id}`)
    start(id)
    await ready(id)
    await more(`with ${id} again`)
  }
}

/** Runs `stepraft serve` on each runtime. */
export const mixedServe = async (runtimes: readonly Runtime[], app: App): Promise<Mixed> => {
  const of = new Map(runtimes.map((runtime, i) => [`n${i + 1}`, runtime]))
  const cluster = await startCluster({
    nodes: runtimes.length,
    runtime: (id) => of.get(id)?.command ?? [],
    program: [app.program("cli")],
  })
  try {
    await cluster.leader()
    const clients = startClients(cluster, {
      history: makeHistory(),
      clients: 6,
      seed: 1,
      pause: 5,
      keys: 6,
      operationsPerKey: 60,
      lie: null,
    })
    await killEachInTurn(
      cluster.ids,
      () => clients.counts.ok,
      (id) => cluster.kill(id),
      (id) => cluster.start(id),
      (id) => until(`${id} answers`, () => cluster.status(id)),
    )
    await clients.stop()
    await clients.readAll()
    await cluster.settled()
    const digests = await Promise.all(cluster.ids.map(async (id) => digestOf(await contents(cluster, id))))
    const differing = new Set(digests).size === 1 ? [] : [`the nodes hold different data: ${digests.join(", ")}`]
    return {
      operations: clients.counts.ok,
      unknown: clients.counts.info,
      violations: [...clients.complaints, ...differing, ...linearizability(clients.history.events)],
    }
  } catch (error) {
    process.stderr.write(`${cluster.logs()}\n`)
    throw error
  } finally {
    await cluster.dispose()
  }
}

type Answer = { readonly ok: Value } | { readonly executed: "no" | "unknown" }

/** A process of programs/server.ts, which gets its requests as lines. */
class Server {
  private readonly child: ChildProcess
  private readonly waiting = new Map<number, (answer: Answer) => void>()
  private said = ""
  private asked = 0
  ready = false
  gone = false
  readonly exited: Promise<void>
  constructor({ command: [file = "", ...words] }: Runtime, app: App, own: readonly string[]) {
    const child = spawn(file, [...words, app.program("server"), ...own], { cwd: app.folder, stdio: "pipe" })
    this.child = child
    child.stdin.on("error", () => undefined)
    child.stderr.on("data", (chunk: Buffer) => (this.said += chunk.toString()))
    createInterface({ input: child.stdout }).on("line", (line) => this.line(line))
    this.exited = new Promise((resolve) => {
      child.once("error", (error) => (this.said += String(error)))
      child.once("close", () => {
        this.gone = true
        for (const answer of this.waiting.values()) answer({ executed: "unknown" })
        this.waiting.clear()
        resolve()
      })
    })
  }
  private line(line: string): void {
    const told = JSON.parse(line) as
      | { readonly ready: true }
      | { readonly failed: string }
      | (Answer & { readonly id: number })
    if ("ready" in told) this.ready = true
    else if ("failed" in told) this.said += told.failed
    else {
      this.waiting.get(told.id)?.(told)
      this.waiting.delete(told.id)
    }
  }
  ask(asked: Omit<Asked, "id">): Promise<Answer> {
    const id = ++this.asked
    return new Promise((resolve) => {
      this.waiting.set(id, resolve)
      this.child.stdin?.write(`${JSON.stringify({ id, ...asked })}\n`)
    })
  }
  async kill(): Promise<void> {
    this.child.kill("SIGKILL")
    await this.exited
  }
  get output(): string {
    return this.said
  }
}

/** Reads, writes, appends and increments of a few keys, one after another, at any running server. */
const client = async (
  number: number,
  history: Recorder,
  server: () => Server | undefined,
  counts: { ok: number; unknown: number },
  stopping: () => boolean,
): Promise<void> => {
  const random = makeRandom(number)
  let bootId = 0
  for (let count = 0; !stopping(); count++) {
    const to = server()
    if (to === undefined) {
      await sleep(20)
      continue
    }
    const kind = random.pick(["register", "text", "number"] as const) ?? "text"
    const generation = count >> 5
    const key = `${kind}${generation}`
    const f = random.chance(400) ? "read" : kind === "register" ? "write" : kind === "text" ? "append" : "incr"
    const value = f === "write" || f === "append" ? `${number}.${count};` : null
    const open = history.invoke({ process: `${number}.${bootId}`, f, key, value: f === "incr" ? 1 : value })
    const answer = await to.ask({ f, key, value })
    if ("ok" in answer) {
      open.ok(f === "read" || f === "incr" ? answer.ok : value)
      counts.ok += 1
    } else if (answer.executed === "no" || f === "read") open.fail()
    else {
      open.info()
      counts.unknown += 1
      bootId += 1
    }
    await sleep(5)
  }
}

/** Runs a program with `replicate` on each runtime. */
export const mixedReplicate = async (runtimes: readonly Runtime[], app: App): Promise<Mixed> => {
  const folder = temporaryFolder("stepraft-mixed-")
  const ids = runtimes.map((_, i) => `n${i + 1}`)
  const peers: Record<string, string> = {}
  for (const id of ids) peers[id] = `127.0.0.1:${await freePort()}`
  const servers = new Map<string, Server>()
  const start = (id: string): void => {
    const runtime = runtimes[ids.indexOf(id)]
    if (runtime !== undefined) servers.set(id, new Server(runtime, app, [id, join(folder, id), JSON.stringify(peers)]))
  }
  const ready = (id: string): Promise<unknown> => until(`${id} is ready`, () => servers.get(id)?.ready ?? false)
  const counts = { ok: 0, unknown: 0 }
  const history = makeHistory()
  let over = false
  try {
    for (const id of ids) start(id)
    await Promise.all(ids.map(ready))
    const clients = Array.from({ length: 6 }, (_, number) =>
      client(
        number,
        history,
        () => {
          const here = Array.from(servers.values()).filter((server) => server.ready && !server.gone)
          return here[number % Math.max(1, here.length)]
        },
        counts,
        () => over,
      ),
    )
    await killEachInTurn(
      ids,
      () => counts.ok,
      async (id) => servers.get(id)?.kill(),
      start,
      ready,
    )
    over = true
    await Promise.all(clients)
    return { operations: counts.ok, unknown: counts.unknown, violations: linearizability(history.events) }
  } catch (error) {
    for (const [id, { output }] of servers) process.stderr.write(`--- ${id}\n${output.slice(-4000)}\n`)
    throw error
  } finally {
    over = true
    await Promise.all(Array.from(servers.values(), (server) => server.kill()))
  }
}

/** Runs `stepraft cluster` with its three nodes on one runtime: it must accept a write and end cleanly. */
export const ownCluster = async ({ command: [file = "", ...words] }: Runtime, app: App): Promise<void> => {
  const { launch } = await import("../cluster.ts")
  const { openResp } = await import("../resp.ts")
  const port = await freePort()
  const peerPort = await freePort()
  const httpPort = await freePort()
  const supervisor = launch(
    file,
    [
      ...words,
      app.program("cli"),
      "cluster",
      "--data",
      join(temporaryFolder("stepraft-own-"), "data"),
      "--port",
      String(port),
      "--peer-port",
      String(peerPort),
      "--http-port",
      String(httpPort),
    ],
    {},
    app.folder,
  )
  try {
    await until("a node takes a write", async () => {
      if (!supervisor.running()) throw new Error(`it ended: ${supervisor.output().slice(-2000)}`)
      try {
        const client = await openResp(port)
        try {
          return (await client.call("SET", "a", "1")) === "OK"
        } finally {
          client.close()
        }
      } catch {
        return false
      }
    })
    supervisor.signal("SIGTERM")
    const code = await supervisor.exited
    if (code !== 0) throw new Error(`it ended with ${code}: ${supervisor.output().slice(-2000)}`)
  } catch (error) {
    supervisor.signal("SIGKILL")
    throw error
  }
}
