/** What state machines executed, told from the steps of a world: everybody the same, in order, with nothing left out. */
import type { Entry, LogBase } from "../core/index.ts"
import type { WorldStep } from "../interpreters/simulation/index.ts"

interface Executed {
  readonly term: number
  readonly kind: Entry["kind"]
  /** Of a command: the checksum of its payload. */
  readonly value: number
  /** How many commands stand at or before it. */
  readonly commands: number
}

export class History {
  /** By index of the log; the first one is the empty log. */
  private readonly executed: Executed[] = [{ term: 0, kind: "noop", value: 0, commands: 0 }]
  /** By index of the command, counted from 1: its index of the log. */
  private readonly placeOf: number[] = [0]
  /** By server: through where its state machine has executed. */
  private readonly through = new Map<string, number>()
  /** By server, then by position: digests of state machines, which must not differ. */
  private readonly digests = new Map<number, number>()

  observe({ node, events, state, effects }: WorldStep): void {
    for (const event of events) {
      if (event.type === "Started") this.through.set(node, state.applied)
      if (event.type === "SnapshotRestored") this.restore(node, event.snapshot)
    }
    for (const effect of effects) if (effect.type === "Apply") for (const entry of effect.entries) this.execute(node, entry)
  }

  /** A state machine says what it is at a position. */
  compare(node: string, position: number, digest: number): void {
    const known = this.digests.get(position)
    if (known === undefined) this.digests.set(position, digest)
    else if (known !== digest) throw new Error(`${node}: another state machine at ${position} than elsewhere`)
  }

  private restore(node: string, { index, term }: LogBase): void {
    const known = this.executed[index]
    if (known === undefined || known.term !== term) throw new Error(`${node}: a snapshot through ${index} of term ${term}, which nobody executed`)
    this.through.set(node, index)
  }

  private execute(node: string, entry: Entry): void {
    const { index, term, kind } = entry
    const last = this.through.get(node) ?? 0
    if (index !== last + 1) throw new Error(`${node}: executes ${index} after ${last}`)
    this.through.set(node, index)
    const value = entry.kind === "command" ? entry.payload.checksum : 0
    const known = this.executed[index]
    if (known === undefined) {
      const before = this.executed[index - 1]
      if (before === undefined) throw new Error(`${node}: executes ${index}, and nobody executed what comes before it`)
      const commands = before.commands + (kind === "command" ? 1 : 0)
      this.executed.push({ term, kind, value, commands })
      if (kind === "command") this.placeOf.push(index)
    } else if (known.term !== term || known.kind !== kind || known.value !== value)
      throw new Error(`${node}: executes ${kind} ${value} of term ${term} at ${index}, and others ${known.kind} ${known.value} of term ${known.term}`)
  }

  /** The last index of the log that any server has executed. */
  get last(): number {
    return this.executed.length - 1
  }
  /** How many commands stand at or before an executed index of the log. */
  commandsThrough(index: number): number {
    const known = this.executed[index]
    if (known === undefined) throw new Error(`nobody has executed ${index}`)
    return known.commands
  }
  /** Undefined if nobody has executed a command of that number yet. */
  valueAt(command: number): number | undefined {
    const place = this.placeOf[command]
    return place === undefined ? undefined : this.executed[place]?.value
  }
  hasExecuted(node: string, command: number): boolean {
    const place = this.placeOf[command]
    return place !== undefined && place > 0 && (this.through.get(node) ?? 0) >= place
  }
  /** All commands, in order. */
  get values(): readonly number[] {
    return this.placeOf.slice(1).map((place) => this.executed[place]?.value ?? 0)
  }
}
