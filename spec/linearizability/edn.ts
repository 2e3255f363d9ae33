/**
 * EDN, Clojure's data notation, as far as histories use it: enough to read what Jepsen, Knossos and Porcupine's tests
 * write.
 */
import { type Value } from "./history.ts"

export class Keyword {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}
export type Edn = null | boolean | number | string | Keyword | readonly Edn[] | ReadonlyMap<string, Edn>

/** An error in a history, with its line. */
export class BadHistory extends Error {
  override readonly name = "BadHistory"
  /** The line, counted from 1; 0: the error concerns the whole history. */
  readonly line: number
  constructor(line: number, message: string) {
    super(line === 0 ? message : `line ${line}: ${message}`)
    this.line = line
  }
}

export interface Placed {
  readonly line: number
  readonly value: Edn
}

/** No value of an operation is deeper, and whoever looks at one goes as deep as it is. */
export const MOST_NESTED = 100

const delimiter = /[\s,()[\]{}";]/
const pairs: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" }
const characters: Readonly<Record<string, string>> = { newline: "\n", space: " ", tab: "\t", return: "\r" }
const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f", "\\": "\\", '"': '"' }

/** All values of a text, one after the other, each with the line where it begins. Throws BadHistory. */
export const readEdn = (text: string, firstLine = 1): readonly Placed[] => {
  let at = 0
  let line = firstLine
  interface Open {
    readonly bracket: string
    readonly line: number
    readonly items: Edn[]
    /** How many `#_` precede the next value here: that many values are left out. */
    discard: number
  }
  const top: Placed[] = []
  const open: Open[] = []
  const outside: Open = { bracket: "", line, items: [], discard: 0 }
  const give = (value: Edn, from: number): void => {
    const within = open.at(-1) ?? outside
    if (within.discard > 0) within.discard--
    else if (within === outside) top.push({ line: from, value })
    else within.items.push(value)
  }
  const string = (): string => {
    const from = line
    let made = ""
    for (at++; text[at] !== '"'; at++) {
      const char = text[at]
      if (char === undefined) throw new BadHistory(from, "a string begins here and does not end")
      if (char === "\n") line++
      if (char !== "\\") made += char
      else {
        const escape = text[++at] ?? ""
        if (escape === "u") {
          made += String.fromCharCode(Number.parseInt(text.slice(at + 1, at + 5), 16))
          at += 4
        } else made += escapes[escape] ?? escape
      }
    }
    at++
    return made
  }
  const atom = (): Edn => {
    const from = at
    while (at < text.length && !delimiter.test(text[at] ?? " ")) at++
    const word = text.slice(from, at)
    if (word === "nil") return null
    if (word === "true" || word === "false") return word === "true"
    if (word.startsWith(":")) return new Keyword(word.slice(1))
    if (/^[+-]?\d+N?$/.test(word) || /^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?M?$/.test(word))
      return Number(word.replace(/[NM]$/, ""))
    if (word.startsWith("\\")) return characters[word.slice(1)] ?? word.slice(1)
    // A symbol: histories use it only as a word.
    return word
  }
  while (at < text.length) {
    if (open.length > MOST_NESTED)
      throw new BadHistory(line, `brackets within more than ${MOST_NESTED} others; expected values of a few`)
    const char = text[at] ?? ""
    if (char === "\n") line++
    if (/[\s,]/.test(char)) at++
    else if (char === ";") at = text.includes("\n", at) ? text.indexOf("\n", at) : text.length
    else if (text.startsWith("#_", at)) {
      ;(open.at(-1) ?? outside).discard++
      at += 2
    } else if (text.startsWith("#{", at)) {
      open.push({ bracket: "#", line, items: [], discard: 0 })
      at += 2
    } else if (char === "#") {
      // A tag, such as #jepsen.history.Op: only the value after it counts.
      at++
      while (at < text.length && !delimiter.test(text[at] ?? " ")) at++
    } else if (pairs[char] !== undefined) {
      open.push({ bracket: char, line, items: [], discard: 0 })
      at++
    } else if (char === ")" || char === "]" || char === "}") {
      const closed = open.pop()
      if (closed === undefined || (pairs[closed.bracket] ?? "}") !== char)
        throw new BadHistory(line, `"${char}" closes nothing that is open`)
      at++
      if (closed.bracket !== "{") give(closed.items, closed.line)
      else {
        const map = new Map<string, Edn>()
        for (let i = 0; i < closed.items.length; i += 2) {
          const key = closed.items[i] ?? null
          map.set(key instanceof Keyword ? key.name : JSON.stringify(key), closed.items[i + 1] ?? null)
        }
        if (closed.items.length % 2 === 1) throw new BadHistory(closed.line, "a map with a key that has no value")
        give(map, closed.line)
      }
    } else if (char === '"') {
      const from = line
      give(string(), from)
    } else give(atom(), line)
  }
  const unclosed = open.at(-1)
  if (unclosed !== undefined) throw new BadHistory(unclosed.line, `"${unclosed.bracket}" is not closed`)
  return top
}

export const valueOfEdn = (edn: Edn, line: number): Value => {
  if (edn instanceof Keyword) return `:${edn.name}`
  if (edn instanceof Map)
    throw new BadHistory(
      line,
      "a map is no value of an operation; expected nil, a number, a string or a vector of them",
    )
  if (Array.isArray(edn)) return (edn as readonly Edn[]).map((one) => valueOfEdn(one, line))
  return edn as Value
}

export const writeEdn = (value: Value): string =>
  value === null
    ? "nil"
    : Array.isArray(value)
      ? `[${(value as readonly Value[]).map(writeEdn).join(" ")}]`
      : typeof value === "string" && /^:[\w.-]+$/.test(value)
        ? value
        : JSON.stringify(value)
