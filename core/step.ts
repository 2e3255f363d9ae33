/**
 * The reducer, and the table of contents of Raft: gate → handler → passes.
 *
 * The gate (term.ts) compares terms. A handler records what one event means. The passes then derive, once for all
 * events of the batch, what must be done; each rule of the paper is in one place.
 */
import { produce } from "immer"
import { newClock, onClockAdvanced } from "./clock.ts"
import { applyPass, commitPass, onApplied } from "./commit.ts"
import { onPersisted, persistWhatChanged } from "./durability.ts"
import {
  electionPass,
  onElectionTimeout,
  onQuorumTimeout,
  onRequestPreVote,
  onRequestVote,
  onVoteReply,
} from "./election.ts"
import { Log } from "./log.ts"
import { configurationOf, configurationsOf, isVoter } from "./membership.ts"
import { onForwardProposal, onForwardProposalReply, onProposed } from "./proposals.ts"
import {
  askLeaderPass,
  awaitAnswersPass,
  confirmReadsPass,
  onAnswerTimeout,
  onReadIndex,
  onReadIndexReply,
  onReadRequested,
  releaseReadsPass,
  startRoundPass,
} from "./reads.ts"
import { onConfigurationChangeProposed, reconfigurationPass } from "./reconfiguration.ts"
import { haltOnly, isHalted, snapshotAgrees } from "./halt.ts"
import { unfitLeaderPass, onMachineDamaged, onPersistTimeout, onSpaceChanged, watchPersistPass } from "./handover.ts"
import {
  installBase,
  onChunkStored,
  onInstallSnapshot,
  onSnapshotRejected,
  onSnapshotRestored,
  restorePass,
} from "./install.ts"
import { leasePass, onLeaseTimeout } from "./lease.ts"
import {
  acknowledgePass,
  onAppendAccepted,
  onAppendEntries,
  onAppendRejected,
  onHeartbeatTimeout,
  onPeerLink,
  replicatePass,
} from "./replication.ts"
import { leaderDisconnected, newFollower, startSticky, voterConnected, waitForElection } from "./roles.ts"
import {
  onInstallSnapshotReply,
  onSnapshotOpened,
  onSnapshotOpenFailed,
  onSnapshotTaken,
  sendSnapshotsPass,
  takeSnapshotPass,
} from "./snapshot.ts"
import { flawOfStored } from "./domain.ts"
import { checkSettings, type Settings } from "./settings.ts"
import { canCampaign } from "./removal.ts"
import { passesGate } from "./term.ts"
import { onTimeoutNow, onTransferRequested, onTransferTimeout, transferPass } from "./transfer.ts"
import { asLeader, sameMember, type Turn } from "./turn.ts"
import type { Effect, Event, Member, Message, Recovered, State, Timer } from "./types.ts"

const handleMessage = (turn: Turn, from: Member, message: Message): void => {
  switch (message.type) {
    case "RequestVote":
      return onRequestVote(turn, from, message)
    case "RequestPreVote":
      return onRequestPreVote(turn, from, message)
    case "RequestVoteReply":
    case "RequestPreVoteReply":
      return onVoteReply(turn, from, message)
    case "AppendEntries":
      return onAppendEntries(turn, from, message)
    case "AppendAccepted":
      return onAppendAccepted(turn, from, message)
    case "AppendRejected":
      return onAppendRejected(turn, from, message)
    case "InstallSnapshot":
      return onInstallSnapshot(turn, from, message)
    case "InstallSnapshotReply":
      return onInstallSnapshotReply(turn, from, message)
    case "ReadIndex":
      return onReadIndex(turn, from, message)
    case "ReadIndexReply":
      return onReadIndexReply(turn, from, message)
    case "ForwardProposal":
      return onForwardProposal(turn, from, message)
    case "ForwardProposalReply":
      return onForwardProposalReply(turn, message)
    case "TimeoutNow":
      return onTimeoutNow(turn)
  }
}

