/**
 * Three servers that count (examples/counting.ts): each is killed under load, then all at once. Their answers are
 * checked.
 */
import { expect } from "vitest"
import { checkHistory, kv, type Operation } from "../spec/linearizability/index.ts"
import { full, launch, temporaryFolder, freePort, until, type Watched } from "./cluster.ts"
import type { Counted } from "./examples/counting.ts"
import { join } from "node:path"

export interface Counting<State = Counted> {
  /** Every process that ever ran. */
  readonly processes: readonly Watched[]
  /** The final state of two of the three. */
  readonly states: readonly State[]
}
type Program = readonly [string, ...string[]]

/** `program`: a command that takes ID DIRECTORY PEERS; it runs in `cwd`, by default in a folder of its own. */
export const countAndKill = async <State = Counted>(
  program: Program | ((peers: Readonly<Record<string, string>>) => Program),
  cwd?: string,
): Promise<Counting<State>> => {
  const folder = temporaryFolder("stepraft-counters-")
  const ids = ["a", "b", "c"]
  const peers: Record<string, string> = {}
  for (const id of ids) peers[id] = `127.0.0.1:${await freePort()}`
  const processes: Watched[] = []
  const [command, ...words] = typeof program === "function" ? program(peers) : program
  const start = (id: string): Watched => {
    const child = launch(
      command,
      [...words, id, join(folder, id), JSON.stringify(peers)],
      {},
      cwd ?? (typeof program === "function" ? folder : undefined),
    )
    processes.push(child)
    return child
  }
  const now = new Map(ids.map((id) => [id, start(id)]))
  const of = (id: string): Watched => now.get(id) ?? start(id)
  const acks = (child: Watched): number => child.output().split("\nack ").length
  const more = (id: string): Promise<unknown> => {
    const before = acks(of(id))
    return until(`${id} has more acknowledged`, () => {
      if (!of(id).running()) throw new Error(`${id} ended: ${of(id).output().slice(-2000)}`)
      return acks(of(id)) > before + 30 ? true : null
    })
  }
  const kill = async (...some: readonly string[]): Promise<void> => {
    for (const id of some) of(id).signal("SIGKILL")
    await Promise.all(some.map((id) => of(id).exited))
  }
  try {
    await Promise.all(ids.map(more))
    for (const id of full ? [...ids, ...ids] : ids) {
      await kill(id)
      await Promise.all(ids.filter((other) => other !== id).map(more))
      now.set(id, start(id))
      await more(id)
    }
    await kill(...ids)
    for (const id of ids) now.set(id, start(id))
    await Promise.all(ids.map(more))

    for (const id of ids) of(id).signal("SIGUSR2")
    // An increment that is acknowledged after a state was read is not in that state.
    for (const id of ids) await until(`${id} counts no more`, () => of(id).output().includes("\nstopped\n"))
    const states: State[] = []
    for (const id of ids.slice(0, 2)) {
      of(id).signal("SIGTERM")
      expect(await of(id).exited).toBe(0)
      const line = of(id)
        .output()
        .split("\n")
        .find((text) => text.startsWith("state "))
      states.push(JSON.parse(line?.slice("state ".length) ?? "null") as State)
    }
    return { processes, states }
  } finally {
    for (const process of processes) process.signal("SIGKILL")
  }
}

/** All processes of a machine have the same clock, so their lines have an order. */
const historyOf = (processes: readonly Watched[]): Operation[] => {
  const operations: Operation[] = []
  const time = (nanoseconds = "0"): number => Number(BigInt(nanoseconds))
  for (const { output } of processes) {
    const begun = new Map<string, string>()
    for (const line of output().split("\n")) {
      const [what = "", by = "", number = "", first = "", second] = line.split(" ")
      const name = `${by} ${number}`
      const incr = (result: number | null | undefined, returned: string | null): void => {
        operations.push({
          process: by,
          input: { f: "incr", key: "n", value: 1 },
          output: result,
          invoked: time(begun.get(name)),
          returned: returned === null ? null : time(returned),
        })
        begun.delete(name)
      }
      if (what === "begin") begun.set(name, first)
      else if (what === "ack") incr(first === "-" ? null : Number(first), second ?? "0")
      else if (what === "no") begun.delete(name)
      else if (what === "unknown") incr(undefined, null)
      else if (what === "read")
        operations.push({
          process: `${by} reads`,
          input: { f: "read", key: "n", value: null },
          output: number,
          invoked: time(first),
          returned: time(second),
        })
    }
    // The process was killed before it finished the line: it may be any.
    for (const [name, at] of begun)
      if (/^\d{6,}$/.test(at))
        operations.push({
          process: name,
          input: { f: "incr", key: "n", value: 1 },
          output: undefined,
          invoked: time(at),
          returned: null,
        })
  }
  const first = Math.min(...operations.map(({ invoked }) => invoked))
  // Positions, not times: the checker needs an order.
  return operations
    .map((operation) => ({
      ...operation,
      invoked: operation.invoked - first,
      returned: operation.returned === null ? null : operation.returned - first,
    }))
    .toSorted((a, b) => a.invoked - b.invoked)
}

export const acknowledgedBy = (
  processes: readonly Watched[],
): readonly { readonly by: string; readonly number: number }[] =>
  processes.flatMap(({ output }) =>
    Array.from(output().matchAll(/^ack (\S+) (\d+) (?:\d+|-) \d+$/gmu), ([, by = "", number = ""]) => ({
      by,
      number: Number(number),
    })),
  )

/** All observations are linearizable. Returns how many increments were acknowledged. */
export const judgeHistory = (
  processes: readonly Watched[],
): { readonly acknowledged: number; readonly operations: number } => {
  const { length: acknowledged } = acknowledgedBy(processes)
  expect(acknowledged).toBeGreaterThan(300)
  const operations = historyOf(processes)
  const verdict = checkHistory(operations, kv, { limitMs: 60_000 })
  expect(verdict.verdict === "not" ? verdict.explanation : verdict.verdict).toBe("linearizable")
  return { acknowledged, operations: operations.length }
}

/** Nothing acknowledged is lost, nothing is doubled, and all observations are linearizable. */
export const judgeCounting = ({
  processes,
  states,
}: Counting): { readonly acknowledged: number; readonly operations: number } => {
  const acknowledged = acknowledgedBy(processes)
  for (const { seen, doubled } of states) {
    expect(doubled).toBe(0)
    const held = new Map(Object.entries(seen).map(([by, numbers]) => [by, new Set(numbers)]))
    expect(acknowledged.filter(({ by, number }) => held.get(by)?.has(number) !== true)).toEqual([])
  }
  return judgeHistory(processes)
}
