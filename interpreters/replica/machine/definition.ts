/**
 * A replicated state machine as its author writes it: a state, and a function that executes one command on it.
 * Everything else (the log, exactly-once, snapshots) is built on that.
 */
import type { Draft } from "immer"
import type { Index, Stamp } from "../../../core/index.ts"

/**
 * What `apply` may use besides state and command. It is the same on every server; the result must depend on nothing
 * else.
 */
export interface ApplyContext<State> {
  /** The command's index in the log. */
  readonly index: Index
  /**
   * The replicated clock, in milliseconds since the epoch. It never falls along the log. Never use the clock of the
   * machine.
   */
  readonly time: Stamp
  /** Makes `next` the new state and drops the draft. */
  readonly become: (next: State) => void
}

export interface Codec<T> {
  readonly encode: (value: T) => Uint8Array
  /** Throws if it cannot read the bytes. */
  readonly decode: (bytes: Uint8Array) => T
}

export interface Machine<State, Command, Result> {
  /**
   * The state before the first command. Plain data (objects, arrays, strings, numbers, booleans, null) unless `states`
   * is given.
   */
  readonly initial: State
  /**
   * Executes one command. `state` is an immer draft: change it in place, or call `context.become`. The return value is
   * the command's result. If it throws, the command is undone on every server, and whoever executes it gets
   * CommandFailed.
   *
   * It must be deterministic: no clock, no randomness, no I/O. Whatever needs those must be decided before, and be part
   * of the command.
   */
  readonly apply: (state: Draft<State>, command: Command, context: ApplyContext<State>) => Result
  /** Default: JSON. */
  readonly commands?: Codec<Command>
  readonly results?: Codec<Result>
  /** For the whole state, in snapshots. Default: JSON, written and read in slices. */
  readonly states?: Codec<State>
}

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true })

/** `undefined` cannot be written as JSON: it becomes no bytes at all. */
export const jsonCodec = <T>(): Codec<T> => ({
  encode: (value) => encoder.encode(JSON.stringify(value) ?? ""),
  decode: (bytes) => (bytes.length === 0 ? undefined : JSON.parse(decoder.decode(bytes))) as T,
})
