/** What lock and watch take, and their help. */
import { intFlag, maybe, maybeInt } from "../../interpreters/cli/flags.ts"
import { Argument, attempt, attemptToTheEnd, Command } from "../../interpreters/cli/runtime.ts"
import { endpointsOf, endpointFlags } from "./endpointFlags.ts"

const timeout = intFlag("timeout", "Milliseconds until one request is given up, with all its repetitions", 5_000)

export const lockCommand = Command.make(
  "lock",
  {
    name: Argument.String("name").pipe(Argument.withDescription("Name of the lock: the key lease:NAME")),
    words: Argument.String("command").pipe(
      Argument.withDescription("What to run, with its words; after --"),
      Argument.atLeast(1),
    ),
    ...endpointFlags,
    ttl: intFlag("ttl", "Milliseconds that the lock outlasts a holder who dies", 10_000, 1_000),
    wait: maybeInt("wait", "Milliseconds to wait for it (default: as long as it takes)", 1),
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
    "Run a command while holding a lock: of all who ask for the same name, one at a time. The command finds a number in STEPRAFT_LOCK_TOKEN that grows from holder to holder: let it send that along, and let what it changes refuse smaller numbers than it has seen, because a machine that was suspended may go on after another holder has begun. If the lock is lost, the command and what it started get SIGTERM, and SIGKILL before the lock can be another's. What the command leaves running when it ends is stopped too, before the lock is released. Exit code: that of the command; 1 if the lock was lost or not taken in time.",
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
    interval: intFlag("interval", "Milliseconds between two looks", 500, 10),
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
    "Print the value of a key now and whenever it has changed, until interrupted. It looks again and again, so a value that stood between two looks only is not seen. Through an outage it goes on, and says on stderr that it did not look meanwhile.",
  ),
  Command.withExamples([
    { command: "stepraft watch config | while read -r line; do ./apply.sh; done", description: "act on it" },
  ]),
)
