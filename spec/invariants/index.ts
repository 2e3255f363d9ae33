/**
 * What must hold at every step. A check looks at one step and at what it changed, never at a whole log; the sweep
 * (sweep.ts) looks at everything from time to time.
 */
import { replicatedTime, sameMember, type Effect, type Event, type Recovered, type State } from "../../core/index.ts"
import { checkOutcomes, checkRefs, checkRoom, checkResponse, openRef } from "./clients.ts"
import { checkSteady, hearTime } from "./clock.ts"
import { checkApply, checkCommit, checkRestored } from "./commit.ts"
import { checkElections, checkTransfer, checkVoteSent, countGrant, endsTransfer } from "./elections.ts"
import { checkContradiction, checkDomain, checkHalted } from "./halts.ts"
import {
  fail,
  firstChanged,
  dropFinished,
  persistIn,
  newObservedHistory,
  newObservedServer,
  type ObservedHistory,
  type ComparedStep,
  type ObservedStep,
  type ObservedServer,
} from "./history.ts"
import {
  appendedByLeader,
  checkLog,
  checkPersists,
  checkRecovered,
  checkSent,
  checkSnapshot,
  recordDurable,
} from "./logs.ts"
import { sweep } from "./sweep.ts"

export type { ObservedStep } from "./history.ts"
export { invariants, InvariantViolated, type Invariant } from "./names.ts"
export { sweep, type SweptState } from "./sweep.ts"

/** Throws InvariantViolated. */
export interface InvariantChecker {
  (step: ObservedStep): void
  /** What a server recovers from its disk, before its first step after a start. */
  readonly started: (node: string, recovered: Recovered, wentBack?: boolean) => void
  /** False: a server continued from a directory that had lost something, and no peer that could have noticed was reachable. Then nothing is guaranteed. */
  readonly promised: () => boolean
  /** Checks everything at once, by the state of each server after its last step. */
  readonly sweep: () => void
  /** Refs at `node` that were not answered yet. */
  readonly openRefs: (node: string) => readonly number[]
  /** The size of the kept history; bounded while no server is down for ever. */
  readonly size: () => number
}

const FORGET_EVERY = 4096

const observedServer = (
  history: ObservedHistory,
  { node, state }: ObservedStep,
  restarted: boolean,
): ObservedServer => {
  const today = history.servers.get(node)
  if (today !== undefined && !restarted) return today
  const server = newObservedServer(state, restarted, history.recovered.get(node))
  history.recovered.delete(node)
  if (today !== undefined && sameMember(today.self, server.self)) {
    // What other servers were told and what was durable outlive the process.
    server.told = today.told
    server.clocks = today.clocks
    if (state.currentTerm < today.durable.hardState.term)
      fail(
        "TermMonotonic",
        node,
        `starts in term ${state.currentTerm}, but term ${today.durable.hardState.term} was durable`,
      )
  } else if (today === undefined) {
    const { base } = state.log
    const known = restarted ? base.index : state.commitIndex
    history.highest = Math.max(history.highest, known, restarted ? state.commitIndex : 0)
    history.whole &&= restarted
    if (history.configurations.length === 0)
      history.configurations.push({ index: base.index, configuration: base.configuration })
    history.committed.set(base.index, { term: base.term, chain: base.chain, sum: null })
  } else history.former.push(today)
  history.servers.set(node, server)
  return server
}

const isRestart = (events: readonly Event[]): boolean => {
  for (const { type } of events) if (type === "Started") return true
  return false
}

const takeEvent = (seen: ComparedStep, event: Event, at: number | undefined): void => {
  const { before, state } = seen
  switch (event.type) {
    case "Persisted":
      recordDurable(seen, event.seq)
      return
    case "MessageReceived":
      if (event.message.type === "RequestVoteReply") countGrant(seen, event.from, event.message)
      else checkContradiction(seen, event.message)
      if (at !== undefined && event.message.type === "AppendEntries") hearTime(seen, event.from, event.message, at)
      return
    case "Proposed":
    case "ReadRequested":
    case "ConfigurationChangeProposed":
      openRef(seen, event)
      return
    case "SnapshotTaken":
      checkSnapshot(seen, event.base, "the state machine's own snapshot")
      return
    case "SnapshotRestored":
      checkSnapshot(seen, event.snapshot, "a restored snapshot")
      checkRestored(seen, event.snapshot.index)
      return
    case "SnapshotRejected":
      before.restoring &&= state.restoring !== null
      return
    case "MachineDamaged":
      before.machine = "rebuild"
      return
    case "TimerExpired":
      if (endsTransfer(event)) before.handedOver = 0
      return
    case "Started":
    case "Applied":
    case "ClockAdvanced":
    case "PeerConnected":
    case "PeerDisconnected":
    case "SnapshotTakeFailed":
    case "SnapshotOpened":
    case "SnapshotOpenFailed":
    case "ChunkStored":
    case "SpaceChanged":
    case "TransferRequested":
      return
  }
}

