/** The flags and the help of lock and watch. */
import { intFlag, maybe, maybeInt } from "../../../interpreters/cli/flags.ts"
import { Argument, attempt, attemptToTheEnd, Command } from "../../../interpreters/cli/runtime.ts"
import { endpointsOf, endpointFlags } from "../endpointFlags.ts"

const timeout = intFlag("timeout", "Milliseconds until one request, with all its retries, is given up", 5_000)

export const lockCommand = Command.make(
  "lock",
  {
    name: Argument.String("name").pipe(Argument.withDescription("Name of the lock: the key lease:NAME")),
    words: Argument.String("command").pipe(
      Argument.withDescription("The command to run, with its arguments; after --"),
      Argument.atLeast(1),
    ),
    ...endpointFlags,
    ttl: intFlag("ttl", "Milliseconds that the lock lasts after its holder has crashed", 10_000, 1_000),
    wait: maybeInt("wait", "Milliseconds to wait for the lock (default: as long as it takes)", 1),
    timeout,
  },
  (o) =>
    attemptToTheEnd(async (signal) =>
      (await import("./lock.ts")).runLocked(
        {
          endpoints: endpointsOf(o),
          timeoutMs: o.timeout,
          name: o.name,
          words: o.words,
          ttlMs: o.ttl,
          waitMs: maybe(o.wait),
        },
        signal,
      ),
    ),
).pipe(
  Command.withShortDescription("Run a command while holding a lock"),
  Command.withDescription(
    "Run a command while holding a lock: of all callers with the same name, only one holds it at a time. STEPRAFT_LOCK_TOKEN holds a number (the fencing token) that grows from holder to holder. The command should send it along with its changes, and whatever it changes should refuse a number smaller than the greatest it has seen, because a machine that was suspended may continue after another holder has taken the lock. If the lock is lost, the command and the processes that it started get SIGTERM, and SIGKILL before another holder can get the lock. Processes that are still running when the command ends are stopped too, before the lock is released. Exit code: that of the command; 1 if the lock was lost or not acquired in time.",
  ),
  Command.withExamples([
    {
      command: "stepraft lock nightly --wait 1000 -- ./report.sh",
      description: "on three machines by cron; one runs it",
    },
    {
      command: "stepraft lock deploy -- sh -c 'echo I hold $STEPRAFT_LOCK and send $STEPRAFT_LOCK_TOKEN along'",
      description: "its environment",
    },
  ]),
)

export const watchCommand = Command.make(
  "watch",
  {
    key: Argument.String("key").pipe(Argument.withDescription("The key")),
    ...endpointFlags,
    interval: intFlag("interval", "Milliseconds between two reads", 500, 10),
    timeout,
  },
  (o) =>
    attempt(async (signal) =>
      (await import("./lock.ts")).watchKey(
        { endpoints: endpointsOf(o), timeoutMs: o.timeout, key: o.key, intervalMs: o.interval },
        signal,
      ),
    ),
).pipe(
  Command.withShortDescription("Print a value whenever it changes"),
  Command.withDescription(
    "Print the value of a key now and whenever it has changed, until interrupted. It reads the key at intervals, so a value that is replaced between two reads is not seen. It continues through an outage, and reports on stderr that changes in between were not seen.",
  ),
  Command.withExamples([
    { command: "stepraft watch config | while read -r line; do ./apply.sh; done", description: "act on it" },
  ]),
)
