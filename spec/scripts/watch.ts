/**
 * All step checks of a world in one place: for a script that is run as a whole, and for a session that steps through
 * it. Throws an error that names the violation.
 */
import type { Recovered } from "../../core/index.ts"
import type { Action, Mark, WorldState, WorldStep } from "../../interpreters/simulation/index.ts"
import { makeInvariantChecker } from "../invariants/index.ts"
import { makeRefinementChecker } from "../refine.ts"
import { expectedRefusals } from "./refusals.ts"

/** A violated property that is not one of the invariants. */
export class PropertyViolated extends Error {
  override readonly name = "PropertyViolated"
  readonly violates: string
  constructor(property: string, detail: string) {
    super(`${property} violated: ${detail}`)
    this.violates = property
  }
}

export interface WatchOptions {
  /** Check every invariant at every step. Default: yes. */
  readonly invariants?: boolean
  /** Also compare every step with the abstract specification. Default: no. */
  readonly refinement?: boolean
  /** Check that state machines at the same position have equal digests. Default: yes. */
  readonly machineDigests?: boolean
}
export interface WorldWatch {
  readonly step: (step: WorldStep) => void
  /** An action is about to be done. */
  readonly acted: (world: WorldState, action: Action) => void
  /** `world`: null while it is being made. */
  readonly started: (world: WorldState | null, node: string, recovered: Recovered, wentBack: boolean) => void
  /** A state machine has executed entries, or was replaced by a snapshot. */
  readonly executed: (node: string, mark: () => Mark) => void
  /**
   * False: a server continued from a directory that had lost something, and no reachable peer could know; then nothing
   * is checked any more.
   */
  readonly promised: () => boolean
  readonly sweep: () => void
  /** Requests that the node has not answered. */
  readonly openRefs: (node: string) => readonly number[]
}

/** Machines at the same position must have executed the same history. */
const digestChecker = (): ((node: string, mark: Mark) => void) => {
  const known = new Map<number, { readonly digest: number; readonly node: string }>()
  return (node, { index, digest }) => {
    const other = known.get(index)
    if (other === undefined) known.set(index, { digest, node })
    else if (other.digest !== digest)
      throw new PropertyViolated(
        "MachinesAgree",
        `after entry ${index} the state machine of ${node} is another than that of ${other.node}`,
      )
  }
}

export const watchWorld = ({
  invariants = true,
  refinement = false,
  machineDigests = true,
}: WatchOptions = {}): WorldWatch => {
  const check = invariants ? makeInvariantChecker() : null
  const refine = refinement ? makeRefinementChecker() : null
  const agree = machineDigests ? digestChecker() : null
  const directories = expectedRefusals()
  let promised = true
  return {
    step: (step) => {
      check?.(step)
      if (promised) refine?.(step)
    },
    acted: directories.acted,
    started: (world, node, recovered, wentBack) => {
      const witness = directories.started(world, node, wentBack)
      if (witness !== null)
        throw new PropertyViolated(
          "StaleDirectoryRefused",
          `${node} starts from a directory that was restored to an earlier state, although ${witness} has seen a later start of it and is reachable`,
        )
      check?.started(node, recovered, wentBack)
      if (wentBack && check?.promised() !== true) promised = false
      if (promised) refine?.started(node, recovered)
    },
    executed: (node, mark) => {
      if (promised) agree?.(node, mark())
    },
    promised: () => promised,
    sweep: () => {
      check?.sweep()
      refine?.sweep()
    },
    openRefs: (node) => check?.openRefs(node) ?? [],
  }
}
