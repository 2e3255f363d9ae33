/**
 * Checks that every step of the shipped reducer is one that the abstract specification (model/) allows: what changed, what was
 * sent and what was written. A second opinion, independent of the invariants.
 */
import type { Event, Recovered, State } from "../core/index.ts"
import type { ObservedStep } from "./invariants/index.ts"
import { mayHalt } from "./model/halts.ts"
import {
  after,
  restartedFrom,
  isPossibleAfterCrash,
  cutFrom,
  dropThrough,
  hear,
  heardByQuorum,
  justify,
  lastOf,
  checkWritesIssued,
  pushEntry,
  same,
  settle,
  startingPoint,
  termIn,
  contentIn,
  contentOf,
  type AbstractServer,
  type Possible,
  type Scene,
  type ServerStep,
} from "./model/index.ts"

export class RefinementViolated extends Error {
  override readonly name = "RefinementViolated"
  readonly violates = "Refinement"
  readonly node: string
  constructor(node: string, detail: string, step: ObservedStep | null) {
    super(
      `${node} ${detail}${step === null ? "" : `\n  after ${step.events.map((event) => (event.type === "MessageReceived" ? `${event.message.type} of ${event.from.name}` : event.type)).join(", ")}`}`,
    )
    this.node = node
  }
}

/** Throws RefinementViolated. `started` must be called before the first step after every start. */
export interface RefinementChecker {
  (step: ObservedStep): void
  readonly started: (node: string, recovered: Recovered) => void
  /** Compares the abstract logs with the real ones, entry by entry. */
  readonly sweep: () => void
}

interface Kept {
  readonly server: AbstractServer
  state: State | null
}

const keyOf = ({ term, vote, role, leader, fresh, commit, keep, tail, base, transfer }: Possible): string =>
  `${term} ${fresh} ${vote?.name} ${role} ${leader?.name} ${commit} ${keep} ${tail.map((entry) => `${entry.term}.${contentOf(entry)}`).join()} ${base?.index} ${transfer}`

/** Paths that lead to the same state are merged: it has heard what any of them heard. */
const distinct = (possible: readonly Possible[]): readonly Possible[] => {
  if (possible.length < 2) return possible
  const seen = new Map<string, Possible>()
  for (const at of possible) {
    const key = keyOf(at)
    const other = seen.get(key)
    if (other === undefined) seen.set(key, at)
    else
      seen.set(key, {
        ...at,
        heardRound: Math.max(other.heardRound, at.heardRound),
        verified: Math.max(other.verified, at.verified),
      })
  }
  return [...seen.values()]
}

/** All states to which one more event may lead, except those from which the state after the batch cannot be reached. */
const advanced = (
  scene: Scene,
  possible: readonly Possible[],
  event: Event,
  { currentTerm, commitIndex }: State,
): readonly Possible[] => {
  const [only] = possible
  if (possible.length === 1 && only !== undefined) return after(scene, only, event)
  const next: Possible[] = []
  for (const at of possible)
    for (const then of after(scene, at, event))
      if (then.term <= currentTerm && then.commit <= commitIndex) next.push(then)
  return distinct(next)
}

/** The last event of the batch that can replace entries appended by an earlier one. */
const lastReplacing = ({ events }: ObservedStep): number =>
  events.findLastIndex(
    (event) =>
      event.type === "SnapshotRestored" ||
      (event.type === "MessageReceived" &&
        (event.message.type === "AppendEntries" || event.message.type === "InstallSnapshot")),
  )

