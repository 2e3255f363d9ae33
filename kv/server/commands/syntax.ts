/**
 * The syntax of commands, in the notation of their help: `key [NX|XX] [EX seconds|PX milliseconds] [key value]...`.
 * Words in capitals are literal, others are placeholders; brackets are optional, bars are a choice, and dots repeat what
 * precedes them. Arity, the hints of redis-cli and COMMAND DOCS are all derived from this one line.
 */
import type { Reply } from "../../types.ts"
import { array, bulkText, map } from "../wire/encode.ts"

type Part =
  | { readonly type: "word"; readonly word: string; readonly optional: boolean; readonly multiple: boolean }
  | {
      readonly type: "group"
      readonly choices: readonly (readonly Part[])[]
      readonly optional: boolean
      readonly multiple: boolean
    }

const tokens = (text: string): string[] => text.match(/\.\.\.|[[\]|]|[^\s[\]|.]+/gu) ?? []

/** Reads choices up to the closing bracket or the end. */
const choices = (words: string[]): (readonly Part[])[] => {
  const found: Part[][] = [[]]
  for (let word = words.shift(); word !== undefined && word !== "]"; word = words.shift()) {
    if (word === "|") {
      found.push([])
      continue
    }
    const inner = word === "[" ? choices(words) : null
    const multiple = words[0] === "..."
    if (multiple) words.shift()
    found
      .at(-1)
      ?.push(
        inner === null
          ? { type: "word", word, optional: false, multiple }
          : { type: "group", choices: inner, optional: true, multiple },
      )
  }
  return found
}
const parse = (syntax: string): readonly (readonly Part[])[] => choices(tokens(syntax))

const least = (parts: readonly Part[]): number => parts.filter(({ optional }) => !optional).length
const isOpen = (parts: readonly Part[]): boolean => parts.some(({ optional, multiple }) => optional || multiple)

/** `before`: the number of words of the command's name. */
export const arityOf = (syntax: string, before: number): number => {
  const all = parse(syntax)
  const words = before + Math.min(...all.map(least))
  return all.some(isOpen) || new Set(all.map(least)).size > 1 ? -words : words
}

const kinds: Readonly<Record<string, string>> = {
  key: "key",
  source: "key",
  destination: "key",
  newkey: "key",
  pattern: "pattern",
  "unix-time-seconds": "unix-time",
  "unix-time-milliseconds": "unix-time",
  "float-increment": "double",
  seconds: "integer",
  milliseconds: "integer",
  increment: "integer",
  decrement: "integer",
  offset: "integer",
  start: "integer",
  end: "integer",
  count: "integer",
  index: "integer",
  cursor: "integer",
  slot: "integer",
  "client-id": "integer",
  "protocol-version": "integer",
  sequence: "integer",
  lowest: "integer",
}
const isToken = (word: string): boolean => word === word.toUpperCase() && /[A-Z]/u.test(word)

const flagsOf = (part: { readonly optional: boolean; readonly multiple: boolean }): Record<string, Reply> => {
  const flags = [...(part.optional ? ["optional"] : []), ...(part.multiple ? ["multiple"] : [])]
  return flags.length === 0 ? {} : { flags: array(flags.map((flag) => ({ type: "simple", text: flag }))) }
}
const once = { optional: false, multiple: false }
const said = (word: string, flags: Record<string, Reply>, token?: string): Reply =>
  map({
    name: bulkText(word.toLowerCase()),
    type: bulkText(isToken(word) ? "pure-token" : (kinds[word] ?? "string")),
    ...(isToken(word) ? { token: bulkText(word) } : token === undefined ? {} : { token: bulkText(token) }),
    ...flags,
  })

/** True if a token and its value are one argument. */
const introduces = (
  parts: readonly Part[],
): { readonly token: string; readonly word: string; readonly multiple: boolean } | null => {
  const [token, what] = parts
  return parts.length === 2 &&
    token?.type === "word" &&
    what?.type === "word" &&
    isToken(token.word) &&
    !isToken(what.word)
    ? { token: token.word, word: what.word, multiple: what.multiple }
    : null
}
/** Several parts as one argument. */
const together = (parts: readonly Part[], flags: Record<string, Reply>): Reply => {
  const [first] = parts
  if (parts.length === 1 && first?.type === "word") return said(first.word, { ...flagsOf(first), ...flags })
  const pair = introduces(parts)
  if (pair !== null)
    return said(pair.word, { ...flagsOf({ optional: false, multiple: pair.multiple }), ...flags }, pair.token)
  return map({
    name: bulkText(first?.type === "word" ? first.word.toLowerCase() : "options"),
    type: bulkText("block"),
    arguments: array(listOf(parts)),
    ...flags,
  })
}
const argumentOf = (part: Part): Reply => {
  if (part.type === "word") return said(part.word, flagsOf(part))
  const [only = []] = part.choices
  if (part.choices.length === 1) return together(only, flagsOf(part))
  return map({
    name: bulkText("options"),
    type: bulkText("oneof"),
    arguments: array(part.choices.map((choice) => together(choice, flagsOf(once)))),
    ...flagsOf(part),
  })
}
const listOf = (parts: readonly Part[]): Reply[] => {
  const found: Reply[] = []
  for (let at = 0; at < parts.length; at++) {
    const part = parts[at]
    const pair = introduces(parts.slice(at, at + 2))
    if (pair !== null) {
      found.push(together(parts.slice(at, at + 2), {}))
      at++
    } else if (part !== undefined) found.push(argumentOf(part))
  }
  return found
}
/** The arguments as COMMAND DOCS describes them. */
export const argumentsOf = (syntax: string): readonly Reply[] => {
  const all = parse(syntax)
  const [only = []] = all
  return all.length > 1 ? [argumentOf({ type: "group", choices: all, optional: false, multiple: false })] : listOf(only)
}
