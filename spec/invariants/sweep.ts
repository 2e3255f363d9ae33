/**
 * The same properties, checked on whole states without their history: slow, simple, and a second opinion on the step
 * checks. Properties that need history (guarantees, replies, disks) are not checked here.
 */
import { sameMember, type Configuration, type State } from "../../core/index.ts"
import { fail, sameConfiguration, entrySum } from "./history.ts"

export interface SweptState {
  readonly node: string
  readonly state: State
}

const sweepLog = ({ node, state }: SweptState): void => {
  const { log } = state
  let { term, time } = log.base
  let inForce: { index: number; configuration: Configuration } = log.base
  for (let index = log.base.index + 1; index <= log.lastIndex; index++) {
    const entry = log.entry(index)
    if (entry === undefined || entry.index !== index) {
      fail("LogMatching", node, `entry ${index} is missing`)
      continue
    }
    if (entry.term < term) fail("LogMatching", node, `entry ${index} of term ${entry.term} follows one of term ${term}`)
    if (entry.time < time) fail("ClockMonotonic", node, `entry ${index} is stamped ${entry.time} after ${time}`)
    term = entry.term
    time = entry.time
    if (entry.kind === "configuration") inForce = { index, configuration: entry.configuration }
  }
  const core = state.configurations.at(-1)
  if (core?.index !== inForce.index || !sameConfiguration(core.configuration, inForce.configuration))
    fail(
      "ConfigSafety",
      node,
      `the configuration of entry ${core?.index} is in force, but the last in the log is that of ${inForce.index}`,
    )
}

const sweepState = ({ node, state }: SweptState): void => {
  const { log, commitIndex, applied, applying, durability, currentTerm } = state
  if (commitIndex > log.lastIndex || commitIndex < log.base.index)
    fail(
      "CommitMonotonic",
      node,
      `commit index ${commitIndex} is outside of the log, ${log.base.index} to ${log.lastIndex}`,
    )
  if (applied > applying || applying > commitIndex)
    fail(
      "AppliedInOrder",
      node,
      `these indexes are not in order: applied ${applied}, applying ${applying}, committed ${commitIndex}`,
    )
  if (durability.index > log.lastIndex)
    fail(
      "DurableBeforeTold",
      node,
      `entries are durable through ${durability.index}, but the log ends at ${log.lastIndex}`,
    )
  if (durability.hardState.term > currentTerm)
    fail("TermMonotonic", node, `durable term ${durability.hardState.term} is ahead of ${currentTerm}`)
}

/** Two logs agree up to the last index at which their terms agree, and wherever both are committed. */
const sweepPair = (a: SweptState, b: SweptState): void => {
  const from = Math.max(a.state.log.base.index, b.state.log.base.index) + 1
  const committed = Math.min(a.state.commitIndex, b.state.commitIndex)
  let agreed = false
  for (let index = Math.min(a.state.log.lastIndex, b.state.log.lastIndex); index >= from; index--) {
    const one = a.state.log.entry(index)
    const other = b.state.log.entry(index)
    if (one === undefined || other === undefined) continue
    const same = one === other || (one.term === other.term && entrySum(one) === entrySum(other))
    if (!same && index <= committed)
      fail(
        "StateMachineSafety",
        a.node,
        `entry ${index} is committed in term ${one.term} here and in term ${other.term} at ${b.node}, or with different contents`,
      )
    if (one.term === other.term) agreed = true
    if (agreed && !same)
      fail(
        "LogMatching",
        a.node,
        `entry ${index} differs from that of ${b.node}, although a later entry is the same in both logs`,
      )
  }
}

const sweepLeader = (leader: SweptState, other: SweptState): void => {
  const { currentTerm, log, role } = leader.state
  if (role.type !== "leader") return
  if (
    other.state.role.type === "leader" &&
    other.state.currentTerm === currentTerm &&
    !sameMember(leader.state.self, other.state.self)
  )
    fail("ElectionSafety", leader.node, `leads term ${currentTerm}, and so does ${other.node}`)
  if (other.state.currentTerm > currentTerm) return
  const { commitIndex } = other.state
  const committed = other.state.log.termAt(commitIndex)
  if (committed !== undefined && commitIndex > log.base.index && log.termAt(commitIndex) !== committed)
    fail(
      "LeaderCompleteness",
      leader.node,
      `leads term ${currentTerm} without entry ${commitIndex}, committed at ${other.node}`,
    )
}

/** Throws InvariantViolated. Takes one state of each server, from any moments of one world. */
export const sweep = (states: readonly SweptState[]): void => {
  states.forEach((one, i) => {
    sweepState(one)
    sweepLog(one)
    states.forEach((other, k) => {
      if (k > i) sweepPair(one, other)
      if (k !== i) sweepLeader(one, other)
    })
  })
}
