/** How commands are declared, parsed, and refused in the wording of Redis. */
import { err, errorReply, quoted } from "../machine/reply.ts"
import type { Call, Reply } from "../types.ts"
import type { ServerHandler, KnownCommand, Shape, Words } from "./contract.ts"

/** A command that the server itself answers: no keys unless it declares them. */
export const serverCommand = (
  name: string,
  arity: number,
  does: ServerHandler,
  more: Partial<Omit<KnownCommand, "name" | "arity" | "does">> = {},
): KnownCommand => ({
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

export const arityFits = (known: Pick<Shape, "arity">, words: Call): boolean =>
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

const quotedBytes = 128
const longestOption = 128

export const unknownSubcommand = (name: string, sub: Buffer | undefined): Reply =>
  err(`unknown subcommand '${sub === undefined ? "" : quoted(sub, quotedBytes)}'. Try ${name.toUpperCase()} HELP.`)

/** A word as an error quotes it. */
export const quotedWord = (words: Words, at: number): string => quoted(words[at] ?? Buffer.alloc(0), quotedBytes)

/** The lower-case name of an option, or another word in that position, cut to the length of the longest option. */
export const wordAt = (words: Words, at: number): string =>
  words[at]?.toString("latin1", 0, longestOption).toLowerCase() ?? ""
/** The refusal of a command with too many words, if each of its words is answered separately. */
export const tooManyWords = (name: string, words: Words, most: number): Reply | null =>
  words.length <= most
    ? null
    : errorReply(
        "TOOLARGE",
        `${name} was given ${words.length} words, ${most} are allowed. Nothing was done: ask in parts.`,
      )

export const textAt = (words: Words, at: number): string => words[at]?.toString("utf8") ?? ""

/** Log indexes, sessions, sequences and versions take 48 bits in the log: this is the largest of them. */
export const LAST_NATURAL = 0xffff_ffff_ffff

/**
 * A whole number that the log can hold; null for anything else. All such numbers in a command's words are parsed here.
 */
export const naturalAt = (words: Words, at: number): number | null => {
  const word = words[at]
  if (word === undefined || word.length === 0 || word.length > 15) return null
  let value = 0
  for (const byte of word) {
    if (byte < 0x30 || byte > 0x39) return null
    value = value * 10 + byte - 0x30
  }
  return value <= LAST_NATURAL ? value : null
}
