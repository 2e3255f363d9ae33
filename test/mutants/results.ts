/** What is known so far, in a file, so that a run that was interrupted goes on where it was. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"

export interface Cell {
  /** hung: it ran far longer than on the shipped code, which counts as caught. */
  readonly verdict: "killed" | "survived" | "hung" | "absent"
  readonly seconds: number
  /** The first that failed. */
  readonly by: string | null
  readonly detail: string
  readonly reproduce: string | null
}
export interface Results {
  /** Of the sources that the results are about. */
  readonly sources: string
  /** By mutant and layer. */
  readonly cells: Record<string, Record<string, Cell>>
}

export const caught = (cell: Cell | undefined): boolean => cell?.verdict === "killed" || cell?.verdict === "hung"

/** Results about other sources say nothing, unless they are to be kept all the same. */
export const loadResults = (file: string, sources: string, keep: boolean): Results => {
  if (!existsSync(file)) return { sources, cells: {} }
  const found = JSON.parse(readFileSync(file, "utf8")) as Results
  return found.sources === sources || keep ? { sources, cells: found.cells } : { sources, cells: {} }
}
export const saveResults = (file: string, results: Results): void => {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(`${file}.new`, `${JSON.stringify(results, null, 1)}\n`)
  renameSync(`${file}.new`, file)
}
