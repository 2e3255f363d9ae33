/**
 * What the mission asks of the whole system: faults and their times, the store, the network, the repository, operations
 * and documents; and the defects of the system that it replaces.
 */
import {
  defect,
  doctor,
  doctorOnProcesses,
  election,
  faults,
  log,
  recovery,
  repository,
  row,
  type Rows,
} from "./checks.ts"

const charts = repository(
  "the charts are drawn: every message in them is one of the core's, and a snapshot goes from the leader to the follower",
)
export const system: Rows = {
  "Faults: what happens, and for how long": {
    M54: row("a minority that fails is tolerated", "B5", [
      "process.chaos",
      "the leader is killed, cut off, paused, not heard, then all are killed: everything that clients were told fits together, and all nodes hold the same",
    ]),
    M55: row(
      "a follower is cut off and returns",
      "B5",
      recovery("each fault is over in virtual time as the table says"),
    ),
    M56: row("the leader is cut off; the old one is demoted", "E2", "B8", "X12"),
    M57: row(
      "no majority, no leader",
      "E2",
      "B6",
      election("a leader that no majority answered within an election timeout steps down, in the same term"),
    ),
    M58: row("a partition heals", "K6", "X22"),
    M59: row(
      "who was away for a moment takes part at once",
      "E3",
      log("a connection that comes back is asked where the logs meet at once"),
      faults("a paused follower does nothing, and does not campaign against a live leader when it goes on"),
    ),
    M60: row("a crash and a restart, with a snapshot if need be", "C3", "S4"),
    M61: row(
      "the time of each scenario is measured",
      recovery(
        "every row but the addresses of real sockets is simulated",
        "each fault is over in virtual time as the table says",
        "the table: percentiles of what was measured; nothing is said of what was not",
      ),
    ),
    M62: row("recovery takes at most 5 s", recovery("no limit is above the five seconds that are promised"), [
      "process.failover.long",
      "the leader is killed under load: writes go on within 1.5 s, nothing acknowledged is lost, nothing is doubled",
    ]),
  },
  "The key-value service": {
    M63: row("what is committed reaches the state machine", "K1", [
      "driver.loop",
      "hands the state machine one Apply at a time",
    ]),
    M64: row("clients' commands are executed", "K1", "Q1"),
    M65: row(
      "clients are told when it is done",
      "K3",
      "Q2",
      defect("defect-D8: what waits is told by index and term, and is told in any case"),
    ),
    M66: row("a command that is repeated is executed once", "K5", [
      "machine.session",
      "however commands are repeated, lost and reordered on their way, each takes effect at most once, in order, with one answer",
    ]),
    M67: row("results are returned", "K1", "Q1"),
    M68: row("waiting is bounded", "K6", "Q4", [
      "client.session",
      "no leader in time is NoLeader, and nothing was executed",
      "a write that was sent and never answered is Unknown, and those behind it still take effect once",
    ]),
    M69: row(
      "the state is durable, in LevelDB",
      "K9",
      [
        "machine.crash",
        "a state that was reported durable is there after a crash, and so is its log's work, whatever the disk refused",
      ],
      ["machine.model", "LevelDB, twin and model agree after every batch, through restarts, retries and checkpoints"],
    ),
    M70: row("snapshots of the state are taken and restored", "K18", [
      "machine.snapshot",
      "a snapshot makes an equal machine: data, versions, deadlines, sessions, kept replies, position",
    ]),
    M71: row(
      "clients have an interface",
      "K1",
      ["client.property", "property: exactly once, in order, or an error that says what is known"],
      [
        "node.cluster",
        "three empty nodes form a cluster, elect a leader and serve at every node, pipelines of reads and writes in their order",
      ],
    ),
  },
  "The simulated network": {
    M72: row("messages are lost", "N7"),
    M73: row("messages are late", "N7", faults("a clogged link delivers late what it is given, in full")),
    M74: row(
      "messages overtake one another",
      "C6",
      faults("long reordering: replies take up to 2.2 s more, requests do not"),
    ),
    M75: row("links are cut", "N3", "X6", faults("a cut takes what is under way with it")),
    M76: row(
      "reliable and unreliable networks",
      "N7",
      faults(
        "reliable: all of it arrives, a millisecond later",
        "unreliable: a tenth is lost, the rest takes up to 27 ms, nothing comes twice",
      ),
    ),
    M77: row("long delays", "N9"),
    M78: row("requests and bytes are counted", "N4", "N5", [
      "world.story",
      "requests, bytes and stored bytes are counted",
    ]),
    M79: row(
      "servers do not notice which network they are on",
      "N1",
      repository("the core is pure: no clock, no randomness, no waiting, no output"),
    ),
  },
  "Structure and tests": {
    M80: row(
      "layers: algorithm, service, network, tests",
      repository("no house imports one above it: kv → spec → interpreters → core"),
    ),
    M81: row(
      "the log's storage belongs to Raft; the store is its own",
      repository("each part imports what it may, and no other"),
    ),
    M82: row(
      "requests, persistence and timers are modules of their own",
      repository("each part imports what it may, and no other", "no room leads back to itself, not even by types"),
      ["conformance.storage", "a storage that %s is found out"],
    ),
    M83: row(
      "tests have unreliable networks, snapshots, crashes and cuts at hand",
      ["world.story", "a server that was crashed starts with what its disk kept, and joins when it is told to"],
      ["scripts.worlds", "a profile holds what it says: every action somewhere in everything, no fault in calm"],
    ),
    M84: row("elections and partitions are tested", "E1", "E2", "E3", [
      "scenario.catalogue",
      "every scenario of the catalogue is a test",
    ]),
    M85: row("snapshots are tested", "S1", "S2", "S3", "S4", "S5", "S6", "S7"),
  },
  "Troubleshooting and operations": {
    M86: row(
      "no leader: links, majority, timeouts",
      doctorOnProcesses("doctor: all is well; then one is killed, one is paused, and with the third nobody leads"),
      doctor(
        "two of three are gone",
        "nobody elects anybody over slow links",
        "nodes that answer and do not reach each other",
      ),
    ),
    M87: row(
      "commit stalled: how far each follower is",
      doctorOnProcesses("doctor: disks of the followers that stall, one that is slow, and disks without room"),
      doctor(
        "the followers' disks stall, the leader's does not",
        "a follower that has not got what was committed two seconds ago",
      ),
    ),
    M88: row(
      "snapshot install failed: which, where, why",
      doctorOnProcesses("doctor: a snapshot that does not get through, and a follower that lags"),
      doctor("a snapshot that cannot be stored", "a snapshot for which there is no room"),
    ),
    M89: row(
      "client timeouts: leader, network, disks",
      doctor("clients' writes of unknown outcome", "a slow link"),
      doctorOnProcesses("doctor: a slow link, and one that is closed in one direction"),
    ),
    M90: row(
      "monitoring",
      [
        "node.http",
        "three nodes: metrics that Prometheus reads and that agree with what happened; ready while there is a leader, alive without one",
      ],
      ["alerts", "every metric of alerts, dashboard and pages is one that a node tells"],
    ),
    M91: row(
      "alerts",
      ["process.alerts.long", "every alert has had its fault"],
      [
        "alerts",
        "every alert has a summary, a severity, and a page that says what it means, how to see it and what to do",
      ],
    ),
    M92: row(
      "what recovers by itself",
      [
        "process.chaos",
        "the leader is killed, cut off, paused, not heard, then all are killed: everything that clients were told fits together, and all nodes hold the same",
      ],
      [
        "node.lives",
        "whose data are damaged but whose log is whole executes the log again, with no peer up, and keeps the damaged files aside once",
      ],
      ["process.damage", "a flipped bit in the middle of the log: the node begins anew, and its peers make it whole"],
    ),
    M93: row(
      "what a person does",
      [
        "members.together",
        "a lost disk is replaced by one verb under load, and the next one after it; nothing acknowledged is lost or doubled",
      ],
      [
        "recover",
        "two of three disks are lost: refused while a majority could answer; then the survivor goes on alone, and refuses the old members by name",
      ],
    ),
    M94: row(
      "automation in production",
      [
        "process.members.long",
        "every disk is lost in turn and replaced by one command, then one by none; then every node moves while another one is killed: nothing that was acknowledged is lost",
      ],
      [
        "cli.parts",
        "a child that dies is told with its last line, started again after growing pauses, and the first flag is not given again",
      ],
      ["node.reasons", "what lasts is logged once, and so is that it is over"],
    ),
  },
  Documents: {
    M95: row("a chart of elections and heartbeats", charts, ["traces", "election.txt"]),
    M96: row("a chart of how commitment advances", charts, ["traces", "commit.txt"]),
    M97: row("a chart of a snapshot's installation, from the leader to the follower", charts, [
      "traces",
      "snapshot.txt",
    ]),
    M98: row("a chart of a command's path", charts, ["traces", "session.txt"]),
    M99: row(
      "charts of the architecture and its dependencies",
      repository("no room leads back to itself, not even by types"),
    ),
    M100: row(
      "recovery examples, worked through",
      ["process.day.long", "a day in production: each command of the page does what stands there"],
      [
        "process.backup.long",
        "two of three disks are lost under load: the plan, the application, what is there again and what is lost, as documented",
      ],
    ),
    M101: row(
      "a chart of how faults are handled",
      charts,
      doctor("every finding stands in the table above, and its page in the guide"),
    ),
    M102: row(
      "a strategy for each scenario",
      repository("each fault has its strategy: who notices it, and what the cluster does"),
      recovery("each fault is over in virtual time as the table says"),
    ),
    M103: row(
      "the reasons of the parameters",
      ["world.defaults", "every setting says why it is what it is"],
      ["deploy", "every setting has its row, with its default"],
    ),
    M104: row("what is robust, and what is not: a minority may fail", "K14", "K23", "B6"),
  },
  "Defects of the original": {
    D1: row(
      "even clusters committed with half of their servers",
      defect("defect-D1: a majority is more than half, for every size"),
    ),
    D2: row("a restart executed the log on top of the state", [
      "machine.entries",
      "defect-D2: after a restart nothing is applied twice",
    ]),
    D3: row(
      "a follower that had compacted more than the leader knew was never repaired",
      defect("defect-D3: a follower behind the leader's log is repaired, with few messages"),
    ),
    D4: row("state and snapshot were saved by two writes that could be torn", [
      "file.defect",
      "defect-D4: state and base are saved together, durably, or not at all",
    ]),
    D5: row(
      "a snapshot counted before it was installed",
      defect("defect-D5: a snapshot counts as replicated when it is installed, and matchIndex never falls"),
    ),
    D6: row(
      "the log behind a snapshot was kept without comparing terms",
      defect("defect-D6: a snapshot keeps what follows it only if the log holds its last entry, of the same term"),
    ),
    D7: row(
      "appends and snapshots had no bounds",
      defect("defect-D7: appends are bounded and snapshots go in chunks, so that a follower far behind catches up"),
    ),
    D8: row(
      "who waited was found by index alone",
      defect("defect-D8: what waits is told by index and term, and is told in any case"),
    ),
    D9: row("the shipped server never took a snapshot", defect("defect-D9: the shipped settings take snapshots")),
  },
}
