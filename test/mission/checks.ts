/** The tests that show a row of the mission. */
import type { ScenarioId } from "../scenario.ids.ts"

/**
 * A scenario, whose ID is in its test's name; or a file of tests and the name of a test, a group, or a case of a table
 * in it.
 */
export type Check = ScenarioId | readonly [file: string, ...names: readonly [string, ...(readonly string[])]]
export interface Row {
  readonly asks: string
  readonly checks: readonly Check[]
  /** Seeded bugs (test/mutants) that these checks must find. */
  readonly bugs?: readonly string[]
}
export const of =
  (file: string) =>
  (name: string, ...names: readonly string[]): Check => [file, name, ...names]
export const election = of("core.paper.election")
export const log = of("core.paper.log")
export const snapshot = of("core.paper.snapshot")
export const defect = of("core.defects")
export const faults = of("world.faults")
export const repository = of("repository")
export const recovery = of("recovery")
export const doctor = of("doctor.findings")
export const doctorOnProcesses = of("process.doctor.long")
export const row = (asks: string, ...checks: readonly [Check, ...(readonly Check[])]): Row => ({ asks, checks })

/** Titles of parts, and their rows by number. */
export type Rows = Readonly<Record<string, Readonly<Record<string, Row>>>>
