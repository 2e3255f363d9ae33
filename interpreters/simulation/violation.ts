/** What checks of a world throw, and by which name it is told. */

/** An error that says which rule does not hold: an invariant or another property, by its name. */
export interface Violates extends Error {
  readonly violates: string
}
const isViolation = (error: Error): error is Violates => "violates" in error && typeof error.violates === "string"

/** The rule that does not hold; of any other error its own name. */
export const violationName = (error: unknown): string => (error instanceof Error ? (isViolation(error) ? error.violates : error.name) : "Thrown")
