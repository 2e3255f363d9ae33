/** The next step towards a goal, as the leader knows it: one server on the pure face, and who is connected. */
import { describe, expect, test } from "vitest"
import type { Member } from "../core/index.ts"
import { ownFeatures } from "../interpreters/features.ts"
import { makeMembers, nextStep, type Goal, type RunningMembers, type GoalStep } from "../interpreters/members/index.ts"
import { realSurroundings } from "../interpreters/surroundings.ts"
import { accepted, leader, member, members, server, voting, type Server } from "./server.ts"

/** A leader of abc, with these learners, that has committed its no-op and hears of b and c; and those that are connected. */
const ready = (learners = ""): Server => {
  const it = leader({
    configuration: { ...voting("abc"), learners: members(learners) },
    settings: { maxBatchBytes: 200 },
  })
    .receive("b", accepted(1))
    .receive("c", accepted(1))
  for (const name of learners) it.receive(name, accepted(1))
  return it
}
const step = (it: Server, goal: Goal, ...connected: readonly Member[]): GoalStep => {
  if (it.state.role.type !== "leader") throw new Error("it does not lead")
  const there = [...members("abc"), ...connected]
  return nextStep(
    {
      state: it.state,
      leader: it.state.role,
      presence: (name) => {
        const found = there.findLast((one) => one.name === name)
        return found === undefined
          ? null
          : { member: found, connected: true, address: `at ${name}`, features: ownFeatures }
      },
    },
    goal,
  )
}
const replace = (name: string, by = name): Goal => ({
  type: "replace",
  name,
  by,
  address: null,
  evenIfQuorumIsLost: false,
})
const promote = (name: string): Goal => ({ type: "promote", name, evenIfQuorumIsLost: false })
const remove = (name: string, even = false): Goal => ({ type: "remove", name, evenIfQuorumIsLost: even })
/** Does what a change says, and lets the others keep it: committed, and left if it was joint. */
const carryOut = (it: Server, taken: GoalStep, ...by: readonly Member[]): void => {
  if (taken.type !== "change") throw new Error(`${taken.type}: ${taken.text}`)
  it.happens({ type: "ConfigurationChangeProposed", ref: 50 + it.state.log.lastIndex, ...taken.configuration })
  for (let i = 0; i < 2; i++) for (const one of by) it.receive(one, accepted(it.state.log.lastIndex))
}

describe("a learner becomes a voter", () => {
  test("once what it lacks fits one message, and not before; how far it is stands in the step", () => {
    const it = ready("d")
    for (let i = 0; i < 6; i++) it.propose()
    it.receive("b", accepted(7))
    const waits = step(it, promote("d"), member("d"))
    expect(waits).toMatchObject({
      type: "wait",
      catchUp: { name: "d", matchIndex: 1, lastIndex: 7, entriesLeft: 6, bytesLeft: 6 * 58, snapshotSent: null },
    })
    it.receive("d", accepted(4))
    expect(step(it, promote("d"), member("d"))).toMatchObject({
      type: "change",
      configuration: { voters: members("abcd"), learners: [] },
    })
  })
  test("not with a state machine that is lost", () => {
    const it = ready("d").receive("d", accepted(1, { condition: "rebuild" }))
    expect(step(it, promote("d"), member("d"))).toMatchObject({ type: "wait" })
  })
})

describe("a lost disk", () => {
  const again = member("c", "2")
  test("its directory of now becomes a learner, then a voter; then nothing is left to do; a second loss begins anew", () => {
    const it = ready()
    const first = step(it, replace("c"), again)
    expect(first).toMatchObject({
      type: "change",
      configuration: { voters: members("ab"), learners: [again], addresses: { c: "at c" } },
    })
    carryOut(it, first, member("b"))
    expect(step(it, replace("c"), again)).toMatchObject({ type: "wait", catchUp: { name: "c" } })
    const third = member("c", "3")
    expect(step(it, replace("c"), third), "lost again on the way").toMatchObject({
      type: "change",
      configuration: { voters: members("ab"), learners: [third] },
    })
    it.receive(again, accepted(it.state.log.lastIndex))
    const second = step(it, replace("c"), again)
    expect(second).toMatchObject({ type: "change", configuration: { voters: [...members("ab"), again], learners: [] } })
    carryOut(it, second, member("b"), again)
    expect(step(it, replace("c"), again)).toMatchObject({ type: "done" })
  })
  test("while a change is open every goal waits; whoever is connected as it was is left alone", () => {
    const it = ready()
    expect(step(it, replace("c"))).toMatchObject({ type: "done" })
    it.happens({ type: "ConfigurationChangeProposed", ref: 9, voters: members("ab"), learners: [again] })
    for (const goal of [replace("c"), remove("b"), promote("c"), { type: "add", name: "z", address: null } as const])
      expect(step(it, goal, again).type).toBe("wait")
  })
})

