/** From events to operations: each invocation with its end. */
import { BadHistory } from "./edn.ts"
import { isWhole, type HistoryEvent, type Process, type Value } from "./history.ts"
import type { Operation, RequestModel } from "./model.ts"

export interface OperationOptions {
  /**
   * The meaning of a failed cas without an error. "nothing" (default): it did not happen. "refused": also that the
   * value was not the expected one, as in logs of clients that fail a cas for no other reason.
   */
  readonly failedCas?: "nothing" | "refused"
}

/** The error by which a failed cas says that the value was another one. */
export const precondition = "precondition"

/**
 * Pairs the events of a history, which are in the order of real time. Failed operations are not in the result: they did
 * not happen. Throws BadHistory, with the line if the events have one (otherwise the event's number, from 1).
 */
export const operationsOf = (
  events: readonly (HistoryEvent & { readonly line?: number })[],
  options: OperationOptions = {},
): readonly Operation[] => {
  interface Open {
    readonly at: number
    readonly event: HistoryEvent
    readonly line: number
  }
  const open = new Map<Process, Open>()
  const found: (Operation | undefined)[] = []
  for (const [i, event] of events.entries()) {
    const { process, type, f, key, value, error } = event
    const line = event.line ?? i + 1
    const begun = open.get(process)
    if (type === "invoke") {
      if (begun !== undefined)
        throw new BadHistory(
          line,
          `process ${process} invokes ${f}, but its ${begun.event.f} of line ${begun.line} is still open; expected its end first (ok, fail, or info if nobody knows)`,
        )
      open.set(process, { at: found.length, event, line })
      found.push({
        process,
        input: { f, key, value },
        output: undefined,
        invoked: i,
        returned: null,
        lines: [line, null],
      })
      continue
    }
    // A crash of a process without an open operation carries no information.
    if (begun === undefined && type === "info") continue
    if (begun === undefined)
      throw new BadHistory(
        line,
        `process ${process} ends ${f} (${type}), but has no operation open; expected its invoke first`,
      )
    const {
      event: { f: asked, key: on },
      at,
    } = begun
    if (f !== asked || (key !== null && on !== null && key !== on))
      throw new BadHistory(
        line,
        `process ${process} ends ${f}${key === null ? "" : ` of ${key}`}, but what it has open, since line ${begun.line}, is ${asked}${on === null ? "" : ` of ${on}`}`,
      )
    open.delete(process)
    const operation = found[at]
    if (operation === undefined) continue
    const lines = [begun.line, line] as const
    if (type === "info") found[at] = { ...operation, lines }
    else if (type === "ok") found[at] = { ...operation, output: answerOf(f, value, line), returned: i, lines }
    else if (
      f === "cas" &&
      (error === precondition ||
        (error === undefined && options.failedCas === "refused" && (Array.isArray(value) || yesOrNo(value) === false)))
    )
      found[at] = { ...operation, output: false, returned: i, lines }
    else found[at] = undefined
  }
  return found.filter((operation) => operation !== undefined)
}

/** Servers of the Redis protocol answer 1 and 0. */
const yesOrNo = (value: Value): Value => (value === 1 ? true : value === 0 ? false : value)

const answerOf = (f: HistoryEvent["f"], value: Value, line: number): Value => {
  const told = yesOrNo(value)
  const wrong = (expected: string): BadHistory =>
    new BadHistory(line, `an ok ${f} with the value ${JSON.stringify(value)}; expected ${expected}`)
  switch (f) {
    case "read":
      return value
    case "write":
    case "append":
      return null
    case "cas":
      if (told !== null && typeof told !== "boolean" && !Array.isArray(told))
        throw wrong("false or 0 if it was refused, else [old, new], null, true or 1")
      return told !== false
    case "delete":
      if (told !== null && typeof told !== "boolean")
        throw wrong("true or 1 if something was there, false or 0 if nothing was, null if that is not known")
      return told
    case "incr":
      if (value !== null && !isWhole(value)) throw wrong("the new number, a whole one, or null if it is not known")
      return value
  }
}

type Named = Pick<RequestModel<never>, "name" | "functions">
/**
 * Throws BadHistory if a history contains an operation that the model does not support; the error names a model among
 * `others` that does.
 */
export const demandKnown = (operations: readonly Operation[], model: Named, others: readonly Named[] = []): void => {
  const strange = operations.find(({ input: { f } }) => !model.functions.includes(f))
  if (strange === undefined) return
  const knower = others.find(({ functions }) => functions.includes(strange.input.f))
  throw new BadHistory(
    strange.lines?.[0] ?? 0,
    `${strange.input.f} is no operation of a ${model.name}, which has ${model.functions.join(", ")}${knower === undefined ? "" : `; the model ${knower.name} has it`}`,
  )
}
