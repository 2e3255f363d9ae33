/** EXPIRE, TTL and their family. A key is gone once the replicated clock *reaches* its deadline. */
import { ONE, ZERO, err, integer, invalidExpire, quoted } from "../reply.ts"
import { touchUntil } from "./strings.ts"
import { type Arguments, type CommandHandler, type TimeUnit, argument, deadlineOf, upper } from "./view.ts"
import type { Reply } from "../../types.ts"

interface Conditions {
  nx: boolean
  xx: boolean
  gt: boolean
  lt: boolean
}
const parseConditions = (args: Arguments): Conditions | Reply => {
  const found: Conditions = { nx: false, xx: false, gt: false, lt: false }
  for (let i = 3; i < args.length; i++) {
    const name = upper(argument(args, i))
    if (name === "NX") found.nx = true
    else if (name === "XX") found.xx = true
    else if (name === "GT") found.gt = true
    else if (name === "LT") found.lt = true
    else return err(`Unsupported option ${quoted(argument(args, i), 128)}`)
  }
  if (found.nx && (found.xx || found.gt || found.lt))
    return err("NX and XX, GT or LT options at the same time are not compatible")
  if (found.gt && found.lt) return err("GT and LT options at the same time are not compatible")
  return found
}

const expireWith =
  (name: string, unit: TimeUnit): CommandHandler =>
  (view, args) => {
    const conditions = parseConditions(args)
    if ("type" in conditions) return conditions
    const deadline = deadlineOf(view.now, argument(args, 2), unit, false, invalidExpire(name))
    if (typeof deadline !== "bigint") return deadline
    const key = argument(args, 1)
    const item = view.get(key)
    if (item === undefined) return ZERO
    const current = item.expiry
    if (conditions.nx && current !== 0) return ZERO
    if (conditions.xx && current === 0) return ZERO
    // No deadline counts as infinitely late: GT never holds against it, LT always does.
    if (conditions.gt && (current === 0 || deadline <= BigInt(current))) return ZERO
    if (conditions.lt && current !== 0 && deadline >= BigInt(current)) return ZERO
    touchUntil(view, key, item, deadline)
    return ONE
  }
export const expire = expireWith("expire", { millis: 1000n, relative: true })
export const pexpire = expireWith("pexpire", { millis: 1n, relative: true })
export const expireat = expireWith("expireat", { millis: 1000n, relative: false })
export const pexpireat = expireWith("pexpireat", { millis: 1n, relative: false })

const timeLeft =
  (render: (expiry: number, now: number) => number): CommandHandler =>
  (view, args) => {
    const item = view.get(argument(args, 1))
    if (item === undefined) return integer(-2)
    return integer(item.expiry === 0 ? -1 : render(item.expiry, view.now))
  }
const seconds = (millis: number): number => Math.floor((millis + 500) / 1000)
export const ttl = timeLeft((expiry, now) => seconds(expiry - now))
export const pttl = timeLeft((expiry, now) => expiry - now)
export const expiretime = timeLeft((expiry) => seconds(expiry))
export const pexpiretime = timeLeft((expiry) => expiry)

export const persist: CommandHandler = (view, args) => {
  const key = argument(args, 1)
  const item = view.get(key)
  if (item === undefined || item.expiry === 0) return ZERO
  view.touch(key, item, 0)
  return ONE
}
