/**
 * What must never happen has happened: a disk or a directory went back in time, or a peer is not what it says. A node
 * that sees it stops by name, whichever message shows it: to go on would be to lose what was acknowledged, silently.
 */
import { note, sameMember, type Turn } from "./turn.ts"
import type { Chain } from "./chain.ts"
import type { AppendEntries, Index, LogBase, Member, State, Term } from "./types.ts"

/** Why a node stops for good: what was found, and who showed it. */
export type Halted =
  /** Two servers lead one term: a vote was given twice. */
  | { readonly reason: "twoLeaders"; readonly term: Term; readonly leader: Member; readonly other: Member }
  /** The entry at `index` is committed here in `term`, and the leader has another there, of term `theirs`. */
  | { readonly reason: "committedConflict"; readonly index: Index; readonly term: Term; readonly leader: Member | null; readonly theirs: Term }
  /** The entry at `index` is of one `term` in both logs, and says something else, or stands after something else. */
  | { readonly reason: "logsDiverged"; readonly index: Index; readonly term: Term; readonly leader: Member | null; readonly committed: boolean }
export type HaltReason = Halted["reason"]

const told = (leader: Member | null): string => (leader === null ? "this server's own state machine" : `${leader.name}, which leads,`)
/** In a line for people. */
export const haltText = (halted: Halted): string => {
  switch (halted.reason) {
    case "twoLeaders":
      return `${halted.leader.name} and ${halted.other.name} both lead term ${halted.term}, so somebody gave its vote twice`
    case "committedConflict":
      return `entry ${halted.index} is committed here in term ${halted.term}, and ${told(halted.leader)} has another there, of term ${halted.theirs}`
    case "logsDiverged":
      return `entry ${halted.index} of term ${halted.term}${halted.committed ? ", which is committed here," : ""} is not the one that ${told(halted.leader)} has there: the logs differ at or before it, though index and term agree`
  }
}

/** The first reason stays. Nothing else comes of the batch, and nothing of later ones (step.ts). */
export const halt = (turn: Turn, halted: Halted): void => {
  if (turn.state.halted !== null) return
  note(turn, `halt.${halted.reason}`)
  turn.state.halted = halted
}

/**
 * What `leader` (null: the own state machine) says to stand at `index`, against what stands there. False: the node halts.
 *
 * "If a log entry is committed in a given term, then that entry will be present in the logs of the leaders for all
 * higher-numbered terms" (Leader Completeness, Figure 3): at or below the commit index another term is a contradiction.
 * "If two logs contain an entry with the same index and term, then the logs are identical in all entries up through the
 * given index" (Log Matching, the same): so is an equal term with another chain, committed or not. What the base covers
 * is gone, but for its last entry.
 */
const agrees = (turn: Turn, leader: Member | null, index: Index, term: Term, chain: Chain): boolean => {
  const { log, commitIndex } = turn.state
  const own = log.termAt(index)
  if (own === undefined) return true
  if (own === term) {
    if (log.chainAt(index) === chain) return true
    halt(turn, { reason: "logsDiverged", index, term, leader, committed: index <= commitIndex })
    return false
  }
  if (index > commitIndex) return true
  halt(turn, { reason: "committedConflict", index, term: own, leader, theirs: term })
  return false
}

/** An append of the leader: what it starts after, and what it brings. */
export const appendAgrees = (turn: Turn, leader: Member, { prevLogIndex, prevLogTerm, prevLogChain, entries }: AppendEntries): boolean => {
  if (!agrees(turn, leader, prevLogIndex, prevLogTerm, prevLogChain)) return false
  const { lastIndex } = turn.state.log
  for (const { index, term, chain } of entries) {
    if (index > lastIndex) return true
    if (!agrees(turn, leader, index, term, chain)) return false
  }
  return true
}

export const snapshotAgrees = (turn: Turn, leader: Member | null, { index, term, chain }: LogBase): boolean => agrees(turn, leader, index, term, chain)

/** "At most one leader can be elected in a given term" (Election Safety, Figure 3). False: here is a second one. */
export const onlyLeader = (turn: Turn, leader: Member): boolean => {
  const { state } = turn
  const known = state.termLeader
  if (known === null || sameMember(known, leader)) return true
  halt(turn, { reason: "twoLeaders", term: state.currentTerm, leader: known, other: leader })
  return false
}

/** What a halted node does: it says so, and nothing more. */
export const haltOnly = (turn: Turn): void => {
  const { halted } = turn.state
  if (halted === null) return
  turn.effects = turn.effects.filter((effect) => effect.type === "Note")
  turn.effects.push({ type: "Halt", halted })
}

export const isHalted = ({ halted }: State): boolean => halted !== null
