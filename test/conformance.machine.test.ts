/** Every state machine of ours keeps the contract, and the suite notices those that do not. */
import { afterAll, describe, expect, test } from "vitest"
import type { Entry } from "../core/index.ts"
import type { StateMachine, StateMachineHandlers } from "../interpreters/contract.ts"
import { encodeReplicaCommand } from "../interpreters/replica/machine/command.ts"
import { jsonCodec, type Machine } from "../interpreters/replica/machine/definition.ts"
import { openReplicaMachine, type ReplicaMachine } from "../interpreters/replica/machine/machine.ts"
import { directorySnapshotStore } from "../interpreters/node/snapshotStore.ts"
import { encodeCommand } from "../kv/machine/command.ts"
import { MemoryMachine } from "../kv/machine/index.ts"
import {
  runConformance,
  stateMachineConformance,
  type StateMachineKit,
  type StateMachineSubject,
} from "../spec/conformance/index.ts"
import { makeMachineDisk, type MemoryMachineOptions } from "./memory.machine.ts"
import { buffers, copyOf, digest, open, removeTemporary, secretFor, temporary, type Held } from "./machine.kit.ts"

afterAll(removeTemporary)

/** A session, then everything that a store does, with values that make an image of several chunks. */
const storeCommand = (n: number): Uint8Array => {
  if (n === 1) return encodeCommand({ type: "OpenSession", owner: "test", secret: secretFor("t") })
  const key = `k${n % 9}`
  const calls = [
    ["SET", `big${n % 40}`, Buffer.alloc(12_000, n)],
    ["INCR", key],
    ["APPEND", `log${n % 3}`, `${n},`],
    ["DEL", `big${(n * 7) % 40}`],
    ["SET", `soon${n}`, "x", "PX", String(n)],
  ] as const
  return encodeCommand({
    type: "Execute",
    session: 1,
    secret: secretFor("t"),
    sequence: n - 1,
    lowest: Math.max(1, n - 3),
    exec: false,
    watches: [],
    calls: [buffers(...(calls[n % calls.length] ?? calls[0]))],
  })
}

const onLevelDb = (): Promise<StateMachineSubject> => {
  let directory = temporary()
  let held: Held | null = null
  const close = async (): Promise<void> => {
    const open = held
    held = null
    await open?.close()
  }
  return Promise.resolve({
    open: async () => {
      held = await open(directory)
      return held.machine
    },
    close,
    crash: async () => {
      // What the dead process had handed to the system is there; LevelDB may be in the middle of anything.
      const left = copyOf(directory)
      await close()
      directory = left
    },
    digest: () => (held === null ? Promise.reject(new Error("it is closed")) : digest(held)),
    dispose: close,
  })
}
const storeInMemory = (): Promise<StateMachineSubject> => {
  let machine = new MemoryMachine()
  return Promise.resolve({
    open: () => {
      machine = new MemoryMachine()
      return Promise.resolve(machine)
    },
    close: () => Promise.resolve(),
    digest: () => Promise.resolve(machine.digest()),
    dispose: () => Promise.resolve(),
  })
}
const lives = "it lives as long as its process"

let snapshots = 0
/** A user's machine, from a state and one function, in a directory. */
const fromDefinition = (): Promise<StateMachineSubject> => {
  interface Notes {
    readonly notes: Record<string, string>
    total: number
  }
  type Note = { readonly key: string; readonly text: string } | { readonly remove: string }
  const machine: Machine<Notes, Note, number> = {
    initial: { notes: {}, total: 0 },
    apply: (state, command) => {
      state.total += 1
      if ("remove" in command) delete state.notes[command.remove]
      else state.notes[command.key] = command.text
      return state.total
    },
  }
  let directory = temporary()
  let current: ReplicaMachine<Notes, Note, number> | null = null
  const close = async (): Promise<void> => {
    const open = current
    current = null
    await open?.close()
  }
  return Promise.resolve({
    open: async () => {
      current = await openReplicaMachine({
        machine,
        store: directorySnapshotStore(directory),
        newId: () => `snapshot ${++snapshots}`,
        report: () => undefined,
      })
      return current
    },
    close,
    crash: async () => {
      const left = copyOf(directory)
      await close()
      directory = left
    },
    digest: () => {
      const { state, digest } = current?.executor() ?? { state: null, digest: 0 }
      return Promise.resolve(
        JSON.stringify([
          Object.entries(state?.notes ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1)),
          state?.total,
          digest,
        ]),
      )
    },
    dispose: close,
  })
}
const noteCommand = (n: number): Uint8Array => {
  if (n === 1) return encodeReplicaCommand({ type: "Open", owner: "test", secret: "s" })
  const note = n % 5 === 0 ? { remove: `k${(n * 7) % 13}` } : { key: `k${n % 13}`, text: `${n} `.repeat(5000) }
  return encodeReplicaCommand({
    type: "Execute",
    session: 1,
    sequence: n - 1,
    lowest: Math.max(1, n - 3),
    body: { type: "command", bytes: jsonCodec().encode(note) },
  })
}

