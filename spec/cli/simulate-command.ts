/** The flags and the help of simulate. */
import { availableParallelism } from "node:os"
import { choice, described, intFlag, maybe, maybeInt, maybeString } from "../../interpreters/cli/flags.ts"
import { attemptToTheEnd, Command, Flag } from "../../interpreters/cli/runtime.ts"
import { profileNames } from "../scripts/generate/profiles.ts"
import type { Simulated } from "./threads.ts"

/** With more than these a machine would run out of memory before anything is tried. */
const [MOST_STEPS, MOST_WORKERS, MOST_CLIENTS] = [100_000, 1_024, 1_024]

/** `load` gives the service that `--clients` use; it is loaded when the command runs. */
export const simulateCommand = (load: () => Promise<Simulated>) =>
  Command.make(
    "simulate",
    {
      seed: maybeInt("seed", "The seed to run, or the first of several; from 0", 0),
      seeds: maybeInt("seeds", described("How many seeds, one after the other", "1 with --seed, else 100"), 1),
      minutes: maybeInt("minutes", "Run seed after seed for this many minutes, unless --seeds are done before", 1),
      steps: intFlag(
        "steps",
        "Approximate number of actions in a script: faults, load, and passing of time",
        60,
        1,
        MOST_STEPS,
      ),
      nodes: choice("nodes", ["3", "5", "7", "1", "2", "4", "6"], "Servers at the start", "3"),
      profile: choice("profile", profileNames, "What goes wrong", "everything"),
      workers: intFlag("workers", "Threads", availableParallelism(), 1, MOST_WORKERS),
      refine: Flag.Boolean("refine").pipe(
        Flag.withDescription("Compare every step with the abstract specification, too"),
        Flag.withDefault(false),
      ),
      clients: intFlag(
        "clients",
        "Clients of the key-value service in each world; their history must be linearizable",
        0,
        0,
        MOST_CLIENTS,
      ),
      trace: maybeString(
        "trace",
        "File for a trace of everything that happened: actions, events, and hashes at intervals. For a single seed",
      ),
      save: Flag.String("save").pipe(
        Flag.withDescription(described("Folder for the scripts of what failed", ".")),
        Flag.withDefault("."),
      ),
      output: choice("output", ["table", "json"], "Form of the output", "table").pipe(Flag.withAlias("o")),
    },
    (o) =>
      attemptToTheEnd(async (signal) => {
        const [{ simulateOrFail }, service] = await Promise.all([import("./simulate.ts"), load()])
        const [seed, seeds, minutes] = [maybe(o.seed), maybe(o.seeds), maybe(o.minutes)]
        await simulateOrFail(
          {
            seed: seed ?? 1,
            seeds: seeds ?? (minutes !== null ? null : seed === null ? 100 : 1),
            minutes,
            actions: o.steps,
            nodes: Number(o.nodes),
            profile: o.profile,
            workers: o.workers,
            refine: o.refine,
            clients: o.clients,
            trace: maybe(o.trace),
            save: o.save,
            output: o.output,
          },
          service,
          signal,
        )
      }),
  ).pipe(
    Command.withShortDescription("Try the algorithm in random worlds"),
    Command.withDescription(
      "Try the algorithm in random worlds: a seed makes a cluster with its network, disks and clocks, and a script of load and faults. Every invariant is checked at every step; then everything is repaired, and there must be progress. With --clients the servers run the key-value service, and its clients' history must be linearizable. The same seed is the same world on every machine.\n\nProfiles: calm (load and transfers), lossy (messages lost, duplicated, late; crashes and pauses), partitions (whole, partial, one-way), disks (slow, stalled, full, failing, lost), membership (servers come, go and are replaced), everything.\n\nA failure is shrunk to a short script, which is printed and saved, with the command that opens it. Exit code 0 if nothing was violated, 1 if something was, 2 for wrong usage, 3 if the run was impossible.",
    ),
    Command.withExamples([
      { command: "stepraft simulate", description: "a hundred seeds of everything, on all cores" },
      { command: "stepraft simulate --minutes 60 --nodes 5", description: "as many as fit into an hour" },
      {
        command: "stepraft simulate --clients 5 --profile partitions",
        description: "with clients of the key-value service, whose answers must be linearizable",
      },
      {
        command: "stepraft simulate --seed 7 --profile partitions --trace seven.ndjson",
        description: "one seed, with all that happened in it",
      },
      { command: "stepraft simulate --seeds 1000 -o json | jq .stepsPerSecond", description: "for scripts" },
    ]),
  )
