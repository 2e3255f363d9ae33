/** The flags and the help of debug. */
import * as Option from "effect/Option"
import { intFlag, maybe, maybeString } from "../../interpreters/cli/flags.ts"
import { Argument, attempt, Command, Flag } from "../../interpreters/cli/runtime.ts"
import { profileNames } from "../scripts/generate/profiles.ts"

export const debugCommand = Command.make(
  "debug",
  {
    file: Argument.String("trace").pipe(
      Argument.withDescription("A trace or a saved scenario; without one, a fresh world"),
      Argument.optional,
    ),
    seed: intFlag("seed", "The seed of a fresh world", 1, 0),
    profile: Flag.Literals("profile", profileNames).pipe(
      Flag.withDescription("The faults of the fresh world, as for simulate (default: none)"),
      Flag.optional,
    ),
    nodes: intFlag("nodes", "Servers of a fresh world", 3),
    refine: Flag.Boolean("refine").pipe(
      Flag.withDescription("Compare every step with the abstract specification, too (slower)"),
      Flag.withDefault(false),
    ),
    machine: maybeString(
      "machine",
      "Module that exports `machine`, as replicate takes it, and `invariant` and `describe` if there are any, as worldProperty takes them",
    ),
    check: maybeString(
      "check",
      "Module that exports `checks`: a state machine and checks of your own, as worldProperty takes them",
    ),
    commands: maybeString("commands", "Run these instead of reading them, separated by semicolons").pipe(
      Flag.withAlias("c"),
    ),
  },
  (o) =>
    attempt(async () => {
      const { debug } = await import("./debug.ts")
      await debug({
        file: Option.getOrNull(o.file),
        seed: o.seed,
        profile: maybe(o.profile),
        nodes: o.nodes,
        refine: o.refine,
        machine: maybe(o.machine),
        check: maybe(o.check),
        commands: maybe(o.commands),
      })
    }),
).pipe(
  Command.withShortDescription("Step through a world, forwards and backwards"),
  Command.withDescription(
    "Step through a simulated world, forwards and backwards: every event with the rule of Raft that it used and the section of the paper, what it changed, messages in flight, invariants. At any point a message can be delivered, dropped or duplicated by hand, a node crashed, a link cut, a timer fired: that begins a branch, and the earlier course is kept.\n\nA trace with a violation opens at the violation, anything else at its first step. A violation that your own state machine or check found is shown at the recorded step; --machine MODULE runs them again: a module, of JavaScript or TypeScript, that exports `machine`, as replicate takes it, and `invariant`; --check MODULE is for checks of any kind. Commands, results and states are then shown as you describe them, and `propose n1 {…}` accepts a command as JSON. On a terminal: arrows step, Home and End jump, Page Up and Down scroll, everything else is a command (help lists them; Tab completes, the up arrow recalls what begins as typed). In a pipe: one command a line.\n\nExit code 0 if every command was understood, 1 if not, 3 if the trace cannot be read.",
  ),
  Command.withExamples([
    { command: "stepraft debug", description: "three servers before their first election" },
    { command: "stepraft debug failing.ndjson", description: "what simulate saved, at the violation" },
    { command: "stepraft debug world.ndjson --check ./my-checks.ts", description: "what your own checks found" },
    {
      command: "stepraft debug world.ndjson --machine ./machine.ts",
      description: "your own state machine, at the command that broke its invariant",
    },
    { command: "stepraft debug -c 'continue leader; show n1; messages'", description: "for scripts" },
  ]),
)
