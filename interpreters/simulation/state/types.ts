/**
 * The vocabulary of a simulated cluster. WorldState is plain data, except for logs and state machines, which are values of
 * their own; Action and Script are plain JSON.
 *
 * All times are whole virtual milliseconds since the world began; all chances are per mille.
 */
import type {
  Effect,
  Entry,
  Event,
  HaltReason,
  HardState,
  Log,
  LogBase,
  Member,
  Message,
  Outcome,
  Persist,
  Recovered,
  Settings,
  SnapshotRef,
  State,
  Timer,
  DurablePosition,
  Start,
} from "../../../core/index.ts"

export interface Range {
  readonly min: number
  readonly max: number
}

/** Chances and delays of one-way frames. */
export interface NetworkProfile {
  readonly lossPermille: number
  readonly duplicatePermille: number
  readonly delayMin: number
  readonly delayMax: number
  /** Some messages take this much longer, so that later ones overtake them. */
  readonly longDelayPermille: number
  readonly longDelayMax: number
  /** Two of three replies take 200 to 2,199 ms longer; short delays are far more likely than long ones. */
  readonly longReordering?: boolean
  /** A closed connection is noticed within 7 s instead of 100 ms. */
  readonly longDelays?: boolean
}
export type NetworkName =
  | "reliable"
  | "unreliable"
  | "lossy"
  | "longReordering"
  | "unreliableLongReordering"
  | "longDelays"

export interface SnapshotProfile {
  /** How many chunks an image is sent in. */
  readonly chunksMin: number
  readonly chunksMax: number
  /** The chances that taking, opening or receiving a snapshot fails. */
  readonly takeFailPermille: number
  readonly openFailPermille: number
  readonly rejectPermille: number
}

/** The options of a world; plain JSON, so that a script can hold them. */
export interface WorldOptions {
  readonly seed: number
  /** How many voters (n1, n2, …), or their names; at most 31. Default 3. */
  readonly nodes?: number | readonly string[]
  readonly settings?: Partial<Settings>
  readonly network?: NetworkProfile | NetworkName
  /** Milliseconds that a Persist takes. */
  readonly disk?: Range
  /** Milliseconds from handing entries to a state machine to its report that they are executed. */
  readonly apply?: Range
  readonly snapshots?: Partial<SnapshotProfile>
  /** Crashes close connections: the other nodes notice, as they do starts. */
  readonly connections?: boolean
}

/**
 * A state machine in a world. Equal entries must give equal digests. `clone` returns an independent copy, which serves
 * as snapshot, as the state that survives a crash, and for the immutable interface, so it should share as much as it
 * can.
 */
export interface WorldMachine {
  /** The position through which it has executed. */
  readonly position: () => LogBase
  /** Executes entries that follow its position without a gap; returns one result for each, or none at all. */
  readonly apply: (entries: readonly Entry[]) => readonly unknown[]
  readonly clone: () => WorldMachine
  /** 32 bits that distinguish histories. */
  readonly digest: () => number
  /** The machine after its snapshot was written and read back. Default: a copy. */
  readonly reread?: () => WorldMachine
  /** Its state in its author's terms, as plain data, for display. */
  readonly show?: () => unknown
}

/** Commands and results of a state machine in its author's words, for display. null: there are none for this. */
export interface MachineWords {
  readonly command: (bytes: Uint8Array) => string | null
  /** The result of `apply` for one entry. */
  readonly result: (result: unknown) => string | null
  /** The bytes of command `id` as a person typed it. Throws what is wrong with it. */
  readonly parse: (text: string, id: number) => Uint8Array
}

