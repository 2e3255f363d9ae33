/** What was committed, by index of commands: no-ops and configuration entries are mapped apart. */
import type { CommandEntry, Entry, State } from "../../core/index.ts"

export class LedgerDisagrees extends Error {
  override readonly name = "LedgerDisagrees"
}

export class Ledger {
  /** commands[k] is command k + 1. */
  private readonly commands: CommandEntry[] = []
  /** through[i]: how many commands stand at log indexes up to i. */
  private readonly through: number[] = [0]
  /** By server: how many commands it has executed. */
  private readonly executed = new Map<string, number>()

  /** Entries were executed by a server: the same ones everywhere, in order, none left out. */
  readonly applied = (node: string, entries: readonly Entry[]): void => {
    for (const entry of entries) {
      const before = this.through[entry.index - 1]
      if (before === undefined) throw new LedgerDisagrees(`${node} executed entry ${entry.index}, and nobody the one before it`)
      const known = this.through[entry.index]
      if (known === undefined) {
        this.through[entry.index] = before + (entry.kind === "command" ? 1 : 0)
        if (entry.kind === "command") this.commands.push(entry)
      } else {
        const other = known > before ? this.commands[before] : undefined
        const same = entry.kind === "command" ? other?.term === entry.term && other.payload.checksum === entry.payload.checksum : other === undefined
        if (!same) throw new LedgerDisagrees(`${node} executed another entry ${entry.index} than was executed before`)
      }
      this.executed.set(node, this.through[entry.index] ?? before)
    }
  }
  /** A server starts with, or was set to, a state machine that stands here. */
  readonly placed = (node: string, index: number): void => {
    this.executed.set(node, this.through[Math.min(index, this.through.length - 1)] ?? 0)
  }

  /** How many commands a server has executed. */
  executedBy(node: string): number {
    return this.executed.get(node) ?? 0
  }
  /** Commands executed by anybody. */
  get length(): number {
    return this.commands.length
  }
  command(index: number): CommandEntry | undefined {
    return this.commands[index - 1]
  }
  /** The command index of what stands at `index` in the log of this state, committed or not. */
  indexOf(state: State, index: number): number {
    const start = Math.min(state.applied, index, this.through.length - 1)
    let count = this.through[start] ?? 0
    for (let at = start + 1; at <= index; at++) if (state.log.entry(at)?.kind === "command") count += 1
    return count
  }
}
