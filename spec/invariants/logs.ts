/** Logs, disks, configurations and appends. */
import {
  chainAfter,
  entryBytes,
  sameMember,
  type Effect,
  type Entry,
  type HardState,
  type Index,
  type Member,
  type Message,
  type Recovered,
} from "../../core/index.ts"
import {
  recordedConfigurationAt,
  fail,
  isAmong,
  sameConfiguration,
  entrySum,
  type DiskImage,
  type ComparedStep,
  type ObservedServer,
  type Written,
} from "./history.ts"

const checkWritten = ({ node, history, state }: ComparedStep, entry: Entry): void => {
  const { index, term, time } = entry
  const previous = state.log.at(index - 1)
  const prevTerm = previous?.term ?? 0
  const prevTime = previous?.time ?? 0
  if (time < prevTime)
    fail(
      "ClockMonotonic",
      node,
      `entry ${index} has time ${time}, which is before ${prevTime}, the time of the entry before it`,
    )
  if (chainAfter(previous?.chain ?? 0, entry) !== entry.chain)
    fail(
      "ChainTrue",
      node,
      `the chained checksum of entry ${index} does not match the entry and the checksum before it`,
    )
  if (term < prevTerm) fail("LogMatching", node, `entry ${index} of term ${term} follows one of term ${prevTerm}`)
  const sum = entrySum(entry)
  const first = history.written.get(index)
  for (let known: Written | null = first ?? null; known !== null; known = known.other)
    if (known.term === term) {
      if (known.prevTerm !== prevTerm || known.sum !== sum || known.chain !== entry.chain)
        fail(
          "LogMatching",
          node,
          `entry ${index} of term ${term} follows term ${prevTerm} here and ${known.prevTerm} elsewhere, or has different contents`,
        )
      return
    }
  history.written.set(index, { term, sum, prevTerm, chain: entry.chain, other: first ?? null })
}

/** Paper §6: a server uses the latest configuration in its log, committed or not. */
const followConfigurations = (before: ObservedServer, entry: Entry): void => {
  if (entry.kind === "configuration")
    before.configurations.push({ index: entry.index, configuration: entry.configuration })
}

const checkInForce = ({ node, state, before }: ComparedStep): void => {
  const mine = before.configurations[before.configurations.length - 1]
  const core = state.configurations[state.configurations.length - 1]
  if (
    mine === undefined ||
    core === undefined ||
    mine.index !== core.index ||
    !sameConfiguration(mine.configuration, core.configuration)
  )
    fail(
      "ConfigSafety",
      node,
      `the configuration of entry ${core?.index} is in force, but the last in the log is that of ${mine?.index}`,
    )
}

const subset = (some: readonly Member[], others: readonly Member[]): boolean =>
  some.every((member) => isAmong(others, member))
const equal = (some: readonly Member[], others: readonly Member[]): boolean =>
  some.length === others.length && subset(some, others)

const checkChange = ({ node, state, before }: ComparedStep, entry: Extract<Entry, { kind: "configuration" }>): void => {
  const earlier = before.configurations.at(-2)
  if (earlier === undefined) return
  const { voters, outgoing } = earlier.configuration
  const next = entry.configuration
  if (state.log.termAt(state.commitIndex) !== state.currentTerm)
    fail(
      "ConfigSafety",
      node,
      `changes the configuration before an entry of its term ${state.currentTerm} is committed`,
    )
  if (earlier.index > state.commitIndex)
    fail(
      "ConfigSafety",
      node,
      `changes the configuration at ${entry.index} while the change at ${earlier.index} is not finished`,
    )
  const enters = outgoing.length === 0 && equal(next.outgoing, voters)
  const leaves = outgoing.length > 0 && next.outgoing.length === 0 && equal(next.voters, voters)
  const same = outgoing.length === 0 && next.outgoing.length === 0 && equal(next.voters, voters)
  if (!enters && !leaves && !same)
    fail(
      "ConfigSafety",
      node,
      `majorities of the configuration of ${entry.index} need not overlap those of ${earlier.index}`,
    )
}

