/**
 * What a server may do after its events are handled: win or lose an election, commit, append what a leader must append.
 * Returns what is wrong if the state after the batch cannot be reached from here, or null.
 */
import type { Entry, Member, State } from "../../core/index.ts"
import { configurationBefore, lastOf, termIn, contentIn, contentOf } from "./log.ts"
import {
  campaigning,
  configurationIn,
  lastIn,
  sameMembership,
  startingPoint,
  termOfIn,
  type Possible,
  type Scene,
} from "./possible.ts"
import { agreedBy, isEligible, keyOf, same, votesIn, type AbstractServer } from "./server.ts"

const durableVote = ({ disk, self }: AbstractServer, term: number): boolean =>
  disk.term === term && same(disk.vote, self)

const wins = (scene: Scene, at: Possible, poll: AbstractServer["votes"], term: number, own: boolean): boolean => {
  const configuration = configurationIn(scene, at)
  const { self } = scene.server
  return (
    configuration !== undefined &&
    agreedBy(configuration, (member) =>
      same(member, self) ? own : poll.term === term && poll.by.some((one) => same(one, member)),
    )
  )
}

/** §5.2 and thesis §9.6: how an election may end or continue. */
const elections = (scene: Scene, at: Possible): readonly Possible[] => {
  const { server } = scene
  if (at.role === "preCandidate") {
    const lost: Possible = { ...at, role: "follower", leader: null, verified: at.commit, heardRound: 0 }
    return wins(scene, at, server.preVotes, at.term + 1, true) ? [at, lost, campaigning(scene, at, false)] : [at, lost]
  }
  if (at.role !== "candidate") return [at]
  const lost: Possible = { ...at, role: "follower", leader: null, verified: at.commit, heardRound: 0 }
  if (!durableVote(server, at.term) || !wins(scene, at, server.votes, at.term, true)) return [at, lost]
  // §8: "a blank no-op entry into the log at the start of its term".
  const index = lastIn(at) + 1
  const entry = scene.target(index)
  return [
    at,
    lost,
    ...(entry?.kind === "noop" && entry.term === at.term
      ? [{ ...at, role: "leader" as const, leader: null, tail: [...at.tail, entry] }]
      : []),
  ]
}

/** §6: "once C_old,new has been committed", the present leader appends C_new. */
const leaving = (scene: Scene, at: Possible, commit: number): Possible => {
  const now = configurationIn(scene, at)
  const entry = scene.target(lastIn(at) + 1)
  if (
    at.role !== "leader" ||
    now === undefined ||
    now.outgoing.length === 0 ||
    entry?.kind !== "configuration" ||
    entry.term !== at.term
  )
    return at
  const joint =
    at.tail.findLast((one) => one.kind === "configuration")?.index ?? scene.server.log.configurations.at(-1)?.index ?? 0
  if (joint > commit || termOfIn(scene, at, commit) !== at.term) return at
  // Otherwise no remaining voter might be able to give the others a snapshot.
  if (!now.voters.some((voter) => isEligible(scene.server, voter, joint))) return at
  return sameMembership(entry.configuration, { ...now, outgoing: [] }) ? { ...at, tail: [...at.tail, entry] } : at
}

/**
 * "If there exists an N such that N > commitIndex, a majority of matchIndex[i] ≥ N, and log[N].term == currentTerm",
 * Figure 2: by acknowledgements that arrived here, and its own share by what its disk holds.
 */
const mayCommit = (scene: Scene, at: Possible, index: number): string | null => {
  const { server } = scene
  const term = termOfIn(scene, at, index)
  if (term !== at.term) return `commits entry ${index} of term ${term} by counting, in term ${at.term} (§5.4.2)`
  const configuration = configurationIn(scene, at)
  const stored = (member: Member): boolean =>
    same(member, server.self)
      ? termIn(server.disk.log, index) === term || server.disk.log.base >= index
      : (server.matched.get(keyOf(member)) ?? 0) >= index
  return configuration !== undefined && agreedBy(configuration, stored)
    ? null
    : `commits entry ${index} that no quorum has acknowledged (§5.3)`
}

/** Its own removal is committed: §6, "the leader steps down". */
const mayLeave = (scene: Scene, at: Possible, commit: number): boolean => {
  const now = configurationIn(scene, at)
  const index =
    at.tail.findLast((one) => one.kind === "configuration")?.index ?? scene.server.log.configurations.at(-1)?.index ?? 0
  return now !== undefined && index <= commit && !votesIn(now, scene.server.self)
}

const sameEntry = (server: AbstractServer, at: Possible, index: number, entry: Entry): boolean => {
  if (index <= at.keep)
    return termIn(server.log, index) === entry.term && contentIn(server.log, index) === contentOf(entry)
  const mine = at.tail[index - at.keep - 1]
  if (mine === undefined || mine.term !== entry.term || contentOf(mine) !== contentOf(entry)) return false
  return (
    mine.kind !== "configuration" ||
    (entry.kind === "configuration" && sameMembership(mine.configuration, entry.configuration))
  )
}

