/** What changed between two values of plain data, as paths. Equal references are equal: structural sharing makes this cheap. */
import { Log } from "../../core/index.ts"

export interface WorldDifference {
  /** role.progress.n2.matchIndex */
  readonly path: string
  readonly before: unknown
  readonly after: unknown
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !(value instanceof Uint8Array)
const isEmpty = (value: unknown): boolean => value === undefined || value === null

const join = (path: string, key: string): string => (path === "" ? key : `${path}.${key}`)

const logChanges = (path: string, before: Log, after: Log): WorldDifference[] => {
  const found: WorldDifference[] = []
  if (before.base.index !== after.base.index)
    found.push({ path: join(path, "base"), before: before.base.index, after: after.base.index })
  let agreed = Math.min(before.lastIndex, after.lastIndex)
  while (agreed > Math.max(before.base.index, after.base.index) && before.termAt(agreed) !== after.termAt(agreed))
    agreed -= 1
  for (let index = agreed + 1; index <= before.lastIndex; index++)
    found.push({ path: `${path}[${index}]`, before: before.entry(index), after: undefined })
  for (let index = Math.max(agreed, after.base.index) + 1; index <= after.lastIndex; index++)
    found.push({ path: `${path}[${index}]`, before: undefined, after: after.entry(index) })
  return found
}

/** A role that was replaced by another is one change; everything else is compared field by field. */
const isOtherKind = (before: Record<string, unknown>, after: Record<string, unknown>): boolean =>
  before["type"] !== after["type"]

export const differencesOf = (before: unknown, after: unknown, path = ""): readonly WorldDifference[] => {
  if (Object.is(before, after)) return []
  if (before instanceof Log && after instanceof Log) return logChanges(path, before, after)
  if (
    !isRecord(before) ||
    !isRecord(after) ||
    isOtherKind(before, after) ||
    Array.isArray(before) !== Array.isArray(after)
  )
    return isEmpty(before) && isEmpty(after) ? [] : [{ path, before, after }]
  const keys = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...keys].flatMap((key) => differencesOf(before[key], after[key], join(path, key)))
}
