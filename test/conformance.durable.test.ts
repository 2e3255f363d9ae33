/** A state that keeps itself, as SQLite does: the contract of a state machine, and what else its makers promise. */
import { cpSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, test } from "vitest"
import { openDurableMachine } from "../interpreters/node/index.ts"
import { encodeReplicaCommand } from "../interpreters/replica/machine/command.ts"
import {
  jsonCodec,
  type DurableMachine,
  type DurableState,
  type RunnableMachine,
} from "../interpreters/replica/index.ts"
import { runConformance, stateMachineConformance, type StateMachineSubject } from "../spec/conformance/index.ts"
import { inSqlite, type Database } from "./examples/sqlite.ts"

const home = mkdtempSync(join(tmpdir(), "stepraft-durable-"))
afterAll(() => rmSync(home, { recursive: true, force: true }))
let made = 0
const temporary = (): string => join(home, String(++made))

type Note = { readonly key: string; readonly text: string } | { readonly remove: string }
const notes = inSqlite({
  schema: "CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, text TEXT)",
  apply: (db, command: Note): number => {
    if ("remove" in command) db.prepare("DELETE FROM notes WHERE key = ?").run(command.remove)
    else db.prepare("INSERT OR REPLACE INTO notes VALUES (?, ?)").run(command.key, command.text)
    // Undone on every server alike.
    if ("key" in command && command.key === "k7") throw new RangeError("not this one")
    return Number(db.prepare("SELECT count(*) AS n FROM notes").all()[0]?.["n"])
  },
})
let snapshots = 0
const subject = (machine: DurableMachine<Database, Note, number>): Promise<StateMachineSubject> => {
  let directory = temporary()
  let current: RunnableMachine<Database> | null = null
  const close = async (): Promise<void> => {
    const open = current
    current = null
    await open?.close()
  }
  return Promise.resolve({
    open: async () => {
      const incarnation = directory.replaceAll(/\D/gu, "").padStart(16, "0").slice(-16)
      current = await openDurableMachine({
        machine,
        directory,
        self: { name: "a", incarnation },
        newId: () => `snapshot${++snapshots}`,
        chunkBytes: 4096,
      })
      return current
    },
    close,
    crash: async () => {
      // What a killed process leaves: the files as they are now.
      const left = temporary()
      cpSync(directory, left, { recursive: true })
      await close()
      directory = left
    },
    digest: () => {
      const { state, digest } = current?.executor() ?? { state: null, digest: 0 }
      return Promise.resolve(
        JSON.stringify([
          state
            ?.prepare("SELECT key, text FROM notes ORDER BY key")
            .all()
            .map(({ key, text }) => [key, text]),
          digest,
        ]),
      )
    },
    dispose: close,
  })
}
const noteCommand = (n: number): Uint8Array => {
  if (n === 1) return encodeReplicaCommand({ type: "Open", owner: "test", secret: "s" })
  if (n % 9 === 4)
    return encodeReplicaCommand({
      type: "Execute",
      session: 1,
      sequence: n - 1,
      lowest: Math.max(1, n - 3),
      body: { type: "lease", request: { type: "take", name: `l${n}`, holder: "h", ttl: 50 } },
    })
  const note = n % 5 === 0 ? { remove: `k${(n * 7) % 13}` } : { key: `k${n % 13}`, text: `${n} `.repeat(300) }
  return encodeReplicaCommand({
    type: "Execute",
    session: 1,
    sequence: n - 1,
    lowest: Math.max(1, n - 3),
    body: { type: "command", bytes: jsonCodec().encode(note) },
  })
}
const checksOf = (machine: DurableMachine<Database, Note, number>): ReturnType<typeof stateMachineConformance> =>
  stateMachineConformance({ make: () => subject(machine), command: noteCommand })

describe("SQLite keeps the contract of a state machine", () => {
  test.each(checksOf(notes).map((check) => [check.name, check] as const))("%s", (_, { run }) => run())
})

