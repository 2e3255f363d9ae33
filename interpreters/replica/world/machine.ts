/**
 * A user's machine definition as the state machine of a simulated world, executed by the same code as in a replica.
 * Each command is executed a second time, from the same state but with other clocks and other randomness: a machine
 * that is not deterministic is found at the first command whose outcome differs.
 */
import type { Entry, LogBase } from "../../../core/index.ts"
import { makeRandom, mix, type WorldMachine } from "../../simulation/index.ts"
import { applyCommand } from "../machine/apply.ts"
import { jsonCodec, type Machine } from "../machine/definition.ts"
import { thrownText, type ExecutorImage, type ExecutionReport } from "../machine/execution.ts"
import { Executor } from "../machine/executor.ts"
import type { CommandOutcome } from "../machine/sessionTable.ts"
import { LineReader, linesOf } from "../machine/slices.ts"
import { withSources, type NondeterministicSources } from "./sources.ts"
import { differenceOf, valueHash, valueText } from "./values.ts"

/** The execution of one command, for checks and for people. */
export interface CommandExecuted<State, Command, Result> {
  readonly entry: Entry
  /** Identifies the command, whoever proposed it and however often. */
  readonly id: number
  readonly command: Command
  /** The bytes of the result, or that the command was undone. */
  readonly outcome: CommandOutcome
  /** undefined: the command was undone. */
  readonly result: Result | undefined
  readonly before: State
  readonly after: State
  /** Why `apply` is not deterministic, if this execution showed it. */
  readonly fault: string | null
}
/**
 * The result of one entry in a world: what a replica reports about it, and the command that was executed, if there was
 * one.
 */
export interface EntryExecuted<State, Command, Result> {
  readonly told: ExecutionReport | null
  readonly executed: CommandExecuted<State, Command, Result> | null
}

/** The state that was read back from a snapshot differs from the state that was written. */
export class SnapshotChangesState extends Error {
  override readonly name = "SnapshotChangesState"
}

// ------------------------------------------------------------------------------------------------- commands

/** First byte of a payload that is a command without a session. No ReplicaCommand begins with it. */
const PLAIN = 0x70

/** In a world commands are numbered, so that two equal ones can be told apart. */
const ID_BYTES = 6
export const numbered = (id: number, bytes: Uint8Array): Uint8Array => {
  const out = new Uint8Array(ID_BYTES + bytes.length)
  const view = new DataView(out.buffer)
  view.setUint16(0, Math.floor(id / 2 ** 32))
  view.setUint32(2, id % 2 ** 32)
  out.set(bytes, ID_BYTES)
  return out
}
export const numberOf = (body: Uint8Array): { readonly id: number; readonly bytes: Uint8Array } => {
  const view = new DataView(body.buffer, body.byteOffset, body.length)
  return {
    id: body.length < ID_BYTES ? 0 : view.getUint16(0) * 2 ** 32 + view.getUint32(2),
    bytes: body.subarray(ID_BYTES),
  }
}

/** The payload of a command that a script proposes. */
export const plainCommand = (id: number, bytes: Uint8Array): Uint8Array =>
  Uint8Array.from([PLAIN, ...numbered(id, bytes)])
export const isPlainPayload = (payload: Uint8Array): boolean => payload[0] === PLAIN && payload.length > ID_BYTES

// ------------------------------------------------------------------------------------------- is it the same

const random = (seed: number) => (): (() => number) => {
  const draws = makeRandom(seed)
  return () => draws.below(0x40000000) / 0x40000000
}
const DAY = 86_400_000
/** Clocks and randomness of an ordinary day, of another server, and of extreme cases. */
const days: readonly (Omit<NondeterministicSources, "random"> & { readonly random: () => () => number })[] = [
  { wall: 1_700_000_000_000, monotonic: 60_000, random: random(1) },
  { wall: 1_700_000_000_000 + DAY + 7, monotonic: 97_531, random: random(2) },
  { wall: 4_000_000_000_000, monotonic: 1e12, random: () => () => 1 - 2 ** -53 },
  { wall: 1, monotonic: 0, random: () => () => 0 },
]

