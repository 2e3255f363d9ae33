/** Every storage of ours keeps the contract, and the suite notices those that do not. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { describe, expect, test } from "vitest"
import { emptyConfiguration, type Persist } from "../core/index.ts"
import type { Storage, StorageHandlers } from "../interpreters/contract.ts"
import { openFileStorage } from "../interpreters/file/index.ts"
import { makeMemoryDisk } from "../interpreters/memory/index.ts"
import {
  crashDisk,
  entriesOf,
  freshDisk,
  startPersist as persistOn,
  markDurable,
} from "../interpreters/simulation/server/disk.ts"
import { foldInPlace, nodeOf } from "../interpreters/simulation/state/fold.ts"
import { makeWorld } from "../interpreters/simulation/index.ts"
import { runConformance, storageConformance, type StorageSubject } from "../spec/conformance/index.ts"
import { diskError, memoryDisk, troubled } from "./disk.ts"

const onFiles = (): Promise<StorageSubject> => {
  let disk = memoryDisk()
  let scope: Scope.Closeable | null = null
  let crashes = 0
  let failing = false
  const end = async (): Promise<void> => {
    const open = scope
    scope = null
    if (open !== null) await Effect.runPromise(Scope.close(open, Exit.void))
  }
  return Promise.resolve({
    open: () => {
      scope = Scope.makeUnsafe()
      const files = troubled(disk.files, ({ kind }) => (failing && kind === "write" ? diskError("EIO") : null))
      return Effect.runPromise(
        openFileStorage({ directory: "/data/n1", name: "n1", files, segmentBytes: 4096 }).pipe(Scope.provide(scope)),
      )
    },
    close: end,
    crash: async () => {
      // The machine that has lost its power goes on writing, to a disk that nobody will ever see again.
      const left = disk.crash(++crashes % 3 === 0 ? "nothing" : crashes)
      await end()
      disk = left
    },
    fail: () => {
      failing = true
    },
    dispose: end,
  })
}

const inMemory =
  (change: (storage: Storage) => Storage = (storage) => storage) =>
  (): Promise<StorageSubject> => {
    const disk = makeMemoryDisk({ name: "n1" })
    let crashes = 0
    let close = (): void => undefined
    return Promise.resolve({
      open: () => {
        const storage = disk.open()
        close = storage.close
        return Promise.resolve(change(storage))
      },
      close: () => Promise.resolve(close()),
      crash: () =>
        Promise.resolve(disk.act({ type: "crash", keep: (["none", "all", 1] as const)[++crashes % 3] ?? "none" })),
      fail: () => disk.act({ type: "fail" }),
      dispose: () => Promise.resolve(disk.act({ type: "crash" })),
    })
  }

/** The disk of a world: writes take virtual time, which goes on whenever the event loop does. */
const simulated = (): Promise<StorageSubject> => {
  const world = makeWorld({ seed: 7, nodes: 1, disk: { min: 1, max: 9 } })
  const fold = foldInPlace(world, {})
  const node = nodeOf(world, "n1")
  node.core = null
  node.disk = freshDisk({ index: 0, term: 0, time: 0, chain: 0, configuration: emptyConfiguration })
  let handlers: StorageHandlers | null = null
  let crashes = 0
  const end = (keep: "all" | "random" | "none"): Promise<void> => {
    handlers = null
    world.agenda.length = 0
    crashDisk(fold, node, keep)
    return Promise.resolve()
  }
  const goOn = (): void => {
    const [next] = world.agenda.splice(0, 1)
    if (next?.what.type !== "persisted") return
    world.now = next.at
    if (markDurable(node.disk, next.what.seq)) handlers?.persisted(next.what.seq)
  }
  return Promise.resolve({
    open: () => {
      world.agenda.length = 0
      return Promise.resolve({
        stored: { hardState: node.disk.hardState, base: node.disk.log.base, entries: entriesOf(node.disk) },
        attach: (given: StorageHandlers) => {
          handlers = given
        },
        persist: (effect: Persist) => {
          persistOn(fold, node, effect)
          setImmediate(goOn)
        },
        stats: () => ({ bytes: 0, segments: 1, syncs: 0, bytesWritten: 0 }),
      })
    },
    close: () => end("all"),
    crash: () => {
      node.boot += 1
      return end(++crashes % 2 === 0 ? "none" : "random")
    },
    dispose: () => end("none"),
  })
}

