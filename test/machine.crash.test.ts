/**
 * What the state machine reported as durable is there after the power failed, whichever write to the disk was refused
 * before. The disk is a real one; what a crash leaves of it is a copy made at the last sync that succeeded, of whatever.
 */
import { cpSync, rmSync } from "node:fs"
import { open as openFile } from "node:fs/promises"
import { ClassicLevel } from "classic-level"
import * as fc from "fast-check"
import { afterAll, beforeAll, expect, test, vi } from "vitest"
import { MemoryMachine } from "../kv/machine/index.ts"
import { copyOf, type Held, Log, digest, open, removeTemporary, temporary } from "./machine.kit.ts"

class Disk {
  /** What a crash would leave now. */
  left = ""
  private root = ""
  private syncs = 0
  private refused: ReadonlySet<number> = new Set()
  private cut = Number.POSITIVE_INFINITY
  get isWatching(): boolean {
    return this.root !== ""
  }
  /** Nothing reaches the disk any more, and nobody hears what is reported. */
  get dead(): boolean {
    return this.syncs >= this.cut
  }
  /** From here on: which syncs are refused, and at which the power fails, counted from 1. */
  begin(root: string, refused: readonly number[], cut: number): void {
    this.root = root
    this.syncs = 0
    this.refused = new Set(refused)
    this.cut = cut
    this.keep()
  }
  end(): void {
    this.root = ""
  }
  private keep(): void {
    const copy = copyOf(this.root)
    if (this.left !== "") rmSync(this.left, { recursive: true, force: true })
    this.left = copy
  }
  async sync<Result>(run: () => Promise<Result>): Promise<Result> {
    if (!this.isWatching) return run()
    this.syncs += 1
    if (this.refused.has(this.syncs)) throw new Error("the disk refuses to sync")
    const result = await run()
    if (this.isWatching && !this.dead) this.keep()
    return result
  }
}
const disk = new Disk()

beforeAll(async () => {
  const handle = await openFile(temporary(), "r")
  const handles = Object.getPrototypeOf(handle) as { sync: () => Promise<void> }
  await handle.close()
  const { sync } = handles
  // The copy is the sync: nothing else has to reach this machine's disk.
  vi.spyOn(handles, "sync").mockImplementation(function (this: unknown) {
    return disk.sync(() => (disk.isWatching ? Promise.resolve() : sync.call(this)))
  })
  interface Levels {
    batch: (...given: readonly unknown[]) => unknown
    compactRange: (...given: readonly unknown[]) => unknown
  }
  const levels = ClassicLevel.prototype as unknown as Levels
  const { batch, compactRange } = levels
  vi.spyOn(levels, "batch").mockImplementation(function (this: unknown, ...given) {
    const [, options] = given as [unknown, { readonly sync?: boolean } | undefined]
    if (options?.sync !== true) return batch.apply(this, given)
    return disk.sync(async () => batch.apply(this, disk.isWatching ? given.slice(0, 1) : given))
  })
  vi.spyOn(levels, "compactRange").mockImplementation(function (this: unknown, ...given) {
    return disk.isWatching ? Promise.resolve() : compactRange.apply(this, given)
  })
})
afterAll(() => {
  vi.restoreAllMocks()
  removeTemporary()
})

type Deed =
  | { readonly do: "apply" | "install"; readonly count: number }
  | { readonly do: "snapshot" }
  | { readonly do: "crash" }
const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("apply" as const), count: fc.integer({ min: 1, max: 20 }) }) },
  { weight: 4, arbitrary: fc.constant({ do: "snapshot" as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("install" as const), count: fc.integer({ min: 1, max: 20 }) }) },
  { weight: 3, arbitrary: fc.constant({ do: "crash" as const }) },
)
/** What befalls one life. */
const fate = fc.record({
  refused: fc.array(fc.integer({ min: 1, max: 8 }), { maxLength: 6 }),
  cut: fc.option(fc.integer({ min: 1, max: 20 }), { nil: Number.POSITIVE_INFINITY }),
})

/** Most of a minute of shrinking is worth less than an answer. */
const LIMIT_MS = 25_000

test("a state that was reported durable is there after a crash, and so is its log's work, whatever the disk refused", async () => {
  const end = performance.now() + LIMIT_MS
  await fc.assert(
    fc.asyncProperty(
      fc.array(deed, { minLength: 3, maxLength: 15 }),
      fc.array(fate, { minLength: 1, maxLength: 6 }),
      async (deeds, fates) => {
        // Not interruptAfterTimeLimit: it leaves a run unfinished, which then cleans up while the next file is tested.
        if (performance.now() > end) return
        const log = new Log()
        for (let i = 0; log.entries.length < 25 * 20 + 1; i++)
          log.call(...(i % 5 === 4 ? ["DEL", `k${i % 7}`] : ["APPEND", `k${i % 7}`, `${i};`]))
        const after = (index: number): MemoryMachine => {
          const twin = new MemoryMachine()
          twin.applyNow(log.entries.slice(0, index))
          return twin
        }
        let held: Held = await open(temporary())
        let lives = 0
        let reported = 0
        const live = (): void => {
          const { refused, cut } = fates[lives++ % fates.length] ?? { refused: [], cut: Number.POSITIVE_INFINITY }
          disk.begin(held.directory, refused, cut)
        }
        const report = (index: number): void => {
          if (!disk.dead) reported = Math.max(reported, index)
        }
        const crash = async (): Promise<void> => {
          disk.end()
          const found = temporary()
          cpSync(disk.left, found, { recursive: true })
          // What the old life still does, it does to its own files.
          await held.close()
          rmSync(held.directory, { recursive: true, force: true })
          held = await open(found, { writeAfter: lives % 2 === 0 ? 0 : 10 })
          const index = held.index()
          expect(
            index,
            `entry ${reported} was reported durable, and this is what a crash left of it`,
          ).toBeGreaterThanOrEqual(reported)
          expect(await digest(held)).toBe(after(index ?? 0).digest())
          live()
        }
        try {
          live()
          for (const step of deeds) {
            const at = held.index()
            if (step.do === "crash" || at === null || held.failures.length > 0 || disk.dead) await crash()
            else if (step.do === "apply") await held.apply(log.entries.slice(at, at + step.count))
            else if (step.do === "snapshot")
              await held.machine.takeSnapshot().then(
                ({ index }) => report(index),
                () => undefined,
              )
            else {
              const twin = after(at + step.count)
              const snapshot = { ...twin.position(), id: `image ${at}` }
              await held.machine
                .storeChunk(snapshot, 0, Buffer.from(twin.imageNow()), true)
                .then(() => held.machine.restore(snapshot))
                .then(
                  () => report(snapshot.index),
                  () => undefined,
                )
            }
          }
          await crash()
        } finally {
          disk.end()
          await held.close()
          removeTemporary()
        }
      },
    ),
    { numRuns: process.env["STEPRAFT_ALL"] === undefined ? 12 : 1000 },
  )
})
