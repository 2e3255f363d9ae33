/** A state machine that is nothing but a digest of what it executed, in order: equal digests, equal histories. */
import type { Entry, LogBase } from "../../core/index.ts"
import type { Random } from "./random.ts"

export interface Machine {
  readonly position: LogBase
  readonly digest: number
  /** What a crash cannot take back. */
  readonly durable: LogBase
  readonly durableDigest: number
  readonly damaged: boolean
}

export const freshMachine = (base: LogBase): Machine => ({ position: base, digest: 0, durable: base, durableDigest: 0, damaged: false })

const mix = (hash: number, value: number): number => {
  const mixed = Math.imul(hash ^ value, 0x01000193)
  return (mixed ^ (mixed >>> 15)) >>> 0
}
export const digestEntry = (digest: number, entry: Entry): number =>
  mix(mix(mix(digest, entry.index), entry.term), entry.kind === "command" ? entry.payload.checksum : 0)

export const executeEntries = (machine: Machine, entries: readonly Entry[]): Machine => {
  let { position, digest } = machine
  for (const entry of entries) {
    if (entry.index !== position.index + 1) throw new Error(`entry ${entry.index} executed after entry ${position.index}`)
    digest = digestEntry(digest, entry)
    const configuration = entry.kind === "configuration" ? entry.configuration : position.configuration
    position = { index: entry.index, term: entry.term, time: entry.time, configuration }
  }
  return { ...machine, position, digest }
}

/** What was not made durable may be gone after a crash: all of it or nothing, as a write-ahead log would have it. */
export const crashMachine = (machine: Machine, random: Random): Machine =>
  random.chance(500) ? { ...machine, position: machine.durable, digest: machine.durableDigest } : machine
