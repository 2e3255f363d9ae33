import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { Timer } from "../core/index.ts"
import { makeClock } from "../interpreters/clock.ts"
import { makeTimers } from "../interpreters/timers.ts"

const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

describe("timers", () => {
  test("fire once, never early, and within the range that they were given", async () => {
    const timers = makeTimers()
    const fired: { timer: Timer; at: number }[] = []
    timers.attach((timer) => fired.push({ timer, at: performance.now() }))
    const start = performance.now()
    timers.set("election", 30, 60)
    timers.set("heartbeat", 10, 10)
    timers.set("quorum", 20, 20)
    timers.cancel("quorum")
    await sleep(15)
    timers.set("election", 60, 60)
    await sleep(120)
    expect(fired.map(({ timer }) => timer)).toEqual(["heartbeat", "election"])
    expect(fired[0]?.at).toBeGreaterThanOrEqual(start + 10)
    expect(fired[1]?.at).toBeGreaterThanOrEqual(start + 75)
  })
})

describe("the two clocks of a node", () => {
  test("the monotonic one never falls and owes nothing to the wall clock, whose jumps are told once each", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ elapsed: fc.integer({ min: -50, max: 5000 }), jump: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: -10_000_000, max: 10_000_000 }) }) }), { maxLength: 50 }), (steps) => {
        let wall = 1_000_000_000
        let monotonic = 777
        const jumps: number[] = []
        const clock = makeClock({ wall: () => wall, monotonic: () => monotonic, onJump: (millis) => jumps.push(millis) })
        let most = 0
        for (const { elapsed, jump } of steps) {
          wall += elapsed + jump
          monotonic += elapsed
          most = Math.max(most, monotonic - 777)
          expect(clock.read()).toEqual({ monotonic: most, wall })
        }
        expect(jumps).toEqual(steps.map(({ jump }) => jump).filter((jump) => Math.abs(jump) >= 1000))
      }),
    )
  })
  test("a wall clock that shows what no stamp can is none", () => {
    for (const shown of [-1, 0, 2 ** 48, 8.64e15, Number.NaN]) expect(makeClock({ wall: () => shown, monotonic: () => 0 }).read().wall).toBe(0)
    expect(makeClock({ wall: () => 2 ** 48 - 1, monotonic: () => 0 }).read().wall).toBe(2 ** 48 - 1)
  })
})