const handleTimer = (turn: Turn, timer: Timer): void => {
  switch (timer) {
    case "election":
      return onElectionTimeout(turn)
    case "heartbeat":
      return onHeartbeatTimeout(turn)
    case "quorum":
      return onQuorumTimeout(turn)
    case "lease":
      return onLeaseTimeout(turn)
    case "persist":
      return onPersistTimeout(turn)
    case "transfer":
      return onTransferTimeout(turn)
    case "answer":
      return onAnswerTimeout(turn)
  }
}

const onStarted = (turn: Turn): void => {
  const { voters, outgoing } = configurationOf(turn.state)
  const alone = voters.length === 1 && outgoing.length === 0 && sameMember(voters[0] ?? null, turn.state.self)
  if (alone) turn.effects.push({ type: "SetTimer", timer: "election", min: 0, max: 0 })
  else if (turn.state.settings.leaseReads) startSticky(turn)
  else waitForElection(turn)
}

const onPeerConnected = (turn: Turn, peer: Member): void => {
  const { state } = turn
  const { role } = state
  onPeerLink(turn, peer, true)
  const leaderless = role.type === "follower" && role.leader === null && role.stickiness === "lapsed"
  if (leaderless && isVoter(configurationOf(state), peer) && canCampaign(state)) voterConnected(turn)
}

const onPeerDisconnected = (turn: Turn, peer: Member): void => {
  const { role } = turn.state
  onPeerLink(turn, peer, false)
  if (role.type === "follower" && sameMember(role.leader, peer)) leaderDisconnected(turn, role)
}

const handle = (turn: Turn, event: Event): void => {
  switch (event.type) {
    case "Started":
      return onStarted(turn)
    case "MessageReceived":
      if (passesGate(turn, event.from, event.message)) handleMessage(turn, event.from, event.message)
      return
    case "Proposed":
      return onProposed(turn, event.ref, event.payloads)
    case "ReadRequested":
      return onReadRequested(turn, event.ref)
    case "Persisted":
      return onPersisted(turn, event.seq)
    case "Applied":
      return onApplied(turn, event.index)
    case "TimerExpired":
      return handleTimer(turn, event.timer)
    case "ClockAdvanced":
      return onClockAdvanced(turn, event.monotonic, event.wall)
    case "PeerConnected":
      return onPeerConnected(turn, event.peer)
    case "PeerDisconnected":
      return onPeerDisconnected(turn, event.peer)
    case "SnapshotTaken":
      return onSnapshotTaken(turn, event.base)
    case "SnapshotTakeFailed":
      turn.state.snapshotting = false
      return
    case "SnapshotOpened":
      return onSnapshotOpened(turn, event.to, event.snapshot)
    case "SnapshotOpenFailed":
      return onSnapshotOpenFailed(turn, event.to)
    case "ChunkStored":
      return onChunkStored(turn, event.id, event.nextOffset, event.last)
    case "SnapshotRejected":
      return onSnapshotRejected(turn, event.id)
    case "SnapshotRestored":
      return onSnapshotRestored(turn, event.snapshot)
    case "MachineDamaged":
      return onMachineDamaged(turn)
    case "SpaceChanged":
      return onSpaceChanged(turn, event.low)
    case "TransferRequested":
      return onTransferRequested(turn, event.to)
    case "ConfigurationChangeProposed":
      return onConfigurationChangeProposed(turn, event.ref, event)
  }
}

/** The passes of a leader; each does nothing once one before it has ended the leadership. */
const leaderPasses = (turn: Turn): void => {
  commitPass(turn)
  reconfigurationPass(turn)
  unfitLeaderPass(turn)
  transferPass(turn)
  startRoundPass(turn)
  confirmReadsPass(turn)
  sendSnapshotsPass(turn)
  replicatePass(turn)
}

/** The order matters: a pass may depend on the passes before it, never on a later one. */
const passes = (turn: Turn): void => {
  electionPass(turn)
  if (asLeader(turn.state) !== null) leaderPasses(turn)
  askLeaderPass(turn)
  restorePass(turn)
  acknowledgePass(turn)
  applyPass(turn)
  releaseReadsPass(turn)
  takeSnapshotPass(turn)
  awaitAnswersPass(turn)
  leasePass(turn)
  persistWhatChanged(turn)
  watchPersistPass(turn)
}

