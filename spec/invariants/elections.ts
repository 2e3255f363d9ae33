/** Invariants about terms, votes and leaders. */
import {
  sameMember,
  type Entry,
  type Event,
  type Index,
  type Member,
  type Message,
  type Term,
} from "../../core/index.ts"
import { recordedConfigurationAt, fail, isAmong, isQuorum, type ObservedHistory, type ComparedStep } from "./history.ts"

type Granted = Extract<Message, { type: "RequestVoteReply" | "RequestPreVoteReply" }>

const inForce = (seen: ComparedStep) => recordedConfigurationAt(seen.before.configurations, Number.POSITIVE_INFINITY)

/** Paper §5.4.1. */
const isUpToDate = (candidate: { lastLogTerm: Term; lastLogIndex: Index }, lastTerm: Term, lastIndex: Index): boolean =>
  candidate.lastLogTerm === lastTerm ? candidate.lastLogIndex >= lastIndex : candidate.lastLogTerm > lastTerm

/**
 * The request that a grant answers. It is in the same batch of events as the grant, because a request is answered as
 * soon as the disk allows.
 */
const checkUpToDate = (
  { node, events, before, state }: ComparedStep,
  candidate: Member,
  term: Term,
  type: "RequestVote" | "RequestPreVote",
): void => {
  let logMoves = false
  for (const event of events) {
    if (event.type === "SnapshotRestored") logMoves = true
    if (event.type !== "MessageReceived") continue
    const { message } = event
    if (message.type === "AppendEntries") logMoves = true
    if (message.type !== type || message.term !== term || !sameMember(event.from, candidate)) continue
    // The log with which the candidate's was compared in the middle of a batch is not visible from outside.
    if (
      logMoves ||
      isUpToDate(message, before.log.lastTerm, before.log.lastIndex) ||
      isUpToDate(message, state.log.lastTerm, state.log.lastIndex)
    )
      return
    fail(
      "VoteUpToDate",
      node,
      `votes for ${candidate.name} whose log ends at ${message.lastLogIndex} in term ${message.lastLogTerm}; its own log ends at ${before.log.lastIndex} in term ${before.log.lastTerm}`,
    )
  }
  fail("VoteUpToDate", node, `votes in term ${term} for ${candidate.name}, which did not ask`)
}

export const countGrant = ({ before }: ComparedStep, from: Member, { term, granted }: Granted): void => {
  if (!granted) return
  if (before.grantsTerm < term) {
    before.grantsTerm = term
    before.grants.length = 0
  }
  if (before.grantsTerm === term && !isAmong(before.grants, from)) before.grants.push(from)
}

const checkTerm = ({ node, state, before }: ComparedStep): void => {
  if (state.currentTerm < before.term) fail("TermMonotonic", node, `term ${before.term} became ${state.currentTerm}`)
  if (state.durability.hardState.term > state.currentTerm)
    fail("TermMonotonic", node, `durable term ${state.durability.hardState.term} is ahead of ${state.currentTerm}`)
}

const checkVote = (seen: ComparedStep): void => {
  const { node, state, before } = seen
  const { votedFor, currentTerm } = state
  if (currentTerm === before.term) {
    if (before.vote === votedFor || sameMember(before.vote, votedFor)) return
    if (before.vote !== null)
      fail(
        "VoteOnce",
        node,
        `voted for ${before.vote.name} in term ${currentTerm}, and now ${votedFor === null ? "forgot it" : `for ${votedFor.name}`}`,
      )
  }
  if (votedFor === null || sameMember(votedFor, state.self)) return
  if (inForce(seen)?.voters.length === 0)
    fail("AmnesiacSilent", node, `votes for ${votedFor.name} in term ${currentTerm}`)
  checkUpToDate(seen, votedFor, currentTerm, "RequestVote")
}

/** A vote that others learn of, by a grant or a candidacy: one per term, for ever. */
const tell = ({ node, before }: ComparedStep, term: Term, vote: Member): void => {
  const { told } = before
  if (told.term === term && told.vote !== null && !sameMember(told.vote, vote))
    fail("VoteOnce", node, `reported a vote for ${told.vote.name} and one for ${vote.name} in term ${term}`)
  if (term > told.term) before.told = { term, vote }
}

const checkDurableVote = ({ node, before }: ComparedStep, term: Term, vote: Member): void => {
  const { hardState } = before.durable
  if (hardState.term !== term || !sameMember(hardState.vote, vote))
    fail("DurableBeforeTold", node, `its vote for ${vote.name} in term ${term} is not durable`)
}

