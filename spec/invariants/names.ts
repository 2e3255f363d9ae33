import type { HaltReason } from "../../core/index.ts"

/**
 * What must be true, by name: the names of the Raft paper's Figure 3 where it has one. Tests, traces and docs use the same
 * names.
 */
export const invariants = {
  // Elections.
  ElectionSafety: "at most one leader can be elected in a given term, and only it is followed (paper Figure 3)",
  ElectedByQuorum:
    "a leader has the votes, given in its term, of a quorum of the configuration in force; learners and strangers do not count (paper §5.2, §6)",
  TermMonotonic: "the current term never decreases, and no crash undoes a term that a server acted on",
  VoteOnce: "a server votes for one candidate per term, also across restarts (paper §5.2)",
  VoteUpToDate:
    "a vote or pre-vote goes only to a candidate whose log is at least as up to date as the voter's (paper §5.4.1)",
  AmnesiacSilent: "a server that does not know its configuration neither votes nor campaigns",
  TransferStops:
    "after TimeoutNow a leader appends nothing for clients until it has given the transfer up (thesis §3.10)",
  // Logs.
  LeaderAppendOnly: "a leader never overwrites or deletes entries in its log (paper Figure 3)",
  LogMatching: "two logs that hold an entry with the same index and term are identical up to it (paper Figure 3)",
  ChainTrue:
    "each entry's chained checksum covers the entry and the checksum of the one before it, on disks, in snapshots and in messages",
  ClockMonotonic: "stamps never decrease along a log, nor does a leader's replicated time within its term",
  ClockSteady:
    "replicated time runs at between 0.9 and 1.1 of real time, give or take a second, whatever wall clocks show; after an outage of the whole cluster it continues from the time on which a majority with correct clocks agrees",
  TruthfulAppend: "AppendEntries is sent by a leader, and carries entries of its log (paper §5.3)",
  BoundedMessages:
    "the entries of an AppendEntries are contiguous and within the limits of batch and window (thesis §10.2)",
  // Commitment.
  LeaderCompleteness: "an entry committed in a term is in the log of every leader of a later term (paper Figure 3)",
  StateMachineSafety: "no two servers commit different entries at one index (paper Figure 3)",
  CommitMonotonic: "the commit index never decreases until the next start, and lies within the log",
  CommittedIsDurable: "when a leader commits an entry, a quorum of its configuration holds it on disk (paper §5.3)",
  NoCommitByCounting: "a leader advances its commit index only to an entry of its own term (paper §5.4.2, Figure 8)",
  CommitKnown:
    "a follower commits only what a leader has committed and what is known to agree with its log (paper §5.3)",
  CommittedKept: "no server deletes an entry that it knows to be committed",
  // Disks and restarts.
  DurableBeforeTold: "votes and acknowledgements claim only what would survive a crash",
  DurableMonotonic: "a start finds what was durable, and a prefix of the outstanding writes, each whole or not at all",
  PersistComplete: "a Persist holds exactly what changed since the last one",
  BootCommit: "at start a server takes as committed what its snapshot covers, and nothing that was not committed",
  // The state machine and its clients.
  AppliedInOrder: "entries are applied in order, each once, and only when committed and durable",
  SnapshotForward: "a restored snapshot never moves the state machine back",
  SnapshotMatches:
    "the term and configuration of a snapshot or a trimmed log are those committed at its index (paper §7)",
  ReadFresh: "a read sees everything that was committed anywhere before it was requested (thesis §6.4)",
  EveryRefAnswered:
    "each proposal and read is answered once, with an outcome of its kind, and is never forgotten until the next start",
  OutcomeTrue:
    "a command that is reported as appended is in the log at that index, a refused one is never appended, and nothing else is appended",
  // Stopping.
  ConflictHalts: "a server that is contradicted by a leader in what it has committed halts, and does nothing more",
  NumbersInDomain: "a server's term and log hold only numbers that its codecs can write",
  RoomForQuorum: "a leader that knows that no quorum of voters has disk space appends nothing for clients",
  // Membership.
  ConfigSafety:
    "the last configuration in the log is in force; changes are made one at a time, through overlapping majorities (paper §6)",
  OnlyVotersCampaign: "a server that votes in no configuration that may be in force never campaigns (thesis §4.2.2)",
} as const
export type Invariant = keyof typeof invariants

/** The invariant that is already violated when a node halts. */
export const brokenBy = {
  twoLeaders: "ElectionSafety",
  committedConflict: "LeaderCompleteness",
  logsDiverged: "LogMatching",
} as const satisfies Record<HaltReason, Invariant>

export class InvariantViolated extends Error {
  override readonly name = "InvariantViolated"
  readonly invariant: Invariant
  readonly violates: Invariant
  readonly node: string
  constructor(invariant: Invariant, node: string, detail: string) {
    super(`${invariant} violated at ${node}: ${detail}\n  ${invariants[invariant]}`)
    this.invariant = invariant
    this.violates = invariant
    this.node = node
  }
}
