/** Scenarios Q: a replicated state machine beneath a service: what is submitted at a server comes back executed, refused, or unknown. */
import { describe, expect } from "vitest"
import type { Entry, LogBase } from "../core/index.ts"
import {
  finish,
  mix,
  seconds,
  type Cluster,
  type Submitted,
  type StoryTask,
  type StoryWork,
  type WorldMachine,
} from "../interpreters/simulation/index.ts"
import { scenario, type ScenarioOptions } from "./scenario.kit.ts"

/** A counter: every command adds the number that it is, and is answered with the sum. */
class Counter implements WorldMachine {
  private base: LogBase
  private value: number
  constructor(base: LogBase, value = 0) {
    this.base = base
    this.value = value
  }
  get sum(): number {
    return this.value
  }
  position(): LogBase {
    return this.base
  }
  apply(entries: readonly Entry[]): readonly number[] {
    return entries.map((entry) => {
      if (entry.kind === "command") this.value += Number(new TextDecoder().decode(entry.payload.bytes))
      const configuration = entry.kind === "configuration" ? entry.configuration : this.base.configuration
      this.base = { index: entry.index, term: entry.term, time: entry.time, chain: entry.chain, configuration }
      return this.value
    })
  }
  clone(): Counter {
    return new Counter(this.base, this.value)
  }
  digest(): number {
    return finish(mix(this.base.index, this.value))
  }
}

const service: ScenarioOptions = { machine: (base) => new Counter(base), connections: true }
const sumAt = (c: Cluster, name: string): number => {
  const machine = c.machine(name)
  if (machine instanceof Counter) return machine.sum
  throw new Error(`${name} runs another state machine`)
}
const sums = (c: Cluster): readonly number[] => c.names.map((name) => sumAt(c, name))
const isAll = (c: Cluster, value: number) => (): boolean => sums(c).every((sum) => sum === value)

/** Whoever leads gets it; refused, it is tried elsewhere. */
function* increment(c: Cluster): StoryWork<Submitted> {
  for (const end = c.now + seconds(10); c.now < end; yield 20) {
    const leader = c.leaderNow()
    if (leader === undefined) continue
    const outcome = yield* c.submit(leader, 1)
    if (outcome.type !== "refused") return outcome
  }
  throw new Error("nobody took it")
}
const increments = (c: Cluster, count: number): void => {
  for (let i = 0; i < count; i++) c.do(increment(c))
}
const submitAll = (
  c: Cluster,
  name: string,
  command: number,
  count: number,
  limit = seconds(60),
): readonly StoryTask<Submitted>[] => Array.from({ length: count }, () => c.go(c.submit(name, command, limit)))

describe("a replicated state machine", () => {
  scenario("Q1", service, (c) => {
    increments(c, 10)
    expect(c.runUntil(isAll(c, 10), seconds(1))).toBe(true)
  })

  scenario("Q2", service, (c) => {
    const outcomes = c.finish(submitAll(c, c.leader(), 1, 50))
    expect(
      new Set(outcomes.map((outcome) => (outcome.type === "executed" ? outcome.result : outcome.type))).size,
      "each its own sum",
    ).toBe(50)
    expect(c.runUntil(isAll(c, 50), seconds(1))).toBe(true)
  })

  scenario("Q3", service, (c) => {
    increments(c, 1)
    const first = c.leader()
    c.cut(first)
    expect(c.leader()).not.toBe(first)
    increments(c, 1)
    expect(sumAt(c, first)).toBe(1)
    c.join(first)
    expect(c.runUntil(isAll(c, 2), seconds(2))).toBe(true)
  })

  scenario("Q4", service, (c) => {
    increments(c, 1)
    const alone = c.leader()
    c.cut(alone)
    const decrements = submitAll(c, alone, -1, 100)
    c.run(seconds(1))
    expect(decrements.filter(({ done }) => done).length, "none comes back while nobody can decide").toBe(0)
    c.leader()
    increments(c, 1)
    c.join(alone)
    const outcomes = c.finish(decrements, seconds(1))
    expect(
      outcomes.every(({ type }) => type !== "executed"),
      "none is told as executed",
    ).toBe(true)
    expect(c.runUntil(isAll(c, 2), seconds(2))).toBe(true)
  })

  scenario("Q5", service, (c) => {
    increments(c, 100)
    c.restart(...c.names)
    expect(c.do(increment(c))).toMatchObject({ type: "executed", result: 101 })
    expect(c.runUntil(isAll(c, 101), seconds(1))).toBe(true)
  })

  scenario("Q6", service, (c) => {
    increments(c, 1)
    const pending = submitAll(c, c.leader(), 1, 100)
    c.crash(...c.names)
    expect(c.finish(pending, seconds(11)).every(({ type }) => type !== "executed")).toBe(true)
  })

  scenario("Q7", service, (c) => {
    increments(c, 100)
    const pending = submitAll(c, c.leader(), 1, 100)
    c.run(1)
    c.crash(...c.names)
    c.finish(pending, seconds(11))
    c.restart(...c.names)
    // What was under way may have survived, each at most once; what comes next comes after it.
    const next = c.do(increment(c))
    if (next.type !== "executed") throw new Error("not executed")
    expect(next.result).toBeGreaterThanOrEqual(101)
    expect(next.result).toBeLessThanOrEqual(201)
    expect(c.runUntil(isAll(c, Number(next.result)), seconds(1))).toBe(true)
  })

  const most = 1000
  scenario("Q8", { ...service, settings: { snapshotBytes: most, trailingLogBytes: 0 } }, (c) => {
    increments(c, 100)
    c.run(seconds(1))
    for (const name of c.names) expect(c.stateBytes(name)).toBeLessThanOrEqual(2 * most)
    c.restart(...c.names)
    expect(c.do(increment(c))).toMatchObject({ type: "executed", result: 101 })
  })
})
