/** Inputs in files that a person can read: a line of JSON for each, one character per byte; # begins a note. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const folder = join(dirname(fileURLToPath(import.meta.url)), "corpus")
const fileOf = (parser: string): string => join(folder, `${parser}.txt`)

export const toLine = (input: Uint8Array): string =>
  // oxlint-disable-next-line no-control-regex
  JSON.stringify(Buffer.from(input).toString("latin1")).replaceAll(
    /[\u007f-\u00ff]/g,
    (character) => `\\u00${character.charCodeAt(0).toString(16)}`,
  )
export const fromLine = (line: string): Buffer => Buffer.from(JSON.parse(line) as string, "latin1")

const linesOf = (parser: string): readonly string[] =>
  existsSync(fileOf(parser))
    ? readFileSync(fileOf(parser), "utf8")
        .split("\n")
        .filter((line) => line !== "")
    : []
export const readCorpus = (parser: string): readonly Buffer[] =>
  linesOf(parser)
    .filter((line) => !line.startsWith("#"))
    .map(fromLine)
export const addToCorpus = (parser: string, inputs: readonly Uint8Array[]): void => {
  mkdirSync(folder, { recursive: true })
  writeFileSync(fileOf(parser), `${[...new Set([...linesOf(parser), ...inputs.map(toLine)])].join("\n")}\n`)
}
