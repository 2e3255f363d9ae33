/**
 * What clients did and saw, as events in the order of real time. Each operation is invoked, then ends as ok (it
 * happened), fail (it did not happen) or info (unknown; it may take effect at any later time, or never), or stays open,
 * which means the same as info.
 */

export type Value = null | boolean | number | string | readonly Value[]
export type Process = number | string

/** The names get, put and set are accepted too, for read and write. */
export const functionNames = ["read", "write", "cas", "append", "delete", "incr"] as const
export type FunctionName = (typeof functionNames)[number]
export const synonyms = { get: "read", put: "write", set: "write" } as const
export type Synonym = keyof typeof synonyms

/**
 * One line of a history in JSON lines: `{"process":4,"type":"invoke","f":"append","key":"3","value":"x","time":123}`. A
 * process has at most one open operation. Only the order of the lines counts; `time` (milliseconds) is for people.
 *
 * value: of a write or append the new value; of cas [old, new]; of incr the increment (null: 1); of read and delete
 * null. With `ok`: of a read the value (null: nothing there), of incr the new number (null: not known), of delete
 * whether there was something (true or 1, false or 0, null: not known), of cas false or 0 if it was refused; otherwise
 * as invoked. `fail` says that it did not happen, for whatever reason; `"error": "precondition"` on a cas says more:
 * the value was another one, which is an observation and is checked.
 */
export interface HistoryEvent {
  readonly process: Process
  readonly type: "invoke" | "ok" | "fail" | "info"
  readonly f: FunctionName
  /** null: the history has only one register. */
  readonly key: string | null
  readonly value: Value
  readonly time: number
  readonly error?: string
}

/** The input of an operation of the models `register` and `kv`. */
export interface Request {
  readonly f: FunctionName
  readonly key: string | null
  readonly value: Value
}

/** An invoked operation that waits for its end. Ending it twice throws. `time` defaults to the recorder's clock. */
export interface OpenOperation {
  readonly ok: (value?: Value, time?: number) => void
  readonly fail: (error?: string, time?: number) => void
  readonly info: (error?: string, time?: number) => void
}

export interface Recorder {
  /** Throws if the process has an open operation. */
  readonly invoke: (operation: {
    readonly process: Process
    readonly f: FunctionName | Synonym
    readonly key?: string | null
    readonly value?: Value
    readonly time?: number
  }) => OpenOperation
  /** All events so far, in order. */
  readonly events: readonly HistoryEvent[]
  /** All events so far as JSON lines, each with its newline. */
  readonly lines: () => string
}

export const isWhole = (value: Value): boolean =>
  (typeof value === "number" || typeof value === "string") && /^-?\d+$/.test(String(value))

export const canonicalF = (name: string): FunctionName | undefined =>
  Object.hasOwn(synonyms, name) ? synonyms[name as Synonym] : functionNames.find((f) => f === name)

export const toJsonLine = (event: HistoryEvent): string => `${JSON.stringify(event)}\n`

/**
 * Records a history: `const open = history.invoke({ process: 1, f: "write", key: "x", value: 3 })`, later `open.ok()`,
 * `open.fail()` or `open.info()`. `now` is the clock, in milliseconds (default: performance.now); `write` gets every line
 * at once, so that a history outlives the process that records it.
 */
export const makeHistory = (
  options: { readonly now?: () => number; readonly write?: (line: string) => void } = {},
): Recorder => {
  const now = options.now ?? (() => performance.now())
  const events: HistoryEvent[] = []
  const busy = new Set<Process>()
  const add = (event: HistoryEvent): void => {
    events.push(event)
    options.write?.(toJsonLine(event))
  }
  return {
    events,
    lines: () => events.map(toJsonLine).join(""),
    invoke: ({ process, f: name, key = null, value = null, time = now() }) => {
      if (busy.has(process))
        throw new Error(
          `process ${process} invokes ${name}, but its last operation is open: end it first (info, if nobody knows)`,
        )
      const f = canonicalF(name)
      if (f === undefined)
        throw new Error(
          `${name} is no operation; there are ${functionNames.join(", ")}, ${Object.keys(synonyms).join(", ")}`,
        )
      busy.add(process)
      add({ process, type: "invoke", f, key, value, time })
      let open = true
      const end = (type: "ok" | "fail" | "info", result: Value, at: number, error: string | undefined): void => {
        if (!open) throw new Error(`process ${process} ends its ${f} twice`)
        open = false
        busy.delete(process)
        add({ process, type, f, key, value: result, time: at, ...(error === undefined ? {} : { error }) })
      }
      return {
        ok: (result = f === "read" || f === "incr" ? null : value, at = now()) => end("ok", result, at, undefined),
        fail: (error, at = now()) => end("fail", value, at, error),
        info: (error, at = now()) => end("info", value, at, error),
      }
    },
  }
}
