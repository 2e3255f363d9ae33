/** Percentiles, and the Markdown that goes into kv/README.md. */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "../cluster.ts"
import { measures, rowIds, rows, type Measure, type Row, type RowId, type Times } from "./rows.ts"

/** One system in one environment: a time for each trial of each row. */
export interface Column {
  readonly title: string
  readonly trials: readonly Times[]
}

/** The smallest value that is at least as large as this share of all values. */
export const percentile = (values: readonly number[], percent: number): number =>
  [...values].sort((a, b) => a - b)[Math.max(0, Math.ceil((values.length * percent) / 100) - 1)] ?? Number.NaN
const valuesOf = ({ trials }: Column, id: RowId): readonly number[] => trials.flatMap((times) => times[id] ?? [])

const whole = (value: number): string => Math.round(value).toLocaleString("en-US")
/** With the number of trials, if it differs from that of the column. */
const cell = (column: Column, id: RowId): string => {
  const values = valuesOf(column, id)
  const most = Math.max(...rowIds.map((one) => valuesOf(column, one).length))
  const count = values.length < most ? ` (${values.length})` : ""
  return values.length === 0
    ? "–"
    : `${[percentile(values, 50), percentile(values, 90), Math.max(...values)].map(whole).join(" / ")}${count}`
}
const originals = ({ original }: Row): string => (original === undefined ? "–" : original.map(whole).join(" / "))

/** The trials of another run beside these, with columns matched by their titles. */
export const joined = (columns: readonly Column[], more: readonly Column[]): readonly Column[] => [
  ...columns.map(({ title, trials }) => ({
    title,
    trials: [...trials, ...more.filter((one) => one.title === title).flatMap((one) => one.trials)],
  })),
  ...more.filter(({ title }) => columns.every((one) => one.title !== title)),
]

/** Rows that were not measured are left out. */
export const tableOf = (columns: readonly Column[]): string => {
  const shown = rowIds.filter((id) => columns.some((column) => valuesOf(column, id).length > 0))
  const used = new Set<Measure>(shown.map((id) => rows[id].measure))
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`
  return [
    line([
      "milliseconds",
      "until",
      ...columns.map(({ title }) => `${title}: p50 / p90 / max`),
      "the original: median / max",
    ]),
    `|${"---|".repeat(columns.length + 3)}`,
    ...shown.map((id) =>
      line([rows[id].title, rows[id].measure, ...columns.map((column) => cell(column, id)), originals(rows[id])]),
    ),
    "",
    ...(Object.keys(measures) as Measure[])
      .filter((measure) => used.has(measure))
      .map((measure) => `- *${measure}*: ${measures[measure]}`),
  ].join("\n")
}

/** The text between `<!-- place -->` and `<!-- /place -->`. */
export const writeIntoReadme = (text: string, place: "recovery" | "backup" = "recovery"): void => {
  const [start, end] = [`<!-- ${place} -->`, `<!-- /${place} -->`]
  const path = join(root, "kv/README.md")
  const readme = readFileSync(path, "utf8")
  const from = readme.indexOf(start)
  const to = readme.indexOf(end)
  if (from < 0 || to < from) throw new Error(`kv/README.md has no place for it: put ${start} and ${end} into it`)
  writeFileSync(path, `${readme.slice(0, from + start.length)}\n\n${text}\n\n${readme.slice(to)}`)
}
