/** Copies of state machines. A copy that is not independent would otherwise show up later as a violation of Raft. */
import type { WorldMachine } from "./types.ts"

/** `clone` of a world's state machine does not return an independent copy. */
export class MachineNotCloned extends Error {
  override readonly name = "MachineNotCloned"
  constructor(what: string) {
    super(
      `clone() of the state machine ${what}. The copy serves as snapshot and as what survives a crash: it must be independent, with copies of every map and list that apply changes. This is a fault of the state machine, not of its input`,
    )
  }
}

export const cloneOf = (machine: WorldMachine): WorldMachine => {
  const copy = machine.clone()
  if (copy === machine) throw new MachineNotCloned("returns the state machine itself")
  return copy
}

/** The state machine that restoring a snapshot gives. */
export const restoredCopyOf = (machine: WorldMachine): WorldMachine => machine.reread?.() ?? cloneOf(machine)

/** How many of a node's first executions are checked: sharing shows in them, and digests may be expensive. */
const WATCHED = 8
/** Runs `execute`, which changes a machine, and checks that a copy made before stays the same. */
export const checkCopyUnshared = (
  copy: WorldMachine,
  executed: number,
  execute: () => readonly unknown[],
): readonly unknown[] => {
  if (executed >= WATCHED) return execute()
  const before = copy.digest()
  const results = execute()
  if (copy.digest() !== before)
    throw new MachineNotCloned(
      "shares its contents with the original: what one of them executed changed the digest of the other",
    )
  return results
}