/** Entries that the leader of this step appended itself. */
export const appendedByLeader = ({ state, changedFrom, before }: ComparedStep): readonly Entry[] => {
  if (state.role.type !== "leader" || changedFrom > state.log.lastIndex) return []
  const out: Entry[] = []
  for (let index = changedFrom; index <= state.log.lastIndex; index++) {
    const entry = state.log.entry(index)
    if (entry?.term === state.currentTerm && (before.role === "leader" || index >= state.role.termStart))
      out.push(entry)
  }
  return out
}

export const checkLog = (seen: ComparedStep): void => {
  const { node, state, before, changedFrom, restarted } = seen
  const { log } = state
  if (log === before.log) {
    checkInForce(seen)
    return
  }
  const leads = state.role.type === "leader" && state.currentTerm === before.term
  if (!restarted && changedFrom <= before.log.lastIndex) {
    if (before.role === "leader" && leads) fail("LeaderAppendOnly", node, `entry ${changedFrom} of its own log is gone`)
    if (changedFrom <= before.commit)
      fail(
        "CommittedKept",
        node,
        `entry ${changedFrom} is deleted, although entries are committed through ${before.commit}`,
      )
  }
  const { configurations } = before
  while (configurations.length > 0 && (configurations.at(-1)?.index ?? 0) >= changedFrom) configurations.pop()
  if (log.base.index > before.log.base.index) {
    while (configurations.length > 0 && (configurations[0]?.index ?? 0) <= log.base.index) configurations.shift()
    configurations.unshift({ index: log.base.index, configuration: log.base.configuration })
  }
  for (let index = changedFrom; index <= log.lastIndex; index++) {
    const entry = log.entry(index)
    if (entry === undefined || entry.index !== index) fail("LogMatching", node, `entry ${index} is missing`)
    else {
      checkWritten(seen, entry)
      followConfigurations(before, entry)
      if (entry.kind === "configuration" && leads && entry.term === state.currentTerm) checkChange(seen, entry)
    }
  }
  checkInForce(seen)
  if (log.base.index > before.log.base.index) checkBase(seen)
}

/** A base represents everything committed before it. */
const checkBase = ({ node, state, history }: ComparedStep): void => {
  const { base } = state.log
  const known = history.committed.get(base.index)
  if (base.index > history.highest)
    fail(
      "SnapshotMatches",
      node,
      `the log starts after ${base.index}, but entries are committed only through ${history.highest}`,
    )
  if (known?.chain !== undefined && known.chain !== base.chain)
    fail(
      "SnapshotMatches",
      node,
      `the log starts after ${base.index} with a different chain checksum than was committed`,
    )
  if (known !== undefined && known.term !== base.term)
    fail(
      "SnapshotMatches",
      node,
      `the log starts after ${base.index} of term ${base.term}, but that entry was committed in term ${known.term}`,
    )
  const configuration = recordedConfigurationAt(history.configurations, base.index)
  // A server that lost its disk and received the log from its first entry does not know the founding configuration.
  if (base.configuration.voters.length === 0) return
  if (configuration !== undefined && !sameConfiguration(configuration, base.configuration))
    fail("SnapshotMatches", node, `the log's base ${base.index} has a different configuration than was committed`)
}

/** What the state machine reports about itself. */
export const checkSnapshot = ({ node, history }: ComparedStep, base: Recovered["base"], what: string): void => {
  const known = history.committed.get(base.index)
  if (base.index > history.highest || (known !== undefined && (known.term !== base.term || known.chain !== base.chain)))
    fail("SnapshotMatches", node, `${what} of ${base.index} in term ${base.term} is not what was committed`)
  const configuration = recordedConfigurationAt(history.configurations, base.index)
  if (base.configuration.voters.length === 0) return
  if (configuration !== undefined && !sameConfiguration(configuration, base.configuration))
    fail("SnapshotMatches", node, `${what} of ${base.index} has a different configuration than was committed`)
}

