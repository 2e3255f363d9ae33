/**
 * The abstract server: the variables of the paper's Figure 2, its disk, and what it has heard and may rely on (votes,
 * acknowledgements, rounds). Nothing here comes from the core's own bookkeeping.
 */
import type { Configuration, Member, Persist, Recovered } from "../../core/index.ts"
import {
  copyLog,
  cutFrom,
  dropThrough,
  emptyLog,
  lastOf,
  pushEntry,
  termIn,
  contentIn,
  contentOf,
  type AbstractLog,
} from "./log.ts"

export type RoleName = "follower" | "preCandidate" | "candidate" | "leader"

export const same = (a: Member | null, b: Member | null): boolean =>
  a === null || b === null ? a === b : a.name === b.name && a.incarnation === b.incarnation
export const keyOf = ({ name, incarnation }: Member): string => `${name} ${incarnation}`
const among = (members: readonly Member[], member: Member): boolean => members.some((one) => same(one, member))
export const votesIn = ({ voters, outgoing }: Configuration, member: Member): boolean =>
  among(voters, member) || among(outgoing, member)
/** Paper §6: while the configuration is joint, a majority of each half. */
export const agreedBy = ({ voters, outgoing }: Configuration, yes: (member: Member) => boolean): boolean => {
  const most = (side: readonly Member[]): boolean => 2 * side.filter(yes).length > side.length
  return most(voters) && (outgoing.length === 0 || most(outgoing))
}

/**
 * A read of a local client or of a follower: what the answer must include, and what must be heard before it is given.
 */
export interface ReadQuestion {
  readonly least: number
  /** A round that was sent after the read had arrived. */
  readonly round: number
}
export interface WaitingRead {
  /** At a leader. */
  readonly question: ReadQuestion | null
  /** At a follower: answered by the reply to a request with a higher number than this. */
  asked: number
  /** Confirmed: everything through here will be seen; null: not confirmed yet. */
  confirmed: number | null
}

export interface AbstractDisk {
  term: number
  vote: Member | null
  log: AbstractLog
  /** Handed over, not reported durable yet. */
  readonly queue: Persist[]
}

export interface AbstractServer {
  readonly self: Member
  term: number
  vote: Member | null
  role: RoleName
  leader: Member | null
  readonly log: AbstractLog
  commit: number
  readonly disk: AbstractDisk
  /** The last state handed to the disk. */
  handed: { term: number; vote: Member | null; last: number }
  /** The log is known to agree with that of the leader of this term through here. */
  verified: number
  /** The highest round heard of the leader of this term. */
  heardRound: number
  /** A leader was heard since the election timer last expired or the connection broke. */
  fresh: boolean
  /** Its election was requested by the leader (thesis §3.10). */
  transfer: boolean
  /** The term for which votes, or pre-votes, were granted to it, and by whom. */
  votes: { term: number; readonly by: Member[] }
  preVotes: { term: number; readonly by: Member[] }
  /** As leader: for each member, the index that it acknowledged as durable, and the round that it answered. */
  readonly matched: Map<string, number>
  readonly answered: Map<string, number>
  /** The common log prefix that each member reported, since it connected and since the configuration in force. */
  readonly shared: Map<string, number>
  /** Members that have reported a lost state machine to this leader. */
  readonly lost: Set<string>
  /** Members whose latest reply reports no state machine, or no disk space. */
  readonly unfit: Set<string>
  /** Its own state machine has executed everything before the start of its log. */
  working: boolean
  /** The index of the configuration that `shared` is about. */
  sharedSince: number
  round: number
  termStart: number
  readonly images: Map<string, number>
  /** As follower: the snapshot whose chunks it stores, and the offset of the next one; null while one is being stored. */
  install: { readonly id: string; next: number | null } | null
  lease: "none" | "held" | "barred"
  readonly reads: Map<number, WaitingRead>
  readonly questions: Map<string, ReadQuestion>
  questionNumber: number
  /** Handed to the state machine, and executed by it. */
  applying: number
  applied: number
}

/** As far as the leader knows, it holds everything through `index` and its state machine works. */
export const isEligible = ({ self, working, unfit, matched }: AbstractServer, member: Member, index: number): boolean =>
  same(member, self) ? working : !unfit.has(keyOf(member)) && (matched.get(keyOf(member)) ?? 0) >= index

export const applyToDisk = (disk: AbstractDisk, { hardState, truncateFrom, base, entries }: Persist): void => {
  if (hardState !== null) {
    disk.term = hardState.term
    disk.vote = hardState.vote
  }
  if (truncateFrom !== null) cutFrom(disk.log, truncateFrom)
  if (base !== null) dropThrough(disk.log, base)
  for (const entry of entries) pushEntry(disk.log, entry)
}

const logOf = ({ base, entries }: Recovered): AbstractLog => {
  const log = emptyLog(base)
  for (const entry of entries) pushEntry(log, entry)
  return log
}

const holds = (disk: AbstractDisk, { hardState, base, entries }: Recovered): boolean =>
  disk.term === hardState.term &&
  same(disk.vote, hardState.vote) &&
  disk.log.base === base.index &&
  disk.log.baseTerm === base.term &&
  lastOf(disk.log) === base.index + entries.length &&
  entries.every(
    (entry) => termIn(disk.log, entry.index) === entry.term && contentIn(disk.log, entry.index) === contentOf(entry),
  )

/** A crash leaves what was durable, and a prefix of the outstanding writes. */
export const isPossibleAfterCrash = ({ disk }: AbstractServer, recovered: Recovered): boolean => {
  const left: AbstractDisk = { ...disk, log: copyLog(disk.log) }
  if (holds(left, recovered)) return true
  return disk.queue.some((persist) => {
    applyToDisk(left, persist)
    return holds(left, recovered)
  })
}

/** Figure 2: the "volatile state" is rebuilt from the "persistent state". */
export const restartedFrom = (recovered: Recovered): AbstractServer => {
  const { self, hardState, base, position } = recovered
  const log = logOf(recovered)
  const machine = position !== null && position.index >= base.index ? position : null
  // A snapshot was restored, and the log had not followed it yet when the server crashed (paper §7, Figure 13 steps 6
  // to 8).
  if (machine !== null && machine.index > log.base && termIn(log, machine.index) !== machine.term) {
    cutFrom(log, log.base + 1)
    dropThrough(log, machine)
  }
  const commit = Math.max(base.index, machine?.index ?? 0)
  return {
    self,
    term: hardState.term,
    vote: hardState.vote,
    role: "follower",
    leader: null,
    log,
    commit,
    disk: { term: hardState.term, vote: hardState.vote, log: logOf(recovered), queue: [] },
    handed: { term: hardState.term, vote: hardState.vote, last: base.index + recovered.entries.length },
    verified: commit,
    heardRound: 0,
    fresh: false,
    transfer: false,
    votes: { term: 0, by: [] },
    preVotes: { term: 0, by: [] },
    matched: new Map(),
    answered: new Map(),
    shared: new Map(),
    lost: new Set(),
    unfit: new Set(),
    working: machine !== null,
    sharedSince: 0,
    round: 0,
    termStart: 0,
    images: new Map(),
    install: null,
    lease: "none",
    reads: new Map(),
    questions: new Map(),
    questionNumber: 0,
    applying: commit,
    applied: commit,
  }
}
