/** What the automaton's tables hold: messages with their ends, and the numbers that stand for something else than an id. */
import type { Member, Message } from "../../../core/index.ts"
import { renameMember, renameMessage, type Permutation } from "../identity.ts"

export interface Letter {
  readonly from: Member
  readonly to: Member
  readonly message: Message
}
export const renamed = ({ from, to, message }: Letter, names: Permutation): Letter => ({
  from: renameMember(from, names),
  to: renameMember(to, names),
  message: renameMessage(message, names),
})

/** Integers of one move: the local state it leads to, the set of messages it sends, what it is, and flags. */
export const MOVE = 4
export const CRASH = 1
export const JUDGE = 2
/** From here on: 1 + how much must be committed for the move to be the right one, or 0. */
export const COMMITTED_SHIFT = 3
export const OUTSIDE = -1
export const WRONG = -2
export const UNKNOWN = -3
export const GONE = -4

export interface AutomatonOptions {
  readonly symmetry: boolean
  readonly prune: boolean
}