/** A plain state: counts of words, and who came last. */
interface Words {
  readonly counts: Readonly<Record<string, number>>
  readonly last: string
}
const words: MemoryMachineOptions<Words> = {
  initial: { counts: {}, last: "" },
  apply: ({ counts }, command, { index, time }) => {
    const word = new TextDecoder().decode(command)
    return { counts: { ...counts, [word]: (counts[word] ?? 0) + 1 }, last: `${word} ${index} ${time}` }
  },
  encode: (state) => new TextEncoder().encode(JSON.stringify(state)),
  decode: (bytes) => JSON.parse(new TextDecoder().decode(bytes)) as Words,
  chunkBytes: 64,
}
const plainState =
  (
    change: (machine: StateMachine) => Partial<StateMachine> = () => ({}),
    options: MemoryMachineOptions<Words> = words,
  ) =>
  (): Promise<StateMachineSubject> => {
    const disk = makeMachineDisk(options)
    let state = (): Words => options.initial
    let crashes = 0
    return Promise.resolve({
      open: () => {
        const machine = disk.open()
        state = machine.state
        return Promise.resolve({ ...machine, ...change(machine) })
      },
      close: () => Promise.resolve(disk.crash("all")),
      crash: () => Promise.resolve(disk.crash(++crashes % 2 === 0 ? "all" : "none")),
      digest: () =>
        Promise.resolve(
          JSON.stringify(Object.entries(state().counts).toSorted(([a], [b]) => (a < b ? -1 : 1))) + state().last,
        ),
      dispose: () => Promise.resolve(),
    })
  }
const wordsKit = (make: () => Promise<StateMachineSubject>): StateMachineKit => ({
  make,
  command: (n) => new TextEncoder().encode(`w${(n * n) % 11}`),
})

const suites = {
  "kv/machine on LevelDB": stateMachineConformance({ make: onLevelDb, command: storeCommand }),
  "kv/machine in memory": stateMachineConformance(
    { make: storeInMemory, command: storeCommand },
    {
      except: {
        "a restart executes nothing twice": lives,
        "a crash leaves a state and its position": lives,
        "what was restored survives a crash": lives,
      },
    },
  ),
  "interpreters/replica": stateMachineConformance({ make: fromDefinition, command: noteCommand }),
  "a plain value in memory": stateMachineConformance(wordsKit(plainState())),
}
describe.each(Object.entries(suites))("%s", (_, checks) => {
  test.each(checks.filter(({ skipped }) => skipped === null).map((check) => [check.name, check] as const))(
    "%s",
    (_, { run }) => run(),
  )
})

let applications = 0
const seededFaults: Readonly<Record<string, readonly [() => Promise<StateMachineSubject>, string]>> = {
  "hangs on more than the log": [
    plainState(undefined, {
      ...words,
      apply: (state, command, at) => words.apply(state, command, { ...at, time: ++applications }),
    }),
    "equal entries give equal states",
  ],
  "calls what is not durable durable": [
    plainState((machine) => ({
      takeSnapshot: () => Promise.resolve(machine.position() ?? Promise.reject(new Error("none"))),
    })),
    "a crash leaves a state and its position",
  ],
  "keeps its position apart from its data": [
    () => {
      const [data, place] = [makeMachineDisk(words), makeMachineDisk(words)]
      let state = (): Words => words.initial
      return Promise.resolve({
        open: () => {
          const [machine, other] = [data.open(), place.open()]
          state = machine.state
          return Promise.resolve({
            ...machine,
            position: () => other.position(),
            apply: (entries: readonly Entry[]) => (other.apply(entries), machine.apply(entries)),
          })
        },
        close: () => Promise.resolve(data.crash("all")),
        crash: () => Promise.resolve((data.crash("all"), place.crash("none"))),
        digest: () => Promise.resolve(JSON.stringify(state())),
        dispose: () => Promise.resolve(),
      })
    },
    "a crash leaves a state and its position",
  ],
  "takes whatever arrives for a snapshot": [
    plainState((machine) => ({
      storeChunk: (snapshot, offset, bytes, last) =>
        machine.storeChunk(snapshot, offset, offset === 0 ? bytes : bytes.map((byte) => (byte === 0 ? 1 : byte)), last),
      restore: (snapshot) => machine.restore(snapshot).catch(() => undefined),
    })),
    "what does not check out changes nothing",
  ],
  "reads its image from what it is now": [
    plainState((machine) => ({
      openSnapshot: async () => {
        const image = await machine.openSnapshot()
        return { ...image, read: async (offset) => (await machine.openSnapshot()).read(offset) }
      },
    })),
    "an image stays as it was opened",
  ],
  "answers within the call": [
    plainState((machine) => {
      let told: StateMachineHandlers | null = null
      return {
        attach: (handlers) => {
          told = handlers
          machine.attach({ ...handlers, applied: () => undefined })
        },
        apply: (entries) => {
          machine.apply(entries)
          told?.applied(entries.at(-1)?.index ?? 0)
        },
      }
    }),
    "applied is called later, once for each apply",
  ],
}
test.each(Object.entries(seededFaults))("a state machine that %s is found out", async (_, [make, name]) => {
  const { ok, results } = await runConformance(
    stateMachineConformance(wordsKit(make)).filter((check) => check.name === name),
  )
  expect(results.map(({ outcome, detail }) => `${outcome} ${detail}`)).toEqual([
    expect.stringMatching(/^failed (?!it threw)/),
  ])
  expect(ok).toBe(false)
})
