/** A state machine that counts batches instead of commands, as a module for `debug --check`. */
import type { Entry, LogBase } from "../core/index.ts"
import type { WorldMachine } from "../interpreters/simulation/index.ts"
import type { ScriptChecks } from "../spec/index.ts"

class Batches implements WorldMachine {
  private base: LogBase
  private batches: number
  constructor(base: LogBase, batches = 0) {
    this.base = base
    this.batches = batches
  }
  position(): LogBase {
    return this.base
  }
  apply(entries: readonly Entry[]): readonly number[] {
    if (entries.some(({ kind }) => kind === "command")) this.batches += 1
    for (const entry of entries)
      this.base = {
        ...entry,
        configuration: entry.kind === "configuration" ? entry.configuration : this.base.configuration,
      }
    return entries.map(() => this.batches)
  }
  digest(): number {
    return this.batches
  }
  clone(): WorldMachine {
    return new Batches(this.base, this.batches)
  }
}
export const checks = (): ScriptChecks => ({ machine: (base) => new Batches(base), liveness: false })
