/** Mistakes in what judges histories: a judge that is wrong is worth nothing. */
import type { Seeded } from "./mutant.ts"

export const judges: readonly Seeded[] = [
  {
    id: "own-judge-1",
    title: "an unknown operation that leaves the state as it is counts as useless, whatever it takes with it that nobody saw",
    patches: [{ file: "spec/linearizability/search.ts", find: "if (isUnknown && to === frame.state && taken.length === 0) continue", replace: "if (isUnknown && to === frame.state) continue" }],
  },
  {
    id: "own-judge-2",
    title: "of unknown operations that are alike one may be used for all",
    patches: [{ file: "spec/linearizability/search.ts", find: "if (spent >= (counts[one] ?? 0) ||", replace: "if (counts[one] === 0 ||" }],
  },
  {
    id: "own-judge-3",
    title: "a cas that is refused at last cannot have written what was read before",
    patches: [{ file: "spec/linearizability/explain.ts", find: "startSearch(upTo, model).advance(stepsToLocate)?.verdict : \"not\"", replace: "startSearch(operations, model).advance(stepsToLocate)?.verdict : \"not\"" }],
  },
]
