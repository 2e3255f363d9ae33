/**
 * What a checker remembers: the state and the disk of every server after its last step, and what the cluster has written,
 * committed and elected. Logs are persistent values, so an old one costs only a reference.
 */
import {
  levelOf,
  sameMember,
  type Configuration,
  type Effect,
  type Entry,
  type Event,
  type HardState,
  type Index,
  Log,
  type Member,
  type Payload,
  type Persist,
  type Recovered,
  type State,
  type Term,
} from "../../core/index.ts"
import { InvariantViolated, type Invariant } from "./names.ts"
import { makeIndexWindow, type IndexWindow } from "./indexWindow.ts"
import { makeSteady, type Clocks, type Steady } from "./steady.ts"

/** Stable storage as one Persist leaves it. */
export interface DiskImage {
  readonly seq: number
  readonly hardState: HardState
  readonly log: Log
}
/** A client that waits. `committed` is what was committed anywhere when a read was requested. */
export interface OpenRef {
  readonly kind: "proposal" | "read"
  readonly committed: Index
  readonly payloads: readonly Payload[]
}
/** One incarnation of a server, as it was after its last step. */
export interface ObservedServer {
  readonly self: Member
  /** Changed in place by the next step, so only sweeps use it. */
  state: State
  term: Term
  vote: Member | null
  role: State["role"]["type"]
  log: Log
  commit: Index
  clock: number
  /** null: it has taken no step yet. */
  clocks: Clocks | null
  machine: State["machine"]
  /** The last entry handed to the state machine, or the snapshot that replaced it. */
  applying: Index
  restoring: boolean
  durable: DiskImage
  /** Writes that were handed out and not yet reported durable. */
  outstanding: DiskImage[]
  queued: DiskImage
  /** Who granted a vote in `grantsTerm`, in order of arrival. */
  grantsTerm: Term
  readonly grants: Member[]
  /** The last vote that others learned of: a grant, or its own candidacy. */
  told: HardState
  readonly refs: Map<number, OpenRef>
  /** Observed since its start, so that all its refs are known. */
  complete: boolean
  /** The term in which TimeoutNow was sent and the transfer not given up, or 0. */
  handedOver: Term
  /** The configurations derived from the log alone, oldest first; the last one is in force. */
  configurations: { readonly index: Index; readonly configuration: Configuration }[]
}
/** An entry as first seen, and the entry before it; different entries at the same index are in `other`. */
export interface Written {
  readonly term: Term
  readonly sum: number
  readonly prevTerm: Term
  readonly chain: number
  readonly other: Written | null
}
export interface Committed {
  readonly term: Term
  readonly chain: number
  /** null: known from a snapshot only. */
  readonly sum: number | null
}
/** The highest entry that the leader of one term committed. */
interface CommitRun {
  readonly term: Term
  index: Index
  entryTerm: Term
}
export interface Election {
  readonly leader: Member
  /** The leader's log at its election; null if that was so long ago that no earlier leader can be left. */
  log: Log | null
}
export interface ObservedHistory {
  /** The present incarnations, by name. */
  readonly servers: Map<string, ObservedServer>
  /** Earlier incarnations: their disks are gone, but what they acknowledged was true then. */
  readonly former: ObservedServer[]
  readonly written: IndexWindow<Written>
  readonly committed: IndexWindow<Committed>
  /** The highest index that a leader committed, or that a server had committed when it was first seen. */
  highest: Index
  readonly runs: CommitRun[]
  readonly elections: Map<Term, Election>
  /** Committed configurations, oldest first. */
  configurations: { readonly index: Index; readonly configuration: Configuration }[]
  /** Recovered state reported for a start whose first step has not been seen yet. */
  readonly recovered: Map<string, Recovered>
  /** Payloads of refused proposals: none may be appended. */
  readonly refused: WeakSet<object>
  /** Every server was observed since its first start. */
  whole: boolean
  readonly steady: Steady
  steps: number
}

export const newObservedHistory = (): ObservedHistory => ({
  servers: new Map(),
  former: [],
  written: makeIndexWindow(),
  committed: makeIndexWindow(),
  highest: 0,
  runs: [],
  elections: new Map(),
  configurations: [],
  recovered: new Map(),
  refused: new WeakSet(),
  whole: true,
  steady: makeSteady(),
  steps: 0,
})

/** One step of one server. The state may be changed in place by its next step. */
export interface ObservedStep {
  readonly node: string
  readonly events: readonly Event[]
  readonly state: State
  readonly effects: readonly Effect[]
  /** The world's own time, if it has one. */
  readonly at?: number
}
/** One step, compared with the state of its server before it. */
export interface ComparedStep extends ObservedStep {
  readonly history: ObservedHistory
  readonly before: ObservedServer
  /** True if the step's first event is Started. */
  readonly restarted: boolean
  /** First index at which the log is not what it was; lastIndex + 1 if it is. */
  readonly changedFrom: Index
  readonly persist: Persist | null
}

export const fail = (invariant: Invariant, node: string, detail: string): never => {
  throw new InvariantViolated(invariant, node, detail)
}

const sums = new WeakMap<Configuration, number>()
const configurationSum = (configuration: Configuration): number => {
  const known = sums.get(configuration)
  if (known !== undefined) return known
  const { voters, outgoing, learners } = configuration
  let sum = 7
  for (const char of JSON.stringify([
    ...[voters, outgoing, learners].map((side) => side.map((member) => [member.name, member.incarnation])),
    levelOf(configuration),
  ]))
    sum = (Math.imul(sum, 31) + (char.codePointAt(0) ?? 0)) | 0
  sums.set(configuration, sum)
  return sum
}
export const sameConfiguration = (a: Configuration, b: Configuration): boolean =>
  a === b || configurationSum(a) === configurationSum(b)
