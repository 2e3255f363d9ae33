/** When a server must halt, and that a halted one does nothing. */
import { chainBreaksAt, flawOfMessage, isIndex, isTerm, type Message } from "../../core/index.ts"
import { fail, type ComparedStep } from "./history.ts"
import { brokenBy } from "./names.ts"
import type { ObservedStep } from "./index.ts"

/** The message claims an entry at `index` that differs from the committed one, as far as `seen` knows it. */
const contradicts = ({ before: { commit, log } }: ComparedStep, { index, term, chain }: Said): boolean => {
  const own = log.termAt(index)
  if (own === undefined || index > commit) return false
  return own !== term || log.chainAt(index) !== chain
}
interface Said {
  readonly index: number
  readonly term: number
  readonly chain: number
}

const shown = (seen: ComparedStep, message: Message): number | null => {
  if (message.type === "InstallSnapshot") return contradicts(seen, message.snapshot) ? message.snapshot.index : null
  if (message.type !== "AppendEntries") return null
  if (contradicts(seen, { index: message.prevLogIndex, term: message.prevLogTerm, chain: message.prevLogChain }))
    return message.prevLogIndex
  for (const entry of message.entries) if (contradicts(seen, entry)) return entry.index
  return null
}

/** For a step in which the server did not halt. Messages of earlier terms do not count. */
export const checkContradiction = (seen: ComparedStep, message: Message): void => {
  const { node, state } = seen
  if (
    message.term !== state.currentTerm ||
    flawOfMessage(message) !== null ||
    (message.type === "AppendEntries" && chainBreaksAt(message.prevLogChain, message.entries) !== null)
  )
    return
  const index = shown(seen, message)
  if (index !== null)
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
