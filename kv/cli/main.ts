/** The command line as a whole. Each command loads what it needs when it runs. */
import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { inspectCommand, recoverCommand, snapshotCommand } from "./recovery/backup-commands.ts"
import { diagnosticsCommand, doctorCommand } from "./diagnosis/diagnosis-commands.ts"
import { certCommand } from "./security/cert-commands.ts"
import { dataCommands } from "./data/data-commands.ts"
import { lockCommand, watchCommand } from "./data/lock-commands.ts"
import { leaderCommand, memberCommand } from "./members/member-commands.ts"
import { benchCommand, clusterCommand, serveCommand, statusCommand } from "./node-commands.ts"
import { userCommand } from "./security/user-commands.ts"
import { Command, run } from "../../interpreters/cli/runtime.ts"
import { checkHistoryCommand, debugCommand, simulateCommand } from "../../spec/cli/index.ts"

/** The version in the package.json above this file: one level up from the sources, two from the built program. */
const versionOf = (program: string): string => {
  for (let folder = dirname(program); folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const value: unknown = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))
      if (
        typeof value === "object" &&
        value !== null &&
        "name" in value &&
        value.name === "stepraft" &&
        "version" in value
      )
        return String(value.version)
    } catch {
      // There is no package.json here: look further up.
    }
  }
  return "unknown"
}

/** Every command. `program`: the path of this program's file. */
export const commandLine = (program: string) =>
  Command.make("stepraft").pipe(
    Command.withDescription(
      "A replicated key-value store: Raft underneath, the Redis protocol outside.\n\nExit codes: 0 success; 1 failure, or the answer is no; 2 wrong usage; 130 interrupted.\nOutput is decorated on a terminal and plain in a pipe; NO_COLOR is honoured.",
    ),
    Command.withExamples([
      { command: "stepraft cluster", description: "three nodes on this machine; then, in another terminal:" },
      { command: "stepraft set greeting hello", description: "write" },
      { command: "stepraft get greeting", description: "read" },
      { command: "stepraft status", description: "every node in one table" },
      { command: "stepraft doctor", description: "what is wrong, and what to do" },
      { command: "stepraft bench", description: "how fast it is" },
      { command: "stepraft debug", description: "step through a cluster, forwards and backwards" },
      { command: "stepraft simulate", description: "the algorithm in random worlds, with every invariant checked" },
    ]),
    Command.withSubcommands([
      { group: "Nodes", commands: [clusterCommand(program), serveCommand, statusCommand] },
      { group: "Members", commands: [memberCommand, leaderCommand] },
      { group: "Security", commands: [certCommand, userCommand] },
      { group: "Care", commands: [doctorCommand, diagnosticsCommand(versionOf(program))] },
      { group: "Data", commands: [...dataCommands, lockCommand, watchCommand] },
      { group: "Backups and recovery", commands: [snapshotCommand, inspectCommand, recoverCommand] },
      { group: "Measuring", commands: [benchCommand] },
      {
        group: "Verifying",
        commands: [
          simulateCommand(async () => (await import("./simulated.ts")).simulated),
          debugCommand,
          checkHistoryCommand,
        ],
      },
    ]),
  )

export const main = (program: string): void => run(Command.run(commandLine(program), { version: versionOf(program) }))
