/** A run in words. */
import { middle } from "../trials.ts"
import { describeFault } from "./plan.ts"
import type { Outage } from "./figures.ts"
import type { ChaosReport } from "./run.ts"

const ms = (value: number | null): string =>
  value === null ? "never" : value < 10_000 ? `${value.toFixed(0)} ms` : `${(value / 1000).toFixed(1)} s`

export const reportOf = (report: ChaosReport, command: string): string => {
  const {
    counts: { ok, fail, info },
    violations,
    outage,
    unexcused,
    failovers,
    incidents,
  } = report
  const begun = incidents[0]?.from ?? 0
  const during = (one: Outage): string =>
    one.during
      .map(({ step, targets }) => `#${step.number} ${describeFault(step.fault)} [${targets.join(", ")}]`)
      .join(" + ") || `no fault (${ms(one.from - begun)} after the first)`
  const times = Object.entries(failovers).map(
    ([type, values]) =>
      `${type} ${ms(middle(values))} (${values.length}: ${ms(Math.min(...values))}–${ms(Math.max(...values))})`,
  )
  return [
    "",
    violations.length === 0
      ? "✓ linearizable, nothing lost, all nodes hold the same"
      : `✗ ${violations.length} violation${violations.length === 1 ? "" : "s"}`,
    ...violations.map((text) => `  ${text}`),
    "",
    `operations   ${ok} ok, ${fail} failed (not executed), ${info} unknown, on ${report.keys} keys in ${ms(report.ms)}: ${((ok / report.ms) * 1000).toFixed(0)} ok/s`,
    `faults       ${incidents.length}`,
    `outage       ${outage === null ? "no write was ever acknowledged" : `${ms(outage.ms)} without an acknowledged write, during ${during(outage)}`}`,
    ...(unexcused === null
      ? []
      : [`             ${ms(unexcused.ms)} of one with a majority unharmed, during ${during(unexcused)}`]),
    `failover     ${times.length === 0 ? "the leader was never hit alone" : times.join("; ")}`,
    `recovery     after the last fault: ${ms(report.recovered)} to the next write; all nodes equal ${ms(report.converged)} after the last read`,
    `history      ${report.historyFile} (checked in ${ms(report.checkedMs)})`,
    `             stepraft check-history ${report.historyFile}`,
    `nodes' logs  ${report.logFile}`,
    `again        ${command}`,
  ].join("\n")
}
