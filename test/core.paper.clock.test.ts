/** The replicated clock (core/clock.ts): monotonic time, steered by wall clocks of a majority, and one step after an outage. */
import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { replicatedTime } from "../core/index.ts"
import { cluster, EPOCH, makeRandom, seconds, type Action, type Random } from "../interpreters/simulation/index.ts"
import { makeInvariantChecker } from "../spec/index.ts"
import { full } from "./cluster.ts"
import { many } from "./long.ts"
import { accepted, append, follower, leader, member, server, voteReply, type Server } from "./server.ts"

const HOUR = 3_600_000
const DAY = 24 * HOUR
const now = (it: Server): number => replicatedTime(it.state)
const clocks = (it: Server, monotonic: number, wall = 0): Server =>
  it.happens({ type: "ClockAdvanced", monotonic, wall })
const hears = (it: Server, time: number, settled = true): Server =>
  it.receive("b", { ...append({ term: it.term }), time, settled })
/** The follower answers at once: its clock shows `wall`. */
const tells = (it: Server, from: string, wall: number): Server =>
  it.receive(from, accepted(0, { term: it.term, wall, leaderTime: now(it) }))
/** A leader whose voters told their clocks with their votes. */
const elected = (
  it: Server,
  votes: Readonly<Record<string, { readonly wall: number; readonly time?: number }>>,
): Server => {
  for (let i = 0; i < 2 && it.role === "follower"; i++) it.expire("election")
  for (const name of Object.keys(votes))
    if (it.role === "preCandidate") it.receive(name, { type: "RequestPreVoteReply", term: it.term + 1, granted: true })
  for (const [name, { wall, time = 0 }] of Object.entries(votes))
    if (it.role === "candidate") it.receive(name, { ...voteReply(it.term, true), wall, time })
  expect(it.role).toBe("leader")
  return it
}

describe("a follower", () => {
  test("goes on from its leader's time by its own monotonic clock, whatever its wall clock shows", () => {
    const it = clocks(follower(), 100, 5 * DAY)
    hears(it, 1_000_000)
    expect(now(it)).toBe(1_000_000)
    clocks(it, 10_100, 9 * DAY)
    expect(now(it)).toBe(1_010_000)
    hears(it, 1_010_700)
    expect(now(clocks(it, 10_200, 1))).toBe(1_010_800)
  })
  test("is not set back by a message that took long, but gives way to a leader whose time is less", () => {
    const it = hears(clocks(follower(), 1000), 1_000_000)
    hears(clocks(it, 1100), 997_500)
    expect(now(it)).toBe(1_000_080)
    for (let at = 1200; at <= 30_000; at += 300) hears(clocks(it, at), 997_500 + at - 1100)
    expect(now(it)).toBe(997_500 + 30_000 - 1100)
  })
  test("that stood still is not set back by what had come meanwhile; a leader that goes on telling another time is believed", () => {
    const it = hears(clocks(follower(), 1000), 1_000_000)
    // Half a minute later it reads what was sent in the first seconds of it.
    clocks(it, 31_000)
    for (let sent = 100; sent <= 5000; sent += 100) hears(it, 1_000_000 + sent)
    expect(now(it)).toBe(1_030_000)
    hears(clocks(it, 33_500), 1_032_490)
    expect(now(it)).toBe(1_032_490)
    // By the leader's time no half minute went by.
    clocks(it, 64_000)
    for (let later = 0; later < 2000; later += 100) {
      hears(clocks(it, 64_000 + later), 1_033_000 + later)
      expect(now(it)).toBe(1_062_990 + later)
    }
    hears(clocks(it, 66_000), 1_035_000)
    expect(now(it)).toBe(1_035_000)
  })
  test("learns nothing from a leader that does not know the time itself", () => {
    const it = hears(clocks(follower(), 1000), 1_000_000)
    expect(now(hears(it, 50, false))).toBe(1_000_000)
    const fresh = hears(clocks(follower(), 1000), 50, false)
    expect(fresh.state.clock.settled).toBe(false)
  })
  test("tells its wall clock, and its leader's time as it heard it last", () => {
    const it = clocks(follower(), 100, 5 * DAY)
    hears(it, 700)
    expect(
      it.receive("b", { ...append({ term: it.term, round: 3 }), time: 800, settled: true }).last("AppendAccepted", "b"),
    ).toMatchObject({ wall: 5 * DAY, leaderTime: 800 })
  })
  test("as the next leader stamps what the last one would", () => {
    const it = hears(clocks(follower({ voters: "abc" }), 1000, DAY), 10 * DAY)
    clocks(it, 3000, 0)
    elected(it, { b: { wall: 0 }, c: { wall: 0 } })
    expect(it.state.log.last.time).toBe(10 * DAY + 2000)
  })
})

