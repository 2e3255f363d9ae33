/** Executes commands on a state in memory. */
import { origin, type Index, type Stamp } from "../../../core/index.ts"
import { applyCommand } from "./apply.ts"
import type { Machine } from "./definition.ts"
import { Execution, type ExecutorImage } from "./execution.ts"
import { Leases } from "./leases.ts"
import { SessionTable } from "./sessionTable.ts"

export class Executor<State, Command, Result> extends Execution {
  private readonly machine: Machine<State, Command, Result>
  state: State

  constructor(
    machine: Machine<State, Command, Result>,
    found: { readonly state: State; readonly image: ExecutorImage } | null = null,
  ) {
    super({
      position: found?.image.position ?? origin,
      digest: found?.image.digest ?? 0,
      sessionTable: found === null ? new SessionTable() : SessionTable.from(found.image.sessionTable),
      leases: new Leases(found?.image.leases),
    })
    this.machine = machine
    this.state = found === null ? machine.initial : found.state
  }

  protected run(body: Uint8Array, index: Index, time: Stamp): Uint8Array {
    const { bytes, state } = applyCommand(this.machine, this.state, body, { index, time })
    this.state = state
    return bytes
  }
}
