/**
 * Limits the work in the log by what the writes of this node's clients will cost every node. The log is executed in
 * order, so a write waits for all that were admitted before it. Clients that send many or heavy writes wait here and
 * are admitted in turn with the others, so that the others need not wait for them.
 *
 * Light and heavy writes have a queue each, so that a light one never waits behind a heavy one. Reads that are executed
 * with a write (order.ts) count as part of it.
 *
 * What the cluster does with light writes in a given time depends on the machines and on what else they do, so their
 * limit follows how long they take: it grows while they are answered in time, and shrinks while they are late.
 */
import { MAX_VALUE } from "../../machine/cost.ts"
import { MAX_DIGITS } from "../../machine/commands/view.ts"
import type { Call } from "../../types.ts"
import type { Host, KnownCommand } from "../contract.ts"
import type { Cost, Slot } from "../queue.ts"
import { keysOf } from "../words.ts"

/** Units are bytes read, copied, written or returned: about a nanosecond each. */
const callWeight = 4096
const wordWeight = 512
const keyWeight = 2048
/** Written bytes go to the log, the peers and the data; returned bytes are read, sent and kept. */
const factor = 3
export const LIGHT_BYTES = 64 * 1024
/** The limit of outstanding writes at first, to which each pause brings it closer, and its bounds. */
interface Lane {
  readonly first: number
  readonly least: number
  readonly most: number
}
/** Some hundred small writes fill a batch on a slow machine, some thousand on a fast one. */
const lightLane: Lane = { first: 2 << 20, least: 1 << 20, most: 16 << 20 }
/** Enough for one value of the largest size, written or returned. */
const heavyLane: Lane = { first: 24 << 20, least: 24 << 20, most: 24 << 20 }
/** A write that takes longer is late: others wait as long behind it. */
export const LATE_MS = 200
/** How many value sizes are looked up for one EXEC; the others count as the average of these. */
const lookUps = 64

const byValue: ReadonlySet<string> = new Set([
  "getex",
  "getset",
  "getdel",
  "getrange",
  "substr",
  "append",
  "setrange",
  "cas",
  "rename",
  "renamenx",
  "copy",
  "get",
  "mget",
])
const isByValue = (known: KnownCommand, words: Call): boolean =>
  byValue.has(known.name) || (known.name === "set" && words.length > 3)
/** SETRANGE extends the value to its offset, so it writes many bytes although its words are few. */
const offsetOf = (known: KnownCommand, words: Call): number =>
  known.name === "setrange"
    ? Math.min(MAX_VALUE, Number(Buffer.from(words[2] ?? []).toString("latin1", 0, MAX_DIGITS)) || 0)
    : 0

const bytesOf = (words: Call): number => words.reduce((sum, word) => sum + word.length, 0)

/** The cost of one write: its own words, and the values that it returns or extends. A login costs the log nothing. */
export const writeWeightOf = (host: Host, { known, words, work }: Pick<Slot, "known" | "words" | "work">): number => {
  if (work?.type === "work.write" && work.proves === true) return 0
  const calls = work?.type === "work.write" ? (work.calls ?? []) : undefined
  if (calls === undefined && known !== undefined && !isByValue(known, words))
    return callWeight + wordWeight * words.length + factor * bytesOf(words)
  let weight = callWeight
  let looked = 0
  let found = 0
  let unseen = 0
  for (const call of calls ?? [words]) {
    weight += callWeight + wordWeight * call.length + factor * bytesOf(call)
    const [name] = call
    const inner = host.table.find(
      name === undefined ? undefined : Buffer.from(name.buffer, name.byteOffset, name.length),
    )
    if (inner === undefined || !isByValue(inner, call)) continue
    weight += factor * Math.max(0, offsetOf(inner, call))
    for (const key of keysOf(inner, call)) {
      if (looked === lookUps) unseen++
      else {
        looked++
        found += factor * (host.service.reader.lengthOf?.(key) ?? 0)
      }
    }
  }
  return weight + found + (looked === 0 ? 0 : Math.ceil(unseen * (found / looked)))
}

/** The cost of a read that is executed with a write. */
export const readWeightOf = (host: Host, { known, words }: Pick<Slot, "known" | "words">): number => {
  if (known === undefined) return callWeight
  let weight = wordWeight * words.length
  for (const key of keysOf(known, words))
    weight += keyWeight + (byValue.has(known.name) ? (host.service.reader.lengthOf?.(key) ?? 0) : 0)
  return weight
}

/** The writes of one class, in order of arrival; if nothing is outstanding the first is always admitted. */
class WeightClass {
  private readonly lane: Lane
  private limit: number
  private underWay = 0
  /** Waiting connections, and the cost with which each waits. */
  private readonly waiting = new Map<() => void, number>()
  /** Connections that are admitted and have not started their write yet. */
  private readonly granted = new Map<() => void, number>()

  constructor(lane: Lane) {
    this.lane = lane
    this.limit = lane.first
  }

  enter(weight: number, resume: () => void): boolean {
    // It waits for nobody: while the cluster answers no write, somebody has to log in and see why.
    if (weight === 0) return true
    if (this.granted.delete(resume)) return true
    if (this.waiting.has(resume)) return false
    if (this.waiting.size > 0 || !this.fits(weight)) {
      this.waiting.set(resume, weight)
      return false
    }
    this.underWay += weight
    return true
  }

  /** `took`: milliseconds since it was admitted; null: it was not started. */
  leave(weight: number, took: number | null): void {
    if (weight === 0) return
    const { first, least, most } = this.lane
    this.underWay -= weight
    if (took !== null)
      this.limit = took > LATE_MS ? Math.max(least, this.limit - weight / 2) : Math.min(most, this.limit + weight)
    // What was true before a pause need not be true after it.
    if (this.underWay === 0) this.limit = Math.max(first, this.limit / 2)
    this.letIn()
  }

  release(resume: () => void): void {
    const granted = this.granted.get(resume)
    if (granted === undefined) return
    this.granted.delete(resume)
    this.leave(granted, null)
  }
  forget(resume: () => void): void {
    this.release(resume)
    if (this.waiting.delete(resume)) this.letIn()
  }

  private fits(weight: number): boolean {
    return this.underWay === 0 || this.underWay + weight <= this.limit
  }

  private letIn(): void {
    for (const [resume, weight] of this.waiting) {
      if (!this.fits(weight)) return
      this.waiting.delete(resume)
      this.granted.set(resume, weight)
      this.underWay += weight
      resume()
    }
  }
}

export class Admission {
  private readonly light = new WeightClass(lightLane)
  private readonly heavy = new WeightClass(heavyLane)

  private laneOf({ own }: Cost): WeightClass {
    return own > LIGHT_BYTES ? this.heavy : this.light
  }

  /**
   * False: not now; `resume` is called when its turn has come, and then it is admitted. Each `resume` waits for one
   * write at a time.
   */
  enter(cost: Cost, resume: () => void): boolean {
    return this.laneOf(cost).enter(cost.own + cost.reads, resume)
  }
  /** An admitted write was answered, so many milliseconds after it was started. */
  leave(cost: Cost, took: number): void {
    this.laneOf(cost).leave(cost.own + cost.reads, took)
  }
  /**
   * An admitted connection cannot continue now, and will ask again: others must not wait for a client that does not
   * read its replies.
   */
  release(resume: () => void): void {
    this.light.release(resume)
    this.heavy.release(resume)
  }
  /** A waiting connection has closed. */
  forget(resume: () => void): void {
    this.light.forget(resume)
    this.heavy.forget(resume)
  }
}
