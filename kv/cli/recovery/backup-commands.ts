/** The flags and the help of `snapshot`, `inspect` and `recover`. */
import { intFlag, maybe, maybeInt, maybeString, output } from "../../../interpreters/cli/flags.ts"
import { Argument, attempt, Command, Flag } from "../../../interpreters/cli/runtime.ts"
import { endpointsOf, endpointFlags } from "../endpointFlags.ts"

const file = Argument.String("file").pipe(Argument.withDescription("The backup"))

const save = Command.make(
  "save",
  {
    file: Argument.String("file").pipe(Argument.withDescription("The file to write; must not exist yet")),
    ...endpointFlags,
    local: Flag.Boolean("local").pipe(
      Flag.withDescription(
        "Save what the asked node has executed, even while there is no leader; the latest acknowledged writes may be missing",
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
    "Take a backup of the running cluster into a file. It holds the state after one entry of the log, and with it everything that was acknowledged before the command began. Clients are served meanwhile. Any node may be asked; asking a follower spares the leader. The file records the entry's index, term, time and checksum, and appears under its name only once it is complete and on disk.",
  ),
  Command.withExamples([
    { command: "stepraft snapshot save monday.backup", description: "from the node on port 7001" },
    { command: "stepraft snapshot save monday.backup --port 7003", description: "from another node" },
  ]),
)

const inspectFile = Command.make("inspect", { file, output }, (o) =>
  attempt(async () => (await import("./backup.ts")).inspectFile(o.file, o.output)),
).pipe(
  Command.withShortDescription("Check a backup, and show its entry and contents"),
  Command.withDescription(
    "Check every record of a backup, and show its cluster, index, term, time, checksum and number of keys. Exit code 0 if it is intact, otherwise 1 and what is wrong. Nothing is changed.",
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
      "Log indexes to skip, so that versions and fencing tokens given out after the backup are not given out again (default: 10000000000)",
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
    "Make the data folder of the first node of a new cluster from a backup. The cluster has a new identity: members of the old one are refused by name. Start the node, then let others with empty folders join it (stepraft member add, then promote). Versions of keys and fencing tokens continue above all that the old cluster gave out; the clock never goes back. Sessions are not restored: a client that continues one gets SESSIONEXPIRED, because what was acknowledged to it after the backup is gone. Leases keep their holder, token and deadline.",
  ),
  Command.withExamples([
    {
      command: "stepraft snapshot restore monday.backup --id n1 --data /var/lib/stepraft",
      description: "then, on this machine and on the others:",
    },
    {
      command:
        "stepraft serve --id n1 --data /var/lib/stepraft --client 10.0.0.1:7001 --peer 10.0.0.1:8001 --peers n1=10.0.0.1:8001,n2=10.0.0.2:8001",
      description: "as usual; n2 likewise, with an empty folder",
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
  "It works offline and changes nothing: the folder of a running node is refused. Exit code 0 if all is well, 1 if something was found."
export const inspectCommand = Command.make("inspect").pipe(
  Command.withShortDescription("Look into the data folder of a stopped node"),
  Command.withDescription(
    `Look into the data folder of a stopped node: what is there, what is damaged and where. ${looking}`,
  ),
  Command.withSubcommands([
    Command.make("wal", { dir, output }, (o) =>
      attempt(async () => (await import("./inspect.ts")).inspectWal(o.dir, o.output)),
    ).pipe(
      Command.withDescription(
        `Show the log: its owner, term and vote, the entries in each file, and changes of members. Every record is checked, and damage is shown with its file and offset, and where intact records begin again. ${looking}`,
      ),
    ),
    Command.make("snapshot", { dir, output }, (o) =>
      attempt(async () => (await import("./inspect.ts")).inspectSnapshot(o.dir, o.output)),
    ).pipe(
      Command.withDescription(
        `Show from where a start would continue: which entries only the state covers, how far it reaches, what the log adds, and whether the two fit together. ${looking}`,
      ),
    ),
    Command.make("state", { dir, output }, (o) =>
      attempt(async () => (await import("./inspect.ts")).inspectState(o.dir, o.output)),
    ).pipe(
      Command.withDescription(
        `Show the state: how far it has executed, and its keys, bytes and sessions. Every table and every record is checked. ${looking} Its small files are copied to the folder for temporary files (TMPDIR) and opened there.`,
      ),
    ),
  ]),
)

const dirs = Argument.String("dir").pipe(
  Argument.withDescription("All data folders that are left of the old cluster"),
  Argument.atLeast(1),
)
const planCommand = Command.make("plan", { dirs, output }, (o) =>
  attempt(async () => (await import("./recover.ts")).printPlan(o.dirs, o.output)),
).pipe(
  Command.withShortDescription("Show what is left, what may be lost, and what has to be repeated"),
  Command.withDescription(
    "Show what is left, what may be lost, and what has to be repeated, from the data folders that survived. Nothing is changed. Exit code 0 if a new cluster could be made, otherwise 1.",
  ),
)
const applyCommand = Command.make(
  "apply",
  {
    dirs,
    acceptLostWrites: Flag.Boolean("accept-lost-writes").pipe(
      Flag.withDescription("Required: it confirms that whatever only the lost disks held is given up for good"),
      Flag.withDefault(false),
    ),
    peers: maybeString(
      "peers",
      "The peer addresses of the lost members, if the log does not hold them: n2=HOST:PORT,n3=HOST:PORT",
    ),
    skip: maybeInt(
      "skip",
      "Log indexes to skip, so that versions and fencing tokens that were given out and lost are not given out again (default: 10000000000)",
      0,
    ),
    timeout: intFlag("timeout", "Milliseconds to wait for a lost member that may be alive after all", 3_000, 1),
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
    "Make a new cluster from the best of the surviving folders. It has a new identity, so old members that return are refused by name. Refused if the members that still answer, together with these folders, would be a majority. The old log and state are kept in the folder unchanged; nothing is overwritten. If the command is interrupted, run it again to continue.",
  ),
)
export const recoverCommand = Command.make("recover").pipe(
  Command.withShortDescription("When a majority of the disks is lost for good"),
  Command.withDescription(
    "When a majority of the disks is lost for good, the cluster cannot continue: only the lost disks may have held some of what was acknowledged. Look for the disks first, and for a backup. What is left becomes a new cluster in two steps: a plan that says what may be lost, and its application. If a majority can still answer, none of this is needed: use stepraft member replace.",
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
