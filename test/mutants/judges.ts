/** Mistakes in what judges histories: a judge that is wrong is worth nothing. */
import type { Seeded } from "./mutant.ts"

export const judges: readonly Seeded[] = [
  {
    id: "own-judge-1",
    title:
      "an unknown operation that leaves the state as it is counts as useless, whatever it takes with it that nobody saw",
    patches: [
      {
        file: "spec/linearizability/search.ts",
        find: "if (isUnknown && to === frame.state && taken.length === 0) continue",
        replace: "if (isUnknown && to === frame.state) continue",
      },
    ],
  },
  {
    id: "own-judge-2",
    title: "a configuration counts as seen although other unknown operations were used on the way to it",
    patches: [
      {
        file: "spec/linearizability/search.ts",
        find: "if (before.some((fewer) => includes(used, fewer))) return false",
        replace: "if (before.length > 0) return false",
      },
    ],
  },
  {
    id: "own-judge-3",
    title: "a cas that is refused at last cannot have written what was read before",
    patches: [
      {
        file: "spec/linearizability/explain.ts",
        find: 'startSearch(upTo, model).advance(stepsToLocate)?.verdict : "not"',
        replace: 'startSearch(operations, model).advance(stepsToLocate)?.verdict : "not"',
      },
    ],
  },
]
