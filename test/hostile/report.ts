import { availableParallelism } from "node:os"
import type { Result } from "./run.ts"

/** Whether the machine was too busy for the measured times to mean anything. */
export const wasBusy = ({ calmP99, ownStallMs, loadBefore }: Result): boolean =>
  calmP99 > 200 || ownStallMs > 400 || loadBefore > 3 * availableParallelism()

export const verdictOf = (result: Result): "ok" | "FAIL" | "late" | "busy" => {
  if (result.failures.length > 0) return "FAIL"
  if (result.late.length === 0) return "ok"
  return wasBusy(result) ? "busy" : "late"
}

const ms = (value: number | null): string =>
  value === null ? "—" : value < 10_000 ? `${Math.round(value)}` : `${(value / 1000).toFixed(1)}k`
const columns: readonly (readonly [string, (result: Result) => string])[] = [
  ["scenario", ({ name }) => name],
  ["verdict", verdictOf],
  ["calm p99", ({ calmP99 }) => ms(calmP99)],
  ["p50", ({ p50 }) => ms(p50)],
  ["p99", ({ p99 }) => ms(p99)],
  ["longest ms", ({ longest }) => ms(longest)],
  ["answered", ({ polite }) => String(polite.ok)],
  ["unknown", ({ polite }) => String(polite.unknown)],
  ["elections", ({ elections }) => String(elections)],
  ["peak MB", ({ peakMegabytes }) => String(peakMegabytes)],
  [
    "clients/budget MB",
    ({ clientsMegabytes, budgetMegabytes }) => (budgetMegabytes === 0 ? "—" : `${clientsMegabytes}/${budgetMegabytes}`),
  ],
  ["restart ms", ({ restartMs }) => ms(restartMs)],
  ["MB then", ({ peakAfterRestart }) => String(peakAfterRestart)],
]

export const tableOf = (results: readonly Result[]): string => {
  const rows = [columns.map(([title]) => title), ...results.map((result) => columns.map(([, cell]) => cell(result)))]
  const widths = columns.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, at) => (at < 2 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}

export const detailsOf = (result: Result): string => {
  const { outcome } = result
  const answers =
    outcome === null
      ? ""
      : [
          `${outcome.tally.ok} served`,
          ...Object.entries(outcome.tally.errors).map(([code, count]) => `${count} ${code}`),
        ].join(", ")
  return [
    ...result.failures.map((text) => `  ✗ ${text}`),
    ...result.late.map((text) => `  ✗ ${text}${wasBusy(result) ? " (on a machine that was busy: not judged)" : ""}`),
    ...(outcome === null
      ? []
      : [
          `  answers to the attack: ${answers}; ${outcome.closedConnections} connections closed, ${outcome.refusedConnections} not made`,
          ...outcome.notes.map((text) => `  ${text}`),
          ...Object.entries(outcome.tally.texts)
            .slice(0, 6)
            .map(([, text]) => `  -${text}`),
        ]),
  ].join("\n")
}
