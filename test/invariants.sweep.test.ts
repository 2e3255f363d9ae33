import * as fc from "fast-check"
import { expect, test } from "vitest"
import { replicatedTime, type Entry, type Event, type Member, type Message, type State } from "../core/index.ts"
import { lossyNetwork, makeRandom, World, type Random } from "../interpreters/simulation/index.ts"
import { InvariantViolated, makeInvariantChecker, sweep, type Invariant, type SweptState } from "../spec/index.ts"
import { chained } from "./chained.ts"
import { full } from "./cluster.ts"
import { many } from "./long.ts"
import { payload, tightSettings } from "./worlds.ts"

const forgedEntries = (random: Random, state: State, prev: number): readonly Entry[] =>
  chained(
    Array.from({ length: random.below(3) }, (_, i) => ({
      kind: "command",
      index: prev + 1 + i,
      term: Math.max(1, state.currentTerm - random.below(2)),
      time: replicatedTime(state),
      payload: payload(random.below(0xffff)),
    })),
    state.log.chainAt(prev),
  )

/** A message or fact that no correct server or disk would come up with. */
const forged = (random: Random, state: State): Event => {
  const members = state.configurations.at(-1)?.configuration.voters ?? []
  const from: Member = random.pick(members.filter(({ name }) => name !== state.self.name)) ?? state.self
  const { log, currentTerm } = state
  const prev = Math.max(log.base.index, log.lastIndex - random.below(2))
  const said = (message: Message): Event => ({ type: "MessageReceived", from, message })
  switch (random.below(5)) {
    case 0:
      return said({
        type: "AppendEntries",
        term: currentTerm + random.below(2),
        prevLogIndex: prev,
        prevLogTerm: log.termAt(prev) ?? 0,
        prevLogChain: log.chainAt(prev) ?? 0,
        entries: forgedEntries(random, state, prev),
        leaderCommit: random.below(log.lastIndex + 2),
        round: 1,
        time: replicatedTime(state),
        settled: true,
      })
    case 1:
      return said({ type: "RequestVoteReply", term: currentTerm, granted: true, wall: 0, time: 0 })
    case 2:
      return said({
        type: "AppendAccepted",
        term: currentTerm,
        verifiedIndex: log.lastIndex,
        verifiedChain: log.last.chain,
        matchIndex: log.lastIndex,
        round: 1,
        condition: "ready",
        wall: 0,
        leaderTime: 0,
      })
    case 3:
      return { type: "Persisted", seq: state.durability.nextSeq }
    default:
      return {
        type: "SnapshotRestored",
        snapshot: { ...log.base, index: prev, term: currentTerm, chain: log.chainAt(prev) ?? 0, id: "forged" },
      }
  }
}

const verdictOf = (check: () => void): Invariant | null => {
  try {
    check()
    return null
  } catch (error) {
    if (error instanceof InvariantViolated) return error.invariant
    throw error
  }
}

class Broken extends Error {}

/** Runs until the checks of steps find something, and asks the sweep at every step. */
const race = (
  seed: number,
): { readonly step: Invariant | null; readonly swept: Invariant | null; readonly sweptBefore: boolean } => {
  const check = makeInvariantChecker()
  const random = makeRandom(seed)
  const latest = new Map<string, SweptState>()
  let step: Invariant | null = null
  let swept: Invariant | null = null
  let sweptBefore = false
  const world = new World({
    seed,
    nodes: 2 + (seed % 3),
    settings: tightSettings,
    network: lossyNetwork,
    disk: { min: 1, max: 20 },
    started: check.started,
    observe: (observed) => {
      latest.set(observed.node, { node: observed.node, state: observed.state })
      step = verdictOf(() => check(observed))
      swept = verdictOf(() => sweep([...latest.values()]))
      if (swept !== null && step === null) sweptBefore = true
      if (step !== null || swept !== null) throw new Broken("found")
    },
  })
  try {
    for (let i = 0; i < 60; i++) {
      world.run(random.below(200))
      const name = random.pick(world.names) ?? "n1"
      world.propose(name, [payload(1_000_000 + i)])
      if (random.chance(100)) world.crash(name)
      if (random.chance(300)) for (const other of world.names) world.start(other)
      const state = world.state(name)
      if (i > 15 && state !== undefined && random.chance(600)) world.inject(name, forged(random, state))
    }
  } catch (error) {
    // The core and the machines of the world refuse by themselves some of what can never be.
    if (!(error instanceof Error) || error instanceof TypeError || error instanceof RangeError) throw error
  }
  return { step, swept, sweptBefore }
}

test("the checks of steps find whatever a sweep finds, at the same step", () => {
  const found = new Map<Invariant, number>()
  let both = 0
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 0x7fffffff }), (seed) => {
      const { step, swept, sweptBefore } = race(seed)
      expect(sweptBefore, `the sweep finds ${swept}, the steps nothing`).toBe(false)
      if (step !== null) found.set(step, (found.get(step) ?? 0) + 1)
      if (step !== null && swept !== null) both += 1
    }),
    // World 355665858: entries replaced by others of which the last has the same term.
    { numRuns: full ? many(3000, 500) : 80, seed: 7, examples: [[355665858]] },
  )
  // Not vacuous: many kinds are found, and the sweep sees many of them too.
  expect(found.size).toBeGreaterThan(4)
  expect(both).toBeGreaterThan(5)
}, 600_000)
