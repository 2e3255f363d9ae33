/** Histories for the tests of the checker: small ones of every kind, long ones that are linearizable by construction, and brute force. */
import { makeRandom, type Random } from "../interpreters/simulation/index.ts"
import {
  impossible,
  type FunctionName,
  type Model,
  type Operation,
  type Request,
  type RequestModel,
  type Value,
} from "../spec/index.ts"

/** Tries every order that respects real time, of all returned operations and any of the others. Remembers nothing. */
export const bruteForce = <State, Input, Output>(
  history: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
): boolean => {
  const parts = new Map<string, Operation<Input, Output>[]>()
  for (const operation of history)
    parts.set(model.partition?.(operation.input) ?? "", [
      ...(parts.get(model.partition?.(operation.input) ?? "") ?? []),
      operation,
    ])
  const possible = (left: readonly Operation<Input, Output>[], state: State): boolean =>
    left.every(({ returned }) => returned === null) ||
    left.some((operation, at) => {
      if (left.some((other) => other.returned !== null && other.returned < operation.invoked)) return false
      const next = model.step(state, operation.input, operation.output)
      return next !== impossible && possible(left.toSpliced(at, 1), next)
    })
  return [...parts.values()].every((part) => possible(part, model.init))
}

const valueFor = (random: Random, f: FunctionName, values: number, unique: () => number): Value => {
  switch (f) {
    case "read":
    case "delete":
      return null
    case "write":
      return values === 0 ? unique() : random.below(values)
    case "append":
      return values === 0 ? `${unique()} ` : String(random.below(values))
    case "cas":
      return [random.chance(150) ? null : random.below(Math.max(values, 3)), random.below(Math.max(values, 3))]
    case "incr":
      return random.between(1, 2)
  }
}

/** The answer to a request in a state. */
export const answer = (
  model: RequestModel<Value> | RequestModel<string | null>,
  state: Value,
  { f, value }: Request,
): Value => {
  if (f === "read") return state
  if (f === "cas") return (model as RequestModel<Value>).step(state, { f, key: null, value }, true) !== impossible
  if (f === "delete") return state !== null
  if (f === "incr") {
    const next = (model as RequestModel<Value>).step(state, { f, key: null, value }, undefined)
    return next === impossible || next === state ? null : next
  }
  return null
}

export interface Generated {
  readonly seed: number
  readonly operations: number
  readonly clients: number
  readonly keys: number
  /** How many different values are written; 0: all are different. */
  readonly values: number
  readonly functions: readonly FunctionName[]
  /** Per mille: operations whose outcome nobody learns. */
  readonly unknown: number
  /** Ticks from one event of a client to its next, at most. */
  readonly spread?: number
}

/** Clients in a closed loop on an object that is linearizable; an unknown operation takes effect at some time, or never. */
export const generate = (
  model: RequestModel<Value> | RequestModel<string | null>,
  { seed, operations, clients, keys, values, functions, unknown, spread = 1_000 }: Generated,
): Operation[] => {
  const random = makeRandom(seed)
  const step = model.step as RequestModel<Value>["step"]
  const states = new Map<string, Value>()
  let fresh = 0
  interface Plan {
    readonly at: number
    readonly do: () => void
  }
  const agenda: Plan[] = []
  let now = 0
  const later = (ticks: number, work: () => void): void => {
    const at = now + ticks
    let low = 0
    for (let high = agenda.length; low < high;) {
      const middle = (low + high) >> 1
      if ((agenda[middle]?.at ?? 0) >= at) low = middle + 1
      else high = middle
    }
    agenda.splice(low, 0, { at, do: work })
  }
  const history: Operation[] = []
  let process = clients
  let clock = 0
  const client = (name: number): void => {
    if (history.length >= operations) return
    const f = random.pick(functions) ?? "read"
    const key = `k${random.below(keys)}`
    const input: Request = { f, key, value: valueFor(random, f, values, () => (fresh += 1)) }
    const at = history.length
    const invoked = (clock += 1)
    history.push({ process: name, input, output: undefined, invoked, returned: null })
    const lost = random.chance(unknown)
    const effect = (): Value => {
      const state = states.get(key) ?? model.init
      const output = answer(model, state, input)
      const next = step(state, input, undefined)
      states.set(key, next === impossible ? state : next)
      return output
    }
    if (lost) {
      if (random.chance(500)) later(random.between(1, spread * 20), effect)
      later(random.between(1, spread), () => client((process += 1)))
      return
    }
    later(random.between(1, spread), () => {
      const output = effect()
      later(random.between(1, spread), () => {
        // An incr of a value that is no number is an error: it did not happen.
        history[at] = { process: name, input, output, invoked, returned: (clock += 1) }
        later(random.between(0, spread >> 2), () => client(name))
      })
    })
  }
  for (let name = 0; name < clients; name++) later(random.below(spread), () => client(name))
  for (let plan = agenda.pop(); plan !== undefined; plan = agenda.pop()) {
    now = plan.at
    plan.do()
  }
  // Operations that were open when the last one was invoked have ended.
  return history
}

