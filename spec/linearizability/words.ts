/** A verdict in words. */
import type { Verdict } from "./check.ts"
import { cutAfter, type Explanation, type ExplainedOperation } from "./explain.ts"
import type { Model, Operation } from "./model.ts"

const shown = 40
const list = (words: readonly string[]): string =>
  words.length > 1 ? `${words.slice(0, -1).join(", ")} or ${words.at(-1) ?? ""}` : (words[0] ?? "")
const count = (n: number, what: string): string => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`

export interface Describer<Input, Output> {
  readonly operation: (operation: Operation<Input, Output>) => string
  /** The place of an operation: `lines 3–8`, or the times that it carries. */
  readonly place: (operation: Operation<Input, Output>) => string
  readonly full: (operation: Operation<Input, Output>) => string
}

export const describerOf = <State, Input, Output>(model: Model<State, Input, Output>): Describer<Input, Output> => {
  const operation = ({ input, output }: Operation<Input, Output>): string =>
    model.describe === undefined
      ? `${JSON.stringify(input)} → ${output === undefined ? "?" : JSON.stringify(output)}`
      : model.describe(input, output)
  const place = ({ invoked, returned, lines }: Operation<Input, Output>): string => {
    const [from, to] = lines ?? [invoked, returned]
    return `${lines === undefined ? "" : to === null ? "line " : "lines "}${from}${to === null ? "" : `–${to}`}`
  }
  return { operation, place, full: (one) => `process ${one.process}'s ${operation(one)} (${place(one)})` }
}

const valuesOf = <State, Input, Output>(
  states: readonly State[],
  model: Model<State, Input, Output>,
  { operations, oneUnseen }: Explanation<State, Input, Output>,
): string => {
  const sight = oneUnseen ? model.sight?.(operations) : undefined
  const shown = states.map(
    (state) =>
      `${model.describeState === undefined ? JSON.stringify(state) : model.describeState(state)}${sight?.isUnseen(state) === true ? " (or another value that nobody read)" : ""}`,
  )
  return list([...new Set(shown)].slice(0, 8))
}

/**
 * What the states leave out: values that nobody read, because the search places the operations that leave them before
 * an overwriting one where it can; and changes by operations that were still open.
 */
const unless = <State, Input, Output>(
  moment: Operation<Input, Output>,
  { operations, culprit }: Explanation<State, Input, Output>,
  model: Model<State, Input, Output>,
): string => {
  const time = moment.returned ?? Infinity
  const known = culprit === null ? operations : cutAfter(operations, culprit)
  const over = known.filter(
    ({ invoked, input, output }) => invoked <= time && model.overwrites?.(input, output) === true,
  )
  const isUnread = [...(model.sight?.(known).unseen ?? [])].some(
    (one) =>
      one.invoked <= time &&
      model.readOnly?.(one.input, one.output) !== true &&
      over.some(
        (other) =>
          other !== one && one.invoked <= (other.returned ?? Infinity) && other.invoked <= (one.returned ?? Infinity),
      ),
  )
  const isOpen = operations.some((one) => one !== moment && one.invoked <= time && (one.returned ?? Infinity) > time)
  return `${isUnread ? ", or one that nobody read" : ""}${isOpen ? ", unless an operation that was still open had changed it" : ""}`
}

const table = <Input, Output>(
  parts: readonly ExplainedOperation<Input, Output>[],
  describe: Describer<Input, Output>,
  culprit: Operation<Input, Output>,
): string[] => {
  const rows = parts
    .slice(0, shown)
    .map(
      ({ operation }) =>
        [
          describe.place(operation),
          `process ${operation.process}`,
          describe.operation(operation),
          operation === culprit ? "  <- has no place" : "",
        ] as const,
    )
  const widths = [0, 1].map((column) => Math.max(0, ...rows.map((row) => row[column]?.length ?? 0)))
  const more = parts.length > shown ? [`  … and ${parts.length - shown} more`] : []
  return [
    ...rows.map(
      ([place, process, what, mark]) =>
        `  ${place.padEnd(widths[0] ?? 0)}  ${process.padEnd(widths[1] ?? 0)}  ${what}${mark}`,
    ),
    ...more,
  ]
}

export const explainInWords = <State, Input, Output>(
  explanation: Explanation<State, Input, Output>,
  model: Model<State, Input, Output>,
): readonly string[] => {
  const { partition, operations, culprit, prefix, states, core, start, after, coreCulprit, smallest } = explanation
  const describe = describerOf(model)
  const firm = core.filter((part) => part.firm)
  const loose = core.filter((part) => !part.firm)
  const before =
    after === null
      ? `At the beginning the value is ${list(start.map((state) => (model.describeState === undefined ? JSON.stringify(state) : model.describeState(state))))}.`
      : `Once ${describe.full(after)} had returned, the value can only have been ${valuesOf(start, model, explanation)}${unless(after, explanation, model)}.`
  return [
    `Not linearizable${partition === "" ? "" : ` on key ${partition}`}.`,
    "",
    before,
    firm.length === 1
      ? "Then this operation has no explanation:"
      : `Then these ${firm.length} operations have no order that respects real time and explains their answers:`,
    ...table(firm, describe, coreCulprit),
    ...(loose.length === 0
      ? []
      : [
          `not even if ${loose.length === 1 ? "this one" : `each of these ${loose.length}`} took effect at any time after its invocation, or never:`,
          ...table(loose, describe, coreCulprit),
        ]),
    ...(smallest ? [] : ["(Time ran out before this part of the history could be made smaller.)"]),
    "",
    ...(culprit === null
      ? ["How far the history is linearizable was not found within the limits."]
      : [
          `The longest prefix that is linearizable ends just before ${describe.full(culprit)} returns:`,
          `${count(prefix.length, "operation")} of the ${operations.length.toLocaleString("en")} on this key fit${prefix.length === 1 ? "s" : ""} in an order before it.`,
          ...(states.length === 0
            ? []
            : [
                `There the value can only have been ${valuesOf(states, model, explanation)}${unless(culprit, explanation, model) || ", whatever order is taken"}.`,
              ]),
        ]),
  ]
}

export const verdictInWords = <State, Input, Output>(
  verdict: Verdict<State, Input, Output>,
  model: Model<State, Input, Output>,
): readonly string[] => {
  const { operations, partitions, steps } = verdict.counts
  const counted = `${count(operations, "operation")}${partitions > 1 ? ` on ${count(partitions, "key")}` : ""}, ${count(steps, "model step")}`
  switch (verdict.verdict) {
    case "linearizable":
      return [
        `Linearizable: ${counted}.`,
        ...(operations === 0 ? ["There is nothing to judge: no operation of a client happened, or may have."] : []),
      ]
    case "unknown":
      return [
        `Unknown: no verdict within the limit for ${verdict.undecided.length === 1 && verdict.undecided[0] === "" ? "this history" : `key ${list(verdict.undecided.slice(0, 8))}`}${partitions > verdict.undecided.length ? "; all others are linearizable" : ""} (${counted}).`,
        "A longer --limit may decide it, and so may histories with fewer operations of unknown outcome.",
      ]
    case "not":
      return [...explainInWords(verdict.explanation, model), "", `(${counted}.)`]
  }
}