/** Compares the log after the batch with the model's; of the unchanged part only the end is compared. */
const wrongLog = (scene: Scene, at: Possible, state: State, trimmed: number): string | null => {
  const { server } = scene
  const { log } = state
  const base = Math.max(at.base?.index ?? 0, server.log.base)
  if (log.lastIndex !== lastIn(at)) return `its log ends at ${log.lastIndex}, but it may only end at ${lastIn(at)}`
  if (log.base.index !== base) {
    if (log.base.index < base || log.base.index > trimmed)
      return `its log starts after ${log.base.index}, but it may only start after ${base} or be trimmed through ${trimmed}`
    if (termOfIn(scene, at, log.base.index) !== log.base.term)
      return `its log starts after ${log.base.index} of term ${log.base.term}, but the entry there was of another term`
    const configuration = at.tail.findLast((entry) => entry.kind === "configuration" && entry.index <= log.base.index)
    const before =
      configuration?.kind === "configuration"
        ? configuration.configuration
        : at.base !== null && at.base.index >= server.log.base
          ? at.base.configuration
          : configurationBefore(server.log, log.base.index)
    if (before !== undefined && !sameMembership(before, log.base.configuration))
      return `its log starts after ${log.base.index} with a configuration that was not in force there`
  } else if (at.base !== null && log.base.term !== at.base.term)
    return `its log starts after a snapshot of term ${log.base.term}, but the snapshot was of term ${at.base.term}`
  for (
    let index = Math.max(log.base.index + 1, Math.min(at.keep, lastOf(server.log)));
    index <= log.lastIndex;
    index++
  ) {
    const entry = log.entry(index)
    if (entry === undefined || !sameEntry(server, at, index, entry))
      return `entry ${index} of term ${entry?.term} has no known origin`
  }
  return null
}

export interface Settled {
  readonly wrong: string | null
  readonly at: Possible
}

/** What is wrong if no election happens at this point; null: nothing. */
const wrongEnd = (scene: Scene, elected: Possible, state: State, trimmed: number): Settled => {
  const { currentTerm, votedFor, role, commitIndex } = state
  const at = leaving(scene, elected, commitIndex)
  const steppedDown =
    at.role === "leader" && role.type === "follower" && role.leader === null && mayLeave(scene, at, commitIndex)
  const end: Possible = steppedDown
    ? { ...at, role: "follower", leader: null, verified: commitIndex, heardRound: 0 }
    : at
  const wrong = (detail: string): Settled => ({ wrong: detail, at: end })
  if (end.term !== currentTerm) return wrong(`its term is ${currentTerm}, but it may only be ${end.term}`)
  if (!same(end.vote, votedFor))
    return wrong(`its vote is for ${votedFor?.name ?? "nobody"}, but it may only be for ${end.vote?.name ?? "nobody"}`)
  if (end.role !== role.type) return wrong(`it is ${role.type}, but it may only be ${end.role}`)
  if (role.type === "follower" && !same(end.leader, role.leader))
    return wrong(`it follows ${role.leader?.name ?? "nobody"}, but it may only follow ${end.leader?.name ?? "nobody"}`)
  const log = wrongLog(scene, at, state, trimmed)
  if (log !== null) return wrong(log)
  if (commitIndex === at.commit) return { wrong: null, at: end }
  if (commitIndex < at.commit || at.role !== "leader")
    return wrong(`its commit index is ${commitIndex}, but it may only be ${at.commit}`)
  return { wrong: mayCommit(scene, elected, commitIndex), at: { ...end, commit: commitIndex } }
}

const settleOne = (scene: Scene, start: Possible, state: State, trimmed: number): Settled => {
  if (start.role !== "candidate" && start.role !== "preCandidate") return wrongEnd(scene, start, state, trimmed)
  const outcomes = elections(scene, start).map((at) => wrongEnd(scene, at, state, trimmed))
  return (
    outcomes.findLast(({ wrong }) => wrong === null) ?? outcomes.at(-1) ?? { wrong: "nothing is allowed", at: start }
  )
}

/** `trimmed`: how far its own snapshot allows it to trim the log. The last possibility is tried first. */
export const settle = (scene: Scene, possible: readonly Possible[], state: State, trimmed: number): Settled => {
  let first: Settled | undefined
  for (let i = possible.length - 1; i >= 0; i--) {
    const at = possible[i]
    if (at === undefined) continue
    const outcome = settleOne(scene, at, state, trimmed)
    if (outcome.wrong === null) return outcome
    first ??= outcome
  }
  return first ?? { wrong: "nothing is allowed", at: startingPoint(scene.server) }
}