/** The content of an entry, as a number. */
export const entrySum = (entry: Entry): number =>
  entry.kind === "command" ? entry.payload.checksum : entry.kind === "noop" ? -1 : configurationSum(entry.configuration)

export const recordedConfigurationAt = (
  configurations: ObservedServer["configurations"],
  index: Index,
): Configuration | undefined => {
  for (let i = configurations.length - 1; i >= 0; i--) {
    const known = configurations[i]
    if (known !== undefined && known.index <= index) return known.configuration
  }
  return undefined
}
export const isAmong = (members: readonly Member[], member: Member): boolean =>
  members.some((one) => sameMember(one, member))
/** More than half of the voters, and while the configuration is joint also more than half of the outgoing ones. */
export const isQuorum = ({ voters, outgoing }: Configuration, has: (member: Member) => boolean): boolean => {
  const decides = (side: readonly Member[]): boolean => {
    let count = 0
    for (const member of side) if (has(member)) count += 1
    return count * 2 > side.length
  }
  return decides(voters) && (outgoing.length === 0 || decides(outgoing))
}

/** The step's write, or null. */
export const persistIn = (node: string, effects: readonly Effect[]): Persist | null => {
  let persist: Persist | null = null
  for (const effect of effects)
    if (effect.type === "Persist") {
      if (persist !== null) fail("PersistComplete", node, "two writes for one step: a crash could come between them")
      persist = effect
    }
  return persist
}

export const firstChanged = (before: Log, after: Log, persist: Persist | null): Index => {
  if (before === after) return after.lastIndex + 1
  const floor = Math.max(before.base.index, after.base.index)
  let index = Math.min(before.lastIndex, after.lastIndex)
  while (index > floor && before.entry(index) !== after.entry(index)) index -= 1
  if (persist !== null)
    index = Math.min(
      index,
      (persist.truncateFrom ?? after.lastIndex + 1) - 1,
      (persist.entries[0]?.index ?? after.lastIndex + 1) - 1,
    )
  return Math.max(index, after.base.index) + 1
}

const configurationsIn = (log: Log): ObservedServer["configurations"] => {
  const out = [{ index: log.base.index, configuration: log.base.configuration }]
  for (const entry of log.toArray())
    if (entry.kind === "configuration") out.push({ index: entry.index, configuration: entry.configuration })
  return out
}

/** For a server that was never seen before, or that starts: its present state is the starting point. */
export const newObservedServer = (
  state: State,
  complete: boolean,
  recovered: Recovered | undefined,
): ObservedServer => {
  const { log, durability, currentTerm, votedFor } = state
  const hardState = recovered?.hardState ?? (complete ? { term: currentTerm, vote: votedFor } : durability.hardState)
  // A state machine that was restored just before a crash is ahead of the log, which follows it at start.
  const found =
    recovered === undefined || recovered.base.index === log.base.index ? log : Log.of(recovered.base, recovered.entries)
  const durable: DiskImage = { seq: 0, hardState, log: found }
  return {
    self: state.self,
    state,
    term: hardState.term,
    vote: hardState.vote,
    role: complete ? "follower" : state.role.type,
    log,
    commit: complete ? log.base.index : state.commitIndex,
    clock: 0,
    clocks: null,
    machine: state.machine,
    applying: complete ? state.applied : state.applying,
    restoring: state.restoring !== null,
    durable,
    outstanding: complete
      ? []
      : state.durability.outstanding.map(({ seq, hardState: written }) => ({ seq, hardState: written, log })),
    queued: complete ? durable : { seq: 0, hardState: durability.queued, log },
    grantsTerm: 0,
    grants: [],
    told: { term: 0, vote: null },
    refs: new Map(),
    complete,
    handedOver: 0,
    configurations: configurationsIn(log),
  }
}

export const serverOf = (history: ObservedHistory, member: Member): ObservedServer | undefined => {
  const today = history.servers.get(member.name)
  if (today !== undefined && today.self.incarnation === member.incarnation) return today
  return history.former.find((server) => sameMember(server.self, member))
}

/** A server that has been down for this long no longer keeps history alive; it is checked less when it comes back. */
const PATIENCE = 100_000
/** With this many later elections, a leader of an earlier term cannot exist any more. */
const ELECTIONS = 64
const ELECTION_LOGS = 8

export const dropFinished = (history: ObservedHistory): void => {
  let highestBase = 0
  for (const server of history.servers.values()) highestBase = Math.max(highestBase, server.log.base.index)
  let lowest = highestBase
  for (const server of history.servers.values())
    lowest = Math.min(lowest, server.log.base.index, server.durable.log.base.index)
  lowest = Math.max(lowest, highestBase - PATIENCE)
  history.written.dropBelow(lowest)
  history.committed.dropBelow(lowest)
  while (history.configurations.length > 1 && (history.configurations[1]?.index ?? 0) <= lowest)
    history.configurations.shift()
  if (history.runs.length > ELECTIONS) history.runs.splice(0, history.runs.length - ELECTIONS)
  const terms = [...history.elections.keys()].sort((a, b) => a - b)
  terms.slice(0, -ELECTIONS).forEach((term) => history.elections.delete(term))
  for (const term of terms.slice(-ELECTIONS, -ELECTION_LOGS)) {
    const election = history.elections.get(term)
    if (election !== undefined) election.log = null
  }
  if (history.former.length > ELECTIONS) history.former.splice(0, history.former.length - ELECTIONS)
}
