/**
 * LEASE and RELEASE, which Redis does not have: who holds a key for a time, and with which fencing token.
 *
 * A lease is a key with a deadline; its value is the token, a blank and the holder, so GET, PTTL and DEL work on it as
 * on any other key. The token is the index in the log of the command that took the lease: no deletion and no FLUSHALL
 * can make a later token smaller.
 */
import { ONE, ZERO, bulk, err, integer, invalidExpire } from "../reply.ts"
import { touchUntil } from "./strings.ts"
import { type CommandHandler, type KeyspaceView, argument, clampDeadline, deadlineOf } from "./view.ts"
import type { Reply } from "../../types.ts"

const LONGEST_HOLDER = 256
/** The digits of an index in the log, and the blank. */
const LONGEST_TOKEN = 17
const notALease = err("the key holds a value that is no lease", "WRONGTYPE")
const holderTooLong = err(`a holder has at most ${LONGEST_HOLDER} bytes`)

interface Lease {
  readonly token: number
  readonly holder: Buffer
}
const leaseOf = (view: KeyspaceView, key: Buffer, item: NonNullable<ReturnType<KeyspaceView["get"]>>): Lease | null => {
  if (item.length > LONGEST_TOKEN + LONGEST_HOLDER) return null
  const value = view.value(key, item)
  const blank = value.indexOf(32)
  const token = value.toString("latin1", 0, Math.max(0, blank))
  return /^[1-9][0-9]{0,15}$/.test(token) ? { token: Number(token), holder: value.subarray(blank + 1) } : null
}
const told = (token: number, holder: Buffer, remaining: number): Reply => ({
  type: "array",
  items: [integer(token), bulk(Buffer.from(holder)), integer(remaining)],
})

/**
 * LEASE key holder milliseconds: takes the key for `holder` if no other holder has it, or renews the holder's own
 * lease. Returns the token, the holder's name, and the milliseconds that are left (-1: no end).
 */
export const lease: CommandHandler = (view, args) => {
  const [key, holder] = [argument(args, 1), argument(args, 2)]
  if (holder.length > LONGEST_HOLDER) return holderTooLong
  const deadline = deadlineOf(view.now, argument(args, 3), { millis: 1n, relative: true }, true, invalidExpire("lease"))
  if (typeof deadline !== "bigint") return deadline
  const remaining = clampDeadline(deadline) - view.now
  const item = view.get(key)
  if (item === undefined) {
    view.put(key, Buffer.concat([Buffer.from(`${view.index} `), holder]), clampDeadline(deadline))
    return told(view.index, holder, remaining)
  }
  const held = leaseOf(view, key, item)
  if (held === null) return notALease
  if (!held.holder.equals(holder)) return told(held.token, held.holder, item.expiry === 0 ? -1 : item.expiry - view.now)
  touchUntil(view, key, item, deadline)
  return told(held.token, holder, remaining)
}

/** RELEASE key holder: 1 if the holder held the key, otherwise 0. */
export const release: CommandHandler = (view, args) => {
  const key = argument(args, 1)
  const item = view.get(key)
  if (item === undefined) return ZERO
  const held = leaseOf(view, key, item)
  if (held === null) return notALease
  if (!held.holder.equals(argument(args, 2))) return ZERO
  view.delete(key)
  return ONE
}
