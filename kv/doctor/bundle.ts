/**
 * One file with what an expert needs to know about a cluster. It must hold no user data: no key, no value, no name that
 * a client gave itself. So only the fields that are named here are included, and never a whole structure into which a
 * client could have written.
 */
import { diagnose } from "./diagnose.ts"
import type { ClusterFacts, Look } from "./facts.ts"
import type { Finding } from "./findings.ts"
import { quietly, withoutData, withoutQuotes } from "./redact.ts"

export interface NodeBundle {
  readonly id: string
  readonly client: string | null
  readonly silence: string | null
  readonly first: Look | null
  readonly last: Look | null
  readonly probes: ClusterFacts["nodes"][number]["probes"]
  /** The settings as CONFIG GET shows them. */
  readonly settings: Readonly<Record<string, string>>
  readonly logSummary: Readonly<Record<string, number>>
  readonly log: readonly string[]
}
export interface Bundle {
  readonly format: "stepraft diagnostics 1"
  readonly at: string
  readonly by: { readonly version: string; readonly node: string; readonly platform: string }
  readonly versions: Readonly<Record<string, string>>
  readonly findings: readonly Finding[]
  readonly apartMs: number
  readonly nodes: readonly NodeBundle[]
}

export interface NodeRecords {
  readonly settings: Readonly<Record<string, string>>
  readonly log: readonly string[]
}
/** The number of lines of each level in the log. A line looks like "2026-11-26T09:00:00.000Z warn n1 …", or is JSON. */
const summaryOf = (lines: readonly string[]): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const line of lines) {
    const level = /\b(debug|info|warn|error)\b/iu.exec(line)?.[1]?.toLowerCase() ?? "other"
    counts[level] = (counts[level] ?? 0) + 1
  }
  return counts
}

export const bundleOf = (
  facts: ClusterFacts,
  told: ReadonlyMap<string, NodeRecords>,
  by: Bundle["by"],
  at: string,
): Bundle => ({
  format: "stepraft diagnostics 1",
  at,
  by,
  versions: Object.fromEntries(
    facts.nodes.flatMap(({ id, last }) =>
      last === null
        ? []
        : [[id, `${last.status.version}, Node ${last.info["node_version"] ?? "?"}, ${last.info["os"] ?? "?"}`]],
    ),
  ),
  findings: quietly(diagnose(facts)) as readonly Finding[],
  apartMs: Math.round(facts.apartMs),
  nodes: facts.nodes.map(({ id, client, silence, first, last, probes }) => {
    const { settings, log } = told.get(id) ?? { settings: {}, log: [] }
    return {
      id,
      client,
      silence: silence === null ? null : withoutQuotes(silence),
      first: quietly(first) as Look | null,
      last: quietly(last) as Look | null,
      probes: quietly(probes) as typeof probes,
      settings,
      logSummary: summaryOf(log),
      log: log.map(withoutData),
    }
  }),
})
