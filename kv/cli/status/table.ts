/** The status of a cluster as text for people. */
import { grouped, type Paint, unpainted } from "../../../interpreters/cli/paint.ts"
import type { ClusterStatus, NodeRow } from "./gather.ts"

export const duration = (ms: number | null): string => {
  if (ms === null) return "-"
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1)} s`
  const minutes = Math.floor(ms / 60_000)
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`
}

const number = (value: number | null): string => (value === null ? "-" : grouped(value))
const columns: readonly (readonly [title: string, cell: (row: NodeRow) => string, right: boolean])[] = [
  ["NODE", ({ id }) => id, false],
  ["ROLE", ({ role }) => role ?? "-", false],
  ["TERM", ({ term }) => number(term), true],
  ["LAST", ({ lastIndex }) => number(lastIndex), true],
  ["COMMIT", ({ commit }) => number(commit), true],
  ["APPLIED", ({ applied }) => number(applied), true],
  ["SNAPSHOT", ({ snapshotIndex }) => number(snapshotIndex), true],
  ["LAG", ({ lag }) => number(lag), true],
  ["CONTACT", ({ role, lastContactMs }) => (role === "leader" ? "-" : duration(lastContactMs)), true],
  ["CLIENT", ({ client }) => client ?? "-", false],
  ["PID", ({ pid }) => String(pid ?? "-"), true],
  ["HEALTH", ({ health }) => health, false],
]

export const statusTable = ({ nodes, leader }: ClusterStatus, paint: Paint): string => {
  const cells = nodes.map((row) => columns.map(([, cell]) => cell(row)))
  const widths = columns.map(([title], i) => Math.max(title.length, ...cells.map((row) => (row[i] ?? "").length)))
  const line = (row: readonly string[]): string =>
    row
      .map((text, i) => (columns[i]?.[2] === true ? text.padStart(widths[i] ?? 0) : text.padEnd(widths[i] ?? 0)))
      .join("  ")
      .trimEnd()
  const painted = nodes.map((row, i) => {
    const text = line(cells[i] ?? [])
    if (row.health !== "ok") return row.role === null ? paint.red(text) : paint.yellow(text)
    return row.role === "leader" ? paint.bold(text) : text
  })
  const unheard = nodes.length > 0 && nodes.every(({ role }) => role === null)
  const last =
    leader === null
      ? [
          paint.red(
            unheard
              ? "No node answered, so nothing is known of the cluster: HEALTH says why."
              : "No leader: no write can be accepted and no linearizable read answered until a majority of the nodes is up and connected.",
          ),
        ]
      : []
  return [paint.dim(line(columns.map(([title]) => title))), ...painted, ...last].join("\n")
}

/** The text up to its first full stop: the table has the rest. */
const brief = (health: string): string => {
  const clause = health.split(/[.;](?:\s|$)/)[0] ?? health
  return clause.length > 80 ? `${clause.slice(0, 79)}…` : clause
}

/** `n1 leader · n2 follower · n3 down`: worth a line of a log when it changes. */
export const summary = ({ nodes, leader }: ClusterStatus, paint: Paint): string =>
  nodes
    .map((row) => {
      const text = `${row.id} ${row.role ?? "unreachable"}${row.role !== null && row.health !== "ok" ? ` (${brief(row.health)})` : ""}`
      if (row.role === null) return paint.red(text)
      return row.id === leader ? paint.green(text) : row.health === "ok" ? text : paint.yellow(text)
    })
    .join(" · ")

/**
 * The line of `summary` without the figures that change while nothing happens ("no leader for 12 s"), after the
 * leader's name. A new line is printed only if this changes.
 */
export const changeOf = (cluster: ClusterStatus): string =>
  `${cluster.leader ?? ""} ${summary(cluster, unpainted).replace(/\d[\d,.]*(?= (?:ms|s|min|h|days|bytes|[kMG]B)\b)/g, "")}`
