/** What a server may send and do: each message and reply must be justified by its state, its log and what it has heard. */
import type { Effect, Event, Member, Message, Outcome, Persist, State } from "../../core/index.ts"
import { inForce, lastOf, lastTermOf, termIn, contentIn, contentOf } from "./log.ts"
import { preVoteName, type Possible } from "./possible.ts"
import { agreedBy, keyOf, same, votesIn, type AbstractServer } from "./server.ts"

/** A server before and after its step; `server` is what it is now. */
export interface ServerStep {
  readonly events: readonly Event[]
  readonly server: AbstractServer
  readonly state: State
  readonly start: Possible
  readonly preVotes: ReadonlySet<string>
  readonly end: Possible
}
type Wrong = string | null
type Of<T extends Message["type"]> = Extract<Message, { type: T }>

/** How many members have answered the round, for themselves, and the server itself. */
export const heardByQuorum = (server: AbstractServer, round: number): boolean => {
  const configuration = inForce(server.log)
  return (
    configuration !== undefined &&
    agreedBy(configuration, (member) => same(member, server.self) || (server.answered.get(keyOf(member)) ?? 0) >= round)
  )
}

const durableVote = ({ disk }: AbstractServer, term: number, vote: Member): Wrong =>
  disk.term === term && same(disk.vote, vote)
    ? null
    : `reports its vote for ${vote.name} in term ${term}, which a crash could undo`
const durableTerm = ({ disk }: AbstractServer, term: number): Wrong =>
  disk.term === term ? null : `answers in term ${term}, but term ${disk.term} is durable`

const asksForVote = (
  { server, start, end }: ServerStep,
  to: Member,
  { term, lastLogIndex, lastLogTerm }: Of<"RequestVote"> | Of<"RequestPreVote">,
  role: Possible["role"],
  expected: number,
): Wrong => {
  const configuration = inForce(server.log)
  // Refusals that arrived before the request was sent may end the election at once.
  const runs = end.role === role || (end.role === "follower" && start.role === role && start.term === end.term)
  if (!runs || term !== expected) return `asks for votes in term ${term} as ${end.role} of term ${end.term}`
  if (lastLogIndex !== lastOf(server.log) || lastLogTerm !== lastTermOf(server.log))
    return `says that its log ends at ${lastLogIndex} in term ${lastLogTerm}`
  return configuration !== undefined && votesIn(configuration, to)
    ? null
    : `asks ${to.name} for a vote, although ${to.name} is not a voter`
}

/** Figure 2: matchIndex "increases monotonically", and nextIndex stays above it, whatever arrives late. */
const goesBack = ({ server }: ServerStep, to: Member, prevLogIndex: number): Wrong => {
  const shared = server.shared.get(keyOf(to)) ?? 0
  return prevLogIndex < shared
    ? `goes back to ${prevLogIndex} for ${to.name}, although ${to.name} has reported that it holds everything through ${shared}`
    : null
}

const appends = (
  told: ServerStep,
  to: Member,
  { term, prevLogIndex, prevLogTerm, entries, leaderCommit, round }: Of<"AppendEntries">,
): Wrong => {
  const { server, end } = told
  const { log } = server
  if (end.role !== "leader" || term !== end.term) return `appends in term ${term} as ${end.role} of term ${end.term}`
  if (same(to, server.self)) return "appends to itself"
  if (prevLogIndex !== 0 && termIn(log, prevLogIndex) !== prevLogTerm)
    return `says that entry ${prevLogIndex} is of term ${prevLogTerm}`
  if (leaderCommit > end.commit) return `says that ${leaderCommit} is committed`
  if (
    entries.some(
      (entry, i) =>
        entry.index !== prevLogIndex + 1 + i ||
        termIn(log, entry.index) !== entry.term ||
        contentIn(log, entry.index) !== contentOf(entry),
    )
  )
    return `sends entries after ${prevLogIndex} that are not in its log`
  // Index 0 without entries is the heartbeat during a snapshot transfer.
  const back = prevLogIndex > 0 || entries.length > 0 ? goesBack(told, to, prevLogIndex) : null
  if (back !== null) return back
  if (round < server.round) return `sends round ${round} after round ${server.round}`
  server.round = round
  return null
}

