/**
 * For tests of interpreters/file: opens a storage outside Effect, and computes what a sequence of Persists should
 * leave.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as fc from "fast-check"
import type { Configuration, Entry, HardState, LogBase, Member, Persist } from "../core/index.ts"
import { payloadOf } from "../interpreters/payload.ts"
import type { Stored } from "../interpreters/contract.ts"
import { openFileStorage, type FileStorage, type FileStorageOptions } from "../interpreters/file/index.ts"

export interface Opened {
  readonly storage: FileStorage
  readonly close: () => Promise<void>
  /** The highest seq reported durable, and the failure reported, so far. */
  readonly acknowledged: () => number
  readonly failed: () => Error | null
  readonly space: () => readonly boolean[]
  /** Resolves once `seq` is acknowledged, rejects with the failure. */
  readonly durable: (seq: number) => Promise<void>
}

export const DIRECTORY = "/data/n1"

export const openStorage = async (options: Partial<FileStorageOptions> = {}): Promise<Opened> => {
  const scope = Scope.makeUnsafe()
  const storage = await Effect.runPromise(
    openFileStorage({ directory: DIRECTORY, name: "n1", ...options }).pipe(Scope.provide(scope)),
  )
  let acknowledged = -1
  let failed: Error | null = null
  const space: boolean[] = []
  const waiting: (() => void)[] = []
  const wake = (): void => {
    for (const look of waiting.splice(0)) look()
  }
  storage.attach({
    persisted: (seq) => {
      acknowledged = seq
      wake()
    },
    failed: (error) => {
      failed = error
      wake()
    },
    space: (low) => space.push(low),
  })
  const durable = (seq: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (acknowledged >= seq) resolve()
        else if (failed !== null) reject(failed)
        else waiting.push(look)
      }
      look()
    })
  const close = (): Promise<void> => Effect.runPromise(Scope.close(scope, Exit.void))
  return { storage, close, acknowledged: () => acknowledged, failed: () => failed, space: () => space, durable }
}

export const member = (name: string): Member => ({ name, incarnation: `${name}-1` })
export const configuration: Configuration = {
  voters: [member("n1"), member("n2"), member("n3")],
  outgoing: [],
  learners: [],
}
export const command = (index: number, term: number, bytes: Uint8Array): Entry => ({
  kind: "command",
  index,
  term,
  time: index * 10,
  chain: index * 3,
  payload: payloadOf(bytes),
})
export const persistOf = (seq: number, change: Partial<Persist>): Persist => ({
  type: "Persist",
  seq,
  hardState: null,
  truncateFrom: null,
  entries: [],
  base: null,
  ...change,
})
/** Entries first … first + count - 1, one Persist, `size` bytes each. */
export const appended = (seq: number, first: number, count: number, size = 100): Persist =>
  persistOf(seq, {
    entries: Array.from({ length: count }, (_, i) => command(first + i, 1, Buffer.alloc(size, first + i))),
  })
export const baseAt = (index: number, term = 1): LogBase => ({
  index,
  term,
  time: index * 10,
  chain: index * 3,
  configuration,
})

export const nothingStored: Stored = {
  hardState: { term: 0, vote: null },
  base: { index: 0, term: 0, time: 0, chain: 0, configuration: { voters: [], outgoing: [], learners: [] } },
  entries: [],
}
/** Written independently of the tested code, and as simply as possible. */
export const storedAfter = (before: Stored, persist: Persist): Stored => {
  const { truncateFrom } = persist
  const kept = truncateFrom === null ? before.entries : before.entries.filter(({ index }) => index < truncateFrom)
  const base = persist.base ?? before.base
  return {
    hardState: persist.hardState ?? before.hardState,
    base,
    entries: [...kept, ...persist.entries].filter(({ index }) => index > base.index),
  }
}
/** A text that is equal for two states if and only if they are equal. */
export const plain = ({ hardState, base, entries }: Stored): string => {
  const lines = entries.map(({ kind, index, term, time, chain, ...rest }) => {
    const content =
      "payload" in rest
        ? `${rest.payload.checksum} ${Buffer.from(rest.payload.bytes).toString("latin1")}`
        : JSON.stringify(rest)
    return `${index} ${term} ${time} ${chain} ${kind} ${content}`
  })
  return [JSON.stringify({ hardState, base }), ...lines].join("\n")
}

const choice = fc.record({
  kind: fc.constantFrom("append", "append", "append", "vote", "overwrite", "trim", "jump", "nothing"),
  amount: fc.nat(4),
  where: fc.nat(1000),
  size: fc.constantFrom(0, 1, 30, 300, 470, 1500),
  fill: fc.constantFrom(0, 0, 1, 255),
})
/** Sequences of Persists as a node might hand them over, with the state after each. */
export const histories = (length: number): fc.Arbitrary<readonly Persist[]> =>
  fc.array(choice, { minLength: 1, maxLength: length, size: "max" }).map((choices) => {
    const out: Persist[] = []
    let now = nothingStored
    let term = 1
    choices.forEach(({ kind, amount, where, size, fill }, seq) => {
      const last = now.base.index + now.entries.length
      const from = now.base.index + 1 + (where % (now.entries.length + 1))
      const run = (first: number): Entry[] =>
        Array.from({ length: amount }, (_, i) =>
          (i + where) % 5 === 0
            ? { kind: "configuration", index: first + i, term, time: first + i, chain: (first + i) * 5, configuration }
            : command(first + i, term, Buffer.alloc(size, fill)),
        )
      const vote: HardState = { term: ++term, vote: where % 2 === 0 ? null : member("n2") }
      const change: Record<typeof kind, () => Partial<Persist>> = {
        append: () => ({ entries: run(last + 1) }),
        vote: () => ({ hardState: vote }),
        overwrite: () => ({ truncateFrom: from, entries: run(from), hardState: vote }),
        trim: () => ({ base: baseAt(from - 1, term), entries: run(last + 1) }),
        jump: () => ({
          truncateFrom: from,
          base: baseAt(last + 1 + amount, term),
          entries: where % 2 === 0 ? [] : run(last + 2 + amount),
        }),
        nothing: () => ({}),
      }
      const persist = persistOf(seq, change[kind]())
      out.push(persist)
      now = storedAfter(now, persist)
    })
    return out
  })