describe("a lost machine", () => {
  test("the one it names votes until the other has caught up; one change then swaps them", () => {
    const it = ready()
    carryOut(it, step(it, replace("c", "d"), member("d")), member("b"))
    expect(it.state.configurations.at(-1)?.configuration).toMatchObject({
      voters: members("abc"),
      learners: members("d"),
    })
    it.receive("d", accepted(it.state.log.lastIndex))
    const swap = step(it, replace("c", "d"), member("d"))
    expect(swap).toMatchObject({ type: "change", configuration: { voters: members("abd"), learners: [] } })
    carryOut(it, swap, member("b"), member("d"))
    expect(step(it, replace("c", "d"), member("d"))).toMatchObject({ type: "done" })
  })
  test("never changes how many vote: not by one that votes already, and not for one that does not", () => {
    const it = ready("d")
    expect(step(it, replace("c", "b"))).toMatchObject({ type: "refuse", reason: "notPossible" })
    expect(step(it, replace("z", "d"), member("d"))).toMatchObject({ type: "refuse", reason: "unknownMember" })
    expect(step(it, replace("d", "e"), member("e"))).toMatchObject({ type: "refuse", reason: "notAVoter" })
  })
})

test("a leader that has just been elected has heard only of those that have answered it", () => {
  const it = leader({ configuration: voting("abc") }).receive("b", accepted(1))
  expect(it.state.commitIndex).toBe(1)
  // With c gone a and c would decide nothing any more.
  expect(step(it, remove("b"))).toMatchObject({ type: "refuse", reason: "wouldLoseQuorum" })
})

test("leadership goes to a voter that can take over at once: until then the leader takes writes", () => {
  const it = ready()
  for (let i = 0; i < 6; i++) it.propose()
  it.receive("b", accepted(7))
  expect(step(it, { type: "transfer", to: "c", from: "a" })).toMatchObject({ type: "wait", catchUp: { name: "c" } })
  it.receive("c", accepted(7))
  expect(step(it, { type: "transfer", to: "c", from: "a" })).toMatchObject({ type: "transfer" })
})

/** The verbs on a server that knows no leader. */
const leaderless = (it: Server): RunningMembers => {
  const ignored = (): void => undefined
  return makeMembers({
    driver: {
      state: () => it.state,
      leadership: () => ({ role: "follower", term: 1, leader: null }),
      change: ignored,
      transfer: ignored,
      wake: ignored,
      onService: ignored,
    },
    transport: {},
    surroundings: realSurroundings,
  })
}

test("so many verbs wait at once and no more; when the server stops they are told", async () => {
  const verbs = leaderless(server({}))
  const waiting = Promise.allSettled(Array.from({ length: 32 }, (_, i) => verbs.add(`n${i}`)))
  await expect(verbs.add("z")).rejects.toMatchObject({ name: "MemberRefused", reason: "busy", executed: "no" })
  verbs.stop()
  expect(new Set((await waiting).map((one) => (one.status === "rejected" ? (one.reason as Error).name : "")))).toEqual(
    new Set(["MemberAborted"]),
  )
})

test("an answer that does not come leaves open what has become of a change; a goal that no leader could read is not sent", async () => {
  const it = server({})
  const ignored = (): void => undefined
  const verbs = makeMembers({
    driver: {
      state: () => it.state,
      leadership: () => ({ role: "follower", term: 1, leader: member("b") }),
      change: ignored,
      transfer: ignored,
      wake: ignored,
      onService: ignored,
    },
    transport: { sendService: ignored },
    surroundings: { ...realSurroundings, after: (_, run) => realSurroundings.after(1, run) },
  })
  await expect(verbs.remove("c", { timeout: 20 })).rejects.toMatchObject({ executed: "unknown" })
  for (const name of ["constructor", "n".repeat(1001)])
    await expect(verbs.add(name)).rejects.toMatchObject({ name: "MemberRefused", executed: "no" })
  verbs.stop()
})

describe("a server that was removed", () => {
  test("knows it from what is committed, and needs nobody to tell it that its own removal is done", async () => {
    const verbs = leaderless(server({ name: "z" }))
    expect(await verbs.remove("z", { timeout: 50 })).toEqual({ text: "z is no member" })
    await expect(verbs.remove("a", { timeout: 50 })).rejects.toMatchObject({ name: "MemberNoLeader", executed: "no" })
  })
})

describe("what would lose the quorum", () => {
  test("is refused, unless it is asked for twice; nobody removes the last voter", () => {
    const it = ready()
    for (let i = 0; i < 4; i++)
      it.expire("quorum")
        .expire("heartbeat")
        .receive("b", accepted(1, { round: i + 1 }))
    expect(step(it, remove("b"))).toMatchObject({ type: "refuse", reason: "wouldLoseQuorum" })
    expect(step(it, remove("b", true))).toMatchObject({ type: "change" })
    expect(step(it, remove("c"))).toMatchObject({ type: "change" })
    const alone = leader({ configuration: voting("a") })
    expect(step(alone, remove("a", true))).toMatchObject({ type: "refuse", reason: "lastVoter" })
  })
})