describe("a leader", () => {
  const NOON = 10 * DAY
  /** Its time and everybody's clocks show noon. */
  /** Its time and everybody's clocks show 1,000,000. */
  const steady = (voters = "abc"): Server => {
    const it = clocks(server({ voters }), 1000, NOON)
    return elected(it, Object.fromEntries(Array.from(voters.slice(1), (name) => [name, { wall: NOON }])))
  }
  test("leans towards a majority by a twentieth of the time that passes, and no further than it", () => {
    for (const [off, rate] of [
      [HOUR, 1.05],
      [-HOUR, 0.95],
    ] as const) {
      const it = steady()
      for (let at = 1000; at <= 101_000; at += 500) {
        clocks(it, at, NOON + at - 1000)
        for (const name of ["b", "c"]) tells(it, name, NOON + off + at - 1000)
      }
      expect(Math.abs(now(it) - NOON - 100_000 * rate)).toBeLessThanOrEqual(10)
    }
    const near = steady()
    for (let at = 1000; at <= 101_000; at += 200)
      for (const name of ["b", "c"]) tells(clocks(near, at, NOON + at), name, NOON + 300 + at)
    expect(Math.abs(now(near) - (NOON + 300) - 101_000)).toBeLessThanOrEqual(150)
  })
  test("does not lean where no majority agrees: its own clock is one voice, and of the others any minority may say anything", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("abc", "abcde"),
        fc.integer({ min: -4 * DAY, max: 400 * DAY }),
        fc.boolean(),
        (voters, wrong, own) => {
          const it = steady(voters)
          const liars = Array.from(own ? voters.slice(0, voters.length >> 1) : voters.slice(-(voters.length >> 1)))
          let before = now(it)
          for (let at = 1000; at <= 61_000; at += 2000) {
            const right = NOON + at - 1000
            const shown = (name: string): number => Math.max(0, liars.includes(name) ? right + wrong : right)
            clocks(it, at, shown("a"))
            for (const name of voters.slice(1)) tells(it, name, shown(name))
            expect(now(it)).toBeGreaterThanOrEqual(before)
            before = now(it)
          }
          // Right to half of what counts as agreement.
          expect(Math.abs(before - NOON - 60_000)).toBeLessThanOrEqual(1000)
        },
      ),
      { numRuns: full ? 200 : 20 },
    )
  })
  test("forgets clocks that it has not heard for ten seconds, and takes no answer for more than it is worth", () => {
    const it = steady()
    for (const name of ["b", "c"]) tells(it, name, NOON + HOUR)
    for (let at = 1000; at <= 61_000; at += 500) clocks(it, at, NOON + at - 1000)
    expect(now(it) - NOON - 60_000).toBeLessThanOrEqual(510)
    const late = steady()
    for (let at = 1000; at <= 61_000; at += 500) {
      clocks(late, at, NOON + at - 1000)
      for (const name of ["b", "c"])
        late.receive(
          name,
          accepted(0, { term: late.term, wall: NOON + HOUR + at, leaderTime: now(late) - 1001 }),
          accepted(0, { term: late.term, wall: NOON + HOUR + at, leaderTime: now(late) + 1 }),
        )
    }
    expect(now(late)).toBe(NOON + 60_000)
  })
  test("of a single voter follows its own clock at that rate", () => {
    const it = clocks(server({ voters: "a" }), 1000, DAY).expire("election")
    expect([it.role, now(it)]).toEqual(["leader", DAY])
    for (let at = 1000; at <= 11_000; at += 100) clocks(it, at, 2 * DAY)
    expect(now(it)).toBe(DAY + 10_500)
  })
  test("never falls and never stands still, however its clocks jump", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            passed: fc.integer({ min: -10, max: 3000 }),
            wall: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
            told: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
          }),
          { maxLength: 20 },
        ),
        (moves) => {
          const it = steady()
          let monotonic = 1000
          for (const { passed, wall, told } of moves) {
            const before = now(it)
            const elapsed = Math.max(0, monotonic + passed - it.state.clock.monotonic)
            monotonic += passed
            clocks(it, monotonic, wall)
            expect(now(it) - before).toBeGreaterThanOrEqual(Math.floor(elapsed * 0.95) - 1)
            expect(now(it) - before).toBeLessThanOrEqual(Math.ceil(elapsed * 1.05) + 1)
            for (const name of ["b", "c"]) tells(it, name, told)
          }
        },
      ),
      { numRuns: full ? 1000 : 60 },
    )
  })
  test("that was told the last of all times stamps that, and no more than the codecs can write", () => {
    const it = hears(clocks(follower(), 1000, 1), 2 ** 48 - 1)
    elected(clocks(it, 90_000, 1), { b: { wall: 2 ** 48 - 1 }, c: { wall: 2 ** 48 - 1 } })
    clocks(it, 900_000, 2 ** 48 - 1).propose()
    expect([it.state.log.last.time, it.expire("heartbeat").last("AppendEntries", "b").time]).toEqual([
      2 ** 48 - 1,
      2 ** 48 - 1,
    ])
  })
})

