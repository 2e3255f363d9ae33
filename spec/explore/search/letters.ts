/** The contents of the automaton's tables: messages with their sender and receiver, and numbers that are not ids. */
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

/** The integers of one move: the next local state, the set of messages it sends, its kind, and flags. */
export const MOVE = 4
export const CRASH = 1
export const JUDGE = 2
/** From here on: 1 + the committed index that the move requires, or 0. */
export const COMMITTED_SHIFT = 3
export const OUTSIDE = -1
export const WRONG = -2
export const UNKNOWN = -3
export const GONE = -4

export interface AutomatonOptions {
  readonly symmetry: boolean
  readonly prune: boolean
}
