/** The random worlds that the layers invariants and refinement are made of, by seed. */
import type { Script } from "../../../interpreters/simulation/index.ts"
import { generateScript, profileNames, type ScriptChecks } from "../../../spec/index.ts"

/** Every other world has everything in it, and the rest one kind of trouble each. */
export const scriptOf = (seed: number): Script => {
  const profile = seed % 2 === 1 ? "everything" : (profileNames[(seed / 2) % profileNames.length] ?? "everything")
  return generateScript(seed, profile, { nodes: 1 + (seed % 5) })
}
/** The invariants and progress; or instead of them, every step against the abstract specification. */
export const checksOf = (refine: boolean): ScriptChecks =>
  refine ? { refinement: true, invariants: false, liveness: false } : {}