// ------------------------------------------------------------------------------------------------ disks

/** A Persist is exactly the difference between what was persisted last and the present state. */
export const checkPersists = ({ node, state, before, persist }: ComparedStep): void => {
  const { queued } = before
  const { log, currentTerm, votedFor } = state
  if (persist === null) {
    if (queued.hardState.term !== currentTerm || !sameMember(queued.hardState.vote, votedFor))
      fail("PersistComplete", node, `term ${currentTerm} and its vote are not written`)
    if (
      log !== queued.log &&
      (log.lastIndex !== queued.log.lastIndex ||
        log.lastTerm !== queued.log.lastTerm ||
        log.base.index !== queued.log.base.index)
    )
      fail(
        "PersistComplete",
        node,
        `the log changed from ${queued.log.lastIndex} to ${log.lastIndex} and is not written`,
      )
    return
  }
  const { seq, entries, truncateFrom, base } = persist
  const hardState = persist.hardState ?? queued.hardState
  if (hardState.term !== currentTerm || !sameMember(hardState.vote, votedFor))
    fail(
      "PersistComplete",
      node,
      `writes a term or vote that is not its own: it writes term ${hardState.term}, and its term is ${currentTerm}`,
    )
  if (seq <= queued.seq) fail("PersistComplete", node, `write ${seq} follows write ${queued.seq}`)
  let kept = truncateFrom === null ? queued.log.lastIndex : Math.min(queued.log.lastIndex, truncateFrom - 1)
  kept = Math.max(kept, base?.index ?? 0)
  if ((base ?? queued.log.base).index !== log.base.index)
    fail(
      "PersistComplete",
      node,
      `the log starts after ${log.base.index}, but on disk after ${(base ?? queued.log.base).index}`,
    )
  if (kept > log.base.index && queued.log.termAt(kept) !== log.termAt(kept))
    fail("PersistComplete", node, `the disk keeps a different entry ${kept} than the log holds`)
  for (const entry of entries) {
    kept += 1
    if (entry.index !== kept || log.entry(kept) !== entry)
      fail("PersistComplete", node, `writes entry ${entry.index} of term ${entry.term} as entry ${kept}`)
  }
  if (kept !== log.lastIndex) fail("PersistComplete", node, `the log ends at ${log.lastIndex}, but on disk at ${kept}`)
  before.queued = { seq, hardState, log }
  before.outstanding.push(before.queued)
}

export const recordDurable = ({ before }: ComparedStep, seq: number): void => {
  const { outstanding } = before
  for (let oldest = outstanding[0]; oldest !== undefined && oldest.seq <= seq; oldest = outstanding[0]) {
    before.durable = oldest
    outstanding.shift()
  }
}

const sameImage = ({ hardState, base, entries }: Recovered, image: DiskImage): boolean => {
  const { log } = image
  return (
    hardState.term === image.hardState.term &&
    sameMember(hardState.vote, image.hardState.vote) &&
    base.index === log.base.index &&
    base.term === log.base.term &&
    base.chain === log.base.chain &&
    entries.length === log.lastIndex - base.index &&
    entries.every((entry) => log.termAt(entry.index) === entry.term && log.chainAt(entry.index) === entry.chain)
  )
}

/** What survives a crash: everything reported durable, and a prefix of the rest. */
export const checkRecovered = (node: string, server: ObservedServer, recovered: Recovered): void => {
  if ([server.durable, ...server.outstanding].some((image) => sameImage(recovered, image))) return
  const { hardState, base, entries } = recovered
  const text = ({ term, vote }: HardState, first: Index, last: Index): string =>
    `term ${term}, vote ${vote?.name ?? "none"}, entries ${first} to ${last}`
  fail(
    "DurableMonotonic",
    node,
    `starts with ${text(hardState, base.index + 1, base.index + entries.length)}, which is no state that its disk may hold: what was durable is ${text(server.durable.hardState, server.durable.log.base.index + 1, server.durable.log.lastIndex)}`,
  )
}

