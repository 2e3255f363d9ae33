/** A user's machine definition, as `replicate` takes it, with what is true of it. A module that exports these serves the debugger. */
import type { Machine } from "../../interpreters/replica/index.ts"
import type { MachineDescriber } from "../../interpreters/replica/world/index.ts"

/** One command that a server has executed, beside the state that it led to. */
export interface ExecutedStep<State, Command, Result> {
  readonly command: Command
  /** undefined: apply threw, and the command was undone. */
  readonly result: Result | undefined
  readonly before: State
  /** Place in the log. */
  readonly index: number
  /** Name of the server. */
  readonly server: string
}
/** Looks at each state that any server comes to. It does not hold if this throws, or answers false or a text that says why. */
export type StateInvariant<State, Command, Result> = (
  state: State,
  step: ExecutedStep<State, Command, Result>,
) => boolean | string | void

export interface MachineUnderTest<State, Command, Result> {
  /** A function makes one for each server: nothing of it is shared. */
  readonly machine: Machine<State, Command, Result> | (() => Machine<State, Command, Result>)
  /** One, or several by name. */
  readonly invariant?:
    | StateInvariant<State, Command, Result>
    | Readonly<Record<string, StateInvariant<State, Command, Result>>>
  /** How commands, results and states are told. Default: as JSON. */
  readonly describe?: MachineDescriber<State, Command, Result>
}