/** The same with one thing done wrong. */
const wrong = (
  change: (state: DurableState<Database, Note, number>) => Partial<DurableState<Database, Note, number>>,
): DurableMachine<Database, Note, number> => ({
  ...notes,
  open: async (directory) => {
    const state = await notes.open(directory)
    return { ...state, ...change(state) }
  },
})
const faults: Readonly<Record<string, readonly [DurableMachine<Database, Note, number>, string]>> = {
  "writes its records apart from its state": [
    wrong((state) => {
      const records = new Map(state.records())
      return {
        records: () => records,
        transaction: (work) =>
          state.transaction(() =>
            work((record, value) => void (value === null ? records.delete(record) : records.set(record, value))),
          ),
      }
    }),
    "a restart executes nothing twice",
  ],
  "becomes a copy without its records": [
    wrong((state) => ({
      becomeCopy: async (file) => {
        const before = new Map(state.records())
        await state.becomeCopy(file)
        await state.transaction((write) => {
          for (const [record] of state.records()) write(record, before.get(record) ?? null)
        })
      },
    })),
    "what was restored survives a crash",
  ],
}
test.each(Object.entries(faults))("one that %s is found out", async (_, [machine, name]) => {
  const { results } = await runConformance(checksOf(machine).filter((check) => check.name === name))
  expect(results.map(({ outcome, detail }) => `${outcome} ${detail}`)).toEqual([
    expect.stringMatching(/^failed (?!it threw)/),
  ])
})

test("a session, its outcomes and leases are there after a restart, and a copy of a command is not executed again", async () => {
  const directory = temporary()
  const self = { name: "a", incarnation: "0".repeat(16) }
  const entryOf = (index: number, bytes: Uint8Array) => ({
    kind: "command" as const,
    index,
    term: 1,
    time: 1000 + index,
    chain: index,
    payload: { bytes, checksum: 0 },
  })
  const told: unknown[] = []
  const open = async (): Promise<RunnableMachine<Database>> => {
    const machine = await openDurableMachine({ machine: notes, directory, self, newId: () => `n${++snapshots}` })
    machine.listen((some) => told.push(...(some ?? [])))
    return machine
  }
  const apply = (
    machine: RunnableMachine<Database>,
    ...entries: Parameters<typeof machine.apply>[0][number][]
  ): Promise<unknown> =>
    new Promise((applied, failed) => {
      machine.attach({ applied, failed, damaged: failed })
      machine.apply(entries)
    })
  let machine = await open()
  await apply(machine, ...Array.from({ length: 9 }, (_, i) => entryOf(i + 1, noteCommand(i + 1))))
  await machine.close()
  machine = await open()
  expect(machine.position()).toMatchObject({ index: 9, term: 1, time: 1009, chain: 9 })
  expect(machine.beginsAt()).toBe(0)
  told.length = 0
  await apply(
    machine,
    entryOf(10, noteCommand(9)),
    entryOf(11, noteCommand(7)),
    entryOf(
      12,
      encodeReplicaCommand({
        type: "Execute",
        session: 1,
        sequence: 9,
        lowest: 9,
        body: { type: "lease", request: { type: "take", name: "l4", holder: "another", ttl: 50 } },
      }),
    ),
  )
  expect(told).toEqual([
    { type: "executed", index: 10, session: 1, sequence: 8, outcome: { type: "result", bytes: jsonCodec().encode(5) } },
    {
      type: "executed",
      index: 11,
      session: 1,
      sequence: 6,
      outcome: { type: "undone", text: "RangeError: not this one" },
    },
    {
      type: "executed",
      index: 12,
      session: 1,
      sequence: 9,
      outcome: { type: "result", bytes: jsonCodec().encode({ type: "taken", by: "h", remaining: 1004 + 50 - 1012 }) },
    },
  ])
  // What nobody will ask for any more is gone from the database, too.
  expect(
    machine
      .executor()
      .state.prepare("SELECT record FROM replica ORDER BY record")
      .all()
      .map(({ record }) => record),
  ).toEqual(["lease/l4", "outcome/1/9", "place", "session/1"])
  await machine.close()
})
