/** Whenever the machine crashes: everything acknowledged is there, and beyond it only whole Persists, in order. */
import * as fc from "fast-check"
import { expect, test } from "vitest"
import type { Persist } from "../core/index.ts"
import { full } from "./cluster.ts"
import { memoryDisk, troubled, type Keep, type MemoryDisk, type Trouble } from "./disk.ts"
import { histories, nothingStored, openStorage, plain, storedAfter } from "./file-log.ts"

interface Image {
  readonly disk: MemoryDisk
  readonly acknowledged: number
  readonly handedOver: number
}

/** Runs the history; at every operation on the disk, and at the end, notes what a crash there would leave. */
const imagesOf = async (
  history: readonly Persist[],
  gaps: number,
  segmentBytes: number,
  seed: number,
  also: Trouble = () => null,
): Promise<Image[]> => {
  const disk = memoryDisk()
  const images: Image[] = []
  let acknowledged = (): number => -1
  let handedOver = -1
  let count = seed
  const look = (): void => {
    const keep: Keep = count % 7 === 0 ? "nothing" : count % 7 === 1 ? "everything" : count
    count++
    images.push({ disk: disk.crash(keep), acknowledged: acknowledged(), handedOver })
  }
  const files = troubled(disk.files, (operation) => {
    look()
    return also(operation)
  })
  const opened = await openStorage({ files, segmentBytes })
  acknowledged = opened.acknowledged
  for (const persist of history) {
    handedOver = persist.seq
    opened.storage.persist(persist)
    if (persist.seq % gaps === 0) await opened.durable(persist.seq)
  }
  await opened.durable(handedOver)
  await opened.close()
  look()
  images.push({ disk: disk.crash("nothing"), acknowledged: handedOver, handedOver })
  return images
}

/** The state after one of the Persists from the last acknowledged to the last handed over; says which. */
const check = async (history: readonly Persist[], { disk, acknowledged, handedOver }: Image): Promise<void> => {
  const opened = await openStorage({ files: disk.files, segmentBytes: 2048 })
  const found = plain(opened.storage.stored)
  let allowed = nothingStored
  const candidates: string[] = []
  if (acknowledged < 0) candidates.push(plain(allowed))
  for (const persist of history.slice(0, handedOver + 1)) {
    allowed = storedAfter(allowed, persist)
    if (persist.seq >= acknowledged) candidates.push(plain(allowed))
  }
  expect(candidates).toContain(found)
  // What was read once is not lost by the next crash.
  const again = await openStorage({ files: disk.crash("nothing").files })
  expect(plain(again.storage.stored)).toEqual(found)
  await again.close()
  await opened.close()
}

const gaps = fc.constantFrom(1, 3, 1000)
const segments = fc.constantFrom(1024, 2048, 5000, 1 << 20)

test("a crash at any moment loses nothing acknowledged and leaves whole Persists", async () => {
  await fc.assert(
    fc.asyncProperty(histories(25), gaps, segments, fc.nat(), async (history, gap, segmentBytes, seed) => {
      for (const image of await imagesOf(history, gap, segmentBytes, seed)) await check(history, image)
    }),
    { numRuns: full ? 20 : 10 },
  )
})

test("one life after the other: what is appended after a recovery is found as well", async () => {
  await fc.assert(
    fc.asyncProperty(histories(60), fc.array(fc.nat(20), { minLength: 3, maxLength: 8 }), async (history, lives) => {
      let disk = memoryDisk()
      let state = nothingStored
      let at = 0
      for (const length of [...lives, history.length]) {
        const opened = await openStorage({ files: disk.files, segmentBytes: 3000 })
        expect(plain(opened.storage.stored)).toEqual(plain(state))
        const part = history.slice(at, at + length)
        for (const persist of part) {
          opened.storage.persist(persist)
          state = storedAfter(state, persist)
        }
        await opened.durable(part.at(-1)?.seq ?? -1)
        at += part.length
        disk = disk.crash("nothing")
        await opened.close()
      }
    }),
    { numRuns: full ? 40 : 20 },
  )
})

test("one write and one sync carry everything that waited", async () => {
  const disk = memoryDisk()
  const opened = await openStorage({ files: disk.files })
  for (let seq = 0; seq < 1000; seq++) {
    opened.storage.persist({
      type: "Persist",
      seq,
      hardState: { term: seq, vote: null },
      truncateFrom: null,
      entries: [],
      base: null,
    })
    if (seq === 500) await new Promise((resolve) => setImmediate(resolve))
  }
  await opened.durable(999)
  expect(opened.storage.stats().syncs).toBeLessThanOrEqual(3)
  await opened.close()
})

/** Each of these syncs matters: a storage that leaves it out must be caught by the very property above. */
const lies: Record<string, Trouble> = {
  "fdatasync of the log": ({ kind, path }) => (kind === "datasync" && path.includes("wal-") ? "nothing" : null),
  "fdatasync of FORMAT": ({ kind, path }) => (kind === "datasync" && path.includes("FORMAT") ? "nothing" : null),
  "sync of the directory": ({ kind }) => (kind === "syncDirectory" ? "nothing" : null),
}
for (const [name, lie] of Object.entries(lies)) {
  test(`a missing ${name} is noticed`, async () => {
    const history = Array.from({ length: 12 }, (_, seq): Persist => ({
      type: "Persist",
      seq,
      hardState: { term: seq + 1, vote: null },
      truncateFrom: null,
      entries: [],
      base: null,
    }))
    const verdicts: boolean[] = []
    for (const image of await imagesOf(history, 1, 2048, 1, lie)) {
      verdicts.push(
        await check(history, image).then(
          () => true,
          () => false,
        ),
      )
    }
    expect(verdicts).toContain(false)
  })
}
