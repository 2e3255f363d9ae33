/** Changes inputs at random: bytes as bytes, and what looks like text word by word and line by line. */

export type Random = () => number
const below = (random: Random, end: number): number => Math.floor(random() * end)
export const pick = <A>(random: Random, from: readonly A[]): A | undefined => from[below(random, from.length)]

export const LONGEST = 4096

const EDGES = [
  0, 1, 2, 7, 8, 15, 16, 17, 31, 32, 63, 64, 127, 128, 255, 256, 511, 512, 4095, 32_767, 32_768, 65_535, 65_536,
].concat([2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 47, 2 ** 48 - 2, 2 ** 48 - 1])
const NUMBERS = [...EDGES, -1, -2, 2 ** 53 - 1, 2 ** 53, 2 ** 64, -(2 ** 31) - 1, 1e21]
  .map(String)
  .concat(["007", "+1", "-0", "1.5", "1e3", "1e999", "0x10", "9".repeat(30), "NaN"])
const VALUES = [
  "null",
  "true",
  "false",
  "0",
  '""',
  '"x"',
  "[]",
  "{}",
  "[null]",
  '{"":0}',
  "nil",
  ":x",
  '"__proto__"',
  '"constructor"',
  '"\\ud800"',
]
const WORD = /"(?:[^"\\\n]|\\.)*"|[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|:?[A-Za-z_][\w.-]*|[[\]{}(),:=]/g

const splice = (input: Buffer, from: number, to: number, by: Uint8Array): Buffer =>
  Buffer.concat([input.subarray(0, from), by, input.subarray(to)])
const range = (random: Random, input: Buffer): readonly [from: number, to: number] => {
  const from = below(random, input.length + 1)
  const most = random() < 0.8 ? 16 : input.length
  return [from, Math.min(input.length, from + below(random, most + 1))]
}

interface Around {
  readonly random: Random
  readonly words: readonly string[]
  readonly other: Buffer
}
type Change = (input: Buffer, around: Around) => Buffer

const flipBit: Change = (input, { random }) => {
  const out = Buffer.from(input)
  const at = below(random, out.length)
  if (out.length > 0) out[at] = (out[at] ?? 0) ^ (1 << below(random, 8))
  return out
}
const setByte: Change = (input, { random }) => {
  const out = Buffer.from(input)
  if (out.length > 0) out[below(random, out.length)] = below(random, 256)
  return out
}
const edgeNumber: Change = (input, { random }) => {
  const out = Buffer.from(input)
  const width = pick(random, [1, 2, 4, 6, 6]) ?? 1
  if (out.length < width) return out
  const at = below(random, out.length - width + 1)
  const value =
    random() < 0.5 ? (pick(random, EDGES) ?? 0) : out.readUIntBE(at, width) + (pick(random, [-2, -1, 1, 2, 16]) ?? 1)
  out.writeUIntBE(Math.min(Math.max(value, 0), 2 ** (8 * width) - 1), at, width)
  return out
}
const cut: Change = (input, { random }) => splice(input, ...range(random, input), Buffer.alloc(0))
const cutEnd: Change = (input, { random }) => input.subarray(0, below(random, input.length + 1))
const double: Change = (input, { random }) => {
  const [from, to] = range(random, input)
  const part = input.subarray(from, to)
  const times = random() < 0.9 ? 1 : below(random, 40)
  return splice(input, to, to, Buffer.concat(Array.from({ length: times }, () => part)))
}
const move: Change = (input, { random }) => {
  const [from, to] = range(random, input)
  const rest = splice(input, from, to, Buffer.alloc(0))
  const at = below(random, rest.length + 1)
  return splice(rest, at, at, input.subarray(from, to))
}
const cross: Change = (input, { random, other }) => {
  const [from, to] = range(random, other)
  const at = below(random, input.length + 1)
  return splice(input, at, random() < 0.5 ? at : Math.min(input.length, at + to - from), other.subarray(from, to))
}
const halves: Change = (input, { random, other }) =>
  Buffer.concat([input.subarray(0, below(random, input.length + 1)), other.subarray(below(random, other.length + 1))])
const putWord: Change = (input, { random, words }) => {
  const word = Buffer.from(pick(random, words) ?? "", random() < 0.9 ? "utf8" : "latin1")
  const at = below(random, input.length + 1)
  return splice(input, at, random() < 0.5 ? at : Math.min(input.length, at + word.length), word)
}
const putBytes: Change = (input, { random }) => {
  const at = below(random, input.length + 1)
  return splice(input, at, at, Buffer.from(Array.from({ length: 1 + below(random, 8) }, () => below(random, 256))))
}
const wordsOf = (text: string): readonly RegExpExecArray[] => [...text.matchAll(WORD)]
const otherWord: Change = (input, { random, words, other }) => {
  const text = input.toString("latin1")
  const found = pick(random, wordsOf(text))
  if (found === undefined) return input
  const numeric = /^[^"]*\d/.test(found[0]) && random() < 0.6
  const by = numeric
    ? (pick(random, NUMBERS) ?? "")
    : random() < 0.4
      ? (pick(random, VALUES) ?? "")
      : random() < 0.5
        ? (pick(random, wordsOf(other.toString("latin1")))?.[0] ?? "")
        : (pick(random, words) ?? "")
  return Buffer.from(text.slice(0, found.index) + by + text.slice(found.index + found[0].length), "latin1")
}
const byLines: Change = (input, { random, other }) => {
  const lines = input.toString("latin1").split("\n")
  const at = below(random, lines.length)
  const line = lines[at] ?? ""
  const how = below(random, 4)
  if (how === 0) lines.splice(at, 1)
  else if (how === 1) lines.splice(below(random, lines.length + 1), 0, line)
  else if (how === 2) lines.splice(at, 1, pick(random, lines) ?? "")
  else lines.splice(at, 0, pick(random, other.toString("latin1").split("\n")) ?? "")
  return Buffer.from(lines.join("\n"), "latin1")
}

const CHANGES: readonly Change[] = [
  flipBit,
  setByte,
  edgeNumber,
  edgeNumber,
  cut,
  cutEnd,
  double,
  move,
  cross,
  halves,
  putWord,
  putWord,
  putBytes,
  otherWord,
  otherWord,
  otherWord,
  byLines,
]

/** One change mostly, up to sixteen. */
export const mutated = (input: Buffer, around: Around): Buffer => {
  let out = input
  const times = 1 << below(around.random, 5)
  for (let i = 0; i < times; i++) out = (pick(around.random, CHANGES) ?? flipBit)(out, around)
  return out.length > LONGEST ? out.subarray(0, LONGEST) : out
}
