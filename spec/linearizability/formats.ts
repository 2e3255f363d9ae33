/**
 * Histories as text: JSON lines or one array of them, EDN, and the lines that Jepsen prints, in its console log or in
 * history.txt.
 */
import { BadHistory, Keyword, MOST_NESTED, readEdn, valueOfEdn, writeEdn, type Edn } from "./edn.ts"
import { canonicalF, functionNames, isWhole, synonyms, toJsonLine, type HistoryEvent, type Value } from "./history.ts"

export const historyFormats = ["jepsen", "edn", "jsonl"] as const
export type HistoryFormat = (typeof historyFormats)[number]

/** An event and the line that it was read from. */
export interface ReadEvent extends HistoryEvent {
  readonly line: number
}

const types = ["invoke", "ok", "fail", "info"] as const
const wanted = {
  jsonl: `a JSON object such as {"process":4,"type":"invoke","f":"append","key":"3","value":"x","time":123}`,
  edn: `a map such as {:process 4, :type :invoke, :f :append, :key "3", :value "x"}`,
  jepsen:
    "a line such as INFO  jepsen.util - 4 :invoke :cas [1 2], or 4 :invoke :cas [1 2] alone, with tabs between its parts",
}
const known = `${functionNames.join(", ")} (or ${Object.keys(synonyms).join(", ")})`

const isValue = (value: unknown, within = 0): value is Value =>
  value === null ||
  typeof value === "string" ||
  typeof value === "boolean" ||
  (typeof value === "number" && Number.isFinite(value)) ||
  (Array.isArray(value) && within < MOST_NESTED && value.every((one) => isValue(one, within + 1)))

/** Both readers round larger numbers, so that two values would look the same. */
const exact = <V extends Value>(value: V, line: number): V => {
  if (typeof value === "number" && !Number.isFinite(value))
    throw new BadHistory(line, "a number that is too large to be held; expected none beyond 1e308")
  if (Array.isArray(value)) for (const one of value as readonly Value[]) exact(one, line)
  if (Number.isInteger(value) && !Number.isSafeInteger(value))
    throw new BadHistory(
      line,
      `an integer near ${JSON.stringify(value)}, which cannot be distinguished from its neighbours; expected none beyond ±${Number.MAX_SAFE_INTEGER}: write such numbers as strings`,
    )
  return value
}
const ednValue = (edn: Edn, line: number): Value => exact(valueOfEdn(edn, line), line)

interface Raw {
  readonly line: number
  readonly process: number | string
  readonly type: string
  readonly f: string
  readonly key: string | null
  readonly value: Value
  readonly time: number
  readonly error?: string | undefined
}

/** [[:w 9 2] [:r 9 nil]]: the transactions of Jepsen, under :txn and in some tests under :read and :write. */
const isTransaction = (value: Value): boolean =>
  Array.isArray(value) &&
  value.length > 0 &&
  (value as readonly Value[]).every(
    (one) => Array.isArray(one) && one.length === 3 && /^:?(?:r|w|append)$/.test(String((one as readonly Value[])[0])),
  )

/** The parts that all formats share, checked. */
const event = ({ line, process, type: typeName, f: name, key, value, time, error }: Raw): ReadEvent => {
  const type = types.find((one) => one === typeName)
  if (type === undefined)
    throw new BadHistory(line, `the type is ${JSON.stringify(typeName)}; expected ${types.join(", ")}`)
  if (name === "txn" || isTransaction(value))
    throw new BadHistory(
      line,
      `a transaction, ${JSON.stringify(value)}; expected operations on one key each: transactions are not judged here`,
    )
  const f = canonicalF(name)
  if (f === undefined) throw new BadHistory(line, `the operation is ${JSON.stringify(name)}; expected ${known}`)
  if (type === "invoke") {
    if (f === "cas" && !(Array.isArray(value) && value.length === 2))
      throw new BadHistory(line, `a cas of ${JSON.stringify(value)}; expected two values, [old, new]`)
    if (f === "incr" && value !== null && !isWhole(value))
      throw new BadHistory(line, `an incr by ${JSON.stringify(value)}; expected a whole number`)
  }
  return { line, process, type, f, key, value, time, ...(error === undefined ? {} : { error }) }
}

/** As an error quotes it: a list or an object may be long, and deeper than JSON.stringify goes. */
const quoted = (value: unknown): string =>
  Array.isArray(value)
    ? "a list with something else in it"
    : typeof value === "object" && value !== null
      ? "an object"
      : JSON.stringify(value)

const jsonOf = (source: string, line: number): unknown => {
  try {
    return JSON.parse(source)
  } catch (error) {
    throw new BadHistory(
      line,
      `not JSON (${error instanceof Error ? error.message : String(error)}); expected ${wanted.jsonl}`,
    )
  }
}