/** Callbacks of a world, and the state machine that it runs. */
export interface WorldHooks {
  /** A new state machine that has executed nothing through `base`. Default: a digest of what it executed. */
  readonly machine?: (base: LogBase) => WorldMachine
  /** Called with every step of every node; may throw to stop the world. */
  readonly observe?: (step: WorldStep) => void
  /**
   * Called with what a node recovers at each start, before its first step. `wentBack`: since its last start its
   * directory was replaced by a copy, or its log lost its last entries, and no node that it reaches has noticed that.
   */
  readonly started?: (node: string, recovered: Recovered, wentBack: boolean) => void
  /** `by` has seen a later start of the node's directory, or has been told that it held more than it holds now. */
  readonly refused?: (node: string, by: string) => void
  /** A node went down, and why. */
  readonly stopped?: (node: string, why: StopReason) => void
  /** A state machine executed entries. */
  readonly applied?: (node: string, entries: readonly Entry[], results: readonly unknown[]) => void
  /** A state machine was replaced by a snapshot. */
  readonly restored?: (node: string, base: LogBase) => void
  /** The answer to a ref of propose, read or change. */
  readonly responded?: (node: string, ref: number, outcome: Outcome) => void
  readonly sent?: (from: Member, to: Member, message: Message) => void
  readonly delivered?: (from: Member, to: Member, message: Message) => void
  readonly lost?: (from: Member, to: Member, message: Message, why: LossReason) => void
  /** Called with every action before it is executed: a script of them replays the world. */
  readonly acted?: (action: Action) => void
}
export type StopReason = "crash" | "writeFailed" | "syncFailed" | "wiped" | HaltReason | "refused"
export type LossReason = "chance" | "cut" | "down" | "otherIncarnation" | "noImage" | "dropped" | "refused"

export interface WorldStep {
  /** Counts the steps of the world, from 0. */
  readonly i: number
  readonly at: number
  readonly node: string
  readonly events: readonly Event[]
  /** The state after the step; in place, the next one changes it. */
  readonly state: State
  readonly effects: readonly Effect[]
  /** The step that sent the message, asked for the persist or set the timer; -1: an action. */
  readonly cause: number
}

// ------------------------------------------------------------------------------------------------ state

export interface DiskState {
  /** Its durable content. */
  hardState: HardState
  log: Log
  /** Persists that were handed over and are not durable yet, in order. */
  pending: Persist[]
  /** null: the speed of all disks. */
  speed: Range | null
  /** When the last planned write will complete. */
  busyUntil: number
  /** Stalled: nothing becomes durable until it resumes. */
  stalled: boolean
  /** The next write, or its sync, fails: the node stops. */
  fails: "write" | "sync" | null
  /** Below the low-water mark. */
  full: boolean
  /** Durable bytes are damaged: the node refuses to start from it. */
  corrupt: boolean
}

/** A pinned image; its machine no longer changes. */
export interface Image {
  readonly id: string
  readonly machine: WorldMachine
  readonly chunks: number
}
/** Something that waits for a node; `image` comes with a chunk of a snapshot. */
export interface Arrival {
  readonly event: Event
  readonly cause: number
  readonly image: Image | null
}
/**
 * The wall clock shows `wall` at `since`, and then runs fast by `wallDriftPermille`. The monotonic clock, which drives
 * the timers, shows `monotonic` at that time, and then runs fast by `driftPermille`.
 */
export interface ClockState {
  readonly since: number
  readonly wall: number
  readonly wallDriftPermille: number
  readonly monotonic: number
  readonly driftPermille: number
}

/** What a copy of a directory holds. */
export interface DirectoryState {
  readonly hardState: HardState
  readonly log: Log
  readonly corrupt: boolean
  readonly machine: WorldMachine
  readonly start: Start
  readonly metOf: string[]
  readonly met: Start[]
  readonly begins: number
  readonly refused: boolean
  readonly damaged: boolean
}

export interface NodeState {
  readonly name: string
  /** The node's index in WorldState.names. */
  readonly slot: number
  member: Member
  /** How many disks it has lost. */
  wipes: number
  /** Counts its starts: events planned for an earlier start are dropped. */
  boot: number
  /** null: down. */
  core: State | null
  disk: DiskState
  machine: WorldMachine
  /** The part of the machine that survives a crash. */
  durable: WorldMachine
  damaged: boolean
  /** The latest start of its directory, and the position that was durable in its log then. */
  start: Start
  found: DurablePosition
  /**
   * By slot of a peer: the incarnation and latest start that were seen, as on the disk, and what the peer claimed that
   * its disk holds.
   */
  metOf: string[]
  met: Start[]
  metTerm: number[]
  metIndex: number[]
  /** The index of the snapshot from which the machine was restored. */
  begins: number
  /** A peer has seen a later start of this directory: no node can start from it any more. */
  refused: boolean
  /** True if the node was not started since its directory was swapped or its log cut. */
  wentBack: boolean
  /** A copy of its directory, made by an action. */
  copy: DirectoryState | null
  apply: Range | null
  paused: boolean
  inbox: Arrival[]
  clock: ClockState
  /** The time of its monotonic clock at its start. */
  bornAt: number
  /**
   * By index in TIMERS: when the timer expires, or -1; when it is checked next, or -1; which step set it; how many
   * times it was set.
   */
  due: number[]
  alarm: number[]
  setBy: number[]
  sets: number[]
  /** By slot of the receiver: the number of messages sent so far, which identifies each for random choices. */
  sent: number[]
  persists: number
  applies: number
  snapshots: number
  /** Images that are pinned for followers. */
  images: readonly Image[]
  incoming: { readonly image: Image; readonly complete: boolean } | null
  /** When each of the leader's recent rounds was first sent, for leases. */
  rounds: readonly { readonly round: number; readonly at: number }[]
}