/** §7: a snapshot is for followers so far behind that the leader "has already discarded the next log entry". */
const installs = ({ log, shared, lost }: AbstractServer, to: Member, index: number): Wrong => {
  const held = shared.get(keyOf(to)) ?? 0
  return held >= Math.max(index, log.base) && !lost.has(keyOf(to))
    ? `sends ${to.name} a snapshot through ${index}, although ${to.name} has reported that it holds everything through ${held}`
    : null
}

const acknowledges = (
  { server, end }: ServerStep,
  to: Member,
  { term, verifiedIndex, matchIndex, round }: Of<"AppendAccepted">,
): Wrong => {
  const { disk, log } = server
  if (end.role !== "follower" || !same(end.leader, to) || term !== end.term)
    return `acknowledges to ${to.name} in term ${term}`
  if (verifiedIndex > end.verified)
    return `says that its log agrees through ${verifiedIndex}, but that is known only through ${end.verified}`
  if (
    matchIndex > end.verified ||
    matchIndex > lastOf(disk.log) ||
    (matchIndex > disk.log.base && matchIndex > log.base && termIn(disk.log, matchIndex) !== termIn(log, matchIndex))
  )
    return `acknowledges ${matchIndex}, but its disk holds entries through ${lastOf(disk.log)}`
  if (round > end.heardRound) return `answers round ${round}, but the last one that it received is ${end.heardRound}`
  return durableTerm(server, term)
}

/** §5.2 with Figure 2: "If votedFor is null or candidateId … grant vote": a candidate is not refused a vote that it was granted. */
const refusesVote = ({ events, server, start, end }: ServerStep, to: Member, term: number): Wrong => {
  // A request of an earlier term is answered with the current one; and an older message from the same candidate may
  // carry an older log.
  const own = lastTermOf(server.log)
  const notOlder = ({ lastLogTerm, lastLogIndex }: Of<"RequestVote">): boolean =>
    lastLogTerm > own || (lastLogTerm === own && lastLogIndex >= lastOf(server.log))
  const asked = events.every(
    (event) =>
      event.type !== "MessageReceived" ||
      event.message.type !== "RequestVote" ||
      !same(event.from, to) ||
      (event.message.term === term && notOlder(event.message)),
  )
  const given =
    start.term === term &&
    end.term === term &&
    same(start.vote, to) &&
    start.role === "follower" &&
    end.role === "follower"
  // If a leader is known its followers refuse votes, and after it has led its log may be longer than its request says.
  const unled = !start.fresh && !end.fresh && start.leader === null && end.leader === null && own < term
  return asked && given && unled
    ? `refuses ${to.name} a vote in term ${term}, although it gave ${to.name} that vote`
    : null
}

const answersQuestion = (
  { server, end }: ServerStep,
  to: Member,
  { bootId, number, readIndex }: Of<"ReadIndexReply">,
): Wrong => {
  const key = `${keyOf(to)} ${bootId} ${number}`
  const question = server.questions.get(key)
  if (readIndex === null) return null
  if (question === undefined || end.role !== "leader")
    return `answers ${to.name} with read index ${readIndex}, although ${to.name} did not ask a leader for one`
  if (readIndex < question.least || !heardByQuorum(server, question.round))
    return `answers ${to.name} with read index ${readIndex} before a quorum has answered (thesis §6.4)`
  return null
}

const between = ({ start, end }: ServerStep, term: number): Wrong =>
  term >= start.term && term <= end.term ? null : `sends a message of term ${term}, but its term is ${end.term}`