const readJson = (text: string): ReadEvent[] => {
  const whole = text.trimStart().startsWith("[") ? jsonOf(text, 1) : undefined
  const lines = whole === undefined ? [] : linesOfMaps(text)
  const objects = Array.isArray(whole)
    ? (whole as readonly unknown[]).map((object, i) => ({ line: lines[i] ?? 1, object }))
    : text
        .split("\n")
        .flatMap((source, i) => (source.trim() === "" ? [] : [{ line: i + 1, object: jsonOf(source, i + 1) }]))
  return objects.map(({ line, object }) => {
    if (typeof object !== "object" || object === null || Array.isArray(object))
      throw new BadHistory(line, `expected ${wanted.jsonl}`)
    const { process, type, f, key = null, value = null, time = 0, error } = object as Record<string, unknown>
    if (typeof process !== "number" && typeof process !== "string")
      throw new BadHistory(line, `"process" is ${quoted(process)}; expected a number or a string, in ${wanted.jsonl}`)
    if (typeof type !== "string" || typeof f !== "string")
      throw new BadHistory(line, `"type" or "f" is missing; expected ${wanted.jsonl}`)
    if (key !== null && typeof key !== "string" && typeof key !== "number")
      throw new BadHistory(line, `"key" is ${quoted(key)}; expected a string`)
    if (!isValue(value))
      throw new BadHistory(
        line,
        `"value" is ${quoted(value)}; expected null, a number, a string, true, false or a list of them`,
      )
    if (typeof time !== "number") throw new BadHistory(line, `"time" is ${quoted(time)}; expected a number`)
    return event({
      line,
      process: exact(process, line),
      type,
      f,
      key: key === null ? null : String(exact(key, line)),
      value: exact(value, line),
      time,
      ...(typeof error === "string" ? { error } : {}),
    })
  })
}

const listOf = (value: Value): readonly Value[] => (Array.isArray(value) ? (value as readonly Value[]) : [])
/** Whether the value shows its form: an error in the place of a value does not. */
const isTold = ({ value }: Raw): boolean => !(typeof value === "string" && value.startsWith(":"))

/**
 * Histories of independent keys hold [key value] where others hold a value, with cas as [key [old new]] or [key old
 * new]. The invocation of a cas shows which of the two it is; a history is of that kind if every value in it can be.
 */
const untuple = (raws: readonly Raw[]): readonly Raw[] => {
  const isTuple = ({ type, f, value }: Raw): boolean => {
    const [key, second] = listOf(value)
    const { length } = listOf(value)
    if (key === null || key === undefined) return false
    return f === "cas" && (length === 3 || type === "invoke")
      ? length === 3 || (length === 2 && Array.isArray(second))
      : length === 2
  }
  // A plain yes or no does not show it either.
  const told = raws.filter(
    (raw) =>
      isTold(raw) && (raw.type === "invoke" || Array.isArray(raw.value) || (raw.f !== "cas" && raw.f !== "delete")),
  )
  if (raws.some(({ key }) => key !== null) || !told.some(({ type }) => type === "invoke") || !told.every(isTuple))
    return raws
  return raws.map((raw) => {
    if (!isTuple(raw)) return raw
    const [key = null, value = null, next] = listOf(raw.value)
    return {
      ...raw,
      key: typeof key === "string" ? key : JSON.stringify(key),
      value: next === undefined ? value : [value, next],
    }
  })
}

/**
 * Jepsen's test of etcd holds [version value] where others hold a value, with nil for an unknown version. Such a
 * history is recognised by its reads, which are invoked with [nil nil]. Only the values are judged.
 */
const unversion = (raws: readonly Raw[]): readonly Raw[] => {
  const isVersioned = ({ value }: Raw): boolean =>
    listOf(value).length === 2 && (listOf(value)[0] === null || typeof listOf(value)[0] === "number")
  const told = raws.filter(isTold)
  const reads = told.filter(({ type, f }) => type === "invoke" && canonicalF(f) === "read")
  if (
    reads.length === 0 ||
    !told.every(isVersioned) ||
    !reads.every(({ value }) => listOf(value).every((one) => one === null))
  )
    return raws
  return raws.map((raw) => (isVersioned(raw) ? { ...raw, value: listOf(raw.value)[1] ?? null } : raw))
}

const wordOf = (edn: Edn | undefined): string | undefined =>
  edn instanceof Keyword ? edn.name : typeof edn === "string" ? edn : undefined

const readEdnHistory = (text: string): ReadEvent[] => {
  const all = readEdn(text)
  const [only] = all
  // One vector (or list) of maps, or maps one after the other.
  const items = all.length === 1 && Array.isArray(only?.value) ? (only?.value as readonly Edn[] | undefined) : undefined
  const lines = items === undefined ? [] : linesOfMaps(text)
  const maps = items === undefined ? all : items.map((value, i) => ({ line: lines[i] ?? 1, value }))
  const raws = maps.flatMap(({ line, value: map }): Raw[] => {
    if (!(map instanceof Map)) throw new BadHistory(line, `expected ${wanted.edn}`)
    const fields = map as ReadonlyMap<string, Edn>
    const process = fields.get("process")
    const type = wordOf(fields.get("type"))
    const f = wordOf(fields.get("f"))
    // The nemesis and other parts of a test are no clients.
    if (process instanceof Keyword) return []
    if (typeof process !== "number" && typeof process !== "string")
      throw new BadHistory(line, `no :process with a number; expected ${wanted.edn}`)
    if (type === undefined || f === undefined) throw new BadHistory(line, `no :type or no :f; expected ${wanted.edn}`)
    const key = fields.get("key") ?? null
    const time = fields.get("time")
    const error = fields.get("error")
    return [
      {
        line,
        process: exact(process, line),
        type,
        f,
        key: key === null ? null : (wordOf(key) ?? JSON.stringify(ednValue(key, line))),
        value: ednValue(fields.get("value") ?? null, line),
        // Jepsen's times are nanoseconds.
        time: typeof time === "number" ? time / 1e6 : 0,
        error: error === undefined || error === null ? undefined : (wordOf(error) ?? writeEdn(valueOfEdn(error, line))),
      },
    ]
  })
  return unversion(untuple(raws)).map(event)
}

