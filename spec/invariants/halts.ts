/** When a server must halt, and that a halted one does nothing. */
import {
  chainBreaksAt,
  flawOfMessage,
  isIndex,
  isTerm,
  type AppendEntries,
  type InstallSnapshot,
  type Message,
} from "../../core/index.ts"
import { fail, type ComparedStep, type ObservedServer, type ObservedStep } from "./history.ts"
import { brokenBy } from "./names.ts"

/** Something claims an entry at `index` that differs from the committed one, as far as the server knew it. */
const contradicts = ({ commit, log }: ObservedServer, index: number, term: number, chain: number): boolean => {
  const own = log.termAt(index)
  if (own === undefined || index > commit) return false
  return own !== term || log.chainAt(index) !== chain
}

const contradictionIn = (before: ObservedServer, message: AppendEntries | InstallSnapshot): number | null => {
  if (message.type === "InstallSnapshot") {
    const { index, term, chain } = message.snapshot
    return contradicts(before, index, term, chain) ? index : null
  }
  const { prevLogIndex, prevLogTerm, prevLogChain, entries } = message
  if (contradicts(before, prevLogIndex, prevLogTerm, prevLogChain)) return prevLogIndex
  for (const { index, term, chain } of entries) {
    // Entries come in order, and those after the commit index contradict nothing.
    if (index > before.commit) return null
    if (contradicts(before, index, term, chain)) return index
  }
  return null
}

/** What the gate (core/term.ts) refuses shows nothing. */
const isRefused = (message: AppendEntries | InstallSnapshot): boolean =>
  flawOfMessage(message) !== null ||
  (message.type === "AppendEntries" && chainBreaksAt(message.prevLogChain, message.entries) !== null)

/** For a step in which the server did not halt. Messages of earlier terms do not count. */
export const checkContradiction = ({ node, state, before }: ComparedStep, message: Message): void => {
  if (message.type !== "AppendEntries" && message.type !== "InstallSnapshot") return
  if (message.term !== state.currentTerm) return
  const index = contradictionIn(before, message)
  if (index !== null && !isRefused(message))
    fail(
      "ConflictHalts",
      node,
      `continues, although ${message.type} of the leader of term ${message.term} contradicts entry ${index}, which is committed here`,
    )
}

export const checkHalted = ({ node, state: { halted }, effects }: ObservedStep, allowed: boolean): void => {
  const more = effects.find(({ type }) => type !== "Halt" && type !== "Note")
  if (more !== undefined) fail("ConflictHalts", node, `has stopped, but still has the effect ${more.type}`)
  if (halted !== null && !allowed)
    fail(brokenBy[halted.reason], node, `it stops for a reason that must not occur here: ${JSON.stringify(halted)}`)
}

export const checkDomain = ({ node, state: { currentTerm, log } }: ComparedStep): void => {
  if (!isTerm(currentTerm) || !isIndex(log.lastIndex))
    fail(
      "NumbersInDomain",
      node,
      `its term is ${currentTerm} and its log ends at ${log.lastIndex}, more than can be written`,
    )
}
