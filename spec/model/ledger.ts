/** A log as the model sees it: the term and content (as a number) at each index. Written independently of the core's. */
import type { Configuration, Entry, LogBase } from "../../core/index.ts"

export interface Ledger {
  base: number
  baseTerm: number
  /** Entry `index` is at `index - start`; entries at or below the base may still be there. */
  start: number
  readonly terms: number[]
  readonly words: number[]
  /** Oldest first; the first is that of the base. The last is in force (paper §6). */
  configurations: { readonly index: number; readonly configuration: Configuration }[]
}

/** The content of an entry without its position: the payload's checksum, or a kind. Configurations are compared separately. */
export const wordOf = (entry: Entry): number =>
  entry.kind === "command" ? entry.payload.checksum : entry.kind === "noop" ? -1 : -2

export const emptyLedger = (base: LogBase): Ledger => ({
  base: base.index,
  baseTerm: base.term,
  start: base.index + 1,
  terms: [],
  words: [],
  configurations: [{ index: base.index, configuration: base.configuration }],
})
export const copyLedger = (ledger: Ledger): Ledger => ({
  ...ledger,
  terms: [...ledger.terms],
  words: [...ledger.words],
  configurations: [...ledger.configurations],
})

export const lastOf = ({ start, terms }: Ledger): number => start + terms.length - 1
/** undefined: not held. */
export const termIn = ({ base, baseTerm, start, terms }: Ledger, index: number): number | undefined =>
  index === base ? baseTerm : index < base ? undefined : terms[index - start]
export const lastTermOf = (ledger: Ledger): number => termIn(ledger, lastOf(ledger)) ?? 0
export const wordIn = ({ base, start, words }: Ledger, index: number): number | undefined =>
  index <= base ? undefined : words[index - start]

export const inForce = ({ configurations }: Ledger): Configuration | undefined => configurations.at(-1)?.configuration
export const configurationBefore = ({ configurations }: Ledger, index: number): Configuration | undefined => {
  for (let i = configurations.length - 1; i >= 0; i--) {
    const known = configurations[i]
    if (known !== undefined && known.index <= index) return known.configuration
  }
  return undefined
}

export const pushEntry = (ledger: Ledger, entry: Entry): void => {
  ledger.terms.push(entry.term)
  ledger.words.push(wordOf(entry))
  if (entry.kind === "configuration")
    ledger.configurations.push({ index: entry.index, configuration: entry.configuration })
}
/** Without `index` and later entries; if a configuration is removed, the one before it is in force again. */
export const cutFrom = (ledger: Ledger, index: number): void => {
  const length = Math.max(0, index - ledger.start)
  if (length >= ledger.terms.length) return
  ledger.terms.length = length
  ledger.words.length = length
  while (ledger.configurations.length > 1 && (ledger.configurations.at(-1)?.index ?? 0) >= index)
    ledger.configurations.pop()
}
/** From now on the log starts after `base`; later entries stay. */
export const dropThrough = (ledger: Ledger, base: LogBase): void => {
  if (base.index >= lastOf(ledger)) {
    Object.assign(ledger, emptyLedger(base))
    return
  }
  ledger.base = base.index
  ledger.baseTerm = base.term
  ledger.configurations = [
    { index: base.index, configuration: base.configuration },
    ...ledger.configurations.filter(({ index }) => index > base.index),
  ]
  const dead = base.index + 1 - ledger.start
  if (dead < 512) return
  ledger.terms.splice(0, dead)
  ledger.words.splice(0, dead)
  ledger.start += dead
}
