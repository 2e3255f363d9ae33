/**
 * What must never happen has happened: a disk or a directory went back in time, or a peer is not what it says. A node
 * that sees it stops by name, whichever message shows it: to go on would be to lose what was acknowledged, silently.
 */
import { note, sameMember, type Turn } from "./turn.ts"
import type { Entry, Index, LogBase, Member, State, Term } from "./types.ts"

/** Why a node stops for good: what was found, and who showed it. */
export type Halted =
  /** Two servers lead one term: a vote was given twice. */
  | { readonly reason: "twoLeaders"; readonly term: Term; readonly leader: Member; readonly other: Member }
  /** The entry at `index` is committed here in `term`, and the leader has another there, of term `theirs`. */
  | { readonly reason: "committedConflict"; readonly index: Index; readonly term: Term; readonly leader: Member; readonly theirs: Term }
export type HaltReason = Halted["reason"]

/** In a line for people. */
export const haltText = (halted: Halted): string => {
  switch (halted.reason) {
    case "twoLeaders":
      return `${halted.leader.name} and ${halted.other.name} both lead term ${halted.term}, so somebody gave its vote twice`
    case "committedConflict":
      return `entry ${halted.index} is committed here in term ${halted.term}, and ${halted.leader.name}, which leads, has another there, of term ${halted.theirs}`
  }
}

/** The first reason stays. Nothing else comes of the batch, and nothing of later ones (step.ts). */
export const halt = (turn: Turn, halted: Halted): void => {
  if (turn.state.halted !== null) return
  note(turn, `halt.${halted.reason}`)
  turn.state.halted = halted
}

/**
 * "If a log entry is committed in a given term, then that entry will be present in the logs of the leaders for all
 * higher-numbered terms" (Leader Completeness, Figure 3). So what `leader` says to stand at `index` is compared with
 * what is known to be committed here. What the base covers is gone, but for its last entry. False: the node halts.
 */
const agrees = (turn: Turn, leader: Member, index: Index, term: Term): boolean => {
  const { log, commitIndex } = turn.state
  if (index > commitIndex || index < log.base.index) return true
  const own = log.termAt(index)
  if (own === undefined || own === term) return true
  halt(turn, { reason: "committedConflict", index, term: own, leader, theirs: term })
  return false
}

/** An append of the leader: what it starts after, and what it brings. */
export const appendAgrees = (turn: Turn, leader: Member, prevLogIndex: Index, prevLogTerm: Term, entries: readonly Entry[]): boolean => {
  if (!agrees(turn, leader, prevLogIndex, prevLogTerm)) return false
  const { commitIndex } = turn.state
  for (const entry of entries) {
    if (entry.index > commitIndex) return true
    if (!agrees(turn, leader, entry.index, entry.term)) return false
  }
  return true
}

export const snapshotAgrees = (turn: Turn, leader: Member, { index, term }: LogBase): boolean => agrees(turn, leader, index, term)

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
