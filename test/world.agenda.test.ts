import * as fc from "fast-check"
import { expect, test } from "vitest"
import { addPlanned, takePlanned } from "../interpreters/simulation/state/agenda.ts"
import type { Happening, Planned } from "../interpreters/simulation/index.ts"

const what: Happening = { type: "alarm", node: "n1", boot: 1, timer: "election" }

test("what is planned comes by time, then in the order of planning, whatever is taken out in between", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(100), { minLength: 10, maxLength: 60 }),
      fc.array(fc.nat(60), { maxLength: 20 }),
      (times, places) => {
        const heap: Planned[] = []
        const model: Planned[] = times.map((at, order) => ({ at, order, what }))
        for (const slot of model) addPlanned(heap, slot)
        for (const place of places) {
          const taken = takePlanned(heap, place)
          if (taken !== undefined) model.splice(model.indexOf(taken), 1)
        }
        const rest = model.sort((a, b) => a.at - b.at || a.order - b.order)
        expect(rest.map(() => takePlanned(heap))).toEqual(rest)
        expect(takePlanned(heap)).toBe(undefined)
      },
    ),
    { numRuns: 300 },
  )
})
