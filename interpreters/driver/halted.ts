/** Why a node halted, as an error: what happened, what was kept, what to do next. */
import { haltText, type Halted, type HaltReason } from "../../core/index.ts"
import { LOST_MEMBER_ADVICE } from "../advice.ts"

const KEPT = "Nothing was overwritten: log and state machine stay on this disk as they were."
const CAUSE =
  "That cannot happen while every server keeps what it has acknowledged: probably a data directory was restored from an older copy, or runs twice."
const NEXT = `This node stops at every start as long as the others say the same. Find out which servers' directories were restored or copied. If this one's data is the right one, stop the others before they take more writes; otherwise keep a copy of this directory: its disk counts as lost. ${LOST_MEMBER_ADVICE}`

/** The node has found a contradiction in the cluster and must not continue. */
export class NodeHalted extends Error {
  override readonly name = "NodeHalted"
  readonly reason: HaltReason
  readonly halted: Halted
  constructor(halted: Halted) {
    super(`${halted.reason}: ${haltText(halted)}. ${CAUSE} ${KEPT} ${NEXT}`)
    this.reason = halted.reason
    this.halted = halted
  }
}
