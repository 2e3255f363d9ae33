/** What the acknowledged writes say about the time in which there were none. */
import type { Acknowledged } from "./clients.ts"
import type { Incident } from "./nemesis.ts"
import type { Fault } from "./plan.ts"

export interface Outage {
  readonly ms: number
  /** performance.now() of the acknowledgement before it. */
  readonly from: number
  /** What was wrong during it. */
  readonly during: readonly Incident[]
}

/** The longest time between two acknowledged writes. */
export const longestOutage = (acknowledged: readonly Acknowledged[], incidents: readonly Incident[]): Outage | null => {
  let longest: Outage | null = null
  for (let i = 1; i < acknowledged.length; i++) {
    const from = acknowledged[i - 1]?.answered ?? 0
    const to = acknowledged[i]?.answered ?? 0
    if (longest === null || to - from > longest.ms) longest = { ms: to - from, from, during: [] }
  }
  if (longest === null) return null
  const { from, ms } = longest
  return { ...longest, during: incidents.filter((incident) => incident.from < from + ms && incident.to > from) }
}

/** Milliseconds from a fault that hit the leader, and left a majority alone, to the first answer to a write sent after it. */
export type Failovers = Readonly<Partial<Record<Fault["type"], readonly number[]>>>

/** Of a mute or deaf leader, or one cut off, the cluster learns by silence only; of one that was killed at once. */
const deposing: ReadonlySet<Fault["type"]> = new Set(["kill", "stop", "pause", "partition", "mute", "deafen"])

export const failoversOf = (acknowledged: readonly Acknowledged[], incidents: readonly Incident[], nodes: number): Failovers => {
  const times: Partial<Record<Fault["type"], number[]>> = {}
  for (const { step, targets, leader, from, to } of incidents) {
    const { type } = step.fault
    if (!deposing.has(type) || leader === null || !targets.includes(leader) || step.ms < 1000) continue
    const alone = incidents.every((other) => other.step === step || other.to < from || other.from > to)
    if (targets.length > (nodes - 1) / 2 || !alone) continue
    const next = acknowledged.find(({ sent }) => sent >= from)
    if (next !== undefined) (times[type] ??= []).push(next.answered - from)
  }
  return times
}