const onSend = (told: ServerStep, to: Member, message: Message): Wrong => {
  const { server, start, end, preVotes } = told
  switch (message.type) {
    case "RequestVote":
      return (
        asksForVote(told, to, message, "candidate", end.term) ??
        (message.transfer !== end.transfer
          ? "says that its leader asked for the election"
          : durableVote(server, message.term, server.self))
      )
    case "RequestPreVote":
      return asksForVote(told, to, message, "preCandidate", end.term + 1)
    case "RequestVoteReply":
      return message.granted
        ? same(end.vote, to) && message.term === end.term
          ? durableVote(server, message.term, to)
          : `grants ${to.name} a vote that it did not give`
        : (between(told, message.term) ?? refusesVote(told, to, message.term))
    case "RequestPreVoteReply":
      return message.granted
        ? preVotes.has(preVoteName(to, message.term))
          ? null
          : `gives ${to.name} a pre-vote for term ${message.term} that it may not give`
        : between(told, message.term)
    case "AppendEntries":
      return appends(told, to, message)
    case "AppendAccepted":
      return acknowledges(told, to, message)
    case "AppendRejected":
      return message.round === 0
        ? between(told, message.term)
        : message.round > end.heardRound || message.term !== end.term
          ? `rejects in round ${message.round} of term ${message.term}`
          : durableTerm(server, message.term)
    case "InstallSnapshot":
      if (
        end.role !== "leader" ||
        message.term !== end.term ||
        server.images.get(message.snapshot.id) !== message.snapshot.index
      )
        return `sends snapshot ${message.snapshot.id}, which was not opened`
      server.round = Math.max(server.round, message.round)
      return installs(server, to, message.snapshot.index)
    case "InstallSnapshotReply":
      if (message.status !== "installed") return between(told, message.term)
      return lastOf(server.disk.log) >= (server.images.get(message.id) ?? Number.POSITIVE_INFINITY)
        ? durableTerm(server, message.term)
        : `says that snapshot ${message.id} is installed`
    case "ReadIndex":
      if (end.role !== "follower" || !same(end.leader, to) || message.number < server.questionNumber)
        return `asks ${to.name} for a read index`
      if (message.number > server.questionNumber)
        for (const read of server.reads.values()) if (read.asked === 0) read.asked = message.number
      server.questionNumber = message.number
      return null
    case "ReadIndexReply":
      return answersQuestion(told, to, message) ?? between(told, message.term)
    case "ForwardProposal":
      return end.role === "leader" && start.role === "leader"
        ? "forwards a proposal, although it leads"
        : between(told, message.term)
    case "ForwardProposalReply":
      return between(told, message.term)
    case "TimeoutNow": {
      const configuration = inForce(server.log)
      if (
        start.role !== "leader" ||
        message.term !== start.term ||
        configuration === undefined ||
        !votesIn(configuration, to)
      )
        return `tells ${to.name} to campaign`
      server.lease = "barred"
      return null
    }
  }
}

const onPersist = ({ server, end }: ServerStep, { hardState, truncateFrom, base, entries }: Persist): Wrong => {
  const { handed, log } = server
  const { term, vote } = hardState ?? handed
  if (term !== end.term || !same(vote, end.vote))
    return `writes a term or vote that is not its own: it writes term ${term}, and its term is ${end.term}`
  let last = Math.max(truncateFrom === null ? handed.last : Math.min(handed.last, truncateFrom - 1), base?.index ?? 0)
  for (const entry of entries) {
    last += 1
    if (entry.index !== last || termIn(log, last) !== entry.term || contentIn(log, last) !== contentOf(entry))
      return `writes entry ${entry.index} of term ${entry.term} where the log holds a different one`
  }
  if (last !== lastOf(log)) return `its log ends at ${lastOf(log)}, but on disk at ${last}`
  server.handed = { term, vote, last }
  return null
}

/** "If commitIndex > lastApplied: increment lastApplied, apply log[lastApplied]", Figure 2; and only what is durable. */
const onApply = ({ server, end }: ServerStep, entries: Extract<Effect, { type: "Apply" }>["entries"]): Wrong => {
  for (const entry of entries) {
    const { index, term } = entry
    if (index !== server.applying + 1 || index > end.commit)
      return `applies ${index} after ${server.applying}; its commit index is ${end.commit}`
    if (termIn(server.log, index) !== term || contentIn(server.log, index) !== contentOf(entry))
      return `applies an entry ${index} that is not in its log`
    if (index > server.disk.log.base && termIn(server.disk.log, index) !== term)
      return `applies ${index}, which its disk does not hold`
    server.applying = index
  }
  return null
}

