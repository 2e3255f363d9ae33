/** A state in memory, and what executes commands on it. */
import { createDraft, finishDraft, isDraftable, type Draft } from "immer"
import type { Index, Stamp } from "../../../core/index.ts"
import { Execution, nothingExecuted, requireDone, type ExecutorImage } from "./execution.ts"
import { jsonCodec, type ApplyContext, type Codec, type Machine } from "./definition.ts"
import { Leases } from "./leases.ts"
import { Ledger } from "./ledger.ts"

export class Executor<State, Command, Result> extends Execution {
  private readonly machine: Machine<State, Command, Result>
  private readonly commands: Codec<Command>
  private readonly results: Codec<Result>
  state: State

  constructor(machine: Machine<State, Command, Result>, found: { readonly state: State; readonly image: ExecutorImage } | null = null) {
    super({
      position: found?.image.position ?? nothingExecuted, digest: found?.image.digest ?? 0,
      ledger: found === null ? new Ledger() : Ledger.from(found.image.ledger), leases: new Leases(found?.image.leases),
    })
    this.machine = machine
    this.commands = machine.commands ?? jsonCodec<Command>()
    this.results = machine.results ?? jsonCodec<Result>()
    this.state = found?.state ?? machine.initial
  }

  protected run(body: Uint8Array, index: Index, time: Stamp): Uint8Array {
    const before = this.state
    const command = this.commands.decode(body)
    let replaced: { readonly next: State } | null = null
    const context: ApplyContext<State> = { index, time, become: (next) => void (replaced = { next }) }
    const draft = isDraftable(before) ? createDraft(before as object) : before
    const result = this.machine.apply(draft as Draft<State>, command, context)
    requireDone(result)
    // The result may hold parts of the draft: its bytes are made before the draft ends.
    const bytes = this.results.encode(result)
    const changed = draft === before ? before : (finishDraft(draft as object) as State)
    const became = replaced as { readonly next: State } | null
    this.state = became === null ? changed : became.next
    return bytes
  }
}
