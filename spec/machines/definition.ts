/**
 * A user's machine definition, as `replicate` takes it, with its invariants. The debugger can load a module that
 * exports these.
 */
import type { Machine } from "../../interpreters/replica/index.ts"
import type { MachineDescriber } from "../../interpreters/replica/world/index.ts"

/** One command that a server has executed, with the state before it. */
export interface ExecutedStep<State, Command, Result> {
  readonly command: Command
  /** undefined: apply threw, and the command was undone. */
  readonly result: Result | undefined
  readonly before: State
  /** The command's index in the log. */
  readonly index: number
  /** Name of the server. */
  readonly server: string
}
/**
 * Called for each state that any server reaches. The invariant is violated if this throws, or returns false or a text
 * that says why.
 */
export type StateInvariant<State, Command, Result> = (
  state: State,
  step: ExecutedStep<State, Command, Result>,
) => boolean | string | void

export interface MachineUnderTest<State, Command, Result> {
  /** If it is a function, it makes one machine for each server, so that servers share nothing. */
  readonly machine: Machine<State, Command, Result> | (() => Machine<State, Command, Result>)
  /** One invariant, or several by name. */
  readonly invariant?:
    | StateInvariant<State, Command, Result>
    | Readonly<Record<string, StateInvariant<State, Command, Result>>>
  /** How commands, results and states are shown. Default: as JSON. */
  readonly describe?: MachineDescriber<State, Command, Result>
}
