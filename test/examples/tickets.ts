/**
 * A state machine that sells seats, with an invariant. There is a mistake in it: test/examples/tickets.test.ts finds
 * it.
 */
import type { Machine } from "stepraft"

export type Command = { readonly op: "buy"; readonly by: string } | { readonly op: "cancel"; readonly by: string }
export interface State {
  free: number
  readonly sold: Record<string, true>
}
const initial: State = { free: 3, sold: {} }

export const machine: Machine<State, Command, boolean> = {
  initial,
  apply: (state, { op, by }) => {
    if (op === "buy") {
      if (state.free === 0) return false
      state.free -= 1
      state.sold[by] = true
      return true
    }
    if (!(by in state.sold)) return false
    state.free += 1
    delete state.sold[by]
    return true
  },
}

export const invariant = {
  noSeatIsLost: ({ free, sold }: State): string | true => {
    const seats = free + Object.keys(sold).length
    return seats === 3 || `there were 3 seats, and ${seats} are left of them`
  },
}

export const describe = {
  command: ({ op, by }: Command): string => `${by} ${op === "buy" ? "buys a seat" : "gives a seat back"}`,
  result: (done: boolean): string => (done ? "yes" : "no"),
}
