/** What `snapshot`, `inspect` and `recover` take, and their help. */
import { intFlag, maybe, maybeInt, maybeString, output } from "../../interpreters/cli/flags.ts"
import { Argument, attempt, Command, Flag } from "../../interpreters/cli/runtime.ts"
import { endpointsOf, endpointFlags } from "./endpointFlags.ts"

const file = Argument.String("file").pipe(Argument.withDescription("The backup"))

const save = Command.make(
  "save",
  {
    file: Argument.String("file").pipe(Argument.withDescription("Where to; must not exist yet")),
    ...endpointFlags,
    local: Flag.Boolean("local").pipe(
      Flag.withDescription(
        "What the asked node has executed, also while there is no leader; it may lack what was acknowledged last",
      ),
      Flag.withDefault(false),
    ),
    timeout: intFlag("timeout", "Milliseconds that the node has for each piece", 30_000, 100),
    output,
  },
  (o) =>
    attempt(async () => {
      const { save: run } = await import("./backup.ts")
      await run({ endpoints: endpointsOf(o), file: o.file, local: o.local, timeout: o.timeout, output: o.output })
    }),
).pipe(
  Command.withShortDescription("Take a backup of the running cluster into a file"),
  Command.withDescription(
    "Take a backup of the running cluster into a file. It is one state of the history: all that was acknowledged before the command began, and whatever came before the entry that it names. Clients go on meanwhile. Any node may be asked; a follower spares the leader. The file names the index, the term, the time and the checksum that it stands for, and appears under its name once it is whole and on disk.",
  ),
  Command.withExamples([
    { command: "stepraft snapshot save monday.backup", description: "from the node on port 7001" },
    { command: "stepraft snapshot save monday.backup --port 7003", description: "from another node" },
  ]),
)

const inspectFile = Command.make("inspect", { file, output }, (o) =>
  attempt(async () => (await import("./backup.ts")).inspectFile(o.file, o.output)),
).pipe(
  Command.withShortDescription("Check a backup, and show what it stands for"),
  Command.withDescription(
    "Check a backup, every record of it, and show what it stands for: cluster, index, term, time, checksum, keys. Exit code 0 if it is whole, else 1 with what is wrong. Nothing is changed.",
  ),
)

const restore = Command.make(
  "restore",
  {
    file,
    data: Flag.String("data").pipe(Flag.withDescription("Folder of the new node's data; absent or empty")),
    id: Flag.String("id").pipe(Flag.withDescription("Name of the new node")),
    skip: maybeInt(
      "skip",
      "Log indexes to leave out, so that versions and fencing tokens given out after the backup do not come again (default: 10000000000)",
      0,
    ),
    output,
  },
  (o) =>
    attempt(async () =>
      (await import("./backup.ts")).restore({
        file: o.file,
        data: o.data,
        name: o.id,
        skip: maybe(o.skip),
        output: o.output,
      }),
    ),
).pipe(
  Command.withShortDescription("Make the first node of a new cluster from a backup"),
  Command.withDescription(
    "Make the data folder of the first node of a new cluster from a backup. The cluster has a new identity: members of the old one are refused by name. Start the node, then let others with empty folders join it (stepraft member add, then promote). Versions of keys and fencing tokens go on beyond all that the old cluster gave out; the clock never goes back. Sessions do not come along: a client that goes on in one is told SESSIONEXPIRED, for what it was acknowledged after the backup is gone. Leases keep their holder, token and deadline.",
  ),
  Command.withExamples([
    {
      command: "stepraft snapshot restore monday.backup --id n1 --data /var/lib/stepraft",
      description: "then, on this machine and on the others:",
    },
    {
      command:
        "stepraft serve --id n1 --data /var/lib/stepraft --client 10.0.0.1:7001 --peer 10.0.0.1:8001 --peers n1=10.0.0.1:8001,n2=10.0.0.2:8001",
      description: "as ever; n2 likewise, with an empty folder",
    },
    {
      command: "stepraft member add n2 && stepraft member promote n2",
      description: "one after the other, until all are in",
    },
  ]),
)

export const snapshotCommand = Command.make("snapshot").pipe(
  Command.withShortDescription("Back the data up, check a backup, make a new cluster from one"),
  Command.withDescription(
    "Back the data up, check a backup, make a new cluster from one. A backup holds keys and values, no sessions.",
  ),
  Command.withSubcommands([save, inspectFile, restore]),
)

