/** What an object would do if only one client at a time used it: the specification for a history. */
import { type FunctionName, type Process, type Request, type Value } from "./history.ts"

/** An operation of a history that took effect or may have. Operations that certainly did not happen are left out. */
export interface Operation<Input = Request, Output = Value> {
  readonly process: Process
  readonly input: Input
  /** undefined: the output is unknown. */
  readonly output: Output | undefined
  /** The time of the invocation, in any unit; equal times count as concurrent. */
  readonly invoked: number
  /**
   * The time of the return. null: it was never seen to return. Then it may take effect at any time after its
   * invocation, or never.
   */
  readonly returned: number | null
  /** Its place in the file, for messages: the lines of its invocation and of its end. */
  readonly lines?: readonly [number, number | null]
}

export interface Answered<Input, Output> {
  readonly input: Input
  readonly output: Output | undefined
}

/** Returned by `step` for an operation that could not have given its answer. */
export const impossible: unique symbol = Symbol("impossible")

export interface Sight<State, Input, Output> {
  /**
   * Operations that are possible in any state, and after whose effect none of the history's answers can be given until
   * an operation of `overwrites` replaces the state: a write of a value that nobody read. If their outcome is unknown
   * they are left out, otherwise they need no search.
   */
  readonly unseen: ReadonlySet<Operation<Input, Output>>
  /** True for states from which, in the same way, no answer can be given. They all count as one state. */
  readonly isUnseen: (state: State) => boolean
}

export interface Model<State, Input, Output> {
  readonly name: string
  readonly init: State
  /**
   * The state after the operation, or `impossible` if it could not have answered `output` in this state. An output of
   * undefined is unknown: never impossible, and it leads to the same state as the true output. Pure.
   */
  readonly step: (state: State, input: Input, output: Output | undefined) => State | typeof impossible
  /** Two states are equal if and only if their keys are. Default: the state itself, which then must be a primitive. */
  readonly key?: (state: State) => string | number | bigint | boolean | null | undefined
  /**
   * Operations of different partitions (different keys) do not influence each other; each partition is checked
   * separately.
   */
  readonly partition?: (input: Input) => string
  /** Two operations are alike if and only if these are equal. Default: JSON. */
  readonly inputKey?: (input: Input) => string
  /**
   * True if an operation with this answer changes no state in which it is possible, such as a read. Such operations are
   * placed without search. Default: none.
   */
  readonly readOnly?: (input: Input, output: Output | undefined) => boolean
  /**
   * True if the operation is possible in every state and always leaves the same state, such as a write. Default: none.
   */
  readonly overwrites?: (input: Input, output: Output | undefined) => boolean
  /**
   * The observed part of a partition's history; it keeps the check of long histories cheap. Default: everything may
   * have been observed.
   */
  readonly sight?: (operations: readonly Operation<Input, Output>[]) => Sight<State, Input, Output>
  /**
   * Looking ahead, for read-only operations: `within` tells whether `goal` may become possible from this state by
   * operations that do not supply it; if not, it is impossible until an operation takes effect for which `supplies` is
   * true. Without these a wrong choice is noticed only when the operation must be placed. Default: both are always
   * true.
   */
  readonly within?: (state: State, goal: Answered<Input, Output>) => boolean
  readonly supplies?: (input: Input, goal: Answered<Input, Output>) => boolean
  /**
   * An operation whose answer no order explains, if a simple look shows that: the read of a value that was never
   * written.
   */
  readonly absurd?: (
    operations: readonly Operation<Input, Output>[],
    init: State,
  ) => Operation<Input, Output> | undefined
  /** For people: `write 3`, `read → nil`. Default: JSON. */
  readonly describe?: (input: Input, output: Output | undefined) => string
  readonly describeState?: (state: State) => string
}

export interface RequestModel<State> extends Model<State, Request, Value> {
  /** The operations that it knows; a history with another operation is refused before it is checked. */
  readonly functions: readonly FunctionName[]
}

const pairOf = (value: Value): readonly [Value, Value] =>
  Array.isArray(value) ? [(value as readonly Value[])[0] ?? null, (value as readonly Value[])[1] ?? null] : [null, null]
const keyOf = (value: Value): string | number | boolean | null =>
  typeof value === "object" && value !== null ? `json ${JSON.stringify(value)}` : value
const same = (a: Value, b: Value): boolean => a === b || keyOf(a) === keyOf(b)
/** In the key-value store values are text: a client that writes 3 and one that reads "3" mean the same. */
const textOf = (value: Value): string | null =>
  value === null || typeof value === "string" ? value : JSON.stringify(value)
const show = (value: Value): string => (value === null ? "nil" : JSON.stringify(value))

const readOnly = ({ f }: Request, output: Value | undefined): boolean =>
  f === "read" || (output === false && (f === "cas" || f === "delete"))

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

interface Seen<State> {
  /** Whether a value that an operation leaves can have been part of an observed value. */
  readonly isPart: (left: Value, f: FunctionName) => boolean
  readonly isSeen: (state: State) => boolean
}

/**
 * `among` receives the observed values: results of reads, and the expected values of successful cas. An unknown cas
 * that leaves an observed value may itself have needed the value it expects, so that counts as observed too.
 */
