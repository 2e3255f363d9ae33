/** Commands from clients: appended by the leader, forwarded or refused by everybody else (paper §8). */
import { chainOfCommand } from "./chain.ts"
import { awaitsClocks, nextStamp } from "./clock.ts"
import { MAX_INDEX } from "./domain.ts"
import { appendToLog } from "./durability.ts"
import { configurationOf } from "./membership.ts"
import { progressOf } from "./progress.ts"
import { hasQuorum } from "./quorum.ts"
import { asLeader, knownLeader, note, respond, sameMember, send, type Turn } from "./turn.ts"
import type {
  CommandEntry,
  ForwardProposal,
  ForwardProposalReply,
  Leader,
  Member,
  Payload,
  ProposalOutcome,
  ProposalRefusal,
  State,
} from "./types.ts"

const uncommittedBytes = ({ log, commitIndex }: State): number =>
  log.bytesThrough(log.lastIndex) - log.bytesThrough(commitIndex)

/**
 * Entries for which no quorum has room would only fill the leader's disk, and could not be committed. So the leader
 * refuses them, and resumes when enough voters report that they have room again.
 */
const quorumHasRoom = (state: State, leader: Leader): boolean => {
  let full = false
  for (const name in leader.progress) full ||= leader.progress[name]?.condition === "full"
  if (!full) return true
  return hasQuorum(
    configurationOf(state),
    (member) => sameMember(member, state.self) || progressOf(leader, member)?.condition !== "full",
  )
}

/** The sum of the payloads' bytes, or null if one of them is larger than an entry may be. */
const bytesOf = (payloads: readonly Payload[], most: number): number | null => {
  let bytes = 0
  for (const payload of payloads) {
    if (payload.bytes.length > most) return null
    bytes += payload.bytes.length
  }
  return bytes
}

const refusalReason = (state: State, payloads: readonly Payload[]): ProposalRefusal | null => {
  const leader = asLeader(state)
  if (leader === null) return knownLeader(state) === null ? "noLeader" : "notLeader"
  const bytes = bytesOf(payloads, state.settings.maxEntryBytes)
  if (bytes === null) return "tooLarge"
  if (state.spaceLow || !quorumHasRoom(state, leader)) return "spaceLow"
  if (state.log.lastIndex + payloads.length > MAX_INDEX) return "exhausted"
  if (leader.transfer !== null) return "transferring"
  if (awaitsClocks(state)) return "notReady"
  // One proposal always fits an idle leader, however large.
  const waiting = uncommittedBytes(state)
  return waiting > 0 && waiting + bytes > state.settings.maxUncommittedBytes ? "busy" : null
}

const refused = (
  turn: Turn,
  leader: Member | null,
  reason: ProposalRefusal = leader === null ? "noLeader" : "notLeader",
): ProposalOutcome => {
  note(turn, "proposal.refused")
  return { type: "ProposalRefused", reason, leader }
}

/** Appends all of the payloads, or none of them. */
const append = (turn: Turn, payloads: readonly Payload[]): ProposalOutcome => {
  const { state } = turn
  const reason = refusalReason(state, payloads)
  if (reason !== null) return refused(turn, knownLeader(state), reason)
  note(turn, "proposal.appended")
  const first = state.log.lastIndex + 1
  const term = state.currentTerm
  const time = nextStamp(state)
  let chain = state.log.last.chain
  const entries = payloads.map((payload, i): CommandEntry => {
    const index = first + i
    chain = chainOfCommand(chain, index, term, time, payload)
    return { kind: "command", index, term, time, chain, payload }
  })
  appendToLog(state, entries)
  return { type: "ProposalAppended", first, term }
}

export const onProposed = (turn: Turn, ref: number, payloads: readonly Payload[]): void => {
  const { state } = turn
  if (state.role.type === "leader") return respond(turn, ref, append(turn, payloads))
  const leader = knownLeader(state)
  if (bytesOf(payloads, state.settings.maxEntryBytes) === null) respond(turn, ref, refused(turn, leader, "tooLarge"))
  else if (leader !== null && state.settings.forwardProposals) {
    note(turn, "proposal.forwarded")
    state.forwarded.push({ ref, overdue: false })
    send(turn, leader, { type: "ForwardProposal", term: state.currentTerm, ref, bootId: state.bootId, payloads })
  } else respond(turn, ref, append(turn, payloads))
}

/**
 * Up to this many forwarded proposals of one start can overtake one another; one that arrives later than that is taken
 * for a duplicate.
 */
const OVERTAKING = 64

/** Records that a forwarded proposal is being answered; false if it was already answered. */
const isFirstCopy = ({ forwards }: Leader, from: Member, bootId: number, ref: number): boolean => {
  const known = forwards.find((each) => each.bootId === bootId && sameMember(each.from, from))
  if (known === undefined) {
    forwards.push({ from, bootId, floor: 0, recent: [ref] })
    return true
  }
  if (ref <= known.floor || known.recent.includes(ref)) return false
  known.recent.push(ref)
  if (known.recent.length > OVERTAKING) {
    known.floor = Math.min(...known.recent)
    known.recent = known.recent.filter((each) => each > known.floor)
  }
  return true
}

/**
 * A proposal is never forwarded a second time: the sender tries again with what this reply tells it. A refusal is
 * final, so only the leader of the term in which the proposal was forwarded may accept it, and a duplicate is ignored.
 */
export const onForwardProposal = (turn: Turn, from: Member, { term, ref, bootId, payloads }: ForwardProposal): void => {
  const { state } = turn
  const leader = asLeader(state)
  const current = term === state.currentTerm
  if (leader !== null && current && !isFirstCopy(leader, from, bootId, ref)) return
  const outcome = current ? append(turn, payloads) : refused(turn, knownLeader(state))
  const progress = leader === null || outcome.type !== "ProposalAppended" ? undefined : progressOf(leader, from)
  if (progress !== undefined) progress.wantsCommit = state.log.lastIndex
  send(turn, from, { type: "ForwardProposalReply", term: state.currentTerm, ref, bootId, outcome })
}

export const onForwardProposalReply = (turn: Turn, message: ForwardProposalReply): void => {
  const { state } = turn
  if (message.bootId !== state.bootId) return
  const at = state.forwarded.findIndex((forwarded) => forwarded.ref === message.ref)
  if (at < 0) return
  state.forwarded.splice(at, 1)
  respond(turn, message.ref, message.outcome)
}
