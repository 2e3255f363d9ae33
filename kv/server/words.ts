/** Commands and their words: how a command is declared, read, and refused in the words of Redis. */
import type { Call, Reply } from "../types.ts"
import type { Handler, Known, Shape, Words } from "./contract.ts"
import { err } from "./encode.ts"

/** A command of the server's own: no keys unless it says so. */
export const own = (name: string, arity: number, does: Handler, more: Partial<Omit<Known, "name" | "arity" | "does">> = {}): Known => ({
  name,
  arity,
  flags: ["fast"],
  firstKey: 0,
  lastKey: 0,
  step: 0,
  underMulti: "queue",
  does,
  ...more,
})

export const arityFits = (known: Shape, words: Call): boolean =>
  known.arity >= 0 ? words.length === known.arity : words.length >= -known.arity

export const keysOf = <Word extends Uint8Array>(shape: Shape, words: readonly Word[]): Word[] => {
  const keys: Word[] = []
  if (shape.firstKey === 0) return keys
  const last = shape.lastKey < 0 ? words.length + shape.lastKey : shape.lastKey
  for (let at = shape.firstKey; at <= last; at += shape.step) {
    const key = words[at]
    if (key !== undefined) keys.push(key)
  }
  return keys
}

export const unknownSubcommand = (name: string, sub: Buffer | undefined): Reply =>
  err(`unknown subcommand '${(sub ?? Buffer.alloc(0)).toString("utf8", 0, 128)}'. Try ${name.toUpperCase()} HELP.`)

export const wordAt = (words: Words, at: number): string => words[at]?.toString("latin1").toLowerCase() ?? ""
export const textAt = (words: Words, at: number): string => words[at]?.toString("utf8") ?? ""

/** A whole number that a log index or a sequence can be; null for anything else. */
export const naturalAt = (words: Words, at: number): number | null => {
  const text = wordAt(words, at)
  if (!/^\d{1,16}$/u.test(text)) return null
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : null
}
