/** What was executed, by command index, which counts neither no-ops nor configuration entries. */
import type { CommandEntry, Entry, State } from "../../../core/index.ts"

export class ServersDisagree extends Error {
  override readonly name = "ServersDisagree"
}

interface Executed {
  readonly term: number
  readonly kind: Entry["kind"]
  /** The value of a command: the checksum of its payload. */
  readonly value: number
  /** How many commands there are at or before this entry. */
  readonly commands: number
}

/** Checks that all servers execute the same entries at every index, in order, without a gap. */
export class AgreementChecker {
  /** executed[k] is command k + 1. */
  private readonly executed: CommandEntry[] = []
  /** By index of the log; index 0 holds nothing. */
  private readonly log: Executed[] = [{ term: 0, kind: "noop", value: 0, commands: 0 }]
  /** By server: the index of the log through which it has executed. */
  private readonly through = new Map<string, number>()
  /** By index of the log: the state machines at that position. */
  private readonly digests: number[] = []

  readonly applied = (node: string, entries: readonly Entry[]): void => {
    let last = this.through.get(node) ?? 0
    for (const entry of entries) {
      const { index, term, kind } = entry
      if (index !== last + 1) throw new ServersDisagree(`${node} executed entry ${index} after ${last}`)
      last = index
      const known = this.log[index]
      const value = entry.kind === "command" ? entry.payload.checksum : 0
      if (known === undefined) this.append(node, entry, value)
      else if (known.term !== term || known.kind !== kind || known.value !== value)
        throw new ServersDisagree(
          `${node} executed ${kind} ${value} of term ${term} at ${index}, and others ${known.kind} ${known.value} of term ${known.term}`,
        )
    }
    this.through.set(node, last)
  }
  private append(node: string, entry: Entry, value: number): void {
    const { index, term, kind } = entry
    const before = this.log[index - 1]
    if (before === undefined)
      throw new ServersDisagree(`${node} executed entry ${index}, and no server has executed the one before it`)
    this.log.push({ term, kind, value, commands: before.commands + (kind === "command" ? 1 : 0) })
    if (entry.kind === "command") this.executed.push(entry)
  }
  /** A server starts with, or receives, a state machine at this position. */
  readonly placed = (node: string, { index, term }: { readonly index: number; readonly term: number }): void => {
    if (this.log[index]?.term !== term)
      throw new ServersDisagree(`${node} is at entry ${index} of term ${term}, which no server has executed`)
    this.through.set(node, index)
  }
  /** Checks that a server's state machine equals all others at the same position. */
  readonly compare = (node: string, digest: number): void => {
    const at = this.through.get(node) ?? 0
    const known = (this.digests[at] ??= digest)
    if (known !== digest)
      throw new ServersDisagree(`${node} has a different state at entry ${at} than the other servers`)
  }

  /** How many commands a server has executed. */
  executedBy(node: string): number {
    return this.commandsThrough(this.through.get(node) ?? 0)
  }
  /** How many commands there are at or before an executed index of the log. */
  commandsThrough(index: number): number {
    return this.log[index]?.commands ?? 0
  }
  /** The last log index that any server has executed. */
  get last(): number {
    return this.log.length - 1
  }
  /** How many commands any server has executed. */
  get length(): number {
    return this.executed.length
  }
  /** All executed commands, in order. */
  get commands(): readonly CommandEntry[] {
    return this.executed
  }
  command(index: number): CommandEntry | undefined {
    return this.executed[index - 1]
  }
  /** The command index of the entry at `index` in the log of this state, committed or not. */
  indexOf(state: State, index: number): number {
    const start = Math.min(Math.max(state.applied, state.log.base.index), index, this.last)
    let count = this.commandsThrough(start)
    for (let at = start + 1; at <= index; at++) if (state.log.entry(at)?.kind === "command") count += 1
    return count
  }
}
