/** What an object would do if only one client at a time used it: the specification that a history is held against. */
import { type F, type Process, type Request, type Value } from "./history.ts"

/** An operation of a history that took effect or may have. One that is known not to have happened is not in it. */
export interface Operation<Input = Request, Output = Value> {
  readonly process: Process
  readonly input: Input
  /** undefined: unknown. */
  readonly output: Output | undefined
  /** Order of real time, in any unit; equal times count as concurrent. */
  readonly invoked: number
  /** null: nobody saw it return. It may take effect at any time after its invocation, or never. */
  readonly returned: number | null
  /** Where it stands in its file, for messages: lines of its invocation and of its end. */
  readonly lines?: readonly [number, number | null]
}

/** What `step` gives for an operation that could not have answered so. */
export const impossible: unique symbol = Symbol("impossible")

export interface Model<State, Input, Output> {
  readonly name: string
  readonly init: State
  /**
   * The state after the operation, or `impossible` if it could not have answered `output` in this state. An output of
   * undefined is unknown: never impossible, and it leads to the state that the true output leads to. Pure.
   */
  readonly step: (state: State, input: Input, output: Output | undefined) => State | typeof impossible
  /** Two states are equal if and only if their keys are. Default: the state itself, which then must be a primitive. */
  readonly key?: (state: State) => string | number | bigint | boolean | null | undefined
  /** Operations of different partitions do not influence one another (different keys); each is checked alone. */
  readonly partition?: (input: Input) => string
  /** Two operations are alike if and only if these are equal. Default: JSON. */
  readonly inputKey?: (input: Input) => string
  /** True if an operation with this answer changes no state in which it is possible, as a read. Such are placed without search. Default: none. */
  readonly readOnly?: (input: Input, output: Output | undefined) => boolean
  /**
   * Those of one partition's operations of unknown output that no other can need: whenever there is an order with them
   * there is one without. They are left out, which is what keeps histories with many of them cheap. Default: none.
   */
  readonly forgettable?: (operations: readonly Operation<Input, Output>[]) => ReadonlySet<Operation<Input, Output>>
  /** For people: `write 3`, `read → nil`. Default: JSON. */
  readonly describe?: (input: Input, output: Output | undefined) => string
  readonly describeState?: (state: State) => string
}

export interface RequestModel<State> extends Model<State, Request, Value> {
  /** What it knows; a history with another operation is refused before it is checked. */
  readonly functions: readonly F[]
}

const pairOf = (value: Value): readonly [Value, Value] => (Array.isArray(value) ? [(value as readonly Value[])[0] ?? null, (value as readonly Value[])[1] ?? null] : [null, null])
const keyOf = (value: Value): string | number | boolean | null => (typeof value === "object" && value !== null ? `json ${JSON.stringify(value)}` : value)
const same = (a: Value, b: Value): boolean => a === b || keyOf(a) === keyOf(b)
const show = (value: Value): string => (value === null ? "nil" : JSON.stringify(value))

const readOnly = ({ f }: Request, output: Value | undefined): boolean => f === "read" || (output === false && (f === "cas" || f === "delete"))

export const describeRequest = ({ f, value, key }: Request, output: Value | undefined): string => {
  const on = key === null ? "" : `${key}: `
  const answer = output === undefined ? " → ?" : ""
  switch (f) {
    case "read":
      return `${on}read → ${output === undefined ? "?" : show(output)}`
    case "write":
    case "append":
      return `${on}${f} ${show(value)}${answer}`
    case "cas": {
      const [from, to] = pairOf(value)
      return `${on}cas ${show(from)} to ${show(to)}${output === false ? " → refused" : answer}`
    }
    case "delete":
      return `${on}delete${output === undefined ? answer : output === false ? " → nothing there" : ""}`
    case "incr":
      return `${on}incr${value === null || value === 1 ? "" : ` by ${show(value)}`}${output === undefined ? answer : output === null ? "" : ` → ${show(output)}`}`
  }
}

/**
 * Which unknown operations can be forgotten. `seen` is what was observed of the value: results of reads, what a cas that
 * succeeded expected; `explains` tells if a value that an operation leaves can have been part of an observed one. An
 * unknown cas that is kept may itself have needed the value it expects, so that is observed too.
 */