/** Lines where the maps directly inside the outer vector begin: brackets are counted, strings and comments skipped. */
const linesOfMaps = (text: string): readonly number[] => {
  const lines: number[] = []
  let line = 1
  let depth = 0
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\[^])*"|;[^\n]*|[\n()[\]{}]/g)) {
    if (token === "\n") line++
    else if (token.startsWith('"')) line += token.split("\n").length - 1
    else if (/^[([{]$/.test(token)) {
      if (token === "{" && depth === 1) lines.push(line)
      depth++
    } else if (/^[)\]}]$/.test(token)) depth--
  }
  return lines
}

/** Versions of Jepsen print different prefixes, history.txt has none. */
const logLine = /(?:^|\bjepsen\.util(?:\s*[-:])?\s+)(:?[\w-]+)\s+:(invoke|ok|fail|info)\s+:([\w-]+)\s*(.*)$/
const readJepsenLog = (text: string): ReadEvent[] => {
  const raws = text.split("\n").flatMap((source, i): Raw[] => {
    const line = i + 1
    const [, process = "", type = "", f = "", rest = ""] = logLine.exec(source.trimEnd()) ?? []
    // Lines that are no operation of a client are skipped: the nemesis, the database, stack traces.
    if (!/^\d+$/.test(process)) return []
    const [value, error] = readEdn(rest, line).map((one) => ednValue(one.value, line))
    return [
      {
        line,
        process: exact(Number(process), line),
        type,
        f,
        key: null,
        value: value ?? null,
        time: 0,
        error: error === undefined ? undefined : String(error),
      },
    ]
  })
  return unversion(untuple(raws)).map(event)
}

/** undefined: the text is in none of the known formats. */
export const detectFormat = (text: string): HistoryFormat | undefined => {
  const start = text.replace(/^(?:\s|;[^\n]*\n)+/, "")
  if (/^(?:\[\s*)?\{\s*"/.test(start)) return "jsonl"
  if (/^(?:[[(]\s*)?(?:#[\w.]+\s*)?\{\s*:/.test(start) || /^(?:\[\s*\]|\(\s*\))\s*$/.test(start)) return "edn"
  return text.split("\n").some((line) => logLine.test(line)) ? "jepsen" : undefined
}

/** The events of clients, perhaps none. Throws BadHistory. */
export const readHistory = (file: string, given: HistoryFormat | "auto" = "auto"): readonly ReadEvent[] => {
  // A byte order mark is not part of the text.
  const text = file.replace(/^\uFEFF/, "")
  const format = given === "auto" ? detectFormat(text) : given
  if (format === undefined)
    throw new BadHistory(
      text.trim() === "" ? 0 : 1,
      `${text.trim() === "" ? "the history is empty" : "the format of this history is not known"}; expected ${wanted.jsonl}, ${wanted.edn}, or ${wanted.jepsen}`,
    )
  if (text.trim() === "" || (format === "jepsen" && !text.split("\n").some((line) => logLine.test(line.trimEnd()))))
    throw new BadHistory(0, `it is no history, not even an empty one; expected ${wanted[format]}`)
  return format === "jsonl" ? readJson(text) : format === "edn" ? readEdnHistory(text) : readJepsenLog(text)
}

const ednLine = ({ process, type, f, key, value, time, error }: HistoryEvent): string =>
  `{:process ${typeof process === "number" ? process : JSON.stringify(process)}, :type :${type}, :f :${f}, ${key === null ? "" : `:key ${JSON.stringify(key)}, `}:value ${writeEdn(value)}, :time ${Math.round(time * 1e6)}${error === undefined ? "" : `, :error ${JSON.stringify(error)}`}}\n`

const jepsenLine = ({ process, type, f, key, value, error }: HistoryEvent): string => {
  const shown = key === null ? value : [key, value]
  return `INFO  jepsen.util - ${process}\t:${type}\t:${f}\t${writeEdn(shown)}${error === undefined ? "" : `\t${JSON.stringify(error)}`}\n`
}

/** A Jepsen log has no times. */
export const writeHistory = (events: readonly HistoryEvent[], format: HistoryFormat): string =>
  events.map(format === "jsonl" ? toJsonLine : format === "edn" ? ednLine : jepsenLine).join("")
