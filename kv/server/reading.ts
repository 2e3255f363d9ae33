/**
 * How a read is executed: small ones at once, long ones (KEYS, a long MGET) a few at a time. Small ones may also be
 * executed together with the next write, in the state before it.
 */
import { errorReply } from "../machine/reply.ts"
import type { ReadHere, Reply } from "../types.ts"
import { LIGHT_BYTES, readWeightOf } from "./limits/admission.ts"
import { SMALL } from "./limits/budget.ts"
import type { Host, KnownCommand, Words } from "./contract.ts"
import { internalErrorReply, refuseBusy } from "./intake.ts"
import type { LongReads } from "./limits/longreads.ts"
import { replyBytes } from "./wire/pieces.ts"
import type { Slot } from "./queue.ts"

/** MGET and EXISTS of more keys than this answer later. */
const wordsAtOnce = 64
/** Bytes that take well under a millisecond to read. */
const shortReply = 256 * 1024
/**
 * The limit on the cost of reads that are executed with one write. If they cost more, they are executed before the
 * write is started.
 */
const takenAlong = 4 * LIGHT_BYTES
/** The limit on their replies, which may have grown meanwhile. */
const takenBytes = 8 * 1024 * 1024
/** The memory that a long read is assumed to hold if its size is not known. */
const longReadWeight = 1024 * 1024

/** The connection: it gets each answer once, and is told when it may continue. */
interface Owner {
  readonly closed: boolean
  readonly answered: (slot: Slot, reply: Reply) => void
}

const grown = errorReply(
  "BUSY",
  "the reply of this read has grown large since the read arrived. Nothing was read: send it again",
)
const isTooLarge = (reply: Reply): boolean => reply.type === "error" && reply.code === "TOOLARGE"
/** KEYS, SCAN, DBSIZE: reads that no transaction may hold. */
const readsAll = ({ known, work }: Slot): boolean => work === null && known?.underMulti === "refuse"
const isLong = (slot: Slot): boolean =>
  slot.work?.type === "work.read" ? slot.work.long === true : slot.words.length > wordsAtOnce || readsAll(slot)

/** The cost for a write to execute these reads; null if one of them cannot be executed so, or there are too many. */
export const costOfTaking = (host: Host, reads: readonly Slot[], after: number): number | null => {
  let sum = 0
  for (let at = reads.length - 1; at >= 0; at--) {
    const slot = reads[at]
    if (slot === undefined || slot.at < after) break
    if (slot.work !== null || isLong(slot)) return null
    slot.cost ??= { own: readWeightOf(host, slot), reads: 0 }
    sum += slot.cost.own
    if (slot.cost.own > LIGHT_BYTES || sum > takenAlong) return null
  }
  return sum
}

export class Reading {
  /** A read is being executed that answers later, or it waits for its turn. */
  busy = false
  /** The largest size that its reply may have in memory. */
  reserved = 0
  private readonly host: Host
  private readonly longReads: LongReads
  private readonly owner: Owner

  constructor(host: Host, longReads: LongReads, owner: Owner) {
    this.host = host
    this.longReads = longReads
    this.owner = owner
  }

  /**
   * Executes a read of one key now. null: it is no such read, or its value is large.
   */
  now(known: KnownCommand, words: Words): Reply | null {
    if (known.firstKey === 0 || known.firstKey !== known.lastKey) return null
    const { budget, limits, service, usage } = this.host
    const began = performance.now()
    let reply: Reply | Promise<Reply>
    try {
      reply = service.reader.read(words, Math.max(SMALL, Math.min(limits.maxReplyBytes, budget.room, shortReply)))
    } catch (thrown) {
      reply = internalErrorReply(this.host, words, thrown)
    }
    if (reply instanceof Promise || isTooLarge(reply)) return null
    usage.took("read", known, words, reply, performance.now() - began)
    return reply
  }

  /**
   * The barrier is open, or has refused the read. `beside`: later writes are outstanding, so the read must be completed
   * before the event loop continues; if it is too large for that, it is not executed now.
   */
  begin(slot: Slot, beside: boolean): void {
    const { work, barrier } = slot
    const refusal = barrier?.refusal ?? null
    if (refusal !== null) {
      if (work?.type === "work.read") work.refused?.()
      this.owner.answered(slot, refusal)
      return
    }
    if (isLong(slot)) this.wait(slot)
    else this.run(slot, false, beside)
  }

  /** Executes these reads in the present state. */
  take(slots: readonly Slot[], read: ReadHere): void {
    const { budget } = this.host
    let left = takenBytes
    for (const slot of slots) {
      let reply: Reply
      try {
        reply = read(slot.words, Math.max(SMALL, Math.min(left, budget.room)))
      } catch (thrown) {
        reply = this.failed(slot, thrown)
      }
      slot.reply = !isTooLarge(reply) ? reply : left < budget.room ? grown : refuseBusy(this.host, "the reply is large")
      left -= replyBytes(slot.reply)
    }
  }

  private wait(slot: Slot): void {
    this.busy = true
    this.longReads.enter(() => {
      if (this.owner.closed) this.longReads.end()
      else this.run(slot, true)
    })
  }

  private run(slot: Slot, long: boolean, beside = false): void {
    const { host, longReads } = this
    const { budget, limits, service } = host
    // A list of keys takes more memory than its bytes.
    const allowed = readsAll(slot) ? limits.maxReplyBytes / 2 : limits.maxReplyBytes
    const room = Math.max(SMALL, Math.min(allowed, budget.room))
    // A read whose reply turns out to be larger counts as long: the size is known before the values are read.
    const most = long ? room : Math.min(room, shortReply)
    let reply: Reply | Promise<Reply>
    try {
      reply = slot.work?.type === "work.read" ? slot.work.run() : service.reader.read(slot.words, most)
    } catch (thrown) {
      reply = this.failed(slot, thrown)
    }
    if (reply instanceof Promise) {
      if (!long) longReads.join()
      this.busy = true
      this.reserved = slot.known?.name === "mget" || slot.known?.name === "keys" ? most : longReadWeight
      const settle = (settled: Reply): void => {
        longReads.end()
        this.reserved = 0
        this.settle(slot, settled, most < allowed)
      }
      reply.then(settle, (thrown: unknown) => settle(this.failed(slot, thrown)))
      return
    }
    if (long) longReads.end()
    else if (most < room && slot.work === null && isTooLarge(reply)) {
      if (beside) slot.large = true
      else this.wait(slot)
      return
    }
    this.settle(slot, reply, most < allowed)
  }

  /** `pressed`: the reply was limited more strictly than usual, because memory is short. */
  private settle(slot: Slot, reply: Reply, pressed: boolean): void {
    this.busy = false
    this.owner.answered(
      slot,
      pressed && slot.work === null && isTooLarge(reply) ? refuseBusy(this.host, "the reply is large") : reply,
    )
  }

  private failed(slot: Slot, thrown: unknown): Reply {
    if (slot.work?.type === "work.read") slot.work.refused?.()
    return internalErrorReply(this.host, slot.words, thrown)
  }
}