const forgettable = (explains: (left: Value, f: F, seen: Value) => boolean) => (operations: readonly Operation[]): ReadonlySet<Operation> => {
  const seen: Value[] = []
  let anything = false
  for (const { input, output } of operations) {
    if (input.f === "read") {
      if (output !== undefined) seen.push(output)
    } else if (input.f === "cas") {
      if (output === true) seen.push(pairOf(input.value)[0])
      // "It was another value" is told by whatever made it another one.
      else if (output === false) anything = true
    } else if (input.f === "incr" || (input.f === "delete" && typeof output === "boolean")) anything = true
  }
  const forgotten = new Set<Operation>()
  const open: Operation[] = []
  for (const operation of operations) {
    if (operation.output !== undefined) continue
    if (operation.input.f === "read") forgotten.add(operation)
    else if (!anything && operation.input.f !== "delete") open.push(operation)
  }
  const distinct = [...new Map(seen.map((value) => [keyOf(value), value])).values()]
  for (let undecided = open, grew = true; grew; ) {
    grew = false
    const rest: Operation[] = []
    for (const operation of undecided) {
      const { f, value } = operation.input
      const [from, to] = pairOf(value)
      const left = f === "cas" ? to : value
      if (!distinct.some((one) => explains(left, f, one))) rest.push(operation)
      else if (f === "cas" && !distinct.some((one) => same(one, from))) {
        distinct.push(from)
        grew = true
      }
    }
    undecided = rest
    if (!grew) for (const operation of rest) forgotten.add(operation)
  }
  return forgotten
}

/** A register with read, write and compare-and-set, nil at first. Each key is a register of its own. */
export const register: RequestModel<Value> = {
  name: "register",
  functions: ["read", "write", "cas"],
  init: null,
  step: (state, { f, value }, output) => {
    if (f === "read") return output === undefined || same(state, output) ? state : impossible
    if (f === "write") return value
    const [from, to] = pairOf(value)
    const fits = same(state, from)
    if (output !== undefined && fits !== output) return impossible
    return fits ? to : state
  },
  key: keyOf,
  partition: ({ key }) => key ?? "",
  inputKey: ({ f, value }) => `${f} ${JSON.stringify(value)}`,
  readOnly,
  forgettable: forgettable((left, _, seen) => same(left, seen)),
  describe: describeRequest,
  describeState: show,
}

/** Values are text: a client that writes 3 and one that reads "3" mean the same. */
const textOf = (value: Value): string | null => (value === null || typeof value === "string" ? value : JSON.stringify(value))
const integer = /^-?\d+$/
/** A history that has no nil says "" for what is not there. */
const reads = (state: string | null, output: Value): boolean => state === textOf(output) || (state === null && output === "")

/** A key-value store: read (get), write (put, set), append, delete, cas and incr, each on one key. */
export const kv: RequestModel<string | null> = {
  name: "kv",
  functions: ["read", "write", "cas", "append", "delete", "incr"],
  init: null,
  step: (state, { f, value }, output) => {
    switch (f) {
      case "read":
        return output === undefined || reads(state, output) ? state : impossible
      case "write":
        return textOf(value)
      case "append":
        return (state ?? "") + (textOf(value) ?? "")
      case "delete":
        return typeof output === "boolean" && output !== (state !== null) ? impossible : null
      case "cas": {
        const [from, to] = pairOf(value)
        const fits = reads(state, from)
        if (output !== undefined && fits !== output) return impossible
        return fits ? textOf(to) : state
      }
      case "incr": {
        if (state !== null && !integer.test(state)) return output === undefined ? state : impossible
        const next = String(BigInt(state ?? "0") + BigInt(textOf(value ?? 1) ?? "1"))
        return output === undefined || output === null || textOf(output) === next ? next : impossible
      }
    }
  },
  partition: ({ key }) => key ?? "",
  inputKey: ({ f, value }) => `${f} ${JSON.stringify(value)}`,
  // An append stays visible until the value is replaced as a whole; what a write leaves is how later values begin.
  readOnly,
  forgettable: forgettable((left, f, seen) => {
    const part = textOf(left) ?? ""
    const whole = textOf(seen) ?? ""
    return f === "append" ? whole.includes(part) : whole.startsWith(part)
  }),
  describe: describeRequest,
  describeState: show,
}