describe("after an outage of the whole cluster", () => {
  const started = (voters = "abc"): Server => clocks(server({ voters, log: [1, 1] }), 50, DAY)
  test("the first leader steps to what a majority agrees on before it takes a command", () => {
    const it = elected(started(), { b: { wall: DAY + 300 } })
    expect(it.noted("clock.stepped")).toBe(true)
    expect([it.state.log.last.time, it.outcome(it.propose())?.type]).toEqual([DAY + 150, "ProposalAppended"])
  })
  test("it never steps back", () => {
    const it = clocks(server({ voters: "abc" }), 50, 10)
    elected(it, { b: { wall: 10 } })
    expect(now(it)).toBe(50)
  })
  test("two of three that disagree settle nothing: commands wait, until the third says who is right", () => {
    for (const right of [0, DAY]) {
      const it = elected(started(), { b: { wall: DAY + DAY } })
      expect(it.outcome(it.propose())).toMatchObject({ type: "ProposalRefused", reason: "notReady" })
      expect(now(clocks(it, 2050, DAY + 2000))).toBe(2050)
      tells(it, "c", DAY + right + 2000)
      expect(Math.abs(now(it) - (DAY + right + 2000))).toBeLessThanOrEqual(1)
      expect(it.outcome(it.propose())?.type).toBe("ProposalAppended")
    }
  })
  test("the right to step ends after five seconds, and when all have told their clocks", () => {
    const it = elected(started(), { b: { wall: 2 * DAY } })
    clocks(it, 5049, DAY + 5000)
    expect(it.outcome(it.propose())?.type).toBe("ProposalRefused")
    expect(clocks(it, 5050, DAY + 5000).noted("clock.disagreed")).toBe(true)
    expect(it.outcome(it.propose())?.type).toBe("ProposalAppended")
    expect(now(tells(it, "c", DAY + 5000))).toBe(5050)
    const all = elected(started(), { b: { wall: 2 * DAY } })
    expect(tells(all, "c", 3 * DAY).noted("clock.disagreed")).toBe(true)
    expect(all.outcome(all.propose())?.type).toBe("ProposalAppended")
  })
  test("who has just started and is elected takes the time from a voter that heard the last leader", () => {
    const it = elected(started(), { b: { wall: 300 * DAY, time: 20 * DAY } })
    expect([it.state.log.last.time, it.state.clock.settled]).toEqual([20 * DAY, true])
  })
  test("a server without a wall clock waits for nobody", () => {
    const it = leader()
    expect(it.outcome(it.propose())?.type).toBe("ProposalAppended")
  })
  test("votes carry the time only of who knows it", () => {
    const asked = (it: Server): Server =>
      it.receive(member("c"), { type: "RequestVote", term: 9, lastLogIndex: 9, lastLogTerm: 8, transfer: true })
    expect(asked(clocks(follower(), 10, DAY)).last("RequestVoteReply", "c")).toMatchObject({
      granted: true,
      wall: DAY,
      time: 0,
    })
    expect(asked(hears(clocks(follower(), 10, DAY), 5 * DAY)).last("RequestVoteReply", "c")).toMatchObject({
      wall: DAY,
      time: 5 * DAY,
    })
  })
})

describe("in worlds, against the world's own time", () => {
  /** Hours of it, with leaders that change and restart, one wall clock of three that shows anything, and quartz 4.7 % off. */
  const live = (seed: number, rounds: number): void => {
    const random: Random = makeRandom(seed)
    const check = makeInvariantChecker()
    const c = cluster(3, { seed, observe: check, started: check.started })
    const liar = random.pick(c.names) ?? "n1"
    const skew = (node: string): Action => ({
      type: "skew",
      node,
      driftPermille: random.between(-47, 47),
      offset:
        node === liar
          ? (random.pick([0, 1500, -3000, HOUR, -HOUR, DAY, -DAY, 400 * DAY, -1e12]) ?? 0)
          : random.between(-200, 200),
      wallDriftPermille: node === liar ? (random.pick([0, 0, 200, -200, 5000, -5000]) ?? 0) : 0,
    })
    for (const node of c.names) c.world.act(skew(node))
    for (let i = 0; i < rounds; i++) {
      c.run(random.pick([seconds(1), seconds(20), seconds(600)]) ?? 0)
      c.world.act(skew(random.chance(500) ? liar : (random.pick(c.names) ?? liar)))
      const leading = c.world.leader()?.name
      const kind = random.below(5)
      if (kind === 0) c.world.act({ type: "transfer", node: "leader", to: null })
      else if (kind === 1 && leading !== undefined) {
        c.crash(leading)
        c.run(seconds(random.between(0, 3)))
        c.restart(leading)
      } else if (kind === 2) {
        for (const node of c.names) c.crash(node)
        c.run(random.pick([0, HOUR / 2, 2 * HOUR]) ?? 0)
        c.restart(...c.names)
      } else if (kind === 3) {
        for (const node of c.names.filter(() => random.chance(600))) c.crash(node)
        c.run(seconds(random.between(0, 3)))
        for (const node of c.names) if (!c.isUp(node)) c.restart(node)
      }
      c.run(seconds(12))
      c.one(c.fresh(), 2)
    }
    expect(Math.abs(replicatedTime(c.state(c.leader())) - EPOCH - c.now)).toBeLessThan(30_000)
  }
  test("it runs steadily through changes of leader, and takes outages into account", () => {
    for (let seed = 1; seed <= (full ? many(60, 12) : 2); seed++) live(seed, 8)
  })
})
