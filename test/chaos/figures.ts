/** What the acknowledged writes show about periods without any. */
import type { Acknowledged } from "./clients.ts"
import type { Incident } from "./nemesis.ts"
import type { Fault } from "./plan.ts"

export interface Outage {
  readonly ms: number
  /** performance.now() of the acknowledgement before it. */
  readonly from: number
  /** The faults during the period. */
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

/** The part of an outage in which a majority was unharmed, so that the cluster could have served: mostly elections. */
export const longestUnexcused = (
  acknowledged: readonly Acknowledged[],
  incidents: readonly Incident[],
  nodes: number,
): Outage | null => {
  let longest: Outage | null = null
  for (let i = 1; i < acknowledged.length; i++) {
    const from = acknowledged[i - 1]?.answered ?? 0
    const to = acknowledged[i]?.answered ?? 0
    if (to - from <= (longest?.ms ?? 0)) continue
    const during = incidents.filter((incident) => incident.from < to && incident.to > from)
    const moments = [
      from,
      ...during.flatMap((incident) => [incident.from, incident.to]).filter((time) => time > from && time < to),
      to,
    ].sort((a, b) => a - b)
    let since = from
    for (const [n, end] of moments.slice(1).entries()) {
      const middle = ((moments[n] ?? 0) + end) / 2
      const harmed = new Set(
        during.filter((incident) => incident.from <= middle && incident.to >= middle).flatMap(({ targets }) => targets),
      )
      if (nodes - harmed.size <= nodes / 2) since = end
      else if (end - since > (longest?.ms ?? 0))
        longest = {
          ms: end - since,
          from: since,
          during: during.filter((incident) => incident.from < end && incident.to > since),
        }
    }
  }
  return longest
}

/** Milliseconds from a fault that hit the leader, and left a majority alone, to the first answer to a write sent after it. */
export type Failovers = Readonly<Partial<Record<Fault["type"], readonly number[]>>>

/** A mute, deaf or cut-off leader is noticed by silence only; a killed one at once. */
const deposing: ReadonlySet<Fault["type"]> = new Set(["kill", "stop", "pause", "partition", "mute", "deafen"])

export const failoversOf = (
  acknowledged: readonly Acknowledged[],
  incidents: readonly Incident[],
  nodes: number,
): Failovers => {
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
