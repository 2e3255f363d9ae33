/** Invariants about what is committed, and what is handed to the state machine. */
import { type Effect, type Event, type Index } from "../../core/index.ts"
import {
  recordedConfigurationAt,
  fail,
  isQuorum,
  serverOf,
  entrySum,
  type ObservedHistory,
  type ComparedStep,
  type ObservedServer,
} from "./history.ts"

const holdsOnDisk = (server: ObservedServer | undefined, whole: boolean, index: Index, term: number): boolean => {
  // A member that was never observed counts only where not all servers are observed.
  if (server === undefined) return !whole
  const { log } = server.durable
  return log.base.index >= index || log.termAt(index) === term
}

const recordRun = ({ runs }: ObservedHistory, term: number, index: Index, entryTerm: number): void => {
  const run = runs.findLast((one) => one.term === term)
  if (run === undefined) {
    runs.push({ term, index, entryTerm })
    runs.sort((a, b) => a.term - b.term)
  } else if (index > run.index) {
    run.index = index
    run.entryTerm = entryTerm
  }
}

/** "If there exists an N such that N > commitIndex, a majority of matchIndex[i] ≥ N, and log[N].term == currentTerm", Figure 2. */
const checkLeaderCommit = (seen: ComparedStep): void => {
  const { node, state, before, history } = seen
  const { commitIndex, currentTerm, log } = state
  const term = log.termAt(commitIndex) ?? 0
  if (term !== currentTerm)
    fail("NoCommitByCounting", node, `commits entry ${commitIndex} of term ${term} as leader of term ${currentTerm}`)
  const configuration = recordedConfigurationAt(before.configurations, Number.POSITIVE_INFINITY)
  if (
    configuration !== undefined &&
    !isQuorum(configuration, (member) => holdsOnDisk(serverOf(history, member), history.whole, commitIndex, term))
  )
    fail("CommittedIsDurable", node, `commits entry ${commitIndex} of term ${term}, which no quorum holds on disk`)
  for (const [later, election] of history.elections)
    if (
      later > currentTerm &&
      election.log !== null &&
      election.log.base.index < commitIndex &&
      election.log.termAt(commitIndex) !== term
    )
      fail(
        "LeaderCompleteness",
        node,
        `commits entry ${commitIndex} of term ${term}, which ${election.leader.name}, leader of term ${later}, was elected without`,
      )
  recordRun(history, currentTerm, commitIndex, term)
  history.highest = Math.max(history.highest, commitIndex)
}

const learned = (events: readonly Event[]): Index => {
  let most = 0
  for (const event of events)
    if (event.type === "MessageReceived" && event.message.type === "AppendEntries")
      most = Math.max(most, event.message.leaderCommit)
  return most
}

/** Each newly committed entry is compared with what any other server committed there. */
const compare = ({ node, state, history }: ComparedStep, from: Index): void => {
  const { log, commitIndex } = state
  for (let index = from; index <= commitIndex; index++) {
    const entry = log.entry(index)
    if (entry === undefined) continue
    const sum = entrySum(entry)
    const known = history.committed.get(index)
    if (known === undefined) history.committed.set(index, { term: entry.term, chain: entry.chain, sum })
    else if (known.term !== entry.term || (known.sum !== null && known.sum !== sum))
      fail(
        "StateMachineSafety",
        node,
        `entry ${index} is committed in term ${entry.term} here and in term ${known.term} elsewhere, or with different contents`,
      )
    if (entry.kind === "configuration" && index > (history.configurations.at(-1)?.index ?? -1))
      history.configurations.push({ index, configuration: entry.configuration })
  }
}

export const checkCommit = (seen: ComparedStep): void => {
  const { node, state, before, history, restarted, events } = seen
  const { commitIndex, log, role } = state
  if (commitIndex > log.lastIndex)
    fail("CommitMonotonic", node, `commit index ${commitIndex} is past the log's end ${log.lastIndex}`)
  if (restarted) {
    if (commitIndex < log.base.index)
      fail("BootCommit", node, `starts with commit index ${commitIndex} below its snapshot ${log.base.index}`)
    if (commitIndex > history.highest)
      fail("BootCommit", node, `starts with commit index ${commitIndex}, but only ${history.highest} was committed`)
    compare(seen, log.base.index + 1)
    return
  }
  if (commitIndex === before.commit) return
  if (commitIndex < before.commit) fail("CommitMonotonic", node, `commit index ${before.commit} became ${commitIndex}`)
  // A leader that commits its own removal no longer leads at the end of the step.
  const led = before.role === "leader" && before.term === state.currentTerm
  if (led || (role.type === "leader" && commitIndex > learned(events))) checkLeaderCommit(seen)
  else {
    if (commitIndex > history.highest)
      fail(
        "CommitKnown",
        node,
        `has commit index ${commitIndex}, but leaders have committed only through ${history.highest}`,
      )
    if (role.type === "follower" && commitIndex > role.verified)
      fail(
        "CommitKnown",
        node,
        `has commit index ${commitIndex}, but its log is known to agree with the leader's only through ${role.verified}`,
      )
  }
  compare(seen, before.commit + 1)
}

export const checkApply = (
  { node, state, before }: ComparedStep,
  entries: Extract<Effect, { type: "Apply" }>["entries"],
): void => {
  for (const entry of entries) {
    if (entry.index !== before.applying + 1)
      fail("AppliedInOrder", node, `applies entry ${entry.index} after ${before.applying}`)
    if (state.log.entry(entry.index) !== entry)
      fail("AppliedInOrder", node, `applies an entry ${entry.index} that is not in its log`)
    before.applying = entry.index
  }
  const { durable } = before
  const last = before.applying
  if (last > state.commitIndex)
    fail("AppliedInOrder", node, `applies ${last}, but its commit index is ${state.commitIndex}`)
  if (
    last > durable.log.lastIndex ||
    (last > durable.log.base.index && durable.log.termAt(last) !== entries.at(-1)?.term)
  )
    fail("AppliedInOrder", node, `applies ${last}, but its log is durable through ${durable.log.lastIndex}`)
  if (before.restoring || before.machine !== "ready")
    fail("AppliedInOrder", node, `applies ${last} to a state machine that is being replaced`)
}

export const checkRestored = ({ node, before }: ComparedStep, index: Index): void => {
  if (index < before.applying && before.machine === "ready")
    fail(
      "SnapshotForward",
      node,
      `a snapshot through ${index} replaces a state machine that has executed through ${before.applying}`,
    )
  before.applying = index
  before.restoring = false
  before.machine = "ready"
}
