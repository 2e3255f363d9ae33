/** A log as the model sees it: the term and content (as a number) at each index. Written independently of the core's. */
import type { Configuration, Entry, LogBase } from "../../core/index.ts"

export interface AbstractLog {
  base: number
  baseTerm: number
  /** Entry `index` is at `index - start`; entries at or below the base may still be there. */
  start: number
  readonly terms: number[]
  readonly contents: number[]
  /** Oldest first; the first is that of the base. The last is in force (paper §6). */
  configurations: { readonly index: number; readonly configuration: Configuration }[]
}

/** The content of an entry without its position: the payload's checksum, or a kind. Configurations are compared separately. */
export const contentOf = (entry: Entry): number =>
  entry.kind === "command" ? entry.payload.checksum : entry.kind === "noop" ? -1 : -2

export const emptyLog = (base: LogBase): AbstractLog => ({
  base: base.index,
  baseTerm: base.term,
  start: base.index + 1,
  terms: [],
  contents: [],
  configurations: [{ index: base.index, configuration: base.configuration }],
})
export const copyLog = (log: AbstractLog): AbstractLog => ({
  ...log,
  terms: [...log.terms],
  contents: [...log.contents],
  configurations: [...log.configurations],
})

export const lastOf = ({ start, terms }: AbstractLog): number => start + terms.length - 1
/** undefined: the entry is not held. */
export const termIn = ({ base, baseTerm, start, terms }: AbstractLog, index: number): number | undefined =>
  index === base ? baseTerm : index < base ? undefined : terms[index - start]
export const lastTermOf = (log: AbstractLog): number => termIn(log, lastOf(log)) ?? 0
export const contentIn = ({ base, start, contents: words }: AbstractLog, index: number): number | undefined =>
  index <= base ? undefined : words[index - start]

export const inForce = ({ configurations }: AbstractLog): Configuration | undefined =>
  configurations.at(-1)?.configuration
export const configurationBefore = ({ configurations }: AbstractLog, index: number): Configuration | undefined => {
  for (let i = configurations.length - 1; i >= 0; i--) {
    const known = configurations[i]
    if (known !== undefined && known.index <= index) return known.configuration
  }
  return undefined
}

export const pushEntry = (log: AbstractLog, entry: Entry): void => {
  log.terms.push(entry.term)
  log.contents.push(contentOf(entry))
  if (entry.kind === "configuration")
    log.configurations.push({ index: entry.index, configuration: entry.configuration })
}
/** Without `index` and later entries; if a configuration is removed, the one before it is in force again. */
export const cutFrom = (log: AbstractLog, index: number): void => {
  const length = Math.max(0, index - log.start)
  if (length >= log.terms.length) return
  log.terms.length = length
  log.contents.length = length
  while (log.configurations.length > 1 && (log.configurations.at(-1)?.index ?? 0) >= index) log.configurations.pop()
}
/** From now on the log starts after `base`; later entries stay. */
export const dropThrough = (log: AbstractLog, base: LogBase): void => {
  if (base.index >= lastOf(log)) {
    Object.assign(log, emptyLog(base))
    return
  }
  log.base = base.index
  log.baseTerm = base.term
  log.configurations = [
    { index: base.index, configuration: base.configuration },
    ...log.configurations.filter(({ index }) => index > base.index),
  ]
  const dead = base.index + 1 - log.start
  if (dead < 512) return
  log.terms.splice(0, dead)
  log.contents.splice(0, dead)
  log.start += dead
}
