/** What a fuzzer needs to know of a parser. */
import type { Mutant } from "../mutants/mutant.ts"

export interface Parser {
  readonly name: string
  /** What it reads, and what must be true of it. */
  readonly about: string
  /** Its sources: their blocks are counted, and their work is bounded. */
  readonly files: readonly string[]
  /** Real inputs, made by what writes them. */
  readonly seeds: () => readonly Uint8Array[]
  /** Gives one input to the parser. Throws if anything is not as it must be. */
  readonly check: (input: Buffer) => void | Promise<void>
  /** Makes the checksums of an input right again, so that it gets past them. */
  readonly mend?: (input: Buffer) => Buffer
  /** Further words of its language. */
  readonly words?: readonly string[]
  /** Blocks that an input may enter: at most `least` and `each` for every byte. Default: 100,000 and 2,000. */
  readonly work?: { readonly least: number; readonly each: number }
  /** Mistakes that the fuzzer finds within a minute. */
  readonly faults: readonly Mutant[]
}

/** It is not as the parser promises. */
export class Broken extends Error {
  override readonly name = "Broken"
}
export const must = (holds: boolean, what: string): void => {
  if (!holds) throw new Broken(what)
}
/** Runs a parser that says no by these errors. undefined: it said no. */
export const orRefused = <A>(
  read: () => A,
  ...errors: readonly (abstract new (...args: never[]) => Error)[]
): A | undefined => {
  try {
    return read()
  } catch (error) {
    if (errors.some((known) => error instanceof known)) return undefined
    throw error
  }
}

const MAX_PIECES = 64
/** The input in pieces whose sizes follow from its content, so that the same input is cut in the same way. */
export const pieces = (input: Buffer): readonly Buffer[] => {
  const cut: Buffer[] = []
  let state = input.length + 1
  for (let at = 0; at < input.length;) {
    state = (Math.imul(state, 1_103_515_245) + 12_345 + (input[at] ?? 0)) >>> 0
    const size = cut.length >= MAX_PIECES ? input.length : 1 + ((state >>> 16) % ((state & 3) === 0 ? 64 : 4))
    // Memory of its own, as a socket gives it.
    cut.push(Buffer.from(input.subarray(at, at + size)))
    at += size
  }
  return cut
}
const textOf = (bytes: Uint8Array): string =>
  `bytes ${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1")}`
const plain = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return textOf(value)
  if (typeof value === "bigint") return `big ${value}`
  if (typeof value === "number" && (Object.is(value, -0) || !Number.isFinite(value)))
    return `number ${Object.is(value, -0) ? "-0" : value}`
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Map) return { map: [...(value as ReadonlyMap<unknown, unknown>)].map(plain) }
  if (typeof value !== "object" || value === null) return value
  return Object.entries(value)
    .filter(([, part]) => part !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, part]) => [name, plain(part)])
}
/** A value as text that is the same for the same value, bytes and maps included, in whatever order its parts are. */
export const told = (value: unknown): string => JSON.stringify(plain(value))