/** What one execution of a command produced. */
export interface ExecutionResult<State> {
  readonly outcome: CommandOutcome
  readonly state: State
}
const applied = <State, Command, Result>(
  ...[machine, before, ...rest]: Parameters<typeof applyCommand<State, Command, Result>>
): ExecutionResult<State> & { readonly thrown: unknown } => {
  try {
    const { bytes, state } = applyCommand(machine, before, ...rest)
    return { outcome: { type: "result", bytes }, state, thrown: null }
  } catch (thrown) {
    return { outcome: { type: "undone", text: thrownText(thrown) }, state: before, thrown }
  }
}

/** `asked`: which non-deterministic sources it used. */
const askedFor = (asked: ReadonlySet<string>): string =>
  asked.size === 0
    ? "It uses no known source of differences: look for a variable outside of the state that apply changes, or a random source of Node"
    : `It uses ${[...asked].join(", ")}`
const ADVICE =
  "apply must use nothing but state, command and context: take the time from context.time, and put random values into the command before it is executed"

const resultText = (outcome: CommandOutcome, decode: (bytes: Uint8Array) => unknown): string =>
  outcome.type === "result"
    ? valueText(decode(outcome.bytes))
    : outcome.type === "undone"
      ? `a throw (${outcome.text})`
      : outcome.type
const sameOutcome = (one: CommandOutcome, other: CommandOutcome): boolean =>
  one.type === "result" && other.type === "result"
    ? one.bytes.length === other.bytes.length && one.bytes.every((byte, i) => byte === other.bytes[i])
    : one.type === other.type

/** How two executions of one command differ; null: they do not. */
export const disagreement = <State, Command, Result>(
  { states, results = jsonCodec<Result>() }: Machine<State, Command, Result>,
  one: ExecutionResult<State>,
  other: ExecutionResult<State>,
): string | null => {
  if (!sameOutcome(one.outcome, other.outcome))
    return `the result is ${resultText(one.outcome, results.decode)}, and then ${resultText(other.outcome, results.decode)}`
  const codec = states === undefined ? null : (value: State): string => Array.from(states.encode(value)).join()
  if (codec !== null && codec(one.state) !== codec(other.state))
    return "the states that it makes are written as different bytes"
  const found = codec === null ? differenceOf(one.state, other.state, "state") : null
  return found === null ? null : `${found.path} becomes ${valueText(found.one)}, and then ${valueText(found.other)}`
}

// -------------------------------------------------------------------------------------------------- machine

type Found<State> = { readonly state: State; readonly image: ExecutorImage }
type Watched<State> = (
  before: State,
  body: Uint8Array,
  context: { readonly index: number; readonly time: number },
) => ReturnType<typeof applied<State, never, never>>

class WatchedExecutor<State, Command, Result> extends Executor<State, Command, Result> {
  private readonly watch: Watched<State>
  constructor(machine: Machine<State, Command, Result>, found: Found<State>, watch: Watched<State>) {
    super(machine, found)
    this.watch = watch
  }
  protected override run(body: Uint8Array, index: number, time: number): Uint8Array {
    const { outcome, state, thrown } = this.watch(this.state, body, { index, time })
    if (outcome.type !== "result") throw thrown
    this.state = state
    return outcome.bytes
  }
}

export class ReplicaWorldMachine<State, Command, Result> implements WorldMachine {
  private readonly machine: Machine<State, Command, Result>
  private readonly describe: ((state: State) => unknown) | null
  readonly executor: Executor<State, Command, Result>
  private last: CommandExecuted<State, Command, Result> | null = null
  private entry: Entry | null = null
  /** The hash of a state, remembered for that object. */
  private hashed: { readonly state: State; readonly hash: number } | null = null

