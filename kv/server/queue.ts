/** The commands of one connection, from coming to answered, in their order. */
import type { Barrier } from "../../interpreters/replica/index.ts"
import type { Reply } from "../types.ts"
import type { Known, Words, Work } from "./contract.ts"
import { errorReply, type Protocol } from "./wire/encode.ts"

export const unknownBehind = errorReply(
  "UNKNOWN",
  "a write sent before this one on the connection ended unknown; it may or may not have been executed",
)
/** A read that can be taken neither at its place any more nor after it. */
export const missed = errorReply(
  "TRYAGAIN",
  "a write sent behind this read on the connection has ended, or may yet, without this read being taken before it. Nothing was read: send it again",
)
export const failedWrite = errorReply("UNKNOWN", "internal error; whether the command was executed is not known")

/** What a write costs the log (limits/admission.ts): its own, and of the reads that are taken on its way. */
export interface Cost {
  readonly own: number
  readonly reads: number
}

export interface Slot {
  /** Its place in the queue. */
  readonly at: number
  /** answered: only waits for those before it. */
  readonly kind: "write" | "read" | "answered"
  readonly known: Known | undefined
  readonly words: Words
  readonly work: Work | null
  readonly protocol: Protocol
  readonly silent: boolean
  /** What it holds in memory. */
  bytes: number
  /** The read needs a barrier. */
  readonly linearizable: boolean
  /** Whether its reply may be large: a write that answers with a value. */
  readonly returns: boolean
  /** What it will cost; null until that has been looked at. */
  cost: Cost | null
  /** The barrier that the read waits for. */
  barrier: Barrier<Reply> | null
  /** The read may ask for another one: it got this one while it could not be taken yet. */
  askedEarly: boolean
  /** The read is too large to be taken while writes behind it are under way: it waits until none is, or until a write takes it along. */
  large: boolean
  reply: Reply | null
  /** When it was taken up. */
  readonly since: number
  /** A write whose service is done with it. */
  over: boolean
  next: Slot | null
}

const valued: ReadonlySet<string> = new Set(["getex", "getset", "getdel", "exec", "stepraft"])
/** SET key value GET is the shortest of its forms that answers with a value. */
const shortestSetGet = 4

export const mayReturnMuch = (known: Known | undefined, words: Words): boolean =>
  known !== undefined && (known.name === "set" ? words.length >= shortestSetGet : valued.has(known.name))

export class Queue {
  /** The first not answered, and the first not begun. */
  head: Slot | null = null
  next: Slot | null = null
  length = 0
  /** What all of them hold in memory. */
  bytes = 0
  private tail: Slot | null = null
  /** Slots so far. */
  private places = 0
  private readonly answered: (slot: Slot) => void

  /** `answered` is told of each slot whose reply has left. */
  constructor(answered: (slot: Slot) => void) {
    this.answered = answered
  }

  place(): number {
    return this.places++
  }
  add(slot: Slot): void {
    if (this.tail === null) this.head = slot
    else this.tail.next = slot
    this.tail = slot
    this.next ??= slot
    this.length++
    this.bytes += slot.bytes
  }

  grow(slot: Slot, bytes: number): void {
    slot.bytes += bytes
    this.bytes += bytes
  }

  /** The head has its answer, and that has left. */
  leave(slot: Slot): void {
    this.answered(slot)
    this.length--
    this.bytes -= slot.bytes
    if (this.next === slot) this.next = slot.next
    this.head = slot.next
    if (slot.next === null) this.tail = null
  }

  /** Whether the writes behind were executed hangs on the one whose end is unknown: theirs is unknown too. Tells how many. */
  abandonBehind(slot: Slot, unknown: Reply): number {
    let abandoned = 0
    for (let at = slot.next; at !== null && at !== this.next; at = at.next) {
      if (at.kind !== "write" || at.reply !== null) continue
      at.reply = unknown
      abandoned++
    }
    return abandoned
  }

  /** Forgets all of it. Answers what the service still holds on to: writes begun, without an answer. */
  clear(): number {
    let held = 0
    for (let slot = this.head; slot !== null && slot !== this.next; slot = slot.next)
      if (slot.kind === "write" && !slot.over) held += slot.bytes
    this.head = this.next = this.tail = null
    this.length = 0
    this.bytes = 0
    return held
  }
}