const react = (turn: Turn, events: readonly Event[]): void => {
  // A halt is reported once per start: by the batch that detects it, or by the first batch if the recovered state
  // already shows it.
  if (isHalted(turn.state) && events.every(({ type }) => type !== "Started")) return
  for (const event of events) {
    if (isHalted(turn.state)) break
    handle(turn, event)
  }
  if (!isHalted(turn.state)) passes(turn)
  else haltOnly(turn)
}

/** Events of a batch are handled together: the passes run once, after the last event. */
export const stepAll = (state: State, events: readonly Event[]): readonly [State, readonly Effect[]] => {
  const turn = produce<Turn, Turn>({ state, effects: [] }, (draft) => react(draft, events))
  return [turn.state, turn.effects]
}

/** The pure form of the reducer: frozen, structurally shared states, for time travel, search and tests. */
export const step = (state: State, event: Event): readonly [State, readonly Effect[]] => stepAll(state, [event])

/** The same reducer on a state with a single owner: every `run` changes `state` in place. */
export interface Runner {
  readonly state: State
  readonly run: (events: readonly Event[]) => readonly Effect[]
}
export const runInPlace = (state: State, events: readonly Event[]): readonly Effect[] => {
  const turn: Turn = { state, effects: [] }
  react(turn, events)
  return turn.effects
}
export const inPlace = (state: State): Runner => ({ state, run: (events) => runInPlace(state, events) })

/** What the interpreter recovered cannot have been written by this core. */
export class RecoveredInvalid extends Error {
  override readonly name = "RecoveredInvalid"
  constructor(flaw: string) {
    super(
      `the node cannot start from what is on its disk: ${flaw}. Nothing was changed. Restore the data directory to its latest state; if that is impossible, treat the disk as lost`,
    )
  }
}

/** The state of a server that starts, for the first time or again, with what its disk holds. */
export const initialState = (settings: Settings, recovered: Recovered): State => {
  const { self, bootId, hardState, base, entries, position } = recovered
  checkSettings(settings)
  const flaw = flawOfStored(hardState, base, entries)
  if (flaw !== null) throw new RecoveredInvalid(flaw)
  const log = Log.of(base, entries)
  // A state machine that is behind the log's base lacks entries that were trimmed: it must be rebuilt.
  const known = position !== null && position.index >= base.index ? position : null
  const commitIndex = Math.max(base.index, known?.index ?? 0)
  const state: State = {
    self,
    settings,
    bootId,
    halted: null,
    currentTerm: hardState.term,
    votedFor: hardState.vote,
    termLeader: null,
    pendingVote: null,
    role: newFollower(commitIndex, null, settings.leaseReads ? "active" : "lapsed"),
    log,
    configurations: configurationsOf(base, entries),
    commitIndex,
    durability: {
      nextSeq: 1,
      outstanding: [],
      hardState,
      index: log.lastIndex,
      queued: hardState,
      unsavedFrom: log.lastIndex + 1,
      truncateFrom: null,
      base: null,
    },
    applying: commitIndex,
    applied: commitIndex,
    machine: known === null ? "rebuild" : "ready",
    restoring: null,
    snapshotting: false,
    snapshotIndex: base.index,
    confirmedReads: [],
    forwarded: [],
    awaitingAnswer: false,
    readNumber: 0,
    clock: newClock(log.last.time),
    spaceLow: false,
  }
  // The state machine is ahead of the log: it was restored from a snapshot just before a crash, and the log must
  // follow.
  const turn: Turn = { state, effects: [] }
  if (known !== null && log.termAt(known.index) !== known.term) installBase(turn, known)
  // If the state machine has executed a different entry than the log holds at that index, the server halts.
  else if (known !== null) snapshotAgrees(turn, null, known)
  return state
}

/** Is this server a voter? For status reports, and for interpreters in which only a voter may act. */
export const isMember = (state: State): boolean => isVoter(configurationOf(state), state.self)
