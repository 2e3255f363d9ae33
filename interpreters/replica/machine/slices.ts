/**
 * Plain data as text in slices, so that a state of 100 MB neither stands in one string nor holds up the event loop. A line
 * is one small value as JSON, or opens or closes a large list or record:
 *
 *     {            a record begins; "key" lines name its parts, each before its value
 *     [            a list begins
 *     "jobs"       (after {) the name of the next part
 *     =7           a value as JSON
 *     ] or }       the end of the list or record
 */
import { nextTurn } from "../../turns.ts"

/**
 * The state holds a value that JSON would change, such as a Map, a Date, NaN or undefined in a list: a server restored
 * from it would differ.
 */
export class StateNotPlain extends Error {
  override readonly name = "StateNotPlain"
  readonly path: string
  constructor(path: string, found: string) {
    super(
      `the state is not plain data: ${path} is ${found}. A snapshot would change it. Keep lists, records, strings, finite numbers, booleans and null in the state, or give the machine a codec for its states`,
    )
    this.path = path
  }
}
/** The text was not written by writeSlices, or it is damaged. */
export class MalformedSlices extends Error {
  override readonly name = "MalformedSlices"
}

/** A part with at most this many values is written as one line. */
const SMALL = 256
const pathOf = (path: string, key: string | number): string =>
  typeof key === "number" ? `${path}[${key}]` : `${path}.${key}`

const isRecord = (value: object): value is Record<string, unknown> => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/**
 * Counts the values of a part down from a limit, and throws if one is not plain. Returns what is left of the limit, or
 * a negative number if there are more values.
 */
const countDown = (value: unknown, path: string, limit: number): number => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return limit - 1
    case "number":
      if (!Number.isFinite(value)) throw new StateNotPlain(path, String(value))
      // JSON.stringify writes -0 as 0, but JSON.parse reads "-0" correctly: so it gets a line of its own.
      return Object.is(value, -0) ? -1 : limit - 1
    case "object": {
      if (value === null) return limit - 1
      let left = limit - 1
      if (Array.isArray(value)) {
        for (let i = 0; i < value.length && left >= 0; i++) left = countDown(value[i], pathOf(path, i), left)
        return left
      }
      if (!isRecord(value))
        throw new StateNotPlain(
          path,
          `a ${(value.constructor as { readonly name?: string } | undefined)?.name ?? "object of a class"}`,
        )
      for (const key in value) {
        // JSON leaves undefined parts out, and so does every server.
        if (value[key] === undefined) continue
        left = countDown(value[key], pathOf(path, key), left)
        if (left < 0) return left
      }
      return left
    }
    case "undefined":
      throw new StateNotPlain(path, "undefined")
    case "bigint":
    case "function":
    case "symbol":
      throw new StateNotPlain(path, `a ${typeof value}`)
  }
}

/** The lines of a value. Throws StateNotPlain. */
export function* linesOf(value: unknown, path = "state"): Generator<string, void, undefined> {
  if (countDown(value, path, SMALL) >= 0) {
    yield `=${JSON.stringify(value)}\n`
  } else if (typeof value === "number") {
    yield "=-0\n"
  } else if (Array.isArray(value)) {
    yield "[\n"
    for (let i = 0; i < value.length; i++) yield* linesOf(value[i], pathOf(path, i))
    yield "]\n"
  } else {
    yield "{\n"
    for (const [key, part] of Object.entries(value as Record<string, unknown>)) {
      if (part === undefined) continue
      yield `${JSON.stringify(key)}\n`
      yield* linesOf(part, pathOf(path, key))
    }
    yield "}\n"
  }
}

/**
 * Puts lines together again. Call `push` with one line at a time, without its line end, and `value` once all are there.
 */
export class LineReader {
  private readonly open: (unknown[] | Record<string, unknown>)[] = []
  private key: string | null = null
  private root: { readonly value: unknown } | null = null

  push(line: string): void {
    const top = this.open.at(-1)
    switch (line.charAt(0)) {
      case "{":
        return this.begin({})
      case "[":
        return this.begin([])
      case "}":
      case "]":
        if (top === undefined || Array.isArray(top) !== (line === "]") || this.key !== null)
          throw new MalformedSlices(`a ${line} that closes nothing`)
        this.open.pop()
        return
      case "=":
        return this.put(JSON.parse(line.slice(1)))
      case '"':
        if (top === undefined || Array.isArray(top) || this.key !== null)
          throw new MalformedSlices("a name outside a record")
        this.key = JSON.parse(line) as string
        return
      default:
        throw new MalformedSlices(`a line that begins with ${JSON.stringify(line.slice(0, 8))}`)
    }
  }
  value(): unknown {
    if (this.root === null || this.open.length > 0) throw new MalformedSlices("the text ends in the middle of a value")
    return this.root.value
  }
  private begin(part: unknown[] | Record<string, unknown>): void {
    this.put(part)
    this.open.push(part)
  }
  private put(value: unknown): void {
    const top = this.open.at(-1)
    if (top === undefined) {
      if (this.root !== null) throw new MalformedSlices("two values")
      this.root = { value }
    } else if (Array.isArray(top)) top.push(value)
    else {
      if (this.key === null) throw new MalformedSlices("a value without a name in a record")
      // As JSON.parse does it: even a part named __proto__ is an ordinary part.
      Object.defineProperty(top, this.key, { value, writable: true, enumerable: true, configurable: true })
      this.key = null
    }
  }
}

/** After working for this long, it lets other tasks run. */
const SLICE_MS = 8
/**
 * Pauses long work now and then. Call this before each small part of the work, and await the promise if it returns one.
 */
export const makePacer = (): (() => Promise<void> | null) => {
  let since = performance.now()
  return () => {
    if (performance.now() - since < SLICE_MS) return null
    return new Promise((resolve) =>
      nextTurn(() => {
        since = performance.now()
        resolve()
      }),
    )
  }
}
