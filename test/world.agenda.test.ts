import * as fc from "fast-check"
import { expect, test } from "vitest"
import { addPlanned, takePlanned } from "../interpreters/simulation/agenda.ts"
import type { Happening, Planned } from "../interpreters/simulation/index.ts"

const what: Happening = { type: "alarm", node: "n1", life: 1, timer: "election" }

test("what is planned comes by time, then in the order of planning, whatever is taken out in between", () => {
  const step = fc.oneof({ weight: 3, arbitrary: fc.record({ add: fc.nat(20) }) }, { weight: 2, arbitrary: fc.record({ take: fc.nat(40) }) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const heap: Planned[] = []
      const model: Planned[] = []
      steps.forEach((one, order) => {
        if ("add" in one) {
          const slot = { at: one.add, order, what }
          addPlanned(heap, slot)
          model.push(slot)
        } else {
          const taken = takePlanned(heap, one.take)
          if (taken !== undefined) model.splice(model.indexOf(taken), 1)
        }
      })
      const rest = model.sort((a, b) => a.at - b.at || a.order - b.order)
      expect(rest.map(() => takePlanned(heap))).toEqual(rest)
      expect(takePlanned(heap)).toBe(undefined)
    }),
    { numRuns: 300 },
  )
})