const onRespond = ({ server }: ServerStep, ref: number, outcome: Outcome): Wrong => {
  const read = server.reads.get(ref)
  server.reads.delete(ref)
  if (outcome.type !== "ReadReady") return null
  const { confirmed = null } = read ?? {}
  if (confirmed === null) return `answers read ${ref}, which no quorum has confirmed (thesis §6.4)`
  return outcome.index >= confirmed && server.applied >= outcome.index
    ? null
    : `answers read ${ref} at ${outcome.index}; it must see ${confirmed}, and ${server.applied} is executed`
}

/** Thesis §6.4.1: the lease runs from the sending of a round that a quorum has answered. */
const onLease = ({ server, end, state }: ServerStep, { since = 0 }: Extract<Effect, { type: "SetTimer" }>): Wrong => {
  if (!state.settings.leaseReads || end.role !== "leader" || server.lease === "barred" || !heardByQuorum(server, since))
    return `counts a lease from round ${since}, which no quorum has answered`
  server.lease = "held"
  return null
}

/**
 * May this event restart the election timer? §5.2: a granted vote, an append from the current leader, an election of
 * its own, and anything that ends a role. A vote of a term that ends within the batch does not count.
 */
const isSignOfLife = ({ start, end }: ServerStep, event: Event): boolean => {
  if (event.type === "Started" || event.type === "PeerDisconnected") return true
  // A server that knows no leader cannot postpone an election in this way: it may only make it happen sooner.
  if (event.type === "PeerConnected") return start.leader === null
  if (event.type === "TimerExpired") return event.timer === "election"
  if (event.type !== "MessageReceived" || event.message.term < start.term) return false
  const { type } = event.message
  return (
    type === "AppendEntries" ||
    type === "InstallSnapshot" ||
    type === "TimeoutNow" ||
    (type === "RequestVote" && (event.message.term < end.term || same(end.vote, event.from)))
  )
}
const onElectionTimer = (told: ServerStep): Wrong => {
  const { start, end, events } = told
  const stays = start.role === "follower" && end.role === "follower"
  return stays && !events.some((event) => isSignOfLife(told, event))
    ? "restarts its election timeout without a reason"
    : null
}

/** §7: chunks are written at their offsets, each once and in order; only a new transfer starts over. */
const onChunk = ({ server }: ServerStep, { snapshot, offset }: Extract<Effect, { type: "StoreChunk" }>): Wrong => {
  const { install } = server
  const next = install?.id === snapshot.id ? install.next : 0
  server.install = { id: snapshot.id, next: null }
  return offset === next
    ? null
    : `stores the chunk of ${snapshot.id} at ${offset}, ${next === null ? "while another is being stored" : `although offset ${next} comes next`}`
}

export const justify = (told: ServerStep, effect: Effect): Wrong => {
  switch (effect.type) {
    case "Send":
      return onSend(told, effect.to, effect.message)
    case "Persist":
      return onPersist(told, effect)
    case "Apply":
      return onApply(told, effect.entries)
    case "Respond":
      return onRespond(told, effect.ref, effect.outcome)
    case "SetTimer":
      return effect.timer === "lease"
        ? onLease(told, effect)
        : effect.timer === "election"
          ? onElectionTimer(told)
          : null
    case "StoreChunk":
      return onChunk(told, effect)
    case "CancelTimer":
    case "TakeSnapshot":
    case "OpenSnapshot":
    case "CloseSnapshot":
    case "RestoreSnapshot":
    case "Halt":
    case "Note":
      return null
  }
}

/** Checked after the messages: nothing that must be sent may be missing. */
export const checkWritesIssued = ({ server, end }: ServerStep): Wrong => {
  const { handed, log } = server
  return handed.term === end.term && same(handed.vote, end.vote) && handed.last === lastOf(log)
    ? null
    : `leaves term ${end.term}, vote or log through ${lastOf(log)} unwritten`
}
