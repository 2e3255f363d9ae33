/** Why a history is not linearizable: the part of it that is impossible by itself, as small as it could be made. */
import type { Model, Operation } from "./model.ts"
import { type Refuted, startSearch } from "./search.ts"

export interface Part<Input, Output> {
  readonly operation: Operation<Input, Output>
  /** If not, it is impossible even if this one took effect at any time after its invocation, or never. */
  readonly firm: boolean
}

export interface Explanation<State, Input, Output> {
  readonly partition: string
  /** All operations of the partition. */
  readonly operations: readonly Operation<Input, Output>[]
  /** Up to its return everything can be explained, with it nothing can. */
  readonly culprit: Operation<Input, Output>
  /** Operations invoked before the culprit returned, in an order that explains the answers of all that returned before it. */
  readonly prefix: readonly Operation<Input, Output>[]
  /** What the state can have been when the culprit had to take effect. */
  readonly states: readonly State[]
  /** Not linearizable by themselves, in the order of invocation. */
  readonly core: readonly Part<Input, Output>[]
  /** In the core, the operation that has no place, and what the state can have been there. */
  readonly coreCulprit: Operation<Input, Output>
  readonly coreStates: readonly State[]
  /** False if time ran out while the core was being made smaller. */
  readonly smallest: boolean
}

/** More than this and a candidate is taken for one that cannot be cut. */
const stepsPerCut = 300_000

/** An operation of which nothing is known but that it was invoked allows all that the real one allows. */
const loosen = <Input, Output>(operation: Operation<Input, Output>): Operation<Input, Output> => ({ ...operation, output: undefined, returned: null })

/**
 * A cut must not make a linearizable history look broken, so an operation is never just left out: it is loosened (its
 * answer and its return are forgotten, so it may also not have happened), and left out once the model says that nobody
 * needs it. If the loosened history is still impossible, so is the whole.
 */
export const explain = <State, Input, Output>(
  partition: string, operations: readonly Operation<Input, Output>[], refuted: Refuted<State, Input, Output>, model: Model<State, Input, Output>,
  time: { readonly until: number; readonly now: () => number },
): Explanation<State, Input, Output> => {
  const origin = new Map<Operation<Input, Output>, Operation<Input, Output>>()
  const real = (operation: Operation<Input, Output>): Operation<Input, Output> => origin.get(operation) ?? operation
  const loosened = (operation: Operation<Input, Output>): Operation<Input, Output> => {
    const loose = loosen(operation)
    origin.set(loose, real(operation))
    return loose
  }
  const decide = (candidate: readonly Operation<Input, Output>[]): { readonly left: readonly Operation<Input, Output>[]; readonly refuted: Refuted<State, Input, Output> } | undefined => {
    const forgotten = model.forgettable?.(candidate)
    const left = forgotten === undefined ? candidate : candidate.filter((operation) => !forgotten.has(operation))
    const found = startSearch(left, model).advance(stepsPerCut)
    return found?.verdict === "not" ? { left, refuted: found } : undefined
  }

  // What was invoked after the culprit returned cannot have caused it, and what returned after it may as well have stayed open.
  const end = refuted.culprit.returned ?? Infinity
  const prefix = operations.filter(({ invoked }) => invoked <= end).map((operation) => ((operation.returned ?? 0) > end ? loosened(operation) : operation))
  const first = decide(prefix) ?? { left: prefix, refuted }
  let best = first
  let smallest = true
  // Halves, quarters, …: of what is still firm, in the order of invocation, so that what is long past goes in large pieces.
  const isFirm = ({ returned, output }: Operation<Input, Output>): boolean => returned !== null || output !== undefined
  for (let size = Math.max(1, Math.ceil(best.left.filter(isFirm).length / 2)), again = true; size >= 1 && (size > 1 || again); size = size > 1 ? Math.floor(size / 2) : size) {
    again = false
    const firm = best.left.filter(isFirm).sort((a, b) => a.invoked - b.invoked)
    for (let at = 0; at < firm.length; at += size) {
      if (time.now() > time.until) {
        smallest = false
        break
      }
      const chunk = new Set(firm.slice(at, at + size))
      if (!best.left.some((operation) => chunk.has(operation))) continue
      const cut = decide(best.left.map((operation) => (chunk.has(operation) ? loosened(operation) : operation)))
      if (cut === undefined) continue
      best = cut
      again = true
    }
    if (!smallest) break
  }
  return {
    partition, operations, culprit: refuted.culprit, prefix: refuted.order, states: refuted.states,
    core: best.left.map((operation) => ({ operation: real(operation), firm: isFirm(operation) })).sort((a, b) => a.operation.invoked - b.operation.invoked),
    coreCulprit: real(best.refuted.culprit), coreStates: best.refuted.states, smallest,
  }
}
