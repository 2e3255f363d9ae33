/** Checks the recorded history: key by key, is there an order that explains every answer? */
import {
  checkHistory,
  describeRequest,
  kv,
  type HistoryEvent,
  type Operation,
  type Process,
} from "../../spec/linearizability/index.ts"

/** Operations that did not happen are left out; a cas that was refused for its precondition is an observation. */
const operationsOf = (events: readonly HistoryEvent[]): readonly Operation[] => {
  const open = new Map<Process, { readonly event: HistoryEvent; readonly at: number }>()
  const operations: Operation[] = []
  const unknown = (of: { readonly event: HistoryEvent; readonly at: number }): void => {
    const { process, f, key, value } = of.event
    operations.push({
      process,
      input: { f, key, value },
      output: undefined,
      invoked: of.at,
      returned: null,
      lines: [of.at + 1, null],
    })
  }
  events.forEach((event, at) => {
    const { process, type, f } = event
    if (type === "invoke") {
      open.set(process, { event, at })
      return
    }
    const begun = open.get(process)
    if (begun === undefined) throw new Error(`line ${at + 1} ends what was not begun`)
    open.delete(process)
    const refused = type === "fail" && f === "cas" && event.error === "precondition"
    if (type === "info") unknown(begun)
    else if (type === "ok" || refused) {
      const output = refused ? false : f === "cas" ? true : event.value
      const { key, value } = begun.event
      operations.push({
        process,
        input: { f, key, value },
        output,
        invoked: begun.at,
        returned: at,
        lines: [begun.at + 1, at + 1],
      })
    }
  })
  for (const begun of open.values()) unknown(begun)
  return operations
}

/** Empty: it is linearizable. */
export const linearizability = (events: readonly HistoryEvent[]): readonly string[] => {
  const verdict = checkHistory(operationsOf(events), kv, { limitMs: 90_000 })
  switch (verdict.verdict) {
    case "linearizable":
      return []
    case "unknown":
      return [`not decided in 90 s for ${verdict.undecided.join(", ")}: check the history alone, with more time`]
    case "not": {
      const { partition, core, coreCulprit } = verdict.explanation
      const lines = core.map(({ operation }) => {
        const [from, to] = operation.lines ?? [0, null]
        return `  ${operation === coreCulprit ? "✗" : " "} lines ${from}–${to ?? "…"}, process ${operation.process}: ${describeRequest(operation.input, operation.output)}`
      })
      return [`not linearizable: ${partition}. These have no order:\n${lines.join("\n")}`]
    }
  }
}