const suites = {
  "interpreters/file": storageConformance(onFiles),
  "interpreters/memory": storageConformance(inMemory()),
  "the simulation's disk": storageConformance(simulated, {
    except: {
      "what waits is written together":
        "each write of a world has a time of its own, so that every order of crash and write is met",
      "a failure is the last word": "in a world, a write that fails ends the node (happen.ts)",
    },
  }),
}
describe.each(Object.entries(suites))("%s", (_, checks) => {
  test.concurrent.each(checks.filter(({ skipped }) => skipped === null).map((check) => [check.name, check] as const))(
    "%s",
    (_, { run }) => run(),
  )
})

/** What the storage is told is changed on its way in, or what it says on its way out. */
const wrapped = (change: (storage: Storage) => Partial<Storage>) =>
  inMemory((storage) => ({ ...storage, ...change(storage) }))
const seededFaults: Readonly<Record<string, readonly [() => Promise<StorageSubject>, readonly string[]]>> = {
  "reports before it is durable": [
    wrapped((storage) => {
      let told: StorageHandlers | null = null
      return {
        attach: (handlers) => {
          told = handlers
          storage.attach({ ...handlers, persisted: () => undefined })
        },
        persist: (persist) => {
          storage.persist(persist)
          queueMicrotask(() => told?.persisted(persist.seq))
        },
      }
    }),
    ["a crash leaves a prefix"],
  ],
  "leaves the old tail where it was": [
    wrapped((storage) => ({
      persist: (persist) =>
        storage.persist(persist.entries.length === 0 ? { ...persist, truncateFrom: null } : persist),
    })),
    ["a crash leaves a prefix"],
  ],
  "writes the vote apart from the entries": [
    wrapped((storage) => {
      let told: StorageHandlers | null = null
      return {
        attach: (handlers) => {
          told = handlers
          storage.attach({ ...handlers, persisted: (seq) => seq % 2 === 0 && handlers.persisted(seq / 2) })
        },
        persist: (persist) => {
          storage.persist({ ...persist, seq: persist.seq * 2 - 1, hardState: null })
          storage.persist({
            type: "Persist",
            seq: persist.seq * 2,
            hardState: persist.hardState,
            truncateFrom: null,
            base: null,
            entries: [],
          })
          void told
        },
      }
    }),
    ["a crash leaves a prefix"],
  ],
  "answers within the call": [
    wrapped((storage) => {
      let told: StorageHandlers | null = null
      return {
        attach: (handlers) => {
          told = handlers
          storage.attach(handlers)
        },
        persist: (persist) => {
          storage.persist(persist)
          told?.persisted(persist.seq)
        },
      }
    }),
    ["handlers are called later"],
  ],
  "goes on after a failure": [
    wrapped((storage) => {
      let told: StorageHandlers | null = null
      let failed = false
      return {
        attach: (handlers) => {
          told = handlers
          storage.attach({ ...handlers, failed: (error) => ((failed = true), handlers.failed(error)) })
        },
        persist: (persist) => {
          storage.persist(persist)
          if (failed) setImmediate(() => told?.persisted(persist.seq))
        },
      }
    }),
    ["a failure is the last word"],
  ],
}
test.each(Object.entries(seededFaults))("a storage that %s is found out", async (_, [make, names]) => {
  const { ok, results } = await runConformance(storageConformance(make).filter(({ name }) => names.includes(name)))
  expect(results.map(({ name, outcome }) => `${name}: ${outcome}`)).toEqual(names.map((name) => `${name}: failed`))
  expect(ok).toBe(false)
})
