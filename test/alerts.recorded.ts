/**
 * Metrics recorded from nodes, as input of `promtool test rules`: seconds in the recording become minutes of virtual
 * time.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { temporaryFolder } from "./cluster.ts"
import { alertsFile, readAlerts } from "./alerts.ts"
import { readMetrics, type Samples } from "./metrics.ts"
import type { LocalNode } from "./node.help.ts"

/** What a node answered, twice, so many seconds apart; null: it did not answer. */
export type Recorded = { readonly before: Samples; readonly after: Samples; readonly seconds: number } | null
/** By node. */
export type Recording = ReadonlyMap<string, Recorded>

export const scrape = async (node: LocalNode): Promise<Samples | null> => {
  const at = node.running === null ? null : node.status().http
  return at === null ? null : readMetrics(await (await fetch(`http://${at}/metrics`)).text())
}
export const record = async (nodes: readonly LocalNode[], meanwhile: () => Promise<unknown>): Promise<Recording> => {
  const before = await Promise.all(nodes.map(scrape))
  const began = performance.now()
  await meanwhile()
  const after = await Promise.all(nodes.map(scrape))
  const seconds = (performance.now() - began) / 1000
  return new Map(
    nodes.map(({ id }, i) => {
      const [first, second] = [before[i], after[i]]
      return [id, first == null || second == null ? null : { before: first, after: second, seconds }]
    }),
  )
}

/** Of all timed operations meanwhile, 99 of 100 took at most an eighth of a second. */
export const isCalm = (recording: Recording): boolean =>
  [...recording.values()].every(
    (recorded) =>
      recorded !== null &&
      [...recorded.after].every(([key, fast]) => {
        const limit = 'le="0.128"}'
        if (!key.endsWith(limit)) return true
        const labels = key.slice(key.indexOf("{") + 1, -limit.length).replace(/,$/, "")
        const count = `${key.slice(0, key.indexOf("_bucket{"))}_count${labels === "" ? "" : `{${labels}}`}`
        const grown = (one: string): number => (recorded.after.get(one) ?? 0) - (recorded.before.get(one) ?? 0)
        return fast - (recorded.before.get(key) ?? 0) >= 0.99 * grown(count)
      }),
  )

const STEP = 15
const JOB = "stepraft"
const GROWS = /_(?:total|bucket|sum|count)(?:\{|$)/
/** The only gauge whose values in between are kept. */
const IS_TIME = /_timestamp_seconds$/
const FALLS = /^stepraft_disk_free_bytes/
const asked = new Set(readAlerts().flatMap(({ expr }) => expr.match(/stepraft_[a-z_]+/g) ?? []))

export interface Phase {
  readonly minutes: number
  readonly recording: Recording
}

/** One series through all phases, in promtool's notation. */
const valuesOf = (key: string, phases: readonly Phase[], id: string): string => {
  let total = 0
  return phases
    .map(({ minutes, recording }) => {
      const recorded = recording.get(id) ?? null
      const steps = (minutes * 60) / STEP
      const now = recorded?.after.get(key)
      if (recorded === null || now === undefined) return `_x${steps}`
      // The virtual time begins at 1970.
      if (IS_TIME.test(key)) return `${now - Date.now() / 1000}x${steps - 1}`
      const change = ((now - (recorded.before.get(key) ?? 0)) / recorded.seconds) * STEP
      if (!GROWS.test(key))
        return FALLS.test(key) ? `${now}${change < 0 ? "" : "+"}${change}x${steps - 1}` : `${now}x${steps - 1}`
      const from = total
      total += change * steps
      return `${from}+${change}x${steps - 1}`
    })
    .join(" ")
}
const withTarget = (key: string, id: string): string => {
  const [name = "", labels] = key.replace(/\}$/, "").split("{")
  return `${name}{${labels === undefined ? "" : `${labels},`}job="${JOB}",instance="${id}"}`
}

const seriesOf = (phases: readonly Phase[]): readonly { readonly series: string; readonly values: string }[] => {
  const ids = [...(phases[0]?.recording.keys() ?? [])]
  return ids.flatMap((id) => {
    const keys = new Set(phases.flatMap(({ recording }) => [...(recording.get(id)?.after.keys() ?? [])]))
    const up = phases
      .map(({ minutes, recording }) => `${recording.get(id) == null ? 0 : 1}x${(minutes * 60) / STEP - 1}`)
      .join(" ")
    return [
      { series: `up{job="${JOB}",instance="${id}"}`, values: up },
      ...[...keys]
        .filter((key) => asked.has(key.split("{")[0] ?? ""))
        .map((key) => ({ series: withTarget(key, id), values: valuesOf(key, phases, id) })),
    ]
  })
}

export interface Expected {
  readonly alert: string
  readonly severity: string
  /** The minutes, from the beginning, when the alert must be quiet, and when it must fire. */
  readonly quiet: readonly number[]
  readonly fires: readonly number[]
}
export const hasPromtool = (): boolean => spawnSync("promtool", ["--version"]).status === 0

/** Throws the errors that promtool finds. YAML is a superset of JSON. */
export const checkRules = (phases: readonly Phase[], expected: readonly Expected[]): void => {
  const file = join(temporaryFolder(), "rules.json")
  const question = ({ alert, severity }: Expected): string =>
    `count(ALERTS{alertname="${alert}",severity="${severity}",alertstate="firing"}) > bool 0 or vector(0)`
  const at = (one: Expected, minutes: number, value: number): object => ({
    expr: question(one),
    eval_time: `${Math.round(minutes * 60)}s`,
    exp_samples: [{ labels: "{}", value }],
  })
  const test = {
    rule_files: [alertsFile],
    evaluation_interval: `${STEP}s`,
    tests: [
      {
        interval: `${STEP}s`,
        input_series: seriesOf(phases),
        promql_expr_test: expected.flatMap((one) => [
          ...one.quiet.map((minutes) => at(one, minutes, 0)),
          ...one.fires.map((minutes) => at(one, minutes, 1)),
        ]),
      },
    ],
  }
  writeFileSync(file, JSON.stringify(test))
  execFileSync("promtool", ["test", "rules", file], { stdio: "pipe", encoding: "utf8" })
}
