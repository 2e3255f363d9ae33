/** A state machine that breaks its contract ends the node by name: never raw, never in silence. */
import { afterEach, describe, expect, test, vi } from "vitest"
import type { Effect, Entry } from "../core/index.ts"
import type { MachineFault } from "../interpreters/driver/applier.ts"
import type { StateMachine } from "../interpreters/contract.ts"
import { rig, scripted, turn, turns, type Rig } from "./driver.fake.ts"

const entries = (...indexes: number[]): readonly Entry[] =>
  indexes.map((index) => ({ kind: "noop", index, term: 1, time: 1, chain: 0 }))
const applies: readonly Effect[] = [
  { type: "Apply", entries: entries(4, 5) },
  { type: "Apply", entries: entries(6) },
]

afterEach(() => vi.useRealTimers())

const started = async (machine: Partial<StateMachine>): Promise<Rig> => {
  const world = rig(scripted({ Started: () => applies }), machine, undefined, { machineSilence: 8000 })
  world.driver.start()
  await turn()
  return world
}

describe("a state machine whose apply", () => {
  const boom = new TypeError("x is not a number")
  const thrower = (): never => {
    throw boom
  }
  // An async function fits the type of apply: what it returns is not looked at.
  test.each<readonly [string, MachineFault, () => unknown]>([
    ["throws", "threw", thrower],
    ["rejects", "rejected", () => Promise.reject(boom)],
  ])("%s ends the node by name, with what was kept and what to do", async (_, fault, apply) => {
    const world = await started({ apply })
    await turns(2)
    expect(world.fatal).toMatchObject([{ name: "StateMachineFailed", fault, first: 4, last: 5, cause: boom }])
    expect(world.fatal[0]?.message).toMatch(
      /apply of entries 4 to 5 .*TypeError: x is not a number\. Nothing that was acknowledged is lost: .* Fix the state machine: /,
    )
  })
  test("throws at what follows, outside of any turn, ends the node as well", async () => {
    const world = await started({ apply: ([first]) => (first?.index === 6 ? thrower() : undefined) })
    world.machine.applied(5)
    await turns(2)
    expect(world.fatal).toMatchObject([{ name: "StateMachineFailed", fault: "threw", first: 6, last: 6 }])
  })
  test("is never answered ends the node once its silence is too long, and progress is heard", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] })
    const world = await started({})
    vi.advanceTimersByTime(7900)
    world.machine.progress?.()
    vi.advanceTimersByTime(7900)
    expect([world.fatal, world.reports.length]).toEqual([[], 2])
    world.machine.applied(5)
    vi.advanceTimersByTime(7900)
    expect([world.fatal, world.calls.at(-1)]).toEqual([[], "apply 6"])
    vi.advanceTimersByTime(1200)
    expect(world.fatal).toMatchObject([{ name: "StateMachineFailed", fault: "silent", first: 6, last: 6 }])
    expect(world.fatal[0]?.message).toMatch(
      /given entry 6 and has called neither handlers\.applied nor handlers\.progress for 8000 ms\. Nothing .* must call it once everything/,
    )
  })
  test("has nothing to do is not silent", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] })
    const world = await started({})
    world.machine.applied(5)
    world.machine.applied(6)
    vi.advanceTimersByTime(100_000)
    expect([world.fatal, world.reports]).toEqual([[], []])
    world.driver.abandon()
  })
})
