/** Executes one command on a state in memory, by the author's `apply`: completely or not at all. */
import { createDraft, finishDraft, isDraftable, type Draft } from "immer"
import { jsonCodec, type ApplyContext, type Machine } from "./definition.ts"
import { requireDone } from "./execution.ts"

export interface ApplyResult<State> {
  /** The result, encoded by the machine's codec. */
  readonly bytes: Uint8Array
  readonly state: State
}

/** `before` is not changed. Throws what `apply` throws. */
export const applyCommand = <State, Command, Result>(
  machine: Machine<State, Command, Result>,
  before: State,
  body: Uint8Array,
  { index, time }: Pick<ApplyContext<State>, "index" | "time">,
): ApplyResult<State> => {
  const { commands = jsonCodec<Command>(), results = jsonCodec<Result>() } = machine
  const command = commands.decode(body)
  let replaced: { readonly next: State } | null = null
  const context: ApplyContext<State> = { index, time, become: (next) => void (replaced = { next }) }
  const draft = isDraftable(before) ? createDraft(before as object) : before
  const result = machine.apply(draft as Draft<State>, command, context)
  requireDone(result)
  // The result may contain parts of the draft, so it is encoded before the draft is finished.
  const bytes = results.encode(result)
  const changed = draft === before ? before : (finishDraft(draft as object) as State)
  const became = replaced as { readonly next: State } | null
  return { bytes, state: became === null ? changed : became.next }
}
