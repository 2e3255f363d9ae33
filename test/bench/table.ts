/** Medians, ratios round by round, and the Markdown that goes into kv/README.md. */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "../cluster.ts"
import type { Cell, Sample } from "./systems.ts"

export interface Measured {
  readonly system: string
  readonly cell: Cell
  readonly round: number
  readonly sample: Sample
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

/** Measurements that failed have no figure. */
const none = "–"
const whole = (value: number): string => (Number.isFinite(value) ? Math.round(value).toLocaleString("en-US") : none)
const fine = (value: number): string =>
  !Number.isFinite(value) ? none : value < 10 ? value.toFixed(1) : String(Math.round(value))
const times = (value: number): string =>
  !Number.isFinite(value)
    ? none
    : `${value < 1 ? value.toFixed(2) : value < 10 ? value.toFixed(1) : Math.round(value)}×`

const titles: Record<Cell["op"], string> = {
  put: "Writes, to the leader",
  get: "Linearizable reads, over the three nodes",
  local: "Local (serializable) reads, over the three nodes",
  mixed: "Half writes, half linearizable reads, to the leader",
}
const nameOf = (cell: Cell): string =>
  cell.connections === 0
    ? whole(cell.clients)
    : `${whole(cell.clients)} on ${cell.connections} connection${cell.connections === 1 ? "" : "s"}`

export const tableOf = (
  op: Cell["op"],
  cells: readonly Cell[],
  measured: readonly Measured[],
  systems: readonly string[],
): string => {
  const inRound = (system: string, cell: Cell, round: number): Sample | undefined =>
    measured.find((one) => one.system === system && one.cell === cell && one.round === round && one.sample.ops > 0)
      ?.sample
  const rounds = [...new Set(measured.map(({ round }) => round))]
  const samples = (system: string, cell: Cell): readonly Sample[] =>
    measured.filter((one) => one.system === system && one.cell === cell && one.sample.ops > 0).map((one) => one.sample)
  const row = (label: string, value: (cell: Cell) => string): string => `| ${label} | ${cells.map(value).join(" | ")} |`
  const figure = (system: string, cell: Cell, of: (sample: Sample) => number): number =>
    median(samples(system, cell).map(of))

  const rows = [
    `| ${titles[op]}; clients: | ${cells.map(nameOf).join(" | ")} |`,
    `|---|${cells.map(() => "---").join("|")}|`,
  ]
  for (const system of systems)
    rows.push(row(`${system}, ops/s`, (cell) => whole(figure(system, cell, (sample) => sample.perSecond))))
  const versus = (one: readonly [string, Cell], other: readonly [string, Cell]): string => {
    const ratios = rounds.map(
      (round) =>
        (inRound(...one, round)?.perSecond ?? Number.NaN) / (inRound(...other, round)?.perSecond ?? Number.NaN),
    )
    return `**${times(median(ratios.filter(Number.isFinite)))}** (${ratios.map(times).join(" ")})`
  }
  const [first, ...others] = systems
  for (const other of others)
    if (first !== undefined)
      rows.push(row(`**${first} : ${other}**, rounds`, (cell) => versus([first, cell], [other, cell])))
  if (op === "mixed")
    for (const system of systems)
      rows.push(
        row(`${system}, **one connection : one each**`, (cell) => {
          const own = cells.find(({ clients, connections }) => clients === cell.clients && connections === 0)
          return cell.connections === 1 && own !== undefined ? versus([system, cell], [system, own]) : ""
        }),
      )
  for (const system of systems)
    rows.push(
      row(
        `${system}, p50 / p99 ms`,
        (cell) => `${fine(figure(system, cell, (one) => one.p50))} / ${fine(figure(system, cell, (one) => one.p99))}`,
      ),
    )
  for (const system of systems)
    rows.push(
      row(
        `${system}, CPU µs an operation: servers + client`,
        (cell) =>
          `${whole(figure(system, cell, (one) => one.serverCpu))} + ${whole(figure(system, cell, (one) => one.clientCpu))}`,
      ),
    )
  return rows.join("\n")
}

const start = "<!-- bench:peers -->"
const end = "<!-- /bench:peers -->"
export const writeIntoReadme = (text: string): void => {
  const path = join(root, "kv/README.md")
  const readme = readFileSync(path, "utf8")
  const from = readme.indexOf(start)
  const to = readme.indexOf(end)
  if (from < 0 || to < from)
    throw new Error(`kv/README.md has no place for the figures: put ${start} and ${end} into it`)
  writeFileSync(path, `${readme.slice(0, from + start.length)}\n${text}\n${readme.slice(to)}`)
}
