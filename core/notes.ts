/**
 * Every rule of Raft that the core applies, by name, with its source. A Note effect names the rule that was just applied;
 * the same names serve coverage, the debugger's narration, metrics and search.
 */
export const rules = {
  "term.higherSeen": "a higher term was seen: step down and adopt it, §5.1",
  "term.staleRequestAnswered": "a request of an earlier term is answered with the current one, §5.1",
  "halt.logsDiverged":
    "index and term agree but the chained checksum does not: the logs differ in content, so the node stops, Log Matching, Figure 3",
  "append.chainBroken":
    "an append whose chained checksums do not fit together is not accepted: it was damaged at its sender",
  "progress.diverged":
    "an acknowledgement of entries that differ from this log does not count: the follower is probed at that index",
  "term.outOfDomain":
    "a message that no correct server can have sent (a number outside its domain, entries out of order, a term too far ahead) is ignored",
  "term.staleReplyDropped": "a reply of an earlier term is ignored, §5.1",
  "member.strangerIgnored":
    "the sender is not the incarnation that the configuration names, so its votes and acknowledgements do not count",
  "member.changeStarted":
    "the leader appends the new configuration, a joint one if voters change; it is in force at once, §6",
  "member.changeRefused": "change refused: not the leader, not ready, another change is pending, or it is invalid, §6",
  "member.jointLeft": "the joint configuration is committed: append the entry that leaves it, §6",
  "member.leaderRemoved": "the leader has committed a configuration without itself: it steps down, §6",
  "election.stickinessLapsed":
    "no leader was heard for the minimum election timeout: votes may be granted again, thesis §4.2.3",
  "election.voterConnected": "a voter is connected and no leader is known: campaign sooner than the election timeout",
  "election.leaderDisconnected": "the connection to the leader broke: campaign sooner than the election timeout",
  "election.notVoter":
    "a server that votes in no configuration that may be in force, or one whose state machine is being restored, does not campaign, thesis §4.2.2",
  "election.exhausted": "no higher term, or no further index, can be written: no election",
  "election.preCampaign": "ask whether an election could be won before disturbing anybody, thesis §9.6",
  "election.campaign": "start an election: next term, vote for oneself, ask the others, §5.2",
  "election.won": "votes from a quorum: become leader and append a no-op of the new term, §5.2 and §8",
  "election.lost": "refused by a quorum: wait for another election timeout, §5.2",
  "vote.granted":
    "vote granted: none given to another in this term, and the candidate's log is up to date, §5.2 and §5.4.1",
  "vote.refused.voted": "vote refused: given to another in this term, §5.2",
  "vote.refused.staleLog": "vote refused: the candidate's log is older, §5.4.1",
  "vote.refused.sticky": "vote refused without adopting its term: a leader was heard recently, thesis §4.2.3",
  "vote.refused.amnesiac": "no vote is given by a server that does not know its configuration",
  "preVote.granted": "pre-vote granted: no leader was heard recently, and the sender's log is up to date, thesis §9.6",
  "preVote.refused":
    "pre-vote refused: a leader was heard recently, the sender's log is older, or the vote of that term was given to another, thesis §9.6",
  "append.accepted": "the log agrees at prevLogIndex: entries appended, §5.3",
  "append.rejected":
    "no entry of prevLogTerm at prevLogIndex: rejected with the conflicting term, or with the end of a log that is too short, §5.3",
  "append.truncated": "an entry conflicts with a new one: it and all that follow are deleted, §5.3",
  "halt.twoLeaders": "two leaders in one term: must never happen, so the node stops, §5.2",
  "halt.committedConflict":
    "the leader has a different entry where one is committed here: must never happen, so the node stops, Figure 3",
  "append.refused.spaceLow": "disk space is low: entries are neither accepted nor acknowledged",
  "progress.backtracked": "the logs differ: go back to where they may agree, §5.3",
  "progress.staleRejection": "a rejection of an older append is ignored: the follower has matched more since",
  "progress.replicate": "the logs agree: entries are pipelined, thesis §10.2.1",
  "progress.snapshot": "the follower needs entries that were trimmed: send a snapshot, §7",
  "commit.advanced": "stored by a quorum and of the current term: committed, §5.3 and §5.4.2",
  "commit.earlierTerm": "an entry of an earlier term is never committed by counting, §5.4.2",
  "commit.learned": "the leader's commit index, as far as the log is known to agree, §5.3",
  "quorum.lost": "no quorum was heard within an election timeout: the leader steps down, thesis §6.2",
  "persist.stalled": "the leader's disk stalls: leadership is handed over",
  "clock.stepped": "after an outage of the whole cluster the clocks of a majority agree: time continues from them",
  "clock.disagreed":
    "after an outage of the whole cluster no majority of clocks agrees: time continues from the last stamp",
  "proposal.appended": "a leader appends commands to its own log first, §5.3",
  "proposal.forwarded": "a follower forwards proposals to the leader",
  "proposal.refused": "the proposal is not executed; the reason is given",
  "read.confirmed": "a quorum answered a round started after the read arrived: still the leader, thesis §6.4",
  "read.leased": "during the lease no other leader can have been elected: no round is needed, thesis §6.4.1",
  "lease.over": "the lease has expired: reads need a round again, thesis §6.4.1",
  "read.asked": "a follower asks the leader for a read index, thesis §6.4",
  "read.failed": "leadership is uncertain: the read is refused with the reason",
  "snapshot.take": "the log has grown enough: make the state machine durable, §7",
  "snapshot.trimmed": "entries that a durable state machine covers are dropped, except for trailing entries, §7",
  "snapshot.stale": "a snapshot that is older than this server's state changes nothing, §7",
  "snapshot.chunk": "a chunk is stored, §7",
  "snapshot.tailKept": "the log holds the snapshot's last entry: what follows it is kept, §7",
  "snapshot.logDropped": "the log does not hold the snapshot's last entry: the whole log is dropped, §7",
  "snapshot.installed": "the snapshot has replaced the state machine, durably, §7",
  "snapshot.failed": "the transfer has failed and starts over",
  "machine.damaged": "the state machine is lost: it serves nothing until a peer's snapshot replaces it",
  "transfer.started": "leadership is handed over: no new proposals until the target has caught up, thesis §3.10",
  "transfer.spaceLow": "a leader whose disk space is low hands over to a voter that has room",
  "transfer.machineLost": "a leader whose state machine is lost hands over to a voter that has one",
  "transfer.timeoutNow": "the target is up to date: it is told to start an election at once, thesis §3.10",
  "transfer.gaveUp": "the target did not take over within an election timeout: this leader continues, thesis §3.10",
} as const
export type Rule = keyof typeof rules