/**
 * The leader's log must hold all entries committed in earlier terms; by Log Matching it is enough to look at the
 * highest.
 */
const checkComplete = (seen: ComparedStep, history: ObservedHistory): void => {
  const { node, state } = seen
  let index = 0
  let entryTerm = 0
  for (const run of history.runs)
    if (run.term < state.currentTerm && run.index > index) {
      index = run.index
      entryTerm = run.entryTerm
    }
  const { log } = state
  if (index > log.base.index && log.termAt(index) !== entryTerm)
    fail(
      "LeaderCompleteness",
      node,
      `leads term ${state.currentTerm} and has ${log.termAt(index) === undefined ? "no" : "a different"} entry ${index}, which an earlier leader committed`,
    )
}

const checkElected = (seen: ComparedStep): void => {
  const { node, state, before, history, restarted } = seen
  const { currentTerm, self } = state
  const configuration = inForce(seen)
  const own = sameMember(state.votedFor, self)
  const granted = (member: Member): boolean =>
    sameMember(member, self) ? own : before.grantsTerm === currentTerm && isAmong(before.grants, member)
  if (configuration !== undefined && (before.complete || restarted) && !isQuorum(configuration, granted))
    fail(
      "ElectedByQuorum",
      node,
      `leads term ${currentTerm} with the votes of ${own ? "itself and " : ""}${before.grantsTerm === currentTerm ? before.grants.map(({ name }) => name).join() : "nobody"}`,
    )
  history.elections.set(currentTerm, { leader: self, log: state.log })
  checkComplete(seen, history)
}

const checkLeader = (seen: ComparedStep): void => {
  const { node, state, before, history } = seen
  const { role, currentTerm, self } = state
  if (role.type === "leader") {
    const known = history.elections.get(currentTerm)
    if (known !== undefined && !sameMember(known.leader, self))
      fail("ElectionSafety", node, `leads term ${currentTerm}, and so does ${known.leader.name}`)
    if (before.role !== "leader" || before.term !== currentTerm) checkElected(seen)
  } else if (role.type === "follower") {
    if (role.leader === null) return
    const known = history.elections.get(currentTerm)
    if (known === undefined) history.elections.set(currentTerm, { leader: role.leader, log: null })
    else if (!sameMember(known.leader, role.leader))
      fail(
        "ElectionSafety",
        node,
        `follows ${role.leader.name} in term ${currentTerm}, which ${known.leader.name} leads`,
      )
  } else if (before.role !== role.type || before.term !== currentTerm) {
    const configuration = inForce(seen)
    if (configuration === undefined) return
    if (configuration.voters.length === 0) fail("AmnesiacSilent", node, "campaigns")
    const { configurations, commitIndex } = seen.state
    const committed = configurations.findLast(({ index }) => index <= commitIndex)?.index ?? 0
    const votes = configurations.some(
      ({ index, configuration: { voters, outgoing } }) =>
        index >= committed && (isAmong(voters, self) || isAmong(outgoing, self)),
    )
    if (!votes) fail("OnlyVotersCampaign", node, `campaigns in term ${currentTerm}`)
  }
}

export const checkElections = (seen: ComparedStep): void => {
  checkTerm(seen)
  checkVote(seen)
  checkLeader(seen)
}

export const checkVoteSent = (seen: ComparedStep, to: Member, message: Message): void => {
  const { node, state } = seen
  if (message.type === "RequestVote") {
    checkDurableVote(seen, message.term, state.self)
    tell(seen, message.term, state.self)
  } else if (message.type === "RequestVoteReply" && message.granted) {
    checkDurableVote(seen, message.term, to)
    tell(seen, message.term, to)
  } else if (message.type === "RequestPreVoteReply" && message.granted) {
    if (inForce(seen)?.voters.length === 0) fail("AmnesiacSilent", node, `gives ${to.name} a pre-vote`)
    checkUpToDate(seen, to, message.term, "RequestPreVote")
  }
}

/** Thesis §3.10: "the prior leader stops accepting new client requests", until the transfer timer expires. */
export const checkTransfer = ({ node, before, state }: ComparedStep, appended: readonly Entry[]): void => {
  if (before.handedOver === 0) return
  if (state.role.type !== "leader" || state.currentTerm !== before.handedOver) before.handedOver = 0
  else if (appended.some((entry) => entry.kind === "command"))
    fail("TransferStops", node, `appends entry ${appended[0]?.index} after TimeoutNow in term ${state.currentTerm}`)
}
export const endsTransfer = (event: Event): boolean => event.type === "TimerExpired" && event.timer === "transfer"
