/**
 * Every rule of Raft that the core applies, by name, with its source. A Note effect names the rule just used: the
 * same names serve coverage, the debugger's narration, metrics and search.
 */
import type { Effect } from "./types.ts"

export const rules = {
  "term.higherSeen": "a higher term was seen: step down and adopt it, §5.1",
  "term.staleRequestAnswered": "a request of an earlier term is answered with the current one, §5.1",
  "term.staleReplyDropped": "a reply of an earlier term says nothing any more, §5.1",
  "member.strangerIgnored": "the sender is not the incarnation that the configuration names, so its votes and acknowledgements do not count",
  "member.changeStarted": "the leader appends the new configuration, a joint one where voters change: in force at once, §6",
  "member.changeRefused": "no change: not the leader, not ready, one is open already, or it is not a valid one, §6",
  "member.jointLeft": "the joint configuration is committed: the entry that leaves it is appended, §6",
  "member.leaderRemoved": "the leader has committed a configuration without itself: it steps down, §6",
  "election.contactLapsed": "no leader heard for the minimum election timeout: pre-votes may be granted, thesis §4.2.3",
  "election.leaderDisconnected": "the leader's connection broke: an election may come sooner than the timeout",
  "election.notVoter": "a server outside every configuration that may be in force, or one that is being restored, does not campaign, thesis §4.2.2",
  "election.preCampaign": "ask whether an election could be won before disturbing anybody, thesis §9.6",
  "election.campaign": "start an election: next term, vote for oneself, ask the others, §5.2",
  "election.won": "votes of a quorum: become leader and append a no-op of the new term, §5.2 and §8",
  "election.lost": "refused by a quorum: wait for another election timeout, §5.2",
  "vote.granted": "vote given: not voted for another in this term and the candidate's log is up to date, §5.2 and §5.4.1",
  "vote.refused.voted": "vote refused: given to another in this term, §5.2",
  "vote.refused.staleLog": "vote refused: the candidate's log is older, §5.4.1",
  "vote.refused.freshLeader": "vote refused without adopting its term: a leader was heard just now, thesis §4.2.3",
  "vote.refused.amnesiac": "no vote is given by a server that does not know its configuration",
  "preVote.granted": "pre-vote given: no leader heard, and the asker's log is up to date, thesis §9.6",
  "preVote.refused": "pre-vote refused: a leader is alive, or the asker's log is older, thesis §9.6",
  "append.accepted": "the log agrees at prevLogIndex: entries taken over, §5.3",
  "append.rejected": "no entry with prevLogTerm at prevLogIndex: rejected with the conflicting term, §5.3",
  "append.truncated": "an entry conflicts with a new one: it and all that follow are deleted, §5.3",
  "append.secondLeader": "two leaders in one term: this must never happen, §5.2",
  "append.refused.spaceLow": "no room left: nothing is taken or acknowledged until there is",
  "progress.backtracked": "the logs differ: go back to where they can agree, §5.3",
  "progress.staleRejection": "an old rejection says nothing about what was matched since",
  "progress.replicate": "the logs agree: entries are sent ahead of their answers, thesis §10.2.1",
  "progress.snapshot": "the follower needs entries that are gone: send a snapshot, §7",
  "commit.advanced": "stored by a quorum and of the current term: committed, §5.3 and §5.4.2",
  "commit.earlierTerm": "an entry of an earlier term is never committed by counting, §5.4.2",
  "commit.learned": "the leader's commit index, as far as the log is known to agree, §5.3",
  "quorum.lost": "no quorum heard within an election timeout: the leader steps down, thesis §6.2",
  "persist.stalled": "the leader's disk hangs: leadership is handed over",
  "proposal.appended": "a leader appends commands to its own log first, §5.3",
  "proposal.forwarded": "a follower hands proposals on to the leader",
  "proposal.refused": "not executed, and the reason given",
  "read.confirmed": "a quorum answered a round started after the read arrived: still the leader, thesis §6.4",
  "read.leased": "within the lease nobody else can have been elected: no round is needed, thesis §6.4.1",
  "lease.over": "no quorum has renewed the lease in time: reads need a round again, thesis §6.4.1",
  "read.asked": "a follower asks the leader for a read index, thesis §6.4",
  "read.failed": "leadership is uncertain: the read fails by name",
  "snapshot.take": "the log has grown enough: make the state machine durable, §7",
  "snapshot.trimmed": "the log before a durable state machine is dropped, a tail is kept, §7",
  "snapshot.stale": "a snapshot that is behind what is held already changes nothing, §7",
  "snapshot.chunk": "a chunk is put aside, §7",
  "snapshot.tailKept": "the log holds the snapshot's last entry: what follows it is kept, §7",
  "snapshot.logDropped": "the log does not hold the snapshot's last entry: it is dropped whole, §7",
  "snapshot.installed": "the state machine is the snapshot, durably, §7",
  "snapshot.failed": "the transfer is void: it starts again",
  "machine.damaged": "the state machine is lost: nothing is served from it until a peer's snapshot replaces it",
  "transfer.started": "leadership is handed over: no new proposals until the target has caught up, thesis §3.10",
  "transfer.machineLost": "a leader whose state machine is lost hands over to a voter that has one",
  "transfer.timeoutNow": "the target is up to date: it is told to start an election at once, thesis §3.10",
  "transfer.gaveUp": "the target did not take over within an election timeout: go on leading, thesis §3.10",
} as const
export type Rule = keyof typeof rules

type Note = Extract<Effect, { type: "Note" }>
/** One object per rule, made once: notes cost nothing on the hot path. */
export const notes = Object.freeze(
  Object.fromEntries(Object.keys(rules).map((rule) => [rule, Object.freeze({ type: "Note", rule })])),
) as Readonly<Record<Rule, Note>>
