import { describe, expect, test } from "vitest"
import { checkHistory, kv, register } from "../spec/index.ts"
import { longTest } from "./long.ts"
import { bruteForce, smallHistory } from "./linearizability.kit.ts"

const compare = (from: number, to: number): Record<string, number> => {
  const seen: Record<string, number> = {}
  for (let seed = from; seed < to; seed++) {
    const model = seed % 2 === 0 ? register : kv
    const history = smallHistory(model, seed)
    const { verdict } = checkHistory(history, model as typeof register)
    const truth = bruteForce(history, model as typeof register) ? "linearizable" : "not"
    if (verdict !== truth) throw new Error(`seed ${seed}: ${verdict}, but it is ${truth}\n${history.map((operation) => JSON.stringify(operation)).join("\n")}`)
    seen[`${model.name} ${verdict}`] = (seen[`${model.name} ${verdict}`] ?? 0) + 1
  }
  return seen
}

describe("the verdict is that of brute force", () => {
  test("on 3,000 small histories", () => {
    const seen = compare(0, 3_000)
    for (const kind of ["register linearizable", "register not", "kv linearizable", "kv not"]) expect(seen[kind], kind).toBeGreaterThan(300)
  })

  longTest("on 100,000 small histories", async () => {
    compare(3_000, 103_000)
    await Promise.resolve()
  })
})
