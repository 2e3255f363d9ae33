/** What the mission asks of the algorithm and its disks. */
import { defect, election, faults, log, row, snapshot, type Rows } from "./checks.ts"

export const algorithm: Rows = {
  Detection: {
    M1: row(
      "a leader that is silent is noticed",
      "E2",
      election("a follower that hears no leader for an election timeout starts an election"),
    ),
    M2: row(
      "partitions are noticed and handled",
      "E2",
      "K6",
      election("a leader that no majority answered within an election timeout steps down, in the same term"),
    ),
    M3: row("nodes that failed are handled", "B3", "B4"),
    M4: row(
      "two timers: election and heartbeat",
      "E1",
      election(
        "a follower that starts waits for a random election timeout",
        "a leader repeats heartbeats in idle periods",
      ),
    ),
    M5: row("a leader sends heartbeats regularly", "B10", election("a leader repeats heartbeats in idle periods")),
    M6: row(
      "a follower that hears nobody starts an election",
      "E2",
      election(
        "to begin an election, a follower increments its term, votes for itself and asks all others in parallel",
      ),
    ),
    M7: row(
      "election timeouts are random",
      "E3",
      "X15",
      election("a follower that starts waits for a random election timeout"),
    ),
    M8: row("the period of heartbeats is steady", "B10", [
      "driver.time",
      "each that is set fires once, never early, and within its range; set anew or cancelled, it does not fire for what was",
    ]),
    M9: row(
      "election timers restart at a granted vote and at the current leader's messages, and at nothing else",
      "E1",
      election(
        "granting a vote restarts the election timer, refusing one does not",
        "a rejected append of the current leader restarts the election timer too",
        "a stale request changes nothing, not even the election timer",
      ),
    ),
    M10: row("survivors elect a leader during a partition", "E3"),
    M11: row(
      "a later term makes a follower of whoever sees it",
      "E2",
      election(
        "a higher term clears the vote of the lower one, and the vote of the new term goes to its first candidate",
      ),
    ),
    M12: row("a loop drives the timers", "E1", [
      "driver.loop",
      "takes all that is queued in one batch, with the clock first, and flushes once",
      "of silence is believed only once the sockets were polled again after the batch",
    ]),
  },
  Election: {
    M13: row("three roles", "E1", election("servers start as followers, with what they had persisted, §5.2")),
    M14: row(
      "a candidate increments its term",
      "E1",
      election(
        "to begin an election, a follower increments its term, votes for itself and asks all others in parallel",
      ),
    ),
    M15: row(
      "it asks all others for their votes",
      "E1",
      election("before a campaign a server asks whether it could win, and changes neither term nor vote"),
    ),
    M16: row(
      "a majority wins, and heartbeats begin",
      "E1",
      election(
        "a candidate wins with votes of a majority of the full cluster in the same term",
        "a new leader sends to everybody at once, so that no new election starts",
      ),
    ),
    M17: row(
      "a higher term demotes, and its term and vote are taken over",
      "B8",
      election(
        "a higher term clears the vote of the lower one, and the vote of the new term goes to its first candidate",
        "a higher term does not make its sender voted for",
      ),
    ),
    M18: row(
      "an election that failed is tried again after a random time",
      "E3",
      election(
        "a candidate that neither wins nor loses starts a new election when it times out, and old votes do not count",
      ),
    ),
    M19: row(
      "split votes end; there are never two leaders of one term",
      "E3",
      "X15",
      election("a server votes for at most one candidate in a given term, first come first served"),
      ["invariants.worlds", "hold at every step, and the sweep over everything agrees"],
    ),
  },
  "Replication and commitment": {
    M20: row(
      "a command is appended to the leader's log",
      "B1",
      log("a command is appended to the leader's own log first and sent to all in parallel"),
    ),
    M21: row(
      "appends carry batches, or are heartbeats",
      "B2",
      log(
        "proposals of one batch stand together in one append",
        "a heartbeat is checked against prevLogIndex like any other append",
      ),
    ),
    M22: row(
      "answers say success or the conflict",
      "B9",
      log(
        "the receiver refuses if the entry at prevLogIndex has another term, and names the first entry of that term",
        "new entries are appended and acknowledged",
      ),
    ),
    M23: row(
      "what a majority holds is committed, in clusters of any size",
      "B6",
      "X1",
      defect("defect-D1: a majority is more than half, for every size"),
    ),
    M24: row(
      "only entries of the current term are committed by counting",
      "C4",
      "X14",
      log("entries of earlier terms are never committed by counting"),
    ),
    M25: row(
      "what is committed is never taken back",
      "C7",
      log("commitIndex never falls", "a leader that contradicts what is committed is not believed"),
    ),
    M26: row("without a majority it is waited and tried again", "B6"),
    M27: row("what is committed is executed at once", "B1", log("committed entries are applied in order, each once")),
    M28: row(
      "an append is compared with the log before it is taken",
      "B8",
      log(
        "the receiver refuses if its log has no entry at prevLogIndex",
        "an existing entry that conflicts with a new one is deleted with all that follow it",
      ),
    ),
    M29: row(
      "conflicts are passed over quickly",
      "B9",
      "X13",
      log(
        "a refusal that names a term the leader lacks skips all of that term",
        "a thousand conflicting entries of one term cost one round trip",
      ),
    ),
    M30: row(
      "each entry is executed once, across restarts too",
      "X3",
      ["machine.entries", "defect-D2: after a restart nothing is applied twice"],
      log("the next batch is applied once the one before it is"),
    ),
    M31: row(
      "commands that wait together travel together",
      "B10",
      log("proposals of one batch stand together in one append"),
    ),
    M32: row(
      "replication, the disk and execution go on side by side",
      "K2",
      [
        "core.durability",
        "appends leave in parallel with the leader's own write, which counts when it is done",
        "appends do not wait for the answers to those before",
      ],
      faults("a slow machine holds its node's reads back, not its log"),
    ),
  },
  "Requests between servers": {
    M33: row(
      "votes are asked for and answered",
      "E1",
      election("the same candidate asking again in the same term is granted again, for the reply may be lost"),
    ),
    M34: row(
      "entries are sent and answered",
      "B1",
      log("an append that arrives twice is acknowledged twice, for the first answer may be lost"),
    ),
    M35: row(
      "snapshots are sent and answered",
      "S2",
      "X11",
      snapshot("chunks go one at a time, in order, each asked for by the follower"),
    ),
  },
  "Disks and snapshots": {
    M36: row("term, vote and log are on disk before they are told", "C1", [
      "core.durability",
      "term and vote leave in one record, and the grant waits for it",
      "entries are acknowledged once they are durable",
    ]),
    M37: row("state and snapshot are saved together, or not at all", "S6", "X4", [
      "file.defect",
      "defect-D4: state and base are saved together, durably, or not at all",
    ]),
    M38: row(
      "the log is trimmed",
      "S1",
      snapshot("only once the state machine is durable is the log trimmed, leaving a tail for slow followers"),
    ),
    M39: row(
      "a log that has grown makes a snapshot",
      "K16",
      snapshot("a server takes a snapshot when its log has grown past a fixed size, and one at a time"),
      defect("defect-D9: the shipped settings take snapshots"),
    ),
    M40: row("the service can ask for a snapshot", "S1", snapshot("a failed snapshot is tried again")),
    M41: row(
      "a snapshot is installed on conditions",
      "S2",
      defect("defect-D6: a snapshot keeps what follows it only if the log holds its last entry, of the same term"),
    ),
    M42: row(
      "a stale snapshot is refused",
      "S3",
      snapshot("a snapshot behind what is committed is not taken, and the leader learns what is held"),
      ["machine.snapshot", "bug-S1: an older snapshot does not replace a newer state"],
    ),
    M43: row(
      "a snapshot reaches the state machine in the order of the log",
      "S2",
      snapshot(
        "after the last chunk the state machine is replaced, and only then does the log follow",
        "while entries are being executed the state machine is not replaced",
      ),
    ),
    M44: row(
      "its answer moves matchIndex and nextIndex",
      "S2",
      defect("defect-D5: a snapshot counts as replicated when it is installed, and matchIndex never falls"),
    ),
    M45: row(
      "the leader chooses between snapshot and entries",
      "K15",
      snapshot(
        "a follower whose next entry is gone is sent a snapshot",
        "a follower that turns out to hold enough is no longer sent a snapshot",
      ),
    ),
    M46: row(
      "after a snapshot the rest follows",
      "K15",
      "X2",
      defect("defect-D3: a follower behind the leader's log is repaired, with few messages"),
    ),
    M47: row("snapshots make recovery short and bound memory", "K18", [
      "process.snapshot.long",
      "a follower that missed more than the log keeps rejoins by snapshot; the log stays trimmed and memory bounded",
    ]),
  },
  Recovery: {
    M48: row("a start reads state and snapshot", "S7", [
      "node.lives",
      "comes back with what it held, and the cluster with it",
    ]),
    M49: row(
      "a start knows what is committed and executed",
      "S6",
      snapshot("a server starts with its commit index at what its state machine and its base hold"),
    ),
    M50: row("a start starts timers, execution and replication", "C1", "Q5"),
    M51: row("a server rejoins by entries or by a snapshot", "B5", [
      "node.lives",
      "that was away while the log was trimmed is brought up by a snapshot, and is a full member afterwards",
    ]),
    M52: row("a new, empty node is brought up", "K15", "X18", [
      "node.members",
      "a lost disk is replaced, a node joins that knows one member, and nodes move: the others find it, after restarts too",
    ]),
    M53: row(
      "nothing that was acknowledged is lost",
      "C2",
      ["process.disk", "all nodes lose power at once: what was acknowledged is there"],
      [
        "process.replicate.long",
        "each of three is killed under load, and all at once: what was acknowledged is there, once",
      ],
    ),
  },
}
