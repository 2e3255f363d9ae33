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

describe("the replicated clock's source", () => {
  test("never falls, never leaps, and leans towards the wall clock", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ elapsed: fc.integer({ min: 0, max: 5000 }), jump: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: -10_000_000, max: 10_000_000 }) }) }), { maxLength: 50 }), (steps) => {
        let wall = 1_000_000_000
        let monotonic = 0
        const jumps: number[] = []
        const clock = makeClock({ wall: () => wall, monotonic: () => monotonic, onJump: (millis) => jumps.push(millis) })
        let before = clock.now()
        for (const { elapsed, jump } of steps) {
          wall += elapsed + jump
          monotonic += elapsed
          const now = clock.now()
          expect(now).toBeGreaterThanOrEqual(before)
          expect(now - before).toBeGreaterThanOrEqual(Math.floor(elapsed * 0.9) - 1)
          expect(now - before).toBeLessThanOrEqual(Math.ceil(elapsed * 1.1) + 1)
          before = now
        }
        expect(jumps.length).toBe(steps.filter(({ jump }) => Math.abs(jump) >= 1000).length)
        for (let i = 0; i < 500; i++) {
          wall += 1_000_000
          monotonic += 1_000_000
          before = clock.now()
        }
        expect(Math.abs(before - wall)).toBeLessThanOrEqual(1)
      }),
    )
  })
})
