/** States as values, whatever they are made of: a hash that is equal for equal states, and where two states differ. */
import { finish, mix, mixText } from "../../simulation/index.ts"

type Parts = readonly (readonly [string, unknown])[]

/** The parts of a value, by name; null: it has no parts. A part that is undefined does not count, as in JSON. */
const partsOf = (value: unknown): Parts | null => {
  if (typeof value !== "object" || value === null) return null
  if (value instanceof Date || ArrayBuffer.isView(value)) return null
  if (value instanceof Map)
    return Array.from(value as ReadonlyMap<unknown, unknown>, ([key, part], i) => [
      `get(${typeof key === "string" ? JSON.stringify(key) : `key ${i}`})`,
      part,
    ])
  if (value instanceof Set) return Array.from(value as ReadonlySet<unknown>, (part, i) => [`member ${i}`, part])
  if (Array.isArray(value)) return value.map((part: unknown, i) => [`[${i}]`, part])
  return Object.entries(value).flatMap(([key, part]) => (part === undefined ? [] : [[`.${key}`, part] as const]))
}
const kindOf = (value: object): string =>
  (Object.getPrototypeOf(value) as { readonly constructor?: { readonly name?: string } } | null)?.constructor?.name ??
  "Object"

const mixLeaf = (hash: number, value: unknown): number => {
  if (value instanceof Date) return mixText(mix(hash, 7), String(value.getTime()))
  if (ArrayBuffer.isView(value))
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength).reduce(mix, mix(hash, 8))
  if (typeof value === "number" && Number.isInteger(value) && !Object.is(value, -0))
    return mix(mix(mix(hash, 1), value | 0), Math.floor(value / 2 ** 32) | 0)
  return mixText(mix(hash, 2), `${typeof value}${Object.is(value, -0) ? "-0" : String(value)}`)
}
const mixValue = (hash: number, value: unknown): number => {
  const parts = partsOf(value)
  if (parts === null) return mixLeaf(hash, value)
  return parts.reduce(
    (sum, [name, part]) => mixValue(mixText(sum, name), part),
    mix(mixText(hash, kindOf(value as object)), parts.length),
  )
}
export const valueHash = (value: unknown): number => finish(mixValue(0, value))

export interface ValueDifference {
  /** For example state.jobs.a.owner. */
  readonly path: string
  readonly one: unknown
  readonly other: unknown
}
const same = (one: unknown, other: unknown): boolean =>
  Object.is(one, other) ||
  (typeof one === "object" && typeof other === "object" && mixLeaf(0, one) === mixLeaf(0, other))

/** The first place at which two values differ, including the order of their parts; null: nowhere. */
export const differenceOf = (one: unknown, other: unknown, path: string): ValueDifference | null => {
  if (Object.is(one, other)) return null
  const [parts, others] = [partsOf(one), partsOf(other)]
  if (parts === null || others === null || kindOf(one as object) !== kindOf(other as object))
    return parts === null && others === null && same(one, other) ? null : { path, one, other }
  for (let i = 0; i < Math.max(parts.length, others.length); i++) {
    const [name, part] = parts[i] ?? ["", undefined]
    const [otherName, otherPart] = others[i] ?? ["", undefined]
    if (name === otherName) {
      const found = differenceOf(part, otherPart, `${path}${name}`)
      if (found !== null) return found
    } else {
      const known = others.find(([each]) => each === name)
      return name === "" || known !== undefined
        ? { path: `${path}${otherName}`, one: parts.find(([each]) => each === otherName)?.[1], other: otherPart }
        : { path: `${path}${name}`, one: part, other: undefined }
    }
  }
  return null
}

const LONGEST = 400
/** A value in a line, for people. */
export const valueText = (value: unknown): string => {
  let text: string | undefined
  try {
    text = JSON.stringify(value, (_, part: unknown) =>
      part instanceof Map || part instanceof Set ? Array.from(part) : typeof part === "bigint" ? `${part}n` : part,
    )
  } catch {
    text = String(value)
  }
  const whole = text ?? String(value)
  return whole.length <= LONGEST ? whole : `${whole.slice(0, LONGEST - 1)}…`
}
