/** Metrics as Prometheus reads them: text format 0.0.4. */
import type { Histogram } from "./histogram.ts"

export type Labels = Readonly<Record<string, string>>
interface Named {
  /** The metric's name without the prefix, unless it is a name that all programs share (process_…). */
  readonly name: string
  readonly help: string
}
/** The values of labels come from a bounded set: members, rules, error codes; never from a client's data. */
export type Metric =
  | (Named & {
      readonly type: "counter" | "gauge"
      readonly samples: readonly { readonly labels?: Labels; readonly value: number }[]
    })
  | (Named & {
      readonly type: "histogram"
      readonly samples: readonly { readonly labels?: Labels; readonly value: Histogram }[]
    })

export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
const PREFIX = "stepraft_"
const SHARED = /^process_/

export const counter = (name: string, help: string, value: number): Metric => ({
  type: "counter",
  name,
  help,
  samples: [{ value }],
})
/** null: not known; then there is no sample. */
export const gauge = (name: string, help: string, value: number | boolean | null): Metric => ({
  type: "gauge",
  name,
  help,
  samples: value === null ? [] : [{ value: Number(value) }],
})
export const histogram = (name: string, help: string, value: Histogram): Metric => ({
  type: "histogram",
  name,
  help,
  samples: [{ value }],
})

const helpText = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")
const labelText = (text: string): string => helpText(text).replaceAll('"', '\\"')
const numberText = (value: number): string =>
  Number.isFinite(value) ? String(value) : Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf"

const line = (name: string, labels: Labels, value: number): string => {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${labelText(text)}"`)
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${numberText(value)}\n`
}
const histogramLines = (name: string, labels: Labels, { bounds, counts, sum, count }: Histogram): string => {
  let below = 0
  const buckets = counts.map((inBucket, at) => {
    below += inBucket
    return line(`${name}_bucket`, { ...labels, le: numberText(bounds[at] ?? Infinity) }, below)
  })
  return `${buckets.join("")}${line(`${name}_sum`, labels, sum)}${line(`${name}_count`, labels, count)}`
}

const metricText = (metric: Metric): string => {
  const name = SHARED.test(metric.name) ? metric.name : `${PREFIX}${metric.name}`
  const samples =
    metric.type === "histogram"
      ? metric.samples.map(({ labels = {}, value }) => histogramLines(name, labels, value))
      : metric.samples.map(({ labels = {}, value }) => line(name, labels, value))
  return `# HELP ${name} ${helpText(metric.help)}\n# TYPE ${name} ${metric.type}\n${samples.join("")}`
}
export const metricsText = (metrics: readonly Metric[]): string => metrics.map(metricText).join("")