/** A message in flight. `n` counts the messages of the link; with `copy` it names the message: see `flightName`. */
export interface Flight {
  readonly type: "deliver"
  readonly from: Member
  readonly to: Member
  readonly n: number
  readonly copy: number
  /** The start of the sender's directory when it was sent. */
  readonly start: Start
  readonly message: Message
  readonly image: Image | null
  readonly cause: number
}
export type Happening =
  | Flight
  | {
      readonly type: "event"
      readonly node: string
      readonly boot: number
      readonly event: Event
      readonly cause: number
    }
  | {
      readonly type: "persisted"
      readonly node: string
      readonly boot: number
      readonly seq: number
      readonly cause: number
    }
  | { readonly type: "alarm"; readonly node: string; readonly boot: number; readonly timer: Timer }
  /** The node's process ends. Its core has already halted. */
  | { readonly type: "halted"; readonly node: string; readonly boot: number; readonly reason: HaltReason }
  | {
      readonly type: "taken"
      readonly node: string
      readonly boot: number
      readonly machine: WorldMachine
      readonly cause: number
    }
  | {
      readonly type: "restore"
      readonly node: string
      readonly boot: number
      readonly snapshot: SnapshotRef
      readonly image: Image
      readonly cause: number
    }

/** A heap by time, then by order of planning. */
export interface Planned {
  readonly at: number
  readonly order: number
  readonly what: Happening
}

export interface WorldState {
  readonly seed: number
  readonly settings: Settings
  /** In order of creation, which is the order of everything that iterates over all nodes. */
  names: readonly string[]
  readonly nodes: Record<string, NodeState>
  now: number
  agenda: Planned[]
  /** By slot of the sender: a bit for the slot of each receiver that its messages do not reach. */
  cuts: readonly number[]
  /** Messages sent on that link before `until` arrive at `until`. */
  clogs: readonly { readonly from: string; readonly to: string; readonly until: number }[]
  network: NetworkProfile
  disk: Range
  apply: Range
  snapshots: SnapshotProfile
  connections: boolean
  /** Counters: events planned, steps taken, messages and entries sent, refs given out. */
  planned: number
  steps: number
  messages: number
  entriesSent: number
  refs: number
}

// ---------------------------------------------------------------------------------------------- actions

/**
 * A name, or a role that is looked up when the action happens: "leader" (the live one of the highest term), or
 * "follower1", "follower2", … (live nodes except the leader, sorted by name). If there is no such node, the action does
 * nothing.
 */
export type NodeRef = string
/** How many outstanding writes a crash keeps. torn: the last one is half written; corrupt: durable bytes are damaged too. */
export type Keep = "random" | "all" | "none" | "torn" | "corrupt"

/** A Payload as plain JSON. */
export interface HexPayload {
  readonly hex: string
  readonly checksum: number
}

