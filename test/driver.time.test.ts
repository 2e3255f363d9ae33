import * as fc from "fast-check"
import { afterEach, describe, expect, test, vi } from "vitest"
import type { Timer } from "../core/index.ts"
import { makeClock } from "../interpreters/driver/clock.ts"
import { makeTimers } from "../interpreters/driver/timers.ts"

const NAMES = ["election", "heartbeat", "quorum"] as const satisfies readonly Timer[]

describe("timers", () => {
  afterEach(() => vi.useRealTimers())
  const wish = fc.record({
    timer: fc.constantFrom(...NAMES),
    min: fc.nat(60),
    more: fc.nat(60),
    luck: fc.constantFrom(0, 0.25, 0.5, 0.999),
  })
  const doing = fc.oneof(
    fc.record({ set: wish }),
    fc.record({ cancel: fc.constantFrom(...NAMES) }),
    // The event loop hangs now and then: whatever is due fires late.
    fc.record({ wait: fc.nat(40), hang: fc.constantFrom(0, 0, 0, 30) }),
  )
  test("each that is set fires once, never early, and within its range; set anew or cancelled, it does not fire for what was", () => {
    fc.assert(
      fc.property(fc.array(doing, { maxLength: 40 }), (script) => {
        vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
        let now = 1000
        let luck = 0
        const timers = makeTimers({ now: () => now, random: () => luck })
        const due = new Map<Timer, number>()
        const pass = (ms: number): void => {
          for (let i = 0; i < ms; i++) {
            now += 1
            vi.advanceTimersByTime(1)
            for (const [timer, at] of due) expect(now, `${timer} was due at ${at}`).toBeLessThan(at + 1)
          }
        }
        timers.attach((timer) => {
          expect([timer, due.has(timer), now >= (due.get(timer) ?? 0)]).toEqual([timer, true, true])
          due.delete(timer)
        })
        for (const one of script) {
          if ("set" in one) {
            const { timer, min, more } = one.set
            luck = one.set.luck
            due.set(timer, now + Math.max(1, min + luck * more))
            timers.set(timer, min, min + more)
          } else if ("cancel" in one) {
            due.delete(one.cancel)
            timers.cancel(one.cancel)
          } else {
            now += one.hang
            if (one.hang > 0) {
              vi.advanceTimersByTime(one.hang)
              for (const [timer, at] of due) expect(now, timer).toBeLessThan(at + 1)
            }
            pass(one.wait)
          }
        }
        pass(130)
        expect([...due]).toEqual([])
        expect(vi.getTimerCount(), "and nothing keeps the process alive").toBe(0)
        vi.useRealTimers()
      }),
    )
  })
})

describe("the two clocks of a node", () => {
  test("the monotonic one never falls and owes nothing to the wall clock, whose jumps are told once each", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            elapsed: fc.integer({ min: -50, max: 5000 }),
            jump: fc.oneof(
              { weight: 5, arbitrary: fc.constant(0) },
              { weight: 1, arbitrary: fc.integer({ min: -10_000_000, max: 10_000_000 }) },
            ),
          }),
          { maxLength: 50 },
        ),
        (steps) => {
          let wall = 1_000_000_000
          let monotonic = 777
          const jumps: number[] = []
          const clock = makeClock({
            wall: () => wall,
            monotonic: () => monotonic,
            onJump: (millis) => jumps.push(millis),
          })
          let most = 0
          for (const { elapsed, jump } of steps) {
            wall += elapsed + jump
            monotonic += elapsed
            most = Math.max(most, monotonic - 777)
            expect(clock.read()).toEqual({ monotonic: most, wall })
          }
          expect(jumps).toEqual(steps.map(({ jump }) => jump).filter((jump) => Math.abs(jump) >= 1000))
        },
      ),
    )
  })
  test("a wall clock that shows what no stamp can is none", () => {
    for (const shown of [-1, 0, 2 ** 48, 8.64e15, Number.NaN])
      expect(makeClock({ wall: () => shown, monotonic: () => 0 }).read().wall).toBe(0)
    expect(makeClock({ wall: () => 2 ** 48 - 1, monotonic: () => 0 }).read().wall).toBe(2 ** 48 - 1)
  })
})
