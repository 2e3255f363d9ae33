/**
 * Safety alone is easy: do nothing. Once faults have stopped, a cluster must come to rest within a stated bound, with
 * everything done that was asked for; and over many runs every rule of the algorithm must have been used.
 */
import { configurationOf, membersOf, rules, type Member, type Rule, type State } from "../core/index.ts"
import { isAmong, isQuorum } from "./invariants/history.ts"
import type { NodeState, ObservedStep } from "./invariants/index.ts"

/** What a world must offer. */
export interface LiveWorld {
  /** Virtual milliseconds. */
  readonly run: (ms: number) => void
  /** Every server that is up. */
  readonly states: () => readonly NodeState[]
  /** Proposals and reads at a server that nobody has answered, if anybody counts them. */
  readonly openRefs?: (node: string) => readonly number[]
}

export class Stuck extends Error {
  override readonly name = "Stuck"
  readonly reasons: readonly string[]
  constructor(bound: number, reasons: readonly string[]) {
    super(`no progress within ${bound} ms:\n  ${reasons.join("\n  ")}`)
    this.reasons = reasons
  }
}

const list = (names: readonly string[]): string => (names.length === 0 ? "nobody" : names.join(", "))
const namesOf = (members: readonly Member[]): readonly string[] => members.map(({ name, incarnation }) => `${name} (${incarnation})`)

/** Whose log would win an election: progress hangs on its configuration. */
const decisive = (states: readonly NodeState[]): State | undefined =>
  states.reduce<State | undefined>((most, { state }) => {
    if (most === undefined) return state
    const later = state.log.lastTerm === most.log.lastTerm ? state.log.lastIndex > most.log.lastIndex : state.log.lastTerm > most.log.lastTerm
    return later ? state : most
  }, undefined)

/** Why no progress can be asked for at all, or null: too few are up, or nobody has what the others lost. */
export const hopeless = (states: readonly NodeState[]): string | null => {
  const best = decisive(states)
  if (best === undefined) return "no server is up"
  const configuration = configurationOf(best)
  const up = states.map(({ state }) => state.self)
  if (!isQuorum(configuration, (member) => isAmong(up, member))) return `of the voters ${list(namesOf([...configuration.voters, ...configuration.outgoing]))} only ${list(namesOf(up))} are up`
  // Only a leader can supply a snapshot.
  const voters = states.filter(({ state }) => isAmong(configuration.voters, state.self) || isAmong(configuration.outgoing, state.self))
  const { base } = best.log
  return voters.every(({ state }) => state.machine === "rebuild" || state.applied < base.index) ? "every voter's state machine is lost, or behind what the log still holds" : null
}

/** What is not as it should be, in words; empty: all is done. */
export const unfinished = ({ states, openRefs }: Pick<LiveWorld, "states" | "openRefs">): readonly string[] => {
  const all = states()
  const reasons: string[] = []
  const leaders = all.filter(({ state }) => state.role.type === "leader").sort((a, b) => b.state.currentTerm - a.state.currentTerm)
  const [leader] = leaders
  if (leader === undefined) return [`nobody leads: ${all.map(({ node, state }) => `${node} is ${state.role.type} of term ${state.currentTerm} with a log through ${state.log.lastIndex}`).join("; ")}`]
  for (const other of leaders.slice(1)) reasons.push(`${other.node} still leads term ${other.state.currentTerm}, ${leader.node} leads term ${leader.state.currentTerm}`)
  const { commitIndex, log, currentTerm } = leader.state
  const configuration = configurationOf(leader.state)
  if (commitIndex < log.lastIndex) reasons.push(`${leader.node} has entries through ${log.lastIndex} and committed ${commitIndex}`)
  if (configuration.outgoing.length > 0) reasons.push(`the configuration is still joint: ${list(namesOf(configuration.voters))} after ${list(namesOf(configuration.outgoing))}`)
  for (const { node, state } of all) {
    if (!isAmong(membersOf(configuration), state.self)) continue
    if (state.currentTerm !== currentTerm) reasons.push(`${node} is in term ${state.currentTerm}, its leader in term ${currentTerm}`)
    else if (node !== leader.node && (state.role.type !== "follower" || state.role.leader?.name !== leader.node)) reasons.push(`${node} is ${state.role.type} and does not follow ${leader.node}`)
    if (state.machine !== "ready") reasons.push(`the state machine of ${node} is not rebuilt`)
    if (state.applied < commitIndex) reasons.push(`${node} has executed ${state.applied} of ${commitIndex}, its log ends at ${state.log.lastIndex}${state.snapshotting ? ", it takes a snapshot" : ""}${state.restoring === null ? "" : ", it restores one"}`)
    const open = openRefs?.(node) ?? []
    if (open.length > 0) reasons.push(`${open.length} clients of ${node} wait: refs ${open.slice(0, 5).join(", ")}`)
  }
  return reasons
}

/** So often it is looked whether all is done. */
const LOOK_EVERY = 50

/**
 * Runs until there is one leader, everything in its log is committed and executed by every member that is up, and
 * nobody waits for an answer. Answers the virtual milliseconds that took; throws Stuck after `bound` of them. Faults
 * must have stopped, and `hopeless` must have nothing to say.
 */
export const expectProgress = (world: LiveWorld, bound: number): number => {
  const hopelessly = hopeless(world.states())
  if (hopelessly !== null) throw new Stuck(0, [hopelessly])
  let reasons = unfinished(world)
  let took = 0
  for (; reasons.length > 0 && took < bound; took += LOOK_EVERY) {
    world.run(LOOK_EVERY)
    reasons = unfinished(world)
  }
  if (reasons.length > 0) throw new Stuck(bound, reasons)
  return took
}

/** Which rules were used, and how often: what was never used was never tested. */
export interface RuleCoverage {
  (step: ObservedStep): void
  readonly count: (rule: Rule) => number
  readonly missing: () => readonly Rule[]
}

export const makeRuleCoverage = (): RuleCoverage => {
  const counts = new Map<Rule, number>()
  const observe = ({ effects }: ObservedStep): void => {
    for (const effect of effects) if (effect.type === "Note") counts.set(effect.rule, (counts.get(effect.rule) ?? 0) + 1)
  }
  return Object.assign(observe, {
    count: (rule: Rule) => counts.get(rule) ?? 0,
    missing: () => (Object.keys(rules) as Rule[]).filter((rule) => !counts.has(rule)),
  })
}
