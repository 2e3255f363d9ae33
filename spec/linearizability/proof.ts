/**
 * Verdicts are proved before they are reported, by code that shares nothing with the search: an order is followed step
 * by step, and of an impossible part every order is tried. A contradiction is a bug in the search, and gives no
 * verdict.
 */
import { impossible, type Model, type Operation } from "./model.ts"

/** Larger parts are reported without this proof. */
const stepsToProve = 50_000

export class Contradiction extends Error {
  override readonly name = "Contradiction"
  constructor(partition: string, what: string) {
    super(
      `${what}${partition === "" ? "" : ` (key ${partition})`}: a defect of this checker, not of the history. There is no verdict; please report the history`,
    )
  }
}

/** Whether an order holds all that returned, respects real time, and explains every answer. */
export const isOrderOf = <State, Input, Output>(
  order: readonly Operation<Input, Output>[],
  operations: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
): boolean => {
  const left = new Set(operations)
  let state = model.init
  let latest = -Infinity
  for (const operation of order) {
    if (!left.delete(operation) || (operation.returned ?? Infinity) < latest) return false
    latest = Math.max(latest, operation.invoked)
    const next = model.step(state, operation.input, operation.output)
    if (next === impossible) return false
    state = next
  }
  return [...left].every(({ returned }) => returned === null)
}

/** Wing and Gong's search with memory and nothing else. undefined: not decided within the steps. */
export const isPossible = <State, Input, Output>(
  operations: readonly Operation<Input, Output>[],
  init: State,
  model: Model<State, Input, Output>,
): boolean | undefined => {
  const keyOf = model.key ?? ((state: State) => state)
  const tried = new Set<string>()
  let steps = 0
  const from = (left: readonly number[], state: State): boolean => {
    if (left.every((one) => operations[one]?.returned === null)) return true
    const name = `${left.join()} ${typeof state} ${String(keyOf(state))}`
    if (tried.has(name)) return false
    tried.add(name)
    const soonest = Math.min(...left.map((one) => operations[one]?.returned ?? Infinity))
    return left.some((one) => {
      const { invoked, input, output } = operations[one] as Operation<Input, Output>
      if (invoked > soonest || steps++ > stepsToProve) return false
      const next = model.step(state, input, output)
      return (
        next !== impossible &&
        from(
          left.filter((other) => other !== one),
          next,
        )
      )
    })
  }
  const found = from(
    operations.map((_, i) => i),
    init,
  )
  return found || steps <= stepsToProve ? found : undefined
}
