/**
 * A replicated state machine in its author's terms: a state, and a function that executes one command on it. Everything
 * else (the log, exactly-once, snapshots) is made from that.
 */
import type { Draft } from "immer"
import type { Index, Stamp } from "../../../core/index.ts"

/** What `apply` may use beside state and command. The same on every server; nothing else may decide what it does. */
export interface ApplyContext<State> {
  /** Place of the command in the log. */
  readonly index: Index
  /** The replicated clock, in milliseconds since the epoch. Never falls along the log. Never use the time of the machine. */
  readonly time: Stamp
  /** Makes `next` the state, instead of what the draft has become. */
  readonly become: (next: State) => void
}

export interface Codec<T> {
  readonly encode: (value: T) => Uint8Array
  /** Throws what it cannot read. */
  readonly decode: (bytes: Uint8Array) => T
}

export interface Machine<State, Command, Result> {
  /** Before the first command. Plain data (objects, arrays, strings, numbers, booleans, null) unless `states` is given. */
  readonly initial: State
  /**
   * Executes one command. `state` is an immer draft: change it in place, or call `context.become`. The return value is the
   * command's result. A throw undoes the command: whoever executes it gets CommandFailed, on every server alike.
   *
   * It must be deterministic: no clock, no randomness, no I/O. What needs those is decided before, and is part of the command.
   */
  readonly apply: (state: Draft<State>, command: Command, context: ApplyContext<State>) => Result
  /** Default: JSON. */
  readonly commands?: Codec<Command>
  readonly results?: Codec<Result>
  /** Of the whole state at once, for snapshots. Default: JSON, written and read in slices. */
  readonly states?: Codec<State>
}

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true })

/** `undefined` is no JSON: it has no bytes. */
export const jsonCodec = <T>(): Codec<T> => ({
  encode: (value) => encoder.encode(JSON.stringify(value) ?? ""),
  decode: (bytes) => (bytes.length === 0 ? undefined : JSON.parse(decoder.decode(bytes))) as T,
})
