/**
 * The writer of a script: the random choices that stories use, and the limits that keep them within what Raft
 * tolerates.
 */
import type { Settings } from "../../../core/index.ts"
import type { Action, Keep, NodeRef, Random } from "../../../interpreters/simulation/index.ts"
import type { Profile } from "./profiles.ts"

export interface Teller {
  readonly random: Random
  readonly profile: Profile
  readonly settings: Settings
  readonly founders: readonly string[]
  /**
   * The only servers whose disks and state machines may be lost: a minority of the founders. Every configuration has a
   * majority of others, so that the losses never exceed what Raft survives.
   */
  readonly expendable: readonly string[]
  /** Another minority: their wall clocks may show anything. */
  readonly liars: readonly string[]
  /** Servers that were added, at most two. */
  added: readonly string[]
  nextId: number
}
export type Story = (teller: Teller) => readonly Action[]

export const everybody = ({ founders, added }: Teller): readonly string[] => [...founders, ...added]

export const somebody = (teller: Teller): NodeRef => {
  const { random } = teller
  if (random.chance(400)) return "leader"
  return random.chance(200) ? "follower1" : (random.pick(everybody(teller)) ?? "n1")
}
export const follower = ({ random, founders }: Teller): NodeRef =>
  `follower${random.between(1, Math.max(1, founders.length - 1))}`

export const runAction = (ms: number): Action => ({ type: "run", ms })
export const between = ({ random }: Teller, min: number, max: number): Action => runAction(random.between(min, max))
/** Usually long enough for a server to win an election. */
export const election = (teller: Teller): Action =>
  between(teller, teller.settings.electionMin, 2 * teller.settings.electionMax + 100)
/** A moment of any length: within a round trip, within a write, within a heartbeat, within an election. */
export const moment = (teller: Teller): Action => {
  const { random, settings } = teller
  const most = random.pick([0, 3, 3, 12, 40, 150, settings.electionMin, settings.electionMax * 2]) ?? 3
  return between(teller, 0, most)
}

export const propose = (teller: Teller, node: NodeRef, count: number, bytes: number): Action => {
  const id = teller.nextId
  teller.nextId += count
  return { type: "propose", node, id, count, bytes }
}
export const few = (teller: Teller, node: NodeRef): Action =>
  propose(teller, node, teller.random.between(1, 3), teller.random.pick([0, 10, 100]) ?? 0)
export const burst = (teller: Teller, node: NodeRef): Action =>
  propose(teller, node, teller.random.between(8, 30), teller.random.pick([5, 60]) ?? 5)

/** Some requests of clients. */
export const load: Story = (teller) => {
  const { random } = teller
  const actions: Action[] = []
  for (let k = random.below(4); k > 0; k--)
    actions.push(random.chance(100) ? burst(teller, somebody(teller)) : few(teller, somebody(teller)))
  if (random.chance(400)) actions.push({ type: "read", node: somebody(teller) })
  return actions
}

export const startAll = (teller: Teller): readonly Action[] =>
  everybody(teller).map((node) => ({ type: "start", node }))
export const startSome = (teller: Teller): readonly Action[] => startAll(teller).filter(() => teller.random.chance(700))

/** A configuration of these names: voters of which most are not expendable, and sometimes learners. */
export const configuration = (teller: Teller, node: NodeRef): Action => {
  const { random, expendable } = teller
  const steady = teller.founders.filter((name) => !expendable.includes(name))
  const sure = steady.filter(() => random.chance(800))
  const core = sure.length > 0 ? sure : steady.slice(0, 1)
  const others = [...expendable, ...teller.added]
  // An added server never loses anything: it counts as one of the steady ones once it votes.
  const newcomers = teller.founders.length === 1 ? [] : teller.added.filter(() => random.chance(600))
  const risky = expendable.filter(() => random.chance(600)).slice(0, Math.max(0, core.length - 1))
  const voters = [...core, ...newcomers, ...risky]
  const learners = others.filter((name) => !voters.includes(name) && random.chance(600))
  return { type: "change", node, voters, learners }
}
/** A server that left must be a learner before it is a voter again. */
export const everybodyReturns = (teller: Teller): readonly Action[] => [
  { type: "addLearners", node: "leader", names: everybody(teller) },
  moment(teller),
  everybodyVotes(teller, "leader"),
]
/** All founders, and the servers added since. */
export const everybodyVotes = (teller: Teller, node: NodeRef): Action => ({
  type: "change",
  node,
  voters: teller.founders.length === 1 ? teller.founders : everybody(teller),
  learners: teller.founders.length === 1 ? teller.added : [],
})

export const keeps: readonly Keep[] = ["random", "random", "all", "none", "torn"]
export const crashAction = (teller: Teller, node: string): Action => ({
  type: "crash",
  node,
  keep: teller.random.pick(keeps) ?? "random",
})
export const times = (count: number, story: () => readonly Action[]): readonly Action[] =>
  Array.from({ length: count }, story).flat()
export const chance = (teller: Teller, permille: number, ...actions: readonly Action[]): readonly Action[] =>
  teller.random.chance(permille) ? actions : []
