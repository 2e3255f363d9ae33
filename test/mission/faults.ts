/**
 * Faults whose outcome other systems leave undefined: what a node does here, the tests that show it, and the seeded
 * bugs that they must find.
 */
import { doctorOnProcesses, faults as inWorlds, recovery, type Check, type Row, type Rows } from "./checks.ts"

const row = (asks: string, bugs: readonly string[], ...checks: readonly [Check, ...(readonly Check[])]): Row => ({
  asks,
  checks,
  bugs,
})

export const faults: Rows = {
  "Faults with a defined end": {
    F1: row(
      "a wiped disk under its old name: it votes for nobody and serves nothing until the cluster has taken it in",
      ["own-fault-13", "own-node-1", "own-members-3"],
      ["process.damage", "a node whose disk was lost says so, gives no vote and serves nothing; the others go on"],
      [
        "process.members.long",
        "every disk is lost in turn and replaced by one command, then one by none; then every node moves while another one is killed: nothing that was acknowledged is lost",
      ],
    ),
    F2: row(
      "a damaged record in the log: all is kept, the node begins anew, votes for nobody, and is made whole by the others; alone, or a second time, it stops",
      ["bug-D2", "own-fault-1", "own-fault-2", "own-fault-3", "own-fault-4", "own-fault-5"],
      [
        "process.damage",
        "a flipped bit in the middle of the log: the node begins anew, and its peers make it whole",
        "a flipped bit in the last acknowledged record: the node begins anew, and its peers make it whole",
      ],
      [
        "node.repair",
        "alone, a node with a damaged record stops by name and keeps all: there is nobody to mend it from",
      ],
    ),
    F3: row(
      "a log that is shorter than it was, or a directory that went back or was copied: it counts as lost, by name",
      ["own-dirs-1", "own-dirs-4", "own-dirs-5"],
      [
        "process.directories",
        "a directory put back to an earlier copy is named at both ends, counts as lost, also after a restart, and nothing acknowledged is lost",
        "a copy that was made while the node ran is named by the leader, who knows what was acknowledged",
      ],
    ),
    F4: row(
      "a leader's disk that stalls, or takes longer over a write than --disk-stall-timeout: another one leads, within that time and an election",
      ["bug-G7"],
      ["process.disk", "a leader whose disk stalls, or takes longer than it may over each write, hands over"],
      recovery("each fault is over in virtual time as the table says"),
    ),
    F5: row(
      "a full disk: nothing is acknowledged, nobody ends, writes are refused by name, all goes on once there is room",
      ["own-fault-11", "own-fault-12", "own-core-10"],
      [
        "process.disk",
        "a full disk under one node: the others go on; under all: writes are refused by name, reads go on, and all resumes",
        "a write that meets a full disk all the same is not acknowledged; the node goes on when there is room",
      ],
    ),
    F6: row(
      "an event loop that stalls, a process that is stopped: after an election timeout another one leads; it serves no stale read, and deposes nobody",
      ["own-8", "bug-R2", "bug-P5"],
      [
        "process.failover.long",
        "a leader that is stopped (SIGSTOP) is replaced, and when it goes on it serves no stale read",
      ],
      ["driver.loop", "does not campaign after a stall while the leader's heartbeat waits in the socket"],
      inWorlds("a paused follower does nothing, and does not campaign against a live leader when it goes on"),
    ),
    F7: row(
      "wall clocks that jump: time in the store goes on steadily, and the clock is named",
      ["own-clock-1", "own-clock-3"],
      [
        "process.clock.long",
        "a node boots with its clock a day ahead and leads: keys live as long as they should, EXPIREAT keeps its hour, the clock is named; and so it is when it is set right",
        "all clocks jump together: time neither leaps nor stands still, and an outage of all takes them at their word",
      ],
      doctorOnProcesses("doctor: a clock a day ahead"),
    ),
    F8: row(
      "a machine that is suspended, one or all of them, with a clock that jumps meanwhile: no stale read, nothing lost, no key expires early",
      ["own-clock-4", "bug-P5"],
      [
        "process.clock.long",
        "a machine is suspended, the leader's or all of them, and its clock is a day further on when it goes on: no stale read, nothing lost, no key expires early, and the clock is named",
      ],
    ),
    F9: row(
      "members that are replaced, removed and taken in again while nodes are killed and links cut",
      ["own-members-1", "own-members-2", "own-fault-5"],
      [
        "process.chaos",
        "disks are wiped, a log is damaged, a member leaves and joins again, leadership is moved, while nodes are killed and links cut: the same is true",
      ],
      [
        "process.members.long",
        "every node restarted, replaced and moved under load, one by one: no request of a client that tries again fails, nothing is lost or doubled, all is linearizable",
      ],
      ["members.worlds", "nothing acknowledged is lost, the history is linearizable, and each votes again"],
    ),
    F10: row(
      "the autopilot: one at a time, after the stated time, never below the stated number",
      ["own-fault-6", "own-fault-7", "own-fault-8", "own-fault-9", "own-fault-10"],
      [
        "members.autopilot",
        "a voter that is away is replaced by a learner that waits, after the stated time and not before; without one it is waited for",
        "who came back with another directory is taken in again, unless fewer than stated would vote meanwhile",
      ],
      ["members.worlds", "the same by the autopilot: nobody asks for anything"],
    ),
  },
}