const dir = Argument.String("dir").pipe(Argument.withDescription("Data folder of a node, as given to it with --data"))
const looking =
  "Offline, and without a change to anything: a folder in which a node runs is refused. Exit code 0 if all is well, 1 with findings."
export const inspectCommand = Command.make("inspect").pipe(
  Command.withShortDescription("Look into the data folder of a node that is stopped"),
  Command.withDescription(
    `Look into the data folder of a node that is stopped: what is there, what is damaged and where. ${looking}`,
  ),
  Command.withSubcommands([
    Command.make("wal", { dir, output }, (o) =>
      attempt(async () => (await import("./inspect.ts")).inspectWal(o.dir, o.output)),
    ).pipe(
      Command.withDescription(
        `The log: whose it is, term and vote, which entries each file holds, changes of members; every record is checked, and damage told with file, offset, and where whole records begin again. ${looking}`,
      ),
    ),
    Command.make("snapshot", { dir, output }, (o) =>
      attempt(async () => (await import("./inspect.ts")).inspectSnapshot(o.dir, o.output)),
    ).pipe(
      Command.withDescription(
        `From where a start would go on: what the state alone holds, how far it reaches, what the log adds, and whether the two fit together. ${looking}`,
      ),
    ),
    Command.make("state", { dir, output }, (o) =>
      attempt(async () => (await import("./inspect.ts")).inspectState(o.dir, o.output)),
    ).pipe(
      Command.withDescription(
        `The state: how far it has executed, keys, bytes, sessions; every table and every record is checked. ${looking} Its small files are copied to the folder for temporary files (TMPDIR) and opened there.`,
      ),
    ),
  ]),
)

const dirs = Argument.String("dir").pipe(
  Argument.withDescription("Data folders that are left of the old cluster, all of them"),
  Argument.atLeast(1),
)
const planCommand = Command.make("plan", { dirs, output }, (o) =>
  attempt(async () => (await import("./recover.ts")).printPlan(o.dirs, o.output)),
).pipe(
  Command.withShortDescription("Show what is left, what may be lost, and what has to be repeated"),
  Command.withDescription(
    "Show what is left, what may be lost, and what has to be repeated, from the data folders that survived. Nothing is changed. Exit code 0 if a new cluster could be made, else 1.",
  ),
)
const applyCommand = Command.make(
  "apply",
  {
    dirs,
    acceptLostWrites: Flag.Boolean("accept-lost-writes").pipe(
      Flag.withDescription("Without it nothing is done: what stood on the lost disks alone is given up for good"),
      Flag.withDefault(false),
    ),
    peers: maybeString(
      "peers",
      "Where the lost members listened to their peers, if the log does not say: n2=HOST:PORT,n3=HOST:PORT",
    ),
    skip: maybeInt(
      "skip",
      "Log indexes to leave out, so that versions and fencing tokens that were given out and lost do not come again (default: 10000000000)",
      0,
    ),
    timeout: intFlag("timeout", "Milliseconds that a lost member has to show that it is alive", 3_000, 1),
    output,
  },
  (o) =>
    attempt(async () => {
      const { apply } = await import("./recover.ts")
      await apply({
        directories: o.dirs,
        peers: maybe(o.peers),
        acceptLostWrites: o.acceptLostWrites,
        skip: maybe(o.skip),
        timeout: o.timeout,
        output: o.output,
      })
    }),
).pipe(
  Command.withShortDescription("Make a new cluster from the best of the surviving folders"),
  Command.withDescription(
    "Make a new cluster from the best of the surviving folders. It has a new identity, so old members that return are refused by name. Refused while those that answer, together with these folders, would be a majority. The old log and state stay in the folder, put aside as they were; nothing is overwritten. If it is interrupted, the same command goes on.",
  ),
)
export const recoverCommand = Command.make("recover").pipe(
  Command.withShortDescription("When a majority of the disks is lost for good"),
  Command.withDescription(
    "When a majority of the disks is lost for good, the cluster cannot go on: what was acknowledged may have stood on the lost disks alone. Look for the disks first, and for a backup. What is left becomes a new cluster by two steps: a plan that says what may be lost, and its application. If a majority can still answer, none of this is needed: stepraft member replace.",
  ),
  Command.withExamples([
    { command: "stepraft recover plan /var/lib/stepraft", description: "on the machine that is left" },
    {
      command: "stepraft recover apply /var/lib/stepraft --accept-lost-writes",
      description: "then start it, and let empty nodes join",
    },
  ]),
  Command.withSubcommands([planCommand, applyCommand]),
)
