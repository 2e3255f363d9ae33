/**
 * What must hold for one step of one server. Durability is read from the server's disk, never from what the reducer
 * believes.
 */
import { sameMember, type Effect, type Log, type Member, type State } from "../../core/index.ts"
import { brokenBy } from "../invariants/names.ts"
import type { ExploredDisk } from "./disk.ts"
import type { ExploredViolation } from "./space.ts"

/** Does `disk` hold the entries of `log` through `index`? Entries that its base covers count as held. */
const isStored = (disk: Log, log: Log, index: number): boolean => {
  if (disk.lastIndex < index) return false
  for (let i = Math.max(disk.base.index, log.base.index) + 1; i <= index; i++)
    if (disk.termAt(i) !== log.termAt(i)) return false
  return true
}

const checkVote = (
  before: { term: number; vote: Member | null },
  after: { term: number; vote: Member | null },
): ExploredViolation | null =>
  before.term === after.term && before.vote !== null && !sameMember(before.vote, after.vote)
    ? {
        name: "VoteOnce",
        detail: `voted for ${before.vote.name} and then for ${after.vote?.name ?? "nobody"} in term ${after.term}`,
      }
    : null

const checkClaim = (
  state: State,
  { hardState, log }: ExploredDisk,
  effect: Extract<Effect, { type: "Send" }>,
): ExploredViolation | null => {
  const { to, message } = effect
  const violated = (detail: string): ExploredViolation => ({ name: "DurableBeforeTold", detail })
  if (
    message.type === "RequestVoteReply" &&
    message.granted &&
    !(hardState.term === message.term && sameMember(hardState.vote, to))
  )
    return violated(`the vote for ${to.name} in term ${message.term} is not durable`)
  if (message.type === "RequestVote" && !(hardState.term === message.term && sameMember(hardState.vote, state.self)))
    return violated(`asks for votes in term ${message.term} before its own vote is durable`)
  if (
    message.type === "AppendAccepted" &&
    !(hardState.term === message.term && isStored(log, state.log, message.matchIndex))
  )
    return violated(
      `acknowledges ${message.matchIndex} in term ${message.term}, but only ${log.lastIndex} entries and term ${hardState.term} are durable`,
    )
  return null
}

const checkApplied = (
  before: State,
  after: State,
  disk: ExploredDisk,
  effect: Extract<Effect, { type: "Apply" }>,
): ExploredViolation | null => {
  const first = effect.entries[0]?.index ?? 0
  const last = effect.entries.at(-1)?.index ?? 0
  const restored = after.applied > before.applied ? after.applied : before.applied
  if (first === restored + 1 && last <= after.commitIndex && isStored(disk.log, after.log, last)) return null
  return {
    name: "AppliedInOrder",
    detail: `applies ${first} to ${last} after ${restored}, but entries are committed through ${after.commitIndex} and durable through ${disk.log.lastIndex}`,
  }
}

const checkOwnLog = (before: State, after: State): ExploredViolation | null => {
  if (before.role.type !== "leader" || after.role.type !== "leader" || before.currentTerm !== after.currentTerm)
    return null
  for (let index = Math.max(before.log.base.index, after.log.base.index) + 1; index <= before.log.lastIndex; index++)
    if (before.log.termAt(index) !== after.log.termAt(index))
      return { name: "LeaderAppendOnly", detail: `entry ${index} of the leader's own log is gone` }
  return null
}

/** A step between two starts. */
export const checkStep = (
  before: State,
  after: State,
  disk: ExploredDisk,
  effects: readonly Effect[],
): ExploredViolation | null => {
  if (after.currentTerm < before.currentTerm)
    return { name: "TermMonotonic", detail: `term ${before.currentTerm} became ${after.currentTerm}` }
  if (after.commitIndex < before.commitIndex)
    return { name: "CommitMonotonic", detail: `commit index ${before.commitIndex} became ${after.commitIndex}` }
  if (after.commitIndex > after.log.lastIndex)
    return {
      name: "CommitMonotonic",
      detail: `commit index ${after.commitIndex} is past the end of the log, ${after.log.lastIndex}`,
    }
  const vote = checkVote(
    { term: before.currentTerm, vote: before.votedFor },
    { term: after.currentTerm, vote: after.votedFor },
  )
  if (vote !== null) return vote
  const own = checkOwnLog(before, after)
  if (own !== null) return own
  for (const effect of effects) {
    const found =
      effect.type === "Send"
        ? checkClaim(after, disk, effect)
        : effect.type === "Apply"
          ? checkApplied(before, after, disk, effect)
          : effect.type === "Halt"
            ? { name: brokenBy[effect.halted.reason], detail: `stops, ${effect.halted.reason}` }
            : null
    if (found !== null) return found
  }
  return null
}

/** What is overwritten on the disk: across restarts as within one run. */
export const checkDisk = (before: ExploredDisk, after: ExploredDisk): ExploredViolation | null => {
  if (after.hardState.term < before.hardState.term)
    return { name: "TermMonotonic", detail: `durable term ${before.hardState.term} became ${after.hardState.term}` }
  return checkVote(before.hardState, after.hardState)
}
