/** What the doctor can find: stable names, for scripts, and how grave each finding is. */
export const FINDINGS = {
  "no-leader": "critical",
  "commit-stalled": "critical",
  "out-of-space": "critical",
  "node-doubled": "critical",
  "disk-lost": "critical",
  "directory-rolled-back": "critical",
  "snapshot-install-failing": "critical",
  "members-disagree": "critical",
  "access-differs": "critical",
  "files-unusable": "critical",
  "certificate-ends": "critical",
  "client-timeouts": "critical",
  "node-unreachable": "critical",
  "out-of-descriptors": "warning",
  "slow-disk": "warning",
  "broken-link": "warning",
  "slow-link": "warning",
  "follower-lagging": "warning",
  "execution-behind": "warning",
  "clock-off": "warning",
  "mixed-versions": "warning",
  "node-unwell": "warning",
} as const
export type FindingName = keyof typeof FINDINGS

export interface Finding {
  readonly name: FindingName
  readonly severity: "critical" | "warning"
  /** The nodes that it concerns. */
  readonly nodes: readonly string[]
  /** What was seen, with figures. */
  readonly evidence: string
  readonly cause: string
  readonly next: string
  /** Its section of the troubleshooting guide. */
  readonly guide: string
}

/** Findings with a section of their own in the guide; the others are in one table. */
const PAGES: readonly FindingName[] = ["no-leader", "commit-stalled", "snapshot-install-failing", "client-timeouts"]
export const guideOf = (name: FindingName): string => `kv/README.md#${PAGES.includes(name) ? name : "other-findings"}`

export const finding = (
  name: FindingName,
  nodes: readonly string[],
  evidence: string,
  cause: string,
  next: string,
): Finding => ({ name, severity: FINDINGS[name], nodes, evidence, cause, next, guide: guideOf(name) })

const ORDER = Object.keys(FINDINGS)
const rank = ({ name, severity }: Finding): number => ORDER.indexOf(name) + (severity === "critical" ? 0 : ORDER.length)
/**
 * The gravest first; of equally grave ones, a possible cause comes before its effect, by the order of the names above.
 */
export const ordered = (findings: readonly Finding[]): readonly Finding[] =>
  findings.toSorted((a, b) => rank(a) - rank(b))