/** Replaces one answer of a read: by that of another operation, or by a value that nobody wrote. */
export const corrupt = (
  history: readonly Operation[],
  seed: number,
  value: (seen: readonly Value[], random: Random) => Value,
): Operation[] => {
  const random = makeRandom(seed)
  const reads = history.flatMap((operation, at) =>
    operation.input.f === "read" && operation.returned !== null ? [at] : [],
  )
  const at = reads[Math.floor(reads.length / 2) + random.below(Math.floor(reads.length / 4))] ?? 0
  const seen = reads.map((one) => history[one]?.output ?? null)
  return history.map((operation, i) => (i === at ? { ...operation, output: value(seen, random) } : operation))
}

/**
 * A few operations in the order in which they take effect, each with a moment before and after, so that many overlap.
 * The kinds of operations, the share of unknown outcomes, and what answers tell are drawn for each history: otherwise
 * kinds that tell much would hide errors in kinds that tell little. In a quarter of the histories something is written
 * that nobody reads, and undone by an operation of unknown outcome, which then seems to change nothing. Half of the
 * histories get wrong answers.
 */
export const smallHistory = (model: RequestModel<Value> | RequestModel<string | null>, seed: number): Operation[] => {
  const random = makeRandom(seed * 7 + 1)
  const writers = model.functions.filter((f) => f !== "read")
  const some = (): readonly FunctionName[] =>
    random.pick([[], model.functions, model.functions.filter(() => random.chance(500))]) ?? []
  const functions: readonly FunctionName[] = [
    random.pick(writers) ?? "write",
    ...writers.filter(() => random.chance(300)),
  ]
  const [untold, unknown, reads, keys] = [
    some(),
    random.pick([0, 300, 500]) ?? 0,
    random.pick([0, 100, 300]) ?? 0,
    random.chance(100) ? 2 : 1,
  ]
  const twisted = random.chance(500) ? random.between(100, 700) : 0
  const length = random.between(3, 7)
  const unread = random.chance(250) ? random.below(length - 2) : length
  const reach = (): number => random.pick([5, 50]) ?? 5
  const states = new Map<string, readonly [now: Value, before: Value]>()
  const moments: { readonly at: number; readonly operation: number; readonly end: boolean }[] = []
  const made = Array.from({ length }, (_, operation): Operation | undefined => {
    const last = operation === length - 1
    const key = `k${random.below(keys)}`
    const [now, before] = states.get(key) ?? [model.init, model.init]
    const drawn = last || random.chance(reads) ? "read" : (random.pick(functions) ?? "read")
    const takenBack = operation === unread + 1
    const f =
      operation === unread
        ? "write"
        : takenBack
          ? before === null && model.functions.includes("delete")
            ? "delete"
            : "write"
          : drawn
    // Few different values: otherwise most cas would be refused, and few writes would leave the present value.
    const near = takenBack ? before : (random.pick([now, now, before]) ?? null)
    const free = valueFor(random, f, 3, () => 0)
    const meets = takenBack || random.chance(600)
    const value =
      operation === unread
        ? 9
        : meets && Array.isArray(free)
          ? [near, free[1] ?? null]
          : meets && f === "write" && near !== null
            ? near
            : free
    const input: Request = { f, key, value }
    let output = answer(model, now, input)
    const lost = takenBack || (f !== "read" && operation !== unread && random.chance(unknown))
    if (!lost || takenBack || random.chance(700)) {
      const next = (model.step as RequestModel<Value>["step"])(now, input, undefined)
      if (next !== impossible) states.set(key, [next, now])
    }
    const at = operation * 10 + (last ? 40 : 0)
    moments.push(
      { at: at - random.below(reach()), operation, end: false },
      { at: at + random.below(reach()), operation, end: true },
    )
    if (lost) return { process: operation, input, output: undefined, invoked: 0, returned: null }
    if (random.chance(twisted))
      output =
        f === "read"
          ? (random.pick([null, 0, 1, "0", "01", "10", 2, ""]) ?? null)
          : typeof output === "boolean"
            ? !output
            : f === "incr"
              ? random.between(1, 4)
              : output
    // A refused cas may be recorded as failed: then it is only known that it did not happen.
    if (f === "cas" && output === false && untold.includes(f)) return undefined
    return {
      process: operation,
      input,
      output: untold.includes(f) && f !== "read" && f !== "cas" ? null : output,
      invoked: 0,
      returned: 0,
    }
  })
  for (const [time, { operation, end }] of moments.sort((a, b) => a.at - b.at).entries()) {
    const one = made[operation]
    if (one !== undefined && (!end || one.returned !== null))
      made[operation] = { ...one, [end ? "returned" : "invoked"]: time }
  }
  return made.filter((one) => one !== undefined)
}