// --------------------------------------------------------------------------------------------- messages

const checkAppend = (seen: ComparedStep, to: Member, message: Extract<Message, { type: "AppendEntries" }>): void => {
  const { node, state } = seen
  const { log, role, settings, currentTerm } = state
  const { prevLogIndex, prevLogTerm, entries, leaderCommit, term } = message
  if (role.type !== "leader" || term !== currentTerm) {
    fail("TruthfulAppend", node, `appends in term ${term} as ${role.type} of term ${currentTerm}`)
    return
  }
  if (leaderCommit > state.commitIndex)
    fail("TruthfulAppend", node, `announces commit index ${leaderCommit}, but its own is ${state.commitIndex}`)
  const previous = log.at(prevLogIndex)
  if (previous?.chain !== message.prevLogChain && prevLogIndex !== 0)
    fail(
      "ChainTrue",
      node,
      `says that the chain of entry ${prevLogIndex} is ${message.prevLogChain}, but it is ${previous?.chain}`,
    )
  if (previous?.term !== prevLogTerm && prevLogIndex !== 0)
    fail("TruthfulAppend", node, `says that entry ${prevLogIndex} is of term ${prevLogTerm}`)
  let bytes = 0
  let index = prevLogIndex
  for (const entry of entries) {
    index += 1
    bytes += entryBytes(entry)
    if (entry.index !== index)
      fail("BoundedMessages", node, `an append to ${to.name} has entry ${entry.index} where ${index} belongs`)
    if (log.entry(index) !== entry) fail("TruthfulAppend", node, `sends an entry ${index} that is not in its log`)
  }
  if (entries.length > 1 && bytes > settings.maxBatchBytes)
    fail("BoundedMessages", node, `an append to ${to.name} of ${bytes} bytes`)
  const mode = role.progress[to.name]?.mode
  if (mode?.type !== "replicate" || entries.length === 0) return
  const last = mode.inflight.at(-1)?.bytes ?? 0
  if (
    mode.inflight.length > settings.maxInflight ||
    (mode.inflight.length > 1 && mode.inflightBytes - last >= settings.maxInflightBytes)
  )
    fail(
      "BoundedMessages",
      node,
      `${mode.inflight.length} appends of ${mode.inflightBytes} bytes are in flight to ${to.name}`,
    )
}

export const checkSent = (seen: ComparedStep, { to, message }: Extract<Effect, { type: "Send" }>): void => {
  const { node, state, before } = seen
  const { durable } = before
  if (message.type === "AppendEntries") checkAppend(seen, to, message)
  else if (message.type === "AppendAccepted") {
    const { matchIndex, verifiedIndex, verifiedChain } = message
    if ((state.log.chainAt(verifiedIndex) ?? verifiedChain) !== verifiedChain)
      fail(
        "ChainTrue",
        node,
        `reports the chained checksum ${verifiedChain} for its log through entry ${verifiedIndex}, but its log has ${state.log.chainAt(verifiedIndex)}`,
      )
    if (durable.hardState.term !== message.term)
      fail(
        "DurableBeforeTold",
        node,
        `acknowledges in term ${message.term}, but only term ${durable.hardState.term} is durable`,
      )
    const holds =
      matchIndex <= durable.log.base.index ||
      matchIndex <= state.log.base.index ||
      durable.log.termAt(matchIndex) === state.log.termAt(matchIndex)
    if (matchIndex > durable.log.lastIndex || !holds)
      fail(
        "DurableBeforeTold",
        node,
        `acknowledges ${matchIndex}, but its log is durable through ${durable.log.lastIndex}`,
      )
  } else if (
    message.type === "InstallSnapshotReply" &&
    message.status === "installed" &&
    (durable.hardState.term !== message.term || durable.log.lastIndex < state.log.base.index)
  )
    fail(
      "DurableBeforeTold",
      node,
      `acknowledges snapshot ${message.id}, but its log is durable through ${durable.log.lastIndex}`,
    )
}