const takeEffect = (seen: ComparedStep, effect: Effect): void => {
  const { node, before, state } = seen
  switch (effect.type) {
    case "Send":
      checkSent(seen, effect)
      checkVoteSent(seen, effect.to, effect.message)
      if (effect.message.type === "TimeoutNow") before.handedOver = state.currentTerm
      return
    case "Apply":
      checkApply(seen, effect.entries)
      return
    case "Respond":
      checkResponse(seen, effect.ref, effect.outcome)
      return
    case "RestoreSnapshot":
      if (before.machine === "ready" && state.applied !== before.applying)
        fail("AppliedInOrder", node, `replaces a state machine that is executing through ${before.applying}`)
      before.restoring = true
      return
    case "Note":
      return
    case "Halt":
    case "Persist":
    case "SetTimer":
    case "CancelTimer":
    case "TakeSnapshot":
    case "OpenSnapshot":
    case "CloseSnapshot":
    case "StoreChunk":
      return
  }
}

const remember = (server: ObservedServer, state: State): void => {
  server.state = state
  server.term = state.currentTerm
  server.vote = state.votedFor
  server.role = state.role.type
  server.log = state.log
  server.commit = state.commitIndex
  server.clock = replicatedTime(state)
}

export interface CheckerOptions {
  /** Disks in this world may go back in time, so a server may have a reason to halt. */
  readonly halts?: "allowed" | "violations"
}

/** Makes one checker for each world. */
export const makeInvariantChecker = ({ halts = "violations" }: CheckerOptions = {}): InvariantChecker => {
  const history = newObservedHistory()
  let promised = true
  const check = (step: ObservedStep): void => {
    if (!promised) return
    const { node, events, state, effects } = step
    const restarted = isRestart(events)
    const before = observedServer(history, step, restarted)
    if (state.halted !== null) {
      checkHalted(step, halts === "allowed")
      return
    }
    const persist = persistIn(node, effects)
    const seen: ComparedStep = {
      node,
      events,
      state,
      effects,
      history,
      before,
      restarted,
      changedFrom: firstChanged(before.log, state.log, persist),
      persist,
    }
    for (const event of events) takeEvent(seen, event, step.at)
    if (
      before.role === "leader" &&
      state.role.type === "leader" &&
      before.term === state.currentTerm &&
      replicatedTime(state) < before.clock
    )
      fail("ClockMonotonic", node, `its time fell from ${before.clock} to ${replicatedTime(state)}`)
    checkDomain(seen)
    if (step.at !== undefined) checkSteady(seen, step.at)
    checkElections(seen)
    checkLog(seen)
    checkCommit(seen)
    if (seen.changedFrom <= state.log.lastIndex || before.handedOver !== 0) {
      const appended = appendedByLeader(seen)
      checkTransfer(seen, appended)
      checkOutcomes(seen, appended)
      checkRoom(seen, appended)
    }
    for (const effect of effects) takeEffect(seen, effect)
    checkPersists(seen)
    checkRefs(seen)
    remember(before, state)
    history.steps += 1
    if (history.steps % FORGET_EVERY === 0) dropFinished(history)
  }
  return Object.assign(check, {
    started: (node, recovered, wentBack = false) => {
      const server = history.servers.get(node)
      if (promised && server !== undefined && sameMember(server.self, recovered.self)) {
        try {
          checkRecovered(node, server, recovered)
        } catch (error) {
          if (!wentBack) throw error
          promised = false
        }
      }
      history.recovered.set(node, recovered)
    },
    promised: () => promised,
    sweep: () => {
      if (!promised) return
      const states: { node: string; state: State }[] = []
      for (const [node, { state }] of history.servers) states.push({ node, state })
      sweep(states)
    },
    openRefs: (node) => [...(history.servers.get(node)?.refs.keys() ?? [])],
    size: () => history.written.size() + history.committed.size() + history.elections.size + history.runs.length,
  } satisfies Pick<InvariantChecker, keyof InvariantChecker>)
}