/**
 * Like brute force, but it remembers what it has tried, so that it decides histories of dozens of operations; otherwise
 * it is simple.
 */
export const plainSearch = <State, Input, Output>(
  history: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
): boolean => {
  const tried = new Set<string>()
  const possible = (left: readonly Operation<Input, Output>[], state: State): boolean => {
    if (left.every(({ returned }) => returned === null)) return true
    const name = `${left.map(({ invoked }) => invoked).join()} ${JSON.stringify(state)}`
    if (tried.has(name)) return false
    tried.add(name)
    const soonest = Math.min(...left.map(({ returned }) => returned ?? Infinity))
    return left.some((operation, at) => {
      if (operation.invoked > soonest) return false
      const next = model.step(state, operation.input, operation.output)
      return next !== impossible && possible(left.toSpliced(at, 1), next)
    })
  }
  return possible(history, model.init)
}

/** Dozens of operations on one key, some of them slow. */
export const mediumHistory = (model: RequestModel<Value> | RequestModel<string | null>, seed: number): Operation[] => {
  const random = makeRandom(seed)
  const functions =
    seed % 4 === 0 ? model.functions : (["read", "read", "write", model.name === "kv" ? "append" : "cas"] as const)
  const history = generate(model, {
    seed: seed * 13 + 5,
    operations: random.between(10, 40),
    clients: random.between(2, 6),
    keys: 1,
    values: random.pick([0, 2, 3, 5]) ?? 0,
    functions,
    unknown: random.pick([0, 0, 100]) ?? 0,
    spread: random.pick([4, 50, 1_000]) ?? 4,
  })
  const end = history.length * 2 + 1
  // Some return much later than they take effect.
  const stretched = history.map((operation) =>
    operation.returned !== null && random.chance(60) ? { ...operation, returned: end + operation.invoked } : operation,
  )
  return random.chance(600) ? corrupt(stretched, seed, (seen, luck) => luck.pick(seen) ?? null) : stretched
}
