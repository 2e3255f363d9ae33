/**
 * What is searched: which servers, within which bounds, and what may happen to them. Everything that a space allows is
 * possible at every moment: the network is the set of all messages sent so far (a message that is never delivered is
 * lost, one delivered twice is duplicated, in any order), every timer may fire, and a server may crash between any two
 * writes.
 */
import {
  originOf,
  defaultSettings,
  type Configuration,
  type Entry,
  type LogBase,
  type Member,
  type Payload,
  type Settings,
  type Timer,
} from "../../core/index.ts"

export interface Bounds {
  /** No server ever has a higher term. */
  readonly term: number
  /** The most client commands in one log; no-ops and configuration entries are not counted. */
  readonly commands: number
  /** Rounds of one leader: the first comes with its election, each further one is a heartbeat or serves a read. */
  readonly rounds: number
  /** Crashes in one history; null is any number. */
  readonly crashes: number | null
  /** Open reads of one server, and requests that it sends to leaders between two starts. */
  readonly reads: number
  /** Changes of the configuration in one log. */
  readonly changes: number
}

export interface Space {
  readonly name: string
  /** One or two sentences for the report. */
  readonly about: string
  /**
   * Names of the servers, one letter each, in order; in the first configuration those in `voters` vote, and the others
   * are learners.
   */
  readonly servers: readonly string[]
  readonly voters: readonly string[]
  /** Voters after a change; a leader can be asked for any of these. */
  readonly targets: readonly (readonly string[])[]
  readonly settings: Settings
  readonly bounds: Bounds
  /** Terms in which a server may be a candidate; null: every server in every term. */
  readonly candidates: Readonly<Record<string, readonly number[]>> | null
  /** A message can be delivered any number of times, or at most once. */
  readonly duplication: boolean
  /** Timers that may fire. The election timer is one of them. */
  readonly timers: readonly Timer[]
  /** Each write completes as a step of its own, and a crash can come before it; or all complete at once. */
  readonly slowDisk: boolean
  /** The state machine executes a batch at once, or as a step of its own. */
  readonly slowMachine: boolean
  /**
   * A state machine that reads commands, in a space where logs are never trimmed. Default: one command without a
   * meaning.
   */
  readonly machine?: SpaceMachine
}
export interface SpaceMachine {
  /** Commands that a leader can be given, any number of times. */
  readonly commands: readonly Payload[]
  /** Checks a server that has executed these entries, which are the whole log so far. null: no violation. */
  readonly check: (server: string, executed: readonly Entry[]) => ExploredViolation | null
}
export interface ExploredViolation {
  /** The name of an invariant, or "Thrown" if the reducer threw. */
  readonly name: string
  readonly detail: string
}

export const memberOf = (name: string): Member => ({ name, incarnation: name })
const members = (names: readonly string[]): readonly Member[] => names.map(memberOf)

export const firstConfiguration = (space: Space): Configuration => ({
  voters: members(space.voters),
  outgoing: [],
  learners: members(space.servers.filter((name) => !space.voters.includes(name))),
})
export const firstBase = (space: Space): LogBase => originOf(firstConfiguration(space))

/** The plain algorithm of the paper: features that are not studied are off, and limits never apply. */
const plain: Settings = {
  ...defaultSettings,
  preVote: false,
  checkQuorum: false,
  forwardProposals: false,
  snapshotBytes: 1e9,
  trailingLogBytes: 1e9,
}

const base = {
  targets: [],
  settings: plain,
  candidates: null,
  duplication: true,
  timers: ["election", "heartbeat"],
  slowDisk: true,
  slowMachine: false,
} as const
const none = { term: 1, commands: 0, rounds: 1, crashes: 0, reads: 0, changes: 0 } as const
const two = { servers: ["A", "B"], voters: ["A", "B"] } as const
const three = { servers: ["A", "B", "C"], voters: ["A", "B", "C"] } as const

/** Snapshots after every entry, and no trailing log. */
const smallLog: Settings = { ...plain, snapshotBytes: 1, trailingLogBytes: 0 }

