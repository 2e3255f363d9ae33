/**
 * Everything that the command line uses from the unstable part of `effect` is in this file, with the services that it
 * requires.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Queue from "effect/Queue"
import * as Sink from "effect/Sink"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Terminal from "effect/Terminal"
import * as Argument from "effect/cli/Argument"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import { runProgram, write, type Failure, type StandardStream } from "./process.ts"

export {
  asDaemon,
  attempt,
  attemptToTheEnd,
  exitCodes,
  Failure,
  failure,
  mayTake,
  type StandardStream,
  whenDying,
} from "./process.ts"
export { Argument, Command, Flag }

const formatter = CliOutput.defaultFormatter({
  colors: process.stdout.isTTY && process.env["NO_COLOR"] === undefined,
  globalFlags: "summary",
})

/** Mistakes in a command line go to stderr as one line each and point to the help, instead of being buried under it. */
const presenter = (out: StandardStream, err: StandardStream) =>
  CliOutput.layerPresenter({
    present: (event) => {
      if ("version" in event) return write(out, `${event.name} ${event.version}\n`)
      if ("reason" in event)
        return write(event.reason === "Requested" ? out : err, `${formatter.formatHelpDoc(event.helpDoc)}\n`)
      const path = event.commandPath.join(" ")
      const lines = event.errors.map((error) => `${path}: ${formatter.formatCliError(error)}`)
      return write(err, `${lines.join("\n")}\n\nUsage: ${event.helpDoc.usage}\nRun ${path} --help for more.\n`)
    },
  })

/** The services that effect/cli asks for. File system, child processes and prompts are not used by our commands. */
export const services = (args: readonly string[], out: StandardStream, err: StandardStream) =>
  Layer.mergeAll(
    presenter(out, err),
    // Without the wizard (it needs interactive input) and without effect's log level flag (serve has its own, with
    // another meaning).
    CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] }),
    Path.layer,
    FileSystem.layerNoop({}),
    Layer.succeed(
      Stdio.Stdio,
      Stdio.make({
        args: Effect.succeed(args),
        stdoutIsTerminal: Effect.sync(() => out.isTTY === true),
        stdout: () => Sink.forEach((text: string | Uint8Array) => write(out, text)),
        stderr: () => Sink.forEach((text: string | Uint8Array) => write(err, text)),
        stdin: Stream.empty,
      }),
    ),
    Layer.succeed(
      Terminal.Terminal,
      Terminal.make({
        columns: Effect.sync(() => out.columns ?? 80),
        rows: Effect.sync(() => out.rows ?? 24),
        size: Queue.make<Terminal.Size, Cause.Done>(),
        readInput: Effect.die("no interactive input"),
        readLine: Effect.fail(new Terminal.QuitError({})),
        display: (text) => write(out, text),
      }),
    ),
    Layer.succeed(
      ChildProcessSpawner.ChildProcessSpawner,
      ChildProcessSpawner.make(() => Effect.die("no child processes")),
    ),
  )

export type Environment = Layer.Success<ReturnType<typeof services>>

/** The command line itself is wrong, and that was shown. */
export const isMisuse = (error: unknown): boolean => CliError.isCliError(error)

export const run = <E>(program: Effect.Effect<void, E | Failure | CliError.CliError, Environment>): void =>
  runProgram(program.pipe(Effect.provide(services(process.argv.slice(2), process.stdout, process.stderr))), isMisuse)