const sight =
  <State>(among: (seen: readonly Value[]) => Seen<State>) =>
  (operations: readonly Operation[]): Sight<State, Request, Value> => {
    const values = new Map<unknown, Value>()
    const unseen = new Set<Operation>()
    let undecided: Operation[] = []
    for (const operation of operations) {
      const { input, output } = operation
      if (input.f === "read") {
        if (output === undefined) unseen.add(operation)
        else values.set(keyOf(output), output)
        continue
      }
      if (input.f === "cas" && output === true) values.set(keyOf(pairOf(input.value)[0]), pairOf(input.value)[0])
      // These answers are possible with many values, so no single value counts as observed.
      else if (
        (input.f === "cas" && output === false) ||
        input.f === "incr" ||
        (input.f === "delete" && typeof output === "boolean")
      )
        return { unseen, isUnseen: () => false }
      if (input.f !== "delete" && (input.f !== "cas" || output === undefined)) undecided.push(operation)
    }
    let seen = among([...values.values()])
    for (let size = -1; size !== values.size;) {
      size = values.size
      undecided = undecided.filter(({ input: { f, value }, output }) => {
        const [from, to] = pairOf(value)
        if (!seen.isPart(f === "cas" ? to : value, f)) return true
        if (f === "cas" && output === undefined) values.set(keyOf(from), from)
        return false
      })
      seen = among([...values.values()])
    }
    for (const operation of undecided) unseen.add(operation)
    const { isSeen } = seen
    return { unseen, isUnseen: (state) => !isSeen(state) }
  }

/**
 * A read that returned a value which no operation invoked before can have written: as a whole value, or by append as
 * its end.
 */
const absurd =
  (reads: (state: Value, seen: Value) => boolean) =>
  (operations: readonly Operation[], init: Value): Operation | undefined => {
    const wholes = new Map<string | null, number>()
    const ends = new Map<string, number>()
    for (const {
      invoked,
      output,
      input: { f, value },
    } of operations) {
      if (f === "incr") return undefined
      if (f === "append") ends.set(textOf(value) ?? "", Math.min(invoked, ends.get(textOf(value) ?? "") ?? Infinity))
      else if (f === "write" || (f === "cas" && output !== false)) {
        const text = textOf(f === "cas" ? pairOf(value)[1] : value)
        wholes.set(text, Math.min(invoked, wholes.get(text) ?? Infinity))
      }
    }
    const lengths = new Set([...ends.keys()].map(({ length }) => length))
    return operations.find(({ returned, output, input: { f } }) => {
      if (f !== "read" || output === undefined || returned === null || reads(null, output) || reads(init, output))
        return false
      const text = textOf(output) ?? ""
      return (
        !((wholes.get(text) ?? Infinity) <= returned) &&
        ![...lengths].some(
          (length) => length <= text.length && (ends.get(text.slice(text.length - length)) ?? Infinity) <= returned,
        )
      )
    })
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
  overwrites: ({ f }) => f === "write",
  sight: sight((seen) => {
    const keys = new Set(seen.map(keyOf))
    return { isPart: (left) => keys.has(keyOf(left)), isSeen: (state) => keys.has(keyOf(state)) }
  }),
  within: (state, { input: { f }, output }) => f !== "read" || output === undefined || same(state, output),
  supplies: ({ f, value }, { output = null }) => same(f === "cas" ? pairOf(value)[1] : value, output),
  absurd: absurd(same),
  describe: describeRequest,
  describeState: show,
}

/** The same with another initial value for every key. */
export const startingAt = <State>(model: RequestModel<State>, value: Value): RequestModel<State> => {
  const written = model.step(model.init, { f: "write", key: null, value }, null)
  return written === impossible ? model : { ...model, init: written }
}

const integer = /^-?\d+$/
/** Histories without nil use "" for an absent value. */
const reads = (state: string | null, output: Value): boolean =>
  state === textOf(output) || (state === null && output === "")

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
  // An append stays in the value until the whole value is replaced; later values begin with what a write leaves.
  readOnly,
  overwrites: ({ f }, output) => f === "write" || (f === "delete" && typeof output !== "boolean"),
  sight: sight((seen) => {
    const texts = seen.map((value) => textOf(value) ?? "").sort()
    const all = texts.join("\0")
    const isPrefix = (text: string): boolean => {
      let low = 0
      for (let high = texts.length; low < high;) {
        const middle = (low + high) >> 1
        if ((texts[middle] ?? "") < text) low = middle + 1
        else high = middle
      }
      return texts[low]?.startsWith(text) === true
    }
    return {
      isPart: (left, f) => (f === "append" ? all.includes(textOf(left) ?? "") : isPrefix(textOf(left) ?? "")),
      isSeen: (state) => isPrefix(state ?? ""),
    }
  }),
  // Without a write, a delete or the like a value only grows.
  within: (state, { input: { f }, output }) =>
    f !== "read" || output === undefined || (textOf(output) ?? "").startsWith(state ?? ""),
  supplies: ({ f, value }, { output = null }) =>
    f === "incr" ||
    f === "delete" ||
    (f !== "append" && (textOf(output) ?? "").startsWith(textOf(f === "cas" ? pairOf(value)[1] : value) ?? "")),
  absurd: absurd((state, seen) => reads(textOf(state), seen)),
  describe: describeRequest,
  describeState: show,
}
