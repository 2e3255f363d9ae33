/**
 * Is a history linearizable? Partitions are searched in turns, so that one hard key does not hide an easy refutation.
 */
import { explain, locate, withUnknownOutcome, type Explanation } from "./explain.ts"
import type { Model, Operation } from "./model.ts"
import { Contradiction, isOrderOf, isPossible } from "./proof.ts"
import { type Search, startSearch } from "./search.ts"

export interface CheckOptions {
  /** Milliseconds after which the verdict is `unknown` (default: 60,000). Shrinking an explanation takes at most as long again, and at most 10 s. */
  readonly limitMs?: number
  /** Model steps after which the verdict is `unknown`: a bound that does not depend on the machine (default: none). */
  readonly limitSteps?: number
  /** Monotonic milliseconds (default: performance.now). */
  readonly now?: () => number
}

export interface Counts {
  readonly operations: number
  readonly partitions: number
  /** Steps of the model, without those for shrinking. */
  readonly steps: number
  readonly configurations: number
}

/**
 * An order of a partition's operations that explains every answer. Unknown operations that took no part are not in it.
 */
export interface Linearization<Input, Output> {
  readonly partition: string
  readonly order: readonly Operation<Input, Output>[]
}

export type Verdict<State, Input, Output> =
  | {
      readonly verdict: "linearizable"
      readonly counts: Counts
      readonly orders: readonly Linearization<Input, Output>[]
    }
  | { readonly verdict: "not"; readonly counts: Counts; readonly explanation: Explanation<State, Input, Output> }
  /** No verdict was found within the limits for these partitions; all others are linearizable. */
  | { readonly verdict: "unknown"; readonly counts: Counts; readonly undecided: readonly string[] }

interface Job<State, Input, Output> {
  readonly name: string
  readonly operations: readonly Operation<Input, Output>[]
  readonly search: Search<State, Input, Output>
}

const slice = 20_000

export const partitionsOf = <Input, Output>(
  history: readonly Operation<Input, Output>[],
  partition: ((input: Input) => string) | undefined,
): ReadonlyMap<string, readonly Operation<Input, Output>[]> => {
  const found = new Map<string, Operation<Input, Output>[]>()
  for (const operation of history) {
    const name = partition?.(operation.input) ?? ""
    const group = found.get(name)
    if (group === undefined) found.set(name, [operation])
    else group.push(operation)
  }
  return found
}

/**
 * Checks a history against a model. `not` comes with an explanation: the smallest part that was found to be impossible by
 * itself. Both verdicts are proved (proof.ts). Throws Contradiction, and what the model throws.
 */
export const checkHistory = <State, Input, Output>(
  history: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
  options: CheckOptions = {},
): Verdict<State, Input, Output> => {
  const { limitMs = 60_000, limitSteps = Infinity, now = () => performance.now() } = options
  const began = now()
  const jobs = [...partitionsOf(history, model.partition)].map(([name, operations]): Job<State, Input, Output> => ({
    name,
    operations,
    search: startSearch(operations, model),
  }))
  const sum = (count: (search: Search<State, Input, Output>) => number): number =>
    jobs.reduce((total, { search }) => total + count(search), 0)
  const counts = (): Counts => ({
    operations: history.length,
    partitions: jobs.length,
    steps: sum(({ steps }) => steps()),
    configurations: sum(({ configurations }) => configurations()),
  })
  const orders: Linearization<Input, Output>[] = []

  const not = (
    { name, operations }: Job<State, Input, Output>,
    from: number,
    to: number,
  ): Verdict<State, Input, Output> => {
    const time = { now, until: now() + Math.min(limitMs, 10_000) }
    const explanation = explain(name, operations, locate(operations, from, to, model, time), model, time)
    const parts = explanation.core.map(({ operation, firm }) => (firm ? operation : withUnknownOutcome(operation)))
    if (explanation.start.some((state) => isPossible(parts, state, model) === true))
      throw new Contradiction(name, "operations that the search found to be impossible have an order")
    return { verdict: "not", counts: counts(), explanation }
  }

  for (const job of jobs) {
    const culprit = model.absurd?.(job.operations, model.init)
    if (culprit !== undefined)
      return not(
        job,
        0,
        job.operations.filter(({ returned }) => returned !== null && returned < (culprit.returned ?? 0)).length,
      )
  }
  let undecided = jobs
  for (let budget = slice; undecided.length > 0; budget *= 2) {
    const still: typeof jobs = []
    for (const [at, job] of undecided.entries()) {
      const done = () => ({
        verdict: "unknown" as const,
        counts: counts(),
        undecided: [...still, ...undecided.slice(at)].map(({ name }) => name),
      })
      let found: ReturnType<typeof job.search.advance>
      for (let spent = 0; spent < budget && found === undefined; spent += slice) {
        if (now() - began > limitMs) return done()
        const left = limitSteps - sum(({ steps }) => steps())
        if (left <= 0) return done()
        found = job.search.advance(Math.min(slice, left))
      }
      if (found === undefined) still.push(job)
      else if (found.verdict === "linearizable") {
        if (!isOrderOf(found.order, job.operations, model))
          throw new Contradiction(job.name, "the order that the search found is none")
        orders.push({ partition: job.name, order: found.order })
      } else return not(job, ...found.ranks)
    }
    undecided = still
  }
  return { verdict: "linearizable", counts: counts(), orders }
}
