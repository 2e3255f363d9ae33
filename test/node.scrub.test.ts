import { afterEach, expect, test, vi } from "vitest"
import type { Scrubbed } from "../kv/machine/index.ts"
import { keepScrubbed } from "../kv/node/scrubbing.ts"

afterEach(() => {
  vi.useRealTimers()
})

test("a node scrubs about once a day, never twice at a time, tells the result, and stops when it stops", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
  const lines: string[] = []
  const waiting: ((result: Scrubbed | null) => void)[] = []
  const scrub = (): Promise<Scrubbed | null> => new Promise((resolve) => waiting.push(resolve))
  const chances = [0, 1, 0.5, 0.5]
  const stop = keepScrubbed(
    { scrub },
    (level, text) => lines.push(`${level} ${text}`),
    1000,
    () => chances.shift() ?? 0,
  )
  const answer = async (result: Scrubbed | null): Promise<void> => {
    waiting.shift()?.(result)
    await vi.advanceTimersByTimeAsync(0)
  }
  await vi.advanceTimersByTimeAsync(749)
  expect(waiting).toHaveLength(0)
  await vi.advanceTimersByTimeAsync(1)
  expect(waiting).toHaveLength(1)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(waiting, "the first is not done").toHaveLength(1)
  await answer({ bytes: 2_000_000, found: null })
  expect(lines).toEqual([expect.stringMatching(/^info scrub: 2.0 MB .* every checksum is right/)])
  await vi.advanceTimersByTimeAsync(1249)
  expect(waiting).toHaveLength(0)
  await vi.advanceTimersByTimeAsync(1)
  await answer({ bytes: 0, found: "a block at offset 7 fails its checksum" })
  expect(lines[1]).toMatch(/^error scrub: .*offset 7/)
  await vi.advanceTimersByTimeAsync(1000)
  stop()
  await answer(null)
  expect(lines).toHaveLength(2)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(waiting).toHaveLength(0)
  expect(vi.getTimerCount()).toBe(0)
})
