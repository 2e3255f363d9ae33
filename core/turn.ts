/** What a handler works on: the state that it changes and the effects that it adds to. Both are drafts of the same step. */
import type { Rule } from "./notes.ts"
import type { Effect, Follower, Leader, Member, Message, Outcome, State } from "./types.ts"

export interface Turn {
  state: State
  effects: Effect[]
}

export const note = (turn: Turn, rule: Rule): void => {
  turn.effects.push({ type: "Note", rule })
}
export const send = (turn: Turn, to: Member, message: Message): void => {
  turn.effects.push({ type: "Send", to, message })
}
export const respond = (turn: Turn, ref: number, outcome: Outcome): void => {
  turn.effects.push({ type: "Respond", ref, outcome })
}

export const sameMember = (a: Member | null, b: Member | null): boolean =>
  a === null || b === null ? a === b : a.name === b.name && a.incarnation === b.incarnation

/** The leader that this node knows of, for refusals and redirects. */
export const knownLeader = (state: State): Member | null =>
  state.role.type === "leader" ? state.self : state.role.type === "follower" ? state.role.leader : null

export const asLeader = (state: State): Leader | null => (state.role.type === "leader" ? state.role : null)
export const asFollower = (state: State): Follower | null => (state.role.type === "follower" ? state.role : null)