export type Action =
  // time
  | { readonly type: "run"; readonly ms: number }
  | { readonly type: "step"; readonly count: number }
  // clients of the core
  /**
   * `count` commands (default 1) with the checksums id, id+1, …, of `bytes` (default 8) zeros each; or the given
   * `payloads`.
   */
  | {
      readonly type: "propose"
      readonly node: NodeRef
      readonly id: number
      readonly bytes?: number
      readonly count?: number
      readonly payloads?: readonly HexPayload[]
    }
  | { readonly type: "read"; readonly node: NodeRef }
  /** Names stand for the present incarnations of those nodes. */
  | {
      readonly type: "change"
      readonly node: NodeRef
      readonly voters: readonly string[]
      readonly learners: readonly string[]
    }
  /** Asks a node to add these as learners to the members that it knows; members keep their roles. */
  | { readonly type: "addLearners"; readonly node: NodeRef; readonly names: readonly string[] }
  | { readonly type: "transfer"; readonly node: NodeRef; readonly to: NodeRef | null }
  // nodes
  | { readonly type: "start"; readonly node: NodeRef }
  | { readonly type: "crash"; readonly node: NodeRef; readonly keep?: Keep }
  /** A paused node does nothing; events for it wait. */
  | { readonly type: "pause"; readonly node: NodeRef }
  | { readonly type: "resume"; readonly node: NodeRef }
  /**
   * From now on the node's wall clock shows `offset` more than the world's time, and its clocks run fast by this much:
   * both equally, or the wall clock by another amount.
   */
  | {
      readonly type: "skew"
      readonly node: NodeRef
      readonly offset: number
      readonly driftPermille: number
      readonly wallDriftPermille?: number
    }
  /** The disk is lost: down, a new incarnation, amnesiac when it starts. */
  | { readonly type: "wipe"; readonly node: NodeRef }
  /** A new server with an empty disk, started. */
  | { readonly type: "add"; readonly name: string }
  // directories
  /** Makes a copy of what is durable. */
  | { readonly type: "copyDirectory"; readonly node: NodeRef }
  /** Takes the node down and swaps its directory with the copy; another swap brings it back. */
  | { readonly type: "swapDirectory"; readonly node: NodeRef }
  /** Takes the node down; its log loses this many entries at its end, and what was written after them. */
  | { readonly type: "cutLog"; readonly node: NodeRef; readonly entries: number }
  // disks and machines
  | { readonly type: "disk"; readonly node: NodeRef; readonly min: number; readonly max: number }
  | { readonly type: "stallDisk"; readonly node: NodeRef }
  | { readonly type: "resumeDisk"; readonly node: NodeRef }
  | { readonly type: "failWrite"; readonly node: NodeRef }
  | { readonly type: "failSync"; readonly node: NodeRef }
  | { readonly type: "fullDisk"; readonly node: NodeRef }
  | { readonly type: "freeDisk"; readonly node: NodeRef }
  | { readonly type: "corruptDisk"; readonly node: NodeRef }
  | { readonly type: "damage"; readonly node: NodeRef }
  | { readonly type: "apply"; readonly node: NodeRef; readonly min: number; readonly max: number }
  | { readonly type: "snapshots"; readonly profile: Partial<SnapshotProfile> }
  // network
  | { readonly type: "cut"; readonly from: NodeRef; readonly to: NodeRef }
  | { readonly type: "join"; readonly from: NodeRef; readonly to: NodeRef }
  | { readonly type: "isolate"; readonly node: NodeRef }
  | { readonly type: "reconnect"; readonly node: NodeRef }
  | { readonly type: "partition"; readonly side: readonly NodeRef[] }
  | { readonly type: "heal" }
  | { readonly type: "network"; readonly profile: NetworkProfile | NetworkName }
  | { readonly type: "clog"; readonly from: NodeRef; readonly to: NodeRef; readonly ms: number }
  /** Closes and reopens the connection between two nodes; messages in flight on it are lost. */
  | { readonly type: "reset"; readonly a: NodeRef; readonly b: NodeRef }
  // explicit: performs one event that would otherwise happen by itself, or not at all
  | { readonly type: "deliver"; readonly message: string }
  | { readonly type: "drop"; readonly message: string }
  | { readonly type: "duplicate"; readonly message: string }
  | { readonly type: "fire"; readonly node: NodeRef; readonly timer: Timer }
  /** Completes its oldest write. */
  | { readonly type: "persist"; readonly node: NodeRef }
  | { readonly type: "inject"; readonly node: NodeRef; readonly event: Event }
export type ActionType = Action["type"]

export interface Script {
  readonly seed: number
  readonly options: Omit<WorldOptions, "seed">
  readonly actions: readonly Action[]
}
