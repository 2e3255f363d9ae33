/**
 * What must hold for all servers together, over the whole history: ElectionSafety, LeaderCompleteness,
 * StateMachineSafety and LogMatching. The history is kept as the leader of each term and the entries ever committed.
 */
import type { Log } from "../../core/index.ts"
import { entryIdentity, logIdentity, type Permutation } from "./identity.ts"
import type { ServerState, ExploredViolation } from "./server.ts"

export interface ServerSummary {
  readonly name: string
  /** The term that it leads, or 0. */
  readonly leads: number
  readonly commitIndex: number
  readonly log: Log
}
export const summaryOf = ({ state }: Pick<ServerState, "state">): ServerSummary => ({
  name: state.self.name,
  leads: state.role.type === "leader" ? state.currentTerm : 0,
  commitIndex: state.commitIndex,
  log: state.log,
})
export const summaryText = ({ name, leads, commitIndex, log }: ServerSummary): string =>
  `${name} ${leads} ${commitIndex} ${logIdentity(log)}`

export interface LeaderHistory {
  /** The leader of each term. */
  readonly leaders: Readonly<Record<number, string>>
  /** By index, from 1: the committed entry, and the term of the leader that committed it. */
  readonly committed: readonly Committed[]
}
interface Committed {
  readonly entry: string
  readonly by: number
}
export const noHistory: LeaderHistory = { leaders: {}, committed: [] }
export const historyText = ({ leaders, committed }: LeaderHistory): string =>
  `${JSON.stringify(leaders)} ${committed.map(({ entry, by }) => `${entry} by ${by}`).join()}`
export const renameHistory = ({ leaders, committed }: LeaderHistory, names: Permutation): LeaderHistory => ({
  leaders: Object.fromEntries(Object.entries(leaders).map(([term, name]) => [term, names[name] ?? name])),
  // Only configurations contain names, in alphabetical order.
  committed: committed.map(({ entry, by }) => ({
    by,
    entry: entry.startsWith("k")
      ? entry.replace(/[A-Z]+/g, (list) =>
          list
            .split("")
            .map((name) => names[name] ?? name)
            .sort()
            .join(""),
        )
      : entry,
  })),
})

/** Terms before one that is durable on every server never have a leader again. */
export const dropTerms = (history: LeaderHistory, term: number): LeaderHistory => ({
  ...history,
  leaders: Object.fromEntries(Object.entries(history.leaders).filter(([led]) => Number(led) >= term)),
})

/** Whether everything that contradicts `a` also contradicts `b`. */
export const isWithin = (a: LeaderHistory, b: LeaderHistory): boolean =>
  a.committed.length <= b.committed.length &&
  a.committed.every(({ entry, by }, i) => entry === b.committed[i]?.entry && by === b.committed[i]?.by) &&
  Object.entries(a.leaders).every(([term, name]) => b.leaders[Number(term)] === name)

const textAt = (log: Log, index: number): string | undefined => {
  const entry = log.entry(index)
  return entry === undefined ? undefined : entryIdentity(entry)
}
/**
 * The first entry that a leader of `term` must hold and does not: the leader of an earlier term may be elected later.
 */
const lacks = (log: Log, committed: readonly Committed[], term: number): number | null => {
  for (let index = log.base.index + 1; index <= committed.length; index++) {
    const known = committed[index - 1]
    if (known !== undefined && known.by < term && textAt(log, index) !== known.entry) return index
  }
  return null
}

const checkElection = (
  history: LeaderHistory,
  { name, leads, log }: ServerSummary,
): LeaderHistory | ExploredViolation => {
  if (leads === 0) return history
  const known = history.leaders[leads]
  if (known !== undefined)
    return known === name
      ? history
      : { name: "ElectionSafety", detail: `${name} leads term ${leads}, and so did ${known}` }
  const missing = lacks(log, history.committed, leads)
  if (missing !== null)
    return { name: "LeaderCompleteness", detail: `${name} leads term ${leads} without committed entry ${missing}` }
  return { ...history, leaders: { ...history.leaders, [leads]: name } }
}

const checkCommitted = (
  history: LeaderHistory,
  { name, leads, commitIndex, log }: ServerSummary,
): LeaderHistory | ExploredViolation => {
  const committed = history.committed.slice()
  if (log.base.index > committed.length)
    return {
      name: "StateMachineSafety",
      detail: `${name} dropped its log through ${log.base.index}, which is not committed`,
    }
  for (let index = log.base.index + 1; index <= commitIndex; index++) {
    const mine = textAt(log, index) ?? "nothing"
    const known = committed[index - 1]
    if (known === undefined) committed.push({ entry: mine, by: leads })
    else if (known.entry !== mine)
      return {
        name: "StateMachineSafety",
        detail: `entry ${index} is committed as ${mine} at ${name} and as ${known.entry} elsewhere`,
      }
  }
  return committed.length === history.committed.length ? history : { ...history, committed }
}

/** The first index at which two logs differ although they agree at a later one; null: none. */
const matches = (a: Log, b: Log): number | null => {
  const from = Math.max(a.base.index, b.base.index) + 1
  let index = Math.min(a.lastIndex, b.lastIndex)
  while (index >= from && a.termAt(index) !== b.termAt(index)) index--
  for (; index >= from; index--) if (textAt(a, index) !== textAt(b, index)) return index
  return null
}

export const isViolation = (value: LeaderHistory | ExploredViolation): value is ExploredViolation => "detail" in value

/** `changed` is the new state of one server; `others` are the present states of all others. */
export const judge = (
  history: LeaderHistory,
  changed: ServerSummary,
  others: readonly ServerSummary[],
): LeaderHistory | ExploredViolation => {
  const elected = checkElection(history, changed)
  if (isViolation(elected)) return elected
  const committed = checkCommitted(elected, changed)
  if (isViolation(committed)) return committed
  for (const other of others) {
    const index = matches(changed.log, other.log)
    if (index !== null)
      return {
        name: "LogMatching",
        detail: `${changed.name} and ${other.name} agree after entry ${index} but differ at it`,
      }
    if (committed !== elected && other.leads > changed.leads && changed.leads > 0) {
      const missing = lacks(other.log, committed.committed, other.leads)
      if (missing !== null)
        return {
          name: "LeaderCompleteness",
          detail: `${changed.name} commits entry ${missing} in term ${changed.leads}; ${other.name} leads term ${other.leads} without it`,
        }
    }
  }
  return committed
}
