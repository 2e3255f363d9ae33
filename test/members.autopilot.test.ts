/** What a leader does about members by itself: one server on the pure face, who is connected, and how long somebody has been away. */
import { expect, test } from "vitest"
import type { Member } from "../core/index.ts"
import { ownFeatures } from "../interpreters/features.ts"
import {
  silentVoters,
  autopilotStep,
  leastVoters,
  makeMembers,
  NO_SILENT_VOTERS,
  type Autopilot,
  type Goal,
  type LeaderView,
} from "../interpreters/members/index.ts"
import { realSurroundings } from "../interpreters/surroundings.ts"
import { accepted, leader, member, members, voting, type Server } from "./server.ts"

/** A leader of these that has committed its no-op and hears of all but c, for so long that it knows. */
const without = (voters: string, learners = ""): Server => {
  const it = leader({ configuration: { ...voting(voters), learners: members(learners) } })
  const others = `${voters}${learners}`.split("").filter((name) => name !== "a" && name !== "c")
  for (const name of others) it.receive(name, accepted(1))
  for (let round = 1; round < 5; round++) {
    it.expire("quorum").expire("heartbeat")
    for (const name of others) it.receive(name, accepted(1, { round }))
  }
  return it
}
const viewOf = (it: Server, ...connected: readonly Member[]): LeaderView => {
  if (it.state.role.type !== "leader") throw new Error("it does not lead")
  return {
    state: it.state,
    leader: it.state.role,
    presence: (name) => {
      const found = connected.findLast((one) => one.name === name)
      return found === undefined
        ? null
        : { member: found, connected: true, address: `at ${name}`, features: ownFeatures }
    },
  }
}
const pilot: Autopilot = { voters: 3, after: 1000 }
/** What it does at `now` about c, which it has missed since 0. */
const does = (it: Server, options: Autopilot, now: number, ...connected: readonly Member[]): Goal | null => {
  const view = viewOf(it, ...connected)
  let away = silentVoters(view, NO_SILENT_VOTERS, 0)
  for (let at = 1000; at < now; at += 1000) away = silentVoters(view, away, at)
  return autopilotStep(view, options, silentVoters(view, away, now))
}

test("a voter that is away is replaced by a learner that waits, after the stated time and not before; without one it is waited for", () => {
  const it = without("abc", "d")
  expect(does(it, pilot, 999, member("d"))).toBeNull()
  expect(does(it, pilot, 1000, member("d"))).toMatchObject({
    type: "replace",
    name: "c",
    by: "d",
    evenIfQuorumIsLost: false,
  })
  expect(does(without("abc"), pilot, 100_000)).toBeNull()
})

test("who came back with another directory is taken in again, unless fewer than stated would vote meanwhile", () => {
  const again = member("c", "2")
  expect(does(without("abc"), pilot, 999, again)).toBeNull()
  expect(does(without("abc"), pilot, 1000, again)).toMatchObject({ type: "replace", name: "c", by: "c" })
  expect(leastVoters(pilot)).toBe(2)
  expect(does(without("abc"), { ...pilot, least: 3 }, 1000, again)).toBeNull()
  // A learner in its place changes nothing about how many vote.
  expect(does(without("abc", "d"), { ...pilot, least: 3 }, 1000, again, member("d"))).toMatchObject({
    name: "c",
    by: "d",
  })
})

test("learners that have caught up are promoted while too few vote, and no others", () => {
  expect(does(without("ab", "d"), pilot, 0, member("d"))).toMatchObject({ type: "promote", name: "d" })
  expect(does(without("ab", "d"), { ...pilot, voters: 2 }, 0, member("d"))).toBeNull()
  const behind = without("ab", "d")
  behind.receive("d", accepted(1, { condition: "rebuild", round: 5 }))
  expect(does(behind, pilot, 0, member("d")), "its state machine is lost").toBeNull()
})

test("who is heard of again, and whoever came in its place, is counted anew", () => {
  const it = without("abc", "d")
  const first = silentVoters(viewOf(it), NO_SILENT_VOTERS, 10)
  expect([...first.silent.values()]).toEqual([0])
  const later = silentVoters(viewOf(it), first, 510)
  expect([...later.silent.values()]).toEqual([500])
  it.receive("c", accepted(1, { round: 5 }))
  expect(silentVoters(viewOf(it), later, 600).silent).toEqual(NO_SILENT_VOTERS.silent)
})

test("a leader that was suspended does not take its own pause for the silence of others", () => {
  const view = viewOf(without("abc", "d"), member("d"))
  const before = silentVoters(view, silentVoters(view, NO_SILENT_VOTERS, 0), 500)
  // It did not look for an hour; then it counts on from where it was.
  const paused = silentVoters(view, before, 3_600_500)
  expect(autopilotStep(view, pilot, paused)).toBeNull()
  expect(autopilotStep(view, pilot, silentVoters(view, paused, 3_601_000))).toMatchObject({
    type: "replace",
    name: "c",
    by: "d",
  })
})

test("a leader looks every second, and does one thing at a time; what would lose the quorum it does not do; without being told to it does nothing", () => {
  const changes: unknown[] = []
  let advertises = "anywhere"
  const run = (it: Server, autopilot: Autopilot | null, looks: number, ...connected: readonly Member[]): number => {
    changes.length = 0
    let look = (): void => undefined
    let now = 0
    const ignored = (): void => undefined
    const verbs = makeMembers({
      driver: {
        state: () => it.state,
        leadership: () => ({ role: "leader", term: 1, leader: member("a") }),
        change: (configuration) => {
          changes.push(configuration)
          it.happens({ type: "ConfigurationChangeProposed", ref: 99, ...configuration })
        },
        transfer: ignored,
        wake: ignored,
        onService: ignored,
      },
      transport: {
        peers: () =>
          connected.map((one) => ({
            name: one.name,
            member: one,
            connected: true,
            address: "as a dials it",
            hello: { cluster: null, advertises, features: ownFeatures },
          })),
      },
      surroundings: {
        ...realSurroundings,
        now: () => now,
        every: (_, run) => {
          look = run
          return { cancel: ignored }
        },
      },
      autopilot,
    })
    for (let i = 0; i < looks; i++) {
      look()
      now += 1000
    }
    verbs.stop()
    return changes.length
  }
  expect(run(without("abc", "d"), null, 10, member("d"))).toBe(0)
  // Proposed, and not committed: nothing else is begun.
  expect(run(without("abc", "d"), pilot, 10, member("d"))).toBe(1)
  expect(changes[0]).toMatchObject({ voters: members("abd"), learners: [] })
  // b falls silent too: without c nobody could decide anything.
  const alone = leader({ configuration: voting("abc") })
    .receive("b", accepted(1))
    .expire("quorum")
  for (let round = 1; round < 5; round++) alone.expire("heartbeat")
  expect(does(alone, pilot, 1000, member("c", "2"))).toMatchObject({ type: "replace", name: "c" })
  expect(run(alone, pilot, 10, member("c", "2"))).toBe(0)
  alone.receive("b", accepted(1, { round: 4 }))
  expect(run(alone, pilot, 10, member("c", "2"))).toBe(1)
  // All find it where it says; the way by which the leader dials it is the leader's own.
  expect(changes[0]).toMatchObject({ learners: [member("c", "2")], addresses: { c: "anywhere" } })
  advertises = ""
  expect(run(without("abc"), pilot, 10, member("c", "2"))).toBe(1)
  expect(changes[0]).toMatchObject({ addresses: {} })
})
