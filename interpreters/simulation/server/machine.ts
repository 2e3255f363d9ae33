/** State machines in a world. The default one is only a digest of what it executed, in order: equal digests mean equal histories. */
import type { Entry, LogBase } from "../../../core/index.ts"
import { checkCopyUnshared } from "../state/clone.ts"
import { writableMachine, scheduleEvent, type Fold } from "../state/fold.ts"
import { drawBetween, RANDOM_KINDS, mix, hashOfPlace } from "../state/hash.ts"
import type { NodeState, WorldMachine } from "../state/types.ts"

export const digestEntry = (digest: number, entry: Entry): number =>
  mix(mix(mix(digest, entry.index), entry.term), entry.kind === "command" ? entry.payload.checksum : 0) >>> 0

/** The position of a state machine, and the digest that identifies its history. */
export interface Mark {
  readonly index: number
  readonly digest: number
}
export const markOf = (machine: WorldMachine): Mark => ({ index: machine.position().index, digest: machine.digest() })

/** An executed batch and the position after it. `entries`: null if a snapshot replaced the state machine. */
export interface ExecutedBatch extends Mark {
  readonly node: string
  readonly entries: readonly Entry[] | null
  readonly results: readonly unknown[]
}

const NONE: readonly unknown[] = []

export class DigestMachine implements WorldMachine {
  private base: LogBase
  private value: number
  constructor(base: LogBase, value = 0) {
    this.base = base
    this.value = value
  }
  position(): LogBase {
    return this.base
  }
  digest(): number {
    return this.value
  }
  apply(entries: readonly Entry[]): readonly unknown[] {
    let { configuration } = this.base
    for (const entry of entries) {
      this.value = digestEntry(this.value, entry)
      if (entry.kind === "configuration") configuration = entry.configuration
    }
    const last = entries.at(-1)
    if (last !== undefined)
      this.base = { index: last.index, term: last.term, time: last.time, chain: last.chain, configuration }
    return NONE
  }
  clone(): DigestMachine {
    return new DigestMachine(this.base, this.value)
  }
}

export const executeBatch = (fold: Fold, node: NodeState, entries: readonly Entry[]): void => {
  const { world, hooks } = fold
  const machine = writableMachine(fold, node)
  const expected = machine.position().index + 1
  if (entries[0]?.index !== expected)
    throw new Error(
      `entry ${entries[0]?.index} is handed to the state machine of ${node.name} where ${expected} is next`,
    )
  const results = checkCopyUnshared(node.durable, node.applies, () => machine.apply(entries))
  hooks.applied?.(node.name, entries, results)
  const { min, max } = node.apply ?? world.apply
  const delay = drawBetween(hashOfPlace(world.seed, RANDOM_KINDS.apply, node.slot, 0, node.applies++), 0, min, max)
  scheduleEvent(fold, node, delay, { type: "Applied", index: expected + entries.length - 1 })
}