  constructor(
    machine: Machine<State, Command, Result>,
    describe: ((state: State) => unknown) | null,
    found: Found<State>,
  ) {
    this.machine = machine
    this.describe = describe
    this.executor = new WatchedExecutor(machine, found, (before, body, context) => this.twice(before, body, context))
  }
  position(): LogBase {
    return this.executor.position
  }
  apply(entries: readonly Entry[]): readonly EntryExecuted<State, Command, Result>[] {
    return entries.map((entry) => {
      this.last = null
      this.entry = entry
      const plain = entry.kind === "command" && isPlainPayload(entry.payload.bytes)
      const told = plain ? null : this.executor.execute(entry)
      if (plain) this.executor.executePlain(entry, entry.payload.bytes.subarray(1))
      return { told, executed: this.last }
    })
  }
  clone(): ReplicaWorldMachine<State, Command, Result> {
    const { executor, machine, describe } = this
    const copy = new ReplicaWorldMachine(machine, describe, { state: executor.state, image: executor.image() })
    copy.hashed = this.hashed
    return copy
  }
  digest(): number {
    return mix(this.executor.digest, this.hash()) >>> 0
  }
  show(): unknown {
    return this.describe === null ? this.executor.state : this.describe(this.executor.state)
  }
  /** Writes the state and reads it back, as a snapshot does. Throws StateNotPlain and SnapshotChangesState. */
  reread(): ReplicaWorldMachine<State, Command, Result> {
    const { executor, machine, describe } = this
    const { states } = machine
    const read = states === undefined ? readLines(executor.state) : states.decode(states.encode(executor.state))
    const copy = new ReplicaWorldMachine(machine, describe, { state: read, image: executor.image() })
    const found = states === undefined ? differenceOf(executor.state, read, "state") : null
    if (found !== null || copy.hash() !== this.hash())
      throw new SnapshotChangesState(
        `a server that is restored from a snapshot holds another state: ${found === null ? "what the codec of states reads is not what it wrote" : `${found.path} is ${valueText(found.one)}, and ${valueText(found.other)} once it was written and read again`}. The encoded state must contain everything that apply uses`,
      )
    return copy
  }

  private hash(): number {
    const { state } = this.executor
    if (this.hashed === null || this.hashed.state !== state) this.hashed = { state, hash: this.hashState(state) }
    return this.hashed.hash
  }
  private hashState(state: State): number {
    const { states } = this.machine
    return valueHash(states === undefined ? state : states.encode(state))
  }

  private twice(
    before: State,
    body: Uint8Array,
    context: { readonly index: number; readonly time: number },
  ): ReturnType<Watched<State>> {
    const { machine } = this
    const { commands = jsonCodec<Command>(), results = jsonCodec<Result>() } = machine
    const { id, bytes } = numberOf(body)
    const hashBefore = this.hash()
    const asked = new Set<string>()
    const once = (day: (typeof days)[number]): ReturnType<Watched<State>> =>
      withSources(
        { ...day, random: day.random() },
        (name) => asked.add(name),
        () => applied(machine, before, bytes, context),
      )
    const [usual, ...others] = days
    if (usual === undefined) throw new Error("there is no day")
    const first = once(usual)
    let fault: string | null = null
    if (this.hashState(before) !== hashBefore)
      fault =
        "apply changes the state that it was given, or one that it made before, without going through the draft: change the draft, or make a new state and call context.become. The copy that a snapshot and a paused reader hold would change with it"
    for (const [i, day] of others.entries()) {
      // A second execution is enough unless it used a non-deterministic source.
      if (fault !== null || (i > 0 && asked.size === 0)) break
      const difference = disagreement(machine, first, once(day))
      if (difference !== null)
        fault = `the same command on the same state has two outcomes: ${difference}. ${askedFor(asked)}. ${ADVICE}`
    }
    const { outcome, state } = first
    if (this.entry !== null)
      this.last = {
        entry: this.entry,
        id,
        command: readOr(commands.decode, bytes),
        outcome,
        result: outcome.type === "result" ? results.decode(outcome.bytes) : undefined,
        before,
        after: state,
        fault,
      }
    return first
  }
}

/** Reads a command for its description only. A command that cannot be read was undone when it was executed. */
const readOr = <A>(decode: (bytes: Uint8Array) => A, bytes: Uint8Array): A => {
  try {
    return decode(bytes)
  } catch {
    return `${bytes.length} bytes that are no command` as A
  }
}
const readLines = <State>(state: State): State => {
  const reader = new LineReader()
  for (const line of linesOf(state)) reader.push(line.slice(0, -1))
  return reader.value() as State
}

/** Used as WorldHooks.machine. Given a function, it makes a machine for each server and each of its starts. */
export const replicaWorldMachine =
  <State, Command, Result>(
    machine: Machine<State, Command, Result> | (() => Machine<State, Command, Result>),
    describe: ((state: State) => unknown) | null = null,
  ) =>
  (base: LogBase): ReplicaWorldMachine<State, Command, Result> => {
    const made = typeof machine === "function" ? machine() : machine
    return new ReplicaWorldMachine(made, describe, {
      state: made.initial,
      image: { position: base, digest: 0, sessionTable: { sessions: [] }, leases: [] },
    })
  }
