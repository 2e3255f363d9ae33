/** Why a history is not linearizable: the part of it that is impossible by itself, as small as possible. */
import type { Model, Operation } from "./model.ts"
import { isOrderOf } from "./proof.ts"
import { startSearch } from "./search.ts"

export interface ExplainedOperation<Input, Output> {
  readonly operation: Operation<Input, Output>
  /** If false, the part is impossible even if this operation took effect at any time after its invocation, or never. */
  readonly firm: boolean
}

export interface Explanation<State, Input, Output> {
  readonly partition: string
  /** All operations of the partition. */
  readonly operations: readonly Operation<Input, Output>[]
  /**
   * The operation before whose return everything can be explained, and with which nothing can. null: it was not found
   * within the limits.
   */
  readonly culprit: Operation<Input, Output> | null
  /**
   * Operations invoked before the culprit returned, in an order that explains the answers of all that returned before
   * it (answers of operations that returned later, and the culprit's, are ignored).
   */
  readonly prefix: readonly Operation<Input, Output>[]
  /** The possible states when the culprit had to take effect; empty if they were not searched. */
  readonly states: readonly State[]
  /** True if in `states` and `start` one state stands for all states that no operation observed. */
  readonly oneUnseen: boolean
  /** Not linearizable by themselves, in the order of invocation, if the state before them was one of `start`. */
  readonly core: readonly ExplainedOperation<Input, Output>[]
  readonly start: readonly State[]
  /** The operation after whose return the state was one of `start`; null: `start` is the initial state. */
  readonly after: Operation<Input, Output> | null
  /** The operation of `core` (the smallest impossible part) that fits in no order of the others. */
  readonly coreCulprit: Operation<Input, Output>
  /** False if the limits were reached while the core was being made smaller. */
  readonly smallest: boolean
}

/** The limits, in steps, for the search for the place of the failure, and for listing all states by name. */
const stepsToLocate = 1_500_000
const stepsToName = 400_000

/** The history just after this operation returned: operations that were open then have no answer yet. */
export const cutAfter = <Input, Output>(
  operations: readonly Operation<Input, Output>[],
  last: Operation<Input, Output>,
): readonly Operation<Input, Output>[] => {
  const end = last.returned ?? Infinity
  return operations
    .filter(({ invoked }) => invoked <= end)
    .map((operation) => ((operation.returned ?? 0) > end ? withUnknownOutcome(operation) : operation))
}

/** The operation with which the history becomes impossible. */
export interface CulpritPlace<State, Input, Output> {
  readonly culprit: Operation<Input, Output>
  readonly order: readonly Operation<Input, Output>[]
  /** True if one state stands for all states that no operation observed. */
  readonly oneUnseen: boolean
  readonly states: readonly State[]
  /** The states possible right after the operation returned, given all that returned before it. Empty if the states were not listed. */
  readonly statesAfter: (operation: Operation<Input, Output>) => readonly State[]
}

/**
 * A search that looks ahead fails before it reaches the wrong operation. And what is impossible in the end need not
 * have been when the operation returned: a cas that is refused later may still have written what was read. So the first
 * return with which the history is impossible is found by cutting the history; then a search that does not look ahead
 * lists all states that were possible before. `from` and `to` are guesses, by rank: everything is possible until `from`
 * returned, nothing once `to` has.
 */
export const locate = <State, Input, Output>(
  operations: readonly Operation<Input, Output>[],
  from: number,
  to: number,
  model: Model<State, Input, Output>,
  { until, now }: Time,
): CulpritPlace<State, Input, Output> | undefined => {
  const known = operations
    .filter(({ returned }) => returned !== null)
    .sort((a, b) => (a.returned ?? 0) - (b.returned ?? 0))
  let low = from
  let high = known.length - 1
  let isSure = false
  // Usually it is the last one that fails, if the model shows that without a search.
  for (const guesses = [to, to - 1]; low < high || !isSure;) {
    const middle = Math.min(high, guesses.shift() ?? (low + high) >> 1)
    if (middle < low && low <= high) continue
    if (low > high || now() >= until) return undefined
    const upTo = cutAfter(operations, known[middle] as Operation<Input, Output>)
    const found =
      model.absurd?.(upTo, model.init) === undefined ? startSearch(upTo, model).advance(stepsToLocate)?.verdict : "not"
    if (found === undefined) return undefined
    if (found === "linearizable") low = middle + 1
    else {
      high = middle
      isSure = true
    }
  }
  const culprit = known[high] as Operation<Input, Output>
  const upTo = cutAfter(operations, culprit)
  const before = upTo.map((operation) => (operation === culprit ? withUnknownOutcome(operation) : operation))
  const found = startSearch(before, model).advance(stepsToLocate)
  if (found?.verdict !== "linearizable" || !isOrderOf(found.order, before, model)) return undefined
  const list = (oneUnseen: boolean) => {
    const refuted =
      now() < until
        ? startSearch(upTo, model, { lookahead: false, oneUnseen }).advance(oneUnseen ? stepsToLocate : stepsToName)
        : undefined
    return refuted?.verdict === "not" && refuted.culprit === culprit ? refuted : undefined
  }
  const separate = list(false)
  const listed = separate ?? list(true)
  return {
    culprit,
    oneUnseen: separate === undefined,
    order: found.order,
    states: listed?.states ?? [],
    statesAfter: listed?.statesAfter ?? (() => []),
  }
}

export interface Time {
  readonly until: number
  readonly now: () => number
}

/** After more steps a candidate counts as one that cannot be cut. */
const stepsPerCut = 100_000
/** More states than this explain nothing to a person. */
const statesAtStart = 8

