/** The commands of one connection, from coming to answered, in their order. */
import type { Reply } from "../types.ts"
import type { Gate } from "./barriers.ts"
import type { Known, Words, Work } from "./contract.ts"
import { errorReply, type Protocol } from "./encode.ts"

export const unknownBehind = errorReply("UNKNOWN", "a write sent before this one on the connection ended unknown; it may or may not have been executed")
export const failedWrite = errorReply("UNKNOWN", "internal error; whether the command was executed is not known")

export interface Slot {
  /** answered: only waits for those before it. */
  readonly kind: "write" | "read" | "answered"
  readonly known: Known | undefined
  readonly words: Words
  readonly work: Work | null
  readonly protocol: Protocol
  readonly silent: boolean
  /** What it holds in memory. */
  bytes: number
  /** Whether the read wants a barrier, and the one it got. */
  readonly gated: boolean
  /** Whether its reply may be large: a write that answers with a value. */
  readonly returns: boolean
  /** Of a write: what it will cost (admission.ts); null until that has been looked at. */
  cost: number | null
  gate: Gate | null
  reply: Reply | null
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
    this.length--
    this.bytes -= slot.bytes
    if (this.next === slot) this.next = slot.next
    this.head = slot.next
    if (slot.next === null) this.tail = null
  }

  /** Whether the writes behind were executed hangs on the one whose end is unknown: theirs is unknown too. */
  abandonBehind(slot: Slot, unknown: Reply): void {
    for (let at = slot.next; at !== null && at !== this.next; at = at.next) if (at.kind === "write") at.reply ??= unknown
  }

  /** Forgets all of it. Answers what the service still holds on to: writes begun, without an answer. */
  clear(): number {
    let held = 0
    for (let slot = this.head; slot !== null && slot !== this.next; slot = slot.next) if (slot.kind === "write" && !slot.over) held += slot.bytes
    this.head = this.next = this.tail = null
    this.length = 0
    this.bytes = 0
    return held
  }
}
