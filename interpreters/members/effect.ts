/** The same verbs as Effects, with their errors in the type. An interrupted one starts no further step. */
import * as Effect from "effect/Effect"
import { MemberAborted, MemberError } from "./errors.ts"
import type { VerbDone, Members, VerbOptions } from "./members.ts"
import type { MemberList } from "./list.ts"

type AsEffect<F> = F extends (...args: infer A) => Promise<infer R>
  ? (...args: A) => Effect.Effect<R, MemberError>
  : never
export type MembersEffect = { readonly [V in keyof Members]: AsEffect<Members[V]> }

const run = <A extends VerbDone | MemberList>(
  verb: (signal: AbortSignal) => Promise<A>,
): Effect.Effect<A, MemberError> =>
  Effect.tryPromise({
    try: verb,
    catch: (error) => (error instanceof MemberError ? error : new MemberAborted(String(error), null, true)),
  })
const both = (given: AbortSignal | undefined, own: AbortSignal): AbortSignal =>
  given === undefined ? own : AbortSignal.any([given, own])
const until = <O extends Pick<VerbOptions, "signal">>(
  options: O | undefined,
  signal: AbortSignal,
): O & { readonly signal: AbortSignal } => ({ ...(options ?? ({} as O)), signal: both(options?.signal, signal) })

export const membersEffect = (members: Members): MembersEffect => ({
  list: (options) => run((signal) => members.list(until(options, signal))),
  add: (name, options) => run((signal) => members.add(name, until(options, signal))),
  promote: (name, options) => run((signal) => members.promote(name, until(options, signal))),
  remove: (name, options) => run((signal) => members.remove(name, until(options, signal))),
  replace: (name, options) => run((signal) => members.replace(name, until(options, signal))),
  transfer: (to, options) => run((signal) => members.transfer(to, until(options, signal))),
})
