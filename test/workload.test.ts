/** The checker checked: each kind of wrong store that it must notice. */
import { expect, test } from "vitest"
import { judge, type Workload } from "./workload.ts"

type Attempts = Workload["attempts"]
type Outcome = Attempts[number]["outcome"]

const told = (outcomes: readonly Outcome[], session = true): Pick<Workload, "attempts" | "complaints"> => ({
  complaints: [],
  attempts: outcomes.map((outcome, number) => ({
    token: `c.${number}`,
    key: "k",
    client: "c",
    number,
    session,
    outcome,
  })),
})
const holding = (...numbers: readonly number[]): ReadonlyMap<string, string> =>
  new Map([["k", numbers.map((number) => `c.${number};`).join("")]])
const ok = "acknowledged"

test("a store that holds what was acknowledged, in order, is right; of unknown outcome may be there or not", () => {
  expect(judge(told([ok, ok, ok]), holding(0, 1, 2))).toEqual([])
  expect(judge(told([ok, "unknown", ok], false), holding(0, 2))).toEqual([])
  expect(judge(told([ok, "unknown", ok], false), holding(0, 1, 2))).toEqual([])
  expect(judge(told([ok, "unknown", ok], false), holding(0, 2, 1))).toEqual([])
  expect(judge(told([ok, "refused"]), holding(0))).toEqual([])
})

test.each([
  ["an acknowledged token is missing", told([ok, ok]), holding(0), "lost: c.1"],
  ["the key is missing", told([ok]), new Map<string, string>(), "lost: c.0"],
  ["a token is there twice", told([ok, ok]), holding(0, 1, 1), "doubled: c.1"],
  ["a token of unknown outcome is there twice", told(["unknown"], false), holding(0, 0), "doubled: c.0"],
  ["a refused token is there", told([ok, "refused"], false), holding(0, 1), "refused and executed"],
  ["the order is wrong", told([ok, ok]), holding(1, 0), "k holds c.0 after c.1"],
  ["the order is wrong for a plain client", told([ok, ok], false), holding(1, 0), "k holds c.0 after c.1"],
  ["a token turns up that nobody wrote", told([ok]), holding(0, 7), "k holds c.7"],
])("it is noticed when %s", (_name, workload, store, fault) => {
  const wrong = judge(workload, store)
  expect(wrong.length).toBeGreaterThan(0)
  expect(wrong.join("\n")).toContain(fault)
})

test("what clients complain of counts", () => {
  expect(judge({ attempts: [], complaints: ["stale"] }, new Map())).toEqual(["stale"])
})
