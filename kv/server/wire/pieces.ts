/**
 * Long replies are sent in pieces: encoding 100,000 items takes tens of milliseconds, and the encoded bytes take
 * additional memory.
 */
import type { Reply } from "../../types.ts"
import { encode, encodeHeader, isFixed, type Protocol, type Sink } from "./encode.ts"

type Nest = Extract<Reply, { type: "array" | "map" }>
interface Level {
  readonly nest: Nest
  at: number
}

/** Replies with more items than this are long. */
const most = 1024
/** The memory of an item, besides its bytes. */
const itemBytes = 160

const isNest = (reply: Reply): reply is Nest => reply.type === "array" || reply.type === "map"
const itemAt = ({ nest, at }: Level): Reply | undefined =>
  nest.type === "array" ? nest.items[at] : nest.entries[at >> 1]?.[(at & 1) === 0 ? 0 : 1]

const count = (reply: Reply, left: number): number => {
  if (!isNest(reply)) return left - 1
  if (reply.type === "array")
    for (let at = 0; at < reply.items.length && left > 0; at++) left = count(reply.items[at] ?? reply, left)
  else
    for (let at = 0; at < reply.entries.length * 2 && left > 0; at++)
      left = count(itemAt({ nest: reply, at }) ?? reply, left)
  return left - 1
}
export const isLong = (reply: Reply): reply is Nest => isNest(reply) && count(reply, most) <= 0 && !isFixed(reply)

/** The approximate memory that a reply holds. */
export const replyBytes = (reply: Reply): number => {
  switch (reply.type) {
    case "bulk":
      return itemBytes + reply.bytes.length
    case "array":
      return reply.items.reduce((sum, item) => sum + replyBytes(item), itemBytes)
    case "map":
      return reply.entries.reduce((sum, [key, value]) => sum + replyBytes(key) + replyBytes(value), itemBytes)
    case "error":
    case "simple":
      return itemBytes + reply.text.length
    case "integer":
    case "null":
      return itemBytes
  }
}

export class Pieces {
  /** The memory that the reply holds until it was sent. */
  readonly bytes: number
  private readonly protocol: Protocol
  private readonly levels: Level[] = []

  constructor(reply: Nest, protocol: Protocol, sink: Sink) {
    this.protocol = protocol
    this.bytes = replyBytes(reply)
    this.enter(reply, sink)
  }

  /** Encodes about this many more items; true once all are encoded. */
  next(items: number, sink: Sink): boolean {
    for (let left = items; left > 0; left--) {
      const level = this.levels.at(-1)
      if (level === undefined) return true
      const item = itemAt(level)
      if (item === undefined) {
        this.levels.pop()
        continue
      }
      level.at++
      if (isNest(item)) this.enter(item, sink)
      else encode(item, this.protocol, sink)
    }
    return this.levels.length === 0
  }

  private enter(nest: Nest, sink: Sink): void {
    encodeHeader(nest, this.protocol, sink)
    this.levels.push({ nest, at: 0 })
  }
}
