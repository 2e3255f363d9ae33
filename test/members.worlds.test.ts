/**
 * The verbs for members in virtual time: what `nextStep` says is done to the leader of a simulated world whose servers lose
 * their disks, crash and are cut off, while clients of the real service append. Invariants are checked at every step, the history
 * is linearizable, and nothing acknowledged is lost.
 */
import { describe, expect, test } from "vitest"
import type { State } from "../core/index.ts"
import { ownFeatures } from "../interpreters/features.ts"
import {
  silentVoters,
  autopilotStep,
  NO_SILENT_VOTERS,
  nextStep,
  type Goal,
  type GoalStep,
  type LeaderView,
} from "../interpreters/members/index.ts"
import { seconds, type Cluster, type StoryWork } from "../interpreters/simulation/index.ts"
import { longTest, many } from "./long.ts"
import { expectAppends, KvWorld, type KvUser } from "./scenario.k.kit.ts"

const leading = (c: Cluster): readonly [string, State] | null => {
  const all = c.live.map((name) => [name, c.state(name)] as const).filter(([, { role }]) => role.type === "leader")
  return all.toSorted(([, a], [, b]) => b.currentTerm - a.currentTerm)[0] ?? null
}
const viewOf = (c: Cluster, state: State): LeaderView | null =>
  state.role.type !== "leader"
    ? null
    : {
        state,
        leader: state.role,
        presence: (name) =>
          c.names.includes(name) && c.isUp(name)
            ? { member: c.world.node(name).member, connected: true, address: null, features: ownFeatures }
            : null,
      }

const carryOut = (c: Cluster, name: string, step: GoalStep): void => {
  const names = (members: readonly { readonly name: string }[]): readonly string[] => members.map((one) => one.name)
  if (step.type === "change")
    c.world.act({
      type: "change",
      node: name,
      voters: names(step.configuration.voters),
      learners: names(step.configuration.learners),
    })
  if (step.type === "transfer") c.world.act({ type: "transfer", node: name, to: step.to?.name ?? null })
}

/** As members.ts does it: whoever leads is asked for the next step, until it is done. */
const pursue = function* (c: Cluster, goal: Goal, took: (step: GoalStep) => void): StoryWork<void> {
  for (;;) {
    const [name, state] = leading(c) ?? [null, null]
    const view = state === null ? null : viewOf(c, state)
    if (name !== null && view !== null) {
      const step = nextStep(view, goal)
      took(step)
      if (step.type === "done") return
      if (step.type === "refuse" && step.reason !== "wouldLoseQuorum") throw new Error(step.text)
      carryOut(c, name, step)
    }
    yield 30
  }
}
/** Nobody asks: whoever leads looks by itself, until `name` votes with the directory that it has now. */
const leave = function* (c: Cluster, victim: string, took: (step: GoalStep) => void): StoryWork<void> {
  let [by, away] = ["", NO_SILENT_VOTERS]
  for (;;) {
    const [name, state] = leading(c) ?? ["", null]
    const view = state === null ? null : viewOf(c, state)
    if (view !== null) {
      const { incarnation } = c.world.node(victim).member
      const inForce = view.state.configurations.at(-1)
      if (
        inForce !== undefined &&
        inForce.index <= view.state.commitIndex &&
        inForce.configuration.outgoing.length === 0 &&
        inForce.configuration.voters.some((one) => one.name === victim && one.incarnation === incarnation)
      )
        return
      away = silentVoters(view, name === by ? away : NO_SILENT_VOTERS, c.now)
      by = name
      const goal = autopilotStep(view, { voters: 3, after: 600 }, away)
      if (goal !== null) {
        const step = nextStep(view, goal)
        took(step)
        carryOut(c, name, step)
      }
    }
    yield 100
  }
}

interface Outcome {
  readonly steps: ReadonlySet<string>
}
const story = (seed: number, replacements: number, autopilot = false): Outcome => {
  const it = new KvWorld({ servers: 3, seed, unreliable: seed % 2 === 0, most: 1500 })
  const { cluster: c } = it
  const users = Array.from({ length: 3 }, () => it.client())
  const counts = users.map(() => 0)
  const steps = new Set<string>()
  let over = false
  function* load(user: KvUser, i: number): StoryWork<void> {
    for (;;) {
      if (over) return
      yield* user.append(`k${i}`, `${user.name}.${counts[i]} `)
      counts[i] = (counts[i] ?? 0) + 1
      yield 20
    }
  }
  /** Short troubles of one that is not being replaced. */
  function* trouble(victim: () => string): StoryWork<void> {
    for (;;) {
      if (over) return
      yield 200 + c.random.below(600)
      const name = c.any(c.others(victim()))
      if (!c.isUp(name)) continue
      const crash = c.random.chance(500)
      if (crash) c.world.act({ type: "crash", node: name, keep: "random" })
      else c.cut(name)
      yield 100 + c.random.below(800)
      if (crash) c.world.act({ type: "start", node: name })
      c.join(name)
    }
  }
  let victim = ""
  function* operator(): StoryWork<void> {
    for (let i = 0; i < replacements; i++) {
      yield 300
      victim = c.names[i % 3] ?? ""
      const before = c.world.node(victim).member.incarnation
      // A lost disk is one too many while another one is away.
      while (c.others(victim).some((name) => !c.isUp(name))) yield 50
      c.world.act({ type: "wipe", node: victim })
      yield c.random.below(800)
      c.world.act({ type: "start", node: victim })
      const took = (step: GoalStep): void =>
        void steps.add(step.type === "wait" ? step.text.replace(/[\d ,]+.*/u, "") : step.type)
      if (autopilot) yield* leave(c, victim, took)
      else
        yield* pursue(c, { type: "replace", name: victim, by: victim, address: null, evenIfQuorumIsLost: false }, took)
      expect(c.world.node(victim).member.incarnation).not.toBe(before)
    }
    over = true
  }
  const operation = c.go(operator())
  const troubles = c.go(trouble(() => victim))
  const loads = users.map((user, i) => c.go(load(user, i)))
  c.finish([operation], seconds(240))
  c.heal()
  c.finish([troubles, ...loads], seconds(60))
  const found = leading(c)
  const voters = found?.[1].configurations.at(-1)?.configuration.voters ?? []
  expect(voters.map(({ name, incarnation }) => `${name} ${incarnation}`).toSorted()).toEqual(
    c.names.map((name) => `${name} ${c.world.node(name).member.incarnation}`),
  )
  const reader = it.client()
  for (const [i, user] of users.entries()) expectAppends(it.do(reader.get(`k${i}`)), user.name, counts[i] ?? 0)
  it.expectLinearizable()
  return { steps }
}

describe("every server is replaced, one after the other, under load and faults", () => {
  test("nothing acknowledged is lost, the history is linearizable, and each votes again", () => {
    expect([...story(2, 3).steps]).toEqual(expect.arrayContaining(["change", "done"]))
  })
  longTest("the same over many seeds, each server twice", () => {
    for (let seed = 1; seed <= many(200, 30); seed++) story(seed, 6)
    return Promise.resolve()
  })
  longTest("the same by the autopilot: nobody asks for anything", () => {
    for (let seed = 1; seed <= many(100, 10); seed++) expect(story(seed, 3, true).steps).toContain("change")
    return Promise.resolve()
  })
})