/** An operation of which only the invocation is known allows everything that the real one allows. */
export const withUnknownOutcome = <Input, Output>(operation: Operation<Input, Output>): Operation<Input, Output> => ({
  ...operation,
  output: undefined,
  returned: null,
})
const isFirm = <Input, Output>({ returned, output }: Operation<Input, Output>): boolean =>
  returned !== null || output !== undefined

/**
 * Removing operations must never make a linearizable history look impossible. So:
 * - An operation that changes nothing may be left out.
 * - Operations that returned before a chosen point are replaced by every state that was possible at that point.
 * - Any other operation is loosened: its answer and its return are forgotten, so it may also never have happened. It is
 *   left out when no other operation can see its effect.
 */
export const explain = <State, Input, Output>(
  partition: string,
  operations: readonly Operation<Input, Output>[],
  place: CulpritPlace<State, Input, Output> | undefined,
  model: Model<State, Input, Output>,
  { until, now }: Time,
): Explanation<State, Input, Output> => {
  type Op = Operation<Input, Output>
  interface Candidate {
    readonly parts: readonly Op[]
    readonly start: readonly State[]
    readonly after: Op | null
  }
  interface Impossible extends Candidate {
    readonly culprit: Op
  }
  const origin = new Map<Op, Op>()
  const real = (operation: Op): Op => origin.get(operation) ?? operation
  const loosened = (operation: Op): Op => {
    const loose = withUnknownOutcome(operation)
    origin.set(loose, real(operation))
    return loose
  }
  /** Without these operations: an operation that changes nothing may simply be left out. */
  const without = (parts: readonly Op[], some: ReadonlySet<Op>): readonly Op[] =>
    parts.flatMap((operation) =>
      !some.has(operation)
        ? [operation]
        : model.readOnly?.(operation.input, operation.output) === true
          ? []
          : [loosened(operation)],
    )
  let undecided = 0
  const decide = ({ parts, start, after }: Candidate): Impossible | undefined => {
    const sight = model.sight?.(parts)
    const left = parts.filter((operation) => isFirm(operation) || sight?.unseen.has(operation) !== true)
    let culprit: Op | undefined
    for (const init of start) {
      const found = startSearch(left, { ...model, init }).advance(stepsPerCut)
      if (found === undefined) undecided++
      if (found?.verdict !== "not") return undefined
      if ((found.culprit.returned ?? 0) > (culprit?.returned ?? -Infinity)) culprit = found.culprit
    }
    return culprit === undefined ? undefined : { parts: left, start, after, culprit }
  }

  const narrowed = (culprit: Op, statesAfter: (operation: Op) => readonly State[]): Impossible | undefined => {
    // An operation invoked after the culprit returned cannot have caused it, and one that returned after it may as well
    // have stayed open.
    const end = culprit.returned ?? Infinity
    const before = operations
      .filter(({ invoked }) => invoked <= end)
      .map((operation) => ((operation.returned ?? 0) > end ? loosened(operation) : operation))
    const returned = before
      .filter((operation) => operation.returned !== null && operation !== culprit)
      .sort((a, b) => (a.returned ?? 0) - (b.returned ?? 0))
    const whole: Candidate = { parts: before, start: [model.init], after: null }
    const alone = decide({
      ...whole,
      parts: without(before, new Set(before.filter((operation) => operation !== culprit && isFirm(operation)))),
    })
    if (alone !== undefined) return alone
    for (let back = 1; back < returned.length && now() < until; back = back < 32 ? back + 1 : back * 2) {
      const after = returned[returned.length - back] as Op
      const start = statesAfter(after)
      if (start.length > statesAtStart || start.length === 0) continue
      const rest = before.filter((operation) => (operation.returned ?? Infinity) > (after.returned ?? 0))
      const late = decide({
        after,
        start,
        parts: without(
          rest,
          new Set(rest.filter((operation) => operation.invoked <= (after.returned ?? 0) && isFirm(operation))),
        ),
      })
      if (late !== undefined) return late
    }
    return decide(whole)
  }
  const everything: Candidate = { parts: operations, start: [model.init], after: null }
  const found = place === undefined ? decide(everything) : narrowed(place.culprit, place.statesAfter)
  let best: Impossible = found ??
    decide(everything) ?? {
      ...everything,
      culprit: place?.culprit ?? (operations.findLast(({ returned }) => returned !== null) as Op),
    }
  // The whole history was refuted without such limits.
  let smallest = found !== undefined
  // Halves, quarters, …: of the operations that are still firm, in the order of invocation, so that old ones are
  // removed in large pieces.
  for (
    let size = Math.ceil(best.parts.filter(isFirm).length / 2), again = true;
    size > 0 && smallest;
    size = size > 1 ? size >> 1 : again ? 1 : 0
  ) {
    again = false
    const firm = best.parts.filter(isFirm).sort((a, b) => a.invoked - b.invoked)
    for (let at = 0; at < firm.length && smallest; at += size) {
      const chunk = new Set(firm.slice(at, at + size))
      smallest = now() < until
      undecided = 0
      const cut = smallest ? decide({ ...best, parts: without(best.parts, chunk) }) : undefined
      if (size === 1 && undecided > 0) smallest = false
      if (cut === undefined) continue
      best = cut
      again = true
    }
  }
  return {
    partition,
    operations,
    culprit: place?.culprit ?? null,
    prefix: place?.order ?? [],
    states: place?.states ?? [],
    oneUnseen: place?.oneUnseen === true,
    start: best.start,
    after: best.after,
    core: best.parts
      .map((operation) => ({ operation: real(operation), firm: isFirm(operation) }))
      .sort((a, b) => a.operation.invoked - b.operation.invoked),
    coreCulprit: real(best.culprit),
    smallest,
  }
}