const adopt = (server: AbstractServer, end: Possible, { log }: State): void => {
  const wasLeader = server.role === "leader" && server.term === end.term
  // A snapshot transfer belongs to one leader of one term.
  if (server.term !== end.term || end.role !== "follower" || !same(server.leader, end.leader)) server.install = null
  server.term = end.term
  server.vote = end.vote
  server.role = end.role
  server.leader = end.role === "follower" ? end.leader : null
  server.commit = end.commit
  server.verified = end.verified
  server.heardRound = end.heardRound
  server.fresh = end.fresh
  server.transfer = end.transfer
  const { log: own } = server
  if (end.base !== null && end.base.index > own.base) {
    if (end.keep <= end.base.index) cutFrom(own, own.base + 1)
    dropThrough(own, end.base)
  }
  cutFrom(own, end.keep + 1)
  for (const entry of end.tail) pushEntry(own, entry)
  if (log.base.index > own.base) dropThrough(own, log.base)
  // A member that left and came back must report again too.
  const since = own.configurations.at(-1)?.index ?? 0
  if (since !== server.sharedSince) {
    server.shared.clear()
    server.unfit.clear()
  }
  server.sharedSince = since
  if (end.role !== "leader") server.lease = "none"
  else if (!wasLeader) {
    server.matched.clear()
    server.answered.clear()
    server.shared.clear()
    server.lost.clear()
    server.unfit.clear()
    server.questions.clear()
    server.round = 0
    server.lease = "none"
    server.termStart = lastOf(own)
  }
}

const confirmReads = (server: AbstractServer): void => {
  if (server.role !== "leader") return
  for (const read of server.reads.values())
    if (read.confirmed === null && read.question !== null && heardByQuorum(server, read.question.round))
      read.confirmed = read.question.least
}

export const makeRefinementChecker = (): RefinementChecker => {
  const servers = new Map<string, Kept>()

  const check = (step: ObservedStep): void => {
    const { node, events, state, effects } = step
    const kept = servers.get(node)
    if (kept === undefined) throw new Error(`the refinement was not told what ${node} started with`)
    const { server } = kept
    const refuse = (detail: string | null): void => {
      if (detail !== null) throw new RefinementViolated(node, detail, step)
    }
    if (state.halted !== null) {
      refuse(mayHalt(server, events, effects, state.halted))
      return
    }
    const scene: Scene = {
      server,
      settings: state.settings,
      target: (index) => state.log.entry(index),
      effects,
      preVotes: new Set(),
      replaceable: false,
    }
    const start = startingPoint(server)
    const replacing = lastReplacing(step)
    let possible: readonly Possible[] = [start]
    let trimmed = 0
    for (let i = 0; i < events.length; i++) {
      const event = events[i]
      if (event === undefined || event.type === "ClockAdvanced") continue
      refuse(hear(server, event, state))
      if (event.type === "SnapshotTaken")
        trimmed = Math.max(trimmed, Math.min(event.base.index, server.applied, lastOf(server.disk.log)))
      scene.replaceable = i < replacing
      possible = advanced(scene, possible, event, state)
    }
    const { wrong, at: end } = settle(scene, possible, state, trimmed)
    refuse(wrong)
    adopt(server, end, state)
    confirmReads(server)
    const told: ServerStep = { events, server, state, start, end, preVotes: scene.preVotes }
    for (const effect of effects) refuse(justify(told, effect))
    refuse(checkWritesIssued(told))
    for (const effect of effects) if (effect.type === "Persist") server.disk.queue.push(effect)
    kept.state = state
  }

  const sweep = (): void => {
    for (const [node, { server, state }] of servers) {
      if (state === null) continue
      const { log } = state
      for (let index = log.base.index + 1; index <= log.lastIndex; index++) {
        const entry = log.entry(index)
        if (
          entry === undefined ||
          termIn(server.log, index) !== entry.term ||
          contentIn(server.log, index) !== contentOf(entry)
        )
          throw new RefinementViolated(node, `holds an entry ${index} that it never took`, null)
      }
    }
  }

  const started = (node: string, recovered: Recovered): void => {
    const before = servers.get(node)
    if (
      before !== undefined &&
      before.server.self.incarnation === recovered.self.incarnation &&
      !isPossibleAfterCrash(before.server, recovered)
    )
      throw new RefinementViolated(
        node,
        `finds on its disk what no crash could leave: term ${recovered.hardState.term}, ${recovered.entries.length} entries after ${recovered.base.index}`,
        null,
      )
    servers.set(node, { server: restartedFrom(recovered), state: null })
  }
  return Object.assign(check, { started, sweep })
}
