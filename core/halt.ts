/**
 * Contradictions that can only mean that a disk or a directory went back in time, or that a peer is not what it claims to
 * be. A node that sees one stops with the reason, whichever message shows it: if it went on, acknowledged writes would be
 * lost silently.
 */
import { note, sameMember, type Turn } from "./turn.ts"
import type { AppendEntries, Chain, Halted, Index, LogBase, Member, State, Term } from "./types.ts"

const shownBy = (leader: Member | null): string =>
  leader === null ? "this server's own state machine" : `${leader.name}, the leader,`
/** The reason as one line for people. */
export const haltText = (halted: Halted): string => {
  switch (halted.reason) {
    case "twoLeaders":
      return `${halted.leader.name} and ${halted.other.name} both lead term ${halted.term}, so some server voted twice`
    case "committedConflict":
      return `entry ${halted.index} is committed here in term ${halted.term}, but ${shownBy(halted.leader)} has a different entry there, of term ${halted.theirs}`
    case "logsDiverged":
      return `entry ${halted.index} of term ${halted.term}${halted.committed ? ", which is committed here," : ""} differs from the one that ${shownBy(halted.leader)} has there: index and term agree, but the logs differ at or before it`
  }
}

/** The first reason is kept. The batch has no other effect, and later batches have none at all (step.ts). */
export const halt = (turn: Turn, halted: Halted): void => {
  if (turn.state.halted !== null) return
  note(turn, `halt.${halted.reason}`)
  turn.state.halted = halted
}

/**
 * Compares the entry that `leader` (null: this node's own state machine) has at `index` with the one in the log. False: the
 * node halts.
 *
 * "If a log entry is committed in a given term, then that entry will be present in the logs of the leaders for all
 * higher-numbered terms" (Leader Completeness, Figure 3): at or below the commit index, a different term is a contradiction.
 * "If two logs contain an entry with the same index and term, then the logs are identical in all entries up through the
 * given index" (Log Matching, Figure 3): an equal term with a different chain is one too, committed or not. Of the trimmed
 * entries only the last can still be compared.
 */
const agrees = (turn: Turn, leader: Member | null, index: Index, term: Term, chain: Chain): boolean => {
  const { log, commitIndex } = turn.state
  const own = log.at(index)
  if (own === undefined) return true
  if (own.term === term) {
    if (own.chain === chain) return true
    halt(turn, { reason: "logsDiverged", index, term, leader, committed: index <= commitIndex })
    return false
  }
  if (index > commitIndex) return true
  halt(turn, { reason: "committedConflict", index, term: own.term, leader, theirs: term })
  return false
}

/** Checks an append: the entry before it, and the entries that it carries. */
export const appendAgrees = (
  turn: Turn,
  leader: Member,
  { prevLogIndex, prevLogTerm, prevLogChain, entries }: AppendEntries,
): boolean => {
  if (!agrees(turn, leader, prevLogIndex, prevLogTerm, prevLogChain)) return false
  const { lastIndex } = turn.state.log
  for (const { index, term, chain } of entries) {
    if (index > lastIndex) return true
    if (!agrees(turn, leader, index, term, chain)) return false
  }
  return true
}

export const snapshotAgrees = (turn: Turn, leader: Member | null, { index, term, chain }: LogBase): boolean =>
  agrees(turn, leader, index, term, chain)

/** "At most one leader can be elected in a given term" (Election Safety, Figure 3). False: `leader` is a second one. */
export const isOnlyLeader = (turn: Turn, leader: Member): boolean => {
  const { state } = turn
  const known = state.termLeader
  if (known === null || sameMember(known, leader)) return true
  halt(turn, { reason: "twoLeaders", term: state.currentTerm, leader: known, other: leader })
  return false
}

/** A halted node emits Halt, and no other effect except notes. */
export const haltOnly = (turn: Turn): void => {
  const { halted } = turn.state
  if (halted === null) return
  turn.effects = turn.effects.filter((effect) => effect.type === "Note")
  turn.effects.push({ type: "Halt", halted })
}

export const isHalted = ({ halted }: State): boolean => halted !== null