/** Small ones first: with little time, the spaces at the end have what the others leave. */
export const spaces = {
  smallest: {
    ...base,
    ...two,
    name: "smallest",
    about: "two servers, one election: small enough to be searched without any shortcut",
    bounds: { ...none, term: 1, crashes: null },
  },
  tiny: {
    ...base,
    ...two,
    name: "tiny",
    about: "two servers, one term, one command, one heartbeat",
    bounds: { ...none, term: 1, commands: 1, rounds: 2, crashes: null },
  },
  two: {
    ...base,
    ...two,
    name: "two",
    about: "two servers, two terms, one command, one heartbeat a leader",
    bounds: { ...none, term: 2, commands: 1, rounds: 2, crashes: null },
  },
  threeOnce: {
    ...base,
    ...three,
    name: "threeOnce",
    about: "three servers, one term, one command",
    bounds: { ...none, term: 1, commands: 1, crashes: null },
  },
  preVote: {
    ...base,
    ...two,
    name: "preVote",
    about: "PreVote and CheckQuorum: two servers, two terms",
    settings: { ...plain, preVote: true, checkQuorum: true },
    timers: ["election", "heartbeat", "quorum"],
    bounds: { ...none, term: 2, rounds: 2, crashes: null },
  },
  snapshot: {
    ...base,
    ...three,
    name: "snapshot",
    about:
      "snapshots after every entry, and nothing of the log kept behind them: three servers, one term, a slow state machine",
    settings: smallLog,
    slowMachine: true,
    bounds: { ...none, term: 1, rounds: 2, crashes: null },
  },
  reads: {
    ...base,
    ...two,
    name: "reads",
    about: "reads at leader and follower: two servers, two terms, one command, no crash",
    timers: ["election", "heartbeat", "answer"],
    bounds: { ...none, term: 2, commands: 1, rounds: 2, reads: 1 },
  },
  readsLater: {
    ...base,
    ...two,
    name: "readsLater",
    about: "the same with a crash and a slow state machine, without commands",
    slowMachine: true,
    timers: ["election", "heartbeat", "answer"],
    bounds: { ...none, term: 2, rounds: 2, crashes: 1, reads: 1 },
  },
  joint: {
    ...base,
    ...three,
    name: "joint",
    about: "one of two voters is replaced through a joint configuration: three servers, one term",
    voters: ["A", "B"],
    targets: [
      ["A", "C"],
      ["B", "C"],
    ],
    bounds: { ...none, term: 1, crashes: null, changes: 1 },
  },
  jointTwice: {
    ...base,
    ...three,
    name: "jointTwice",
    about: "the same with two terms, so that the second leader may have to finish the change",
    voters: ["A", "B"],
    targets: [
      ["A", "C"],
      ["B", "C"],
    ],
    bounds: { ...none, term: 2, crashes: null, changes: 1 },
  },
  calm: {
    ...base,
    ...three,
    name: "calm",
    about: "three servers, two terms, one command, no crash",
    bounds: { ...none, term: 2, commands: 1 },
  },
  figure8: {
    ...base,
    ...three,
    name: "figure8",
    about:
      "Figure 8 of the paper: three servers, four terms, the no-op of each leader, one entry per message, immediate writes; A may lead terms 1 and 3, C terms 2 and 4",
    settings: { ...plain, maxBatchBytes: 1 },
    slowDisk: false,
    candidates: { A: [1, 3], C: [2, 4] },
    bounds: { ...none, term: 4, crashes: null },
  },
  figure8Calm: {
    ...base,
    ...three,
    name: "figure8Calm",
    about: "the same with every server a candidate in every term, and no crash (a higher term ends a leader as well)",
    settings: { ...plain, maxBatchBytes: 1 },
    slowDisk: false,
    bounds: { ...none, term: 4 },
  },
  three: {
    ...base,
    ...three,
    name: "three",
    about: "three servers, two terms, one command",
    bounds: { ...none, term: 2, commands: 1, crashes: null },
  },
  threeTwice: {
    ...base,
    ...three,
    name: "threeTwice",
    about: "three servers, two terms, two commands; writes done at once, no crash",
    slowDisk: false,
    bounds: { ...none, term: 2, commands: 2 },
  },
  threeTwiceCrashes: {
    ...base,
    ...three,
    name: "threeTwiceCrashes",
    about: "three servers, two terms, two commands; writes done at once, one candidate a term",
    slowDisk: false,
    candidates: { A: [1], B: [2] },
    bounds: { ...none, term: 2, commands: 2, crashes: null },
  },
} as const satisfies Record<string, Space>
