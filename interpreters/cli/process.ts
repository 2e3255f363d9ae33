/** How a command runs and ends: what it may fail with, its exit code, and what a signal does. */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"

/** A command that could not do what it was asked to do: one line for the user, and the exit code. */
export class Failure extends Data.TaggedError("Failure")<{ readonly message: string; readonly code: number }> {}
export const failure = (message: string, code: number = exitCodes.failed): Failure => new Failure({ message, code })

/** `lasting`: a node stopped for a reason that a restart does not remove. */
export const exitCodes = { fine: 0, failed: 1, usage: 2, lasting: 3, interrupted: 130 } as const

/** Runs plain asynchronous code. Expected errors (a Failure, or a named error of the client) are shown in one line. */
export const attempt = <A>(work: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, Failure> =>
  Effect.tryPromise({
    try: work,
    catch: (error) => (error instanceof Failure ? error : expected(error) ? failure(error.message) : error),
  }).pipe(Effect.catch((error) => (error instanceof Failure ? Effect.fail(error) : Effect.die(error))))

/** The same for work that must be allowed to finish after a stop: its signal is aborted, and its end awaited. */
export const attemptToTheEnd = <A>(work: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, Failure> =>
  Effect.suspend(() => {
    const told = new AbortController()
    mayTake(15_000)
    const running = work(told.signal)
    return attempt(() => running).pipe(
      Effect.onInterrupt(() =>
        Effect.promise(() => {
          told.abort()
          return running.then(
            () => {},
            () => {},
          )
        }),
      ),
    )
  })

/**
 * True for the named errors of the client, and for errors of the system (a port in use, a missing file). Node's own
 * codes (ERR_…) stand for mistakes in this program.
 */
const expected = (error: unknown): error is Error =>
  error instanceof Error &&
  (Object.hasOwn(error, "_tag") || ("code" in error && !String(error.code).startsWith("ERR_")))

/** For a long-running command: to be stopped is no failure, and a closed output no reason to stop. */
let daemon = false
export const asDaemon = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    daemon = true
    return work
  })
const interruptedCode = (): number => (daemon ? exitCodes.fine : exitCodes.interrupted)

/**
 * How many milliseconds the work may take to finish after a stop. null: the work has not asked for any, so it can be
 * ended at once.
 */
let patience: number | null = null
export const mayTake = (millis: number): void => {
  patience = millis
}
const leastPatience = 1_000

/** Standard output, or standard error. */
export interface StandardStream {
  readonly write: (text: string | Uint8Array, then: () => void) => unknown
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}
export const write = (out: StandardStream, text: string | Uint8Array): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    out.write(text, () => resume(Effect.void))
  })

/**
 * A second signal means "stop now". But one keystroke can arrive twice (from the terminal and from a wrapper that
 * relays it), so a signal within this time is not a second one.
 */
const sameSignalMs = 500

const dying = new Set<() => void>()
/** Called if a signal ends the program at once, without its finalizers. Returns the function that unregisters it. */
export const whenDying = (run: () => void): (() => void) => {
  dying.add(run)
  return () => void dying.delete(run)
}
/**
 * Ends the program as if it had no handler for this signal. `process.exit` would wait for a thread that waits for a
 * disk; this does not.
 */
const dieOf = (signal: NodeJS.Signals): void => {
  for (const run of dying) run()
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
}
const waitsForFiles = (): boolean => process.getActiveResourcesInfo().some((name) => name.startsWith("FSReq"))
const exitUnlessStuck = (code: number, signal: NodeJS.Signals | null, looks = 50): void => {
  if (signal === null || !waitsForFiles()) process.exit(code)
  if (looks === 0) dieOf(signal)
  else setTimeout(() => exitUnlessStuck(code, signal, looks - 1), 10)
}

const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  let first = 0
  let told: NodeJS.Signals | null = null
  const onSignal = (signal: NodeJS.Signals): void => {
    const now = performance.now()
    if (told !== null) return now - first > sameSignalMs ? dieOf(signal) : undefined
    first = now
    told = signal
    fiber.interruptUnsafe()
    // Whatever hangs, a start-up or a disk: it must not be able to prevent the end.
    setTimeout(() => {
      if (patience !== null)
        process.stderr.write(
          `stepraft: did not finish within ${patience / 1_000} s after ${signal}, so it was ended. What was acknowledged is on disk.\n`,
        )
      dieOf(signal)
    }, patience ?? leastPatience)
  }
  process.on("SIGINT", onSignal)
  process.on("SIGTERM", onSignal)
  process.on("SIGHUP", onSignal)
  fiber.addObserver((exit) => teardown(exit, (code) => exitUnlessStuck(code, told)))
})

/** `isUsage`: of an error that was reported already, whether the command line was wrong. */
export const runProgram = <E>(
  program: Effect.Effect<void, E | Failure>,
  isUsage: (error: unknown) => boolean = () => false,
): void => {
  // A reader that has read enough (head, less) is no error. Only a command that produces output for it ends; a daemon
  // goes on.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (!daemon) process.exit(error.code === "EPIPE" ? exitCodes.fine : exitCodes.failed)
  })
  process.stderr.on("error", () => {})
  const reported = program.pipe(
    Effect.tapError((error) =>
      error instanceof Failure && error.message !== ""
        ? write(process.stderr, `stepraft: ${error.message}\n`)
        : Effect.void,
    ),
  )
  runMain(reported, {
    disableErrorReporting: true,
    teardown: (exit, onExit) => {
      if (Exit.isSuccess(exit)) return onExit(exitCodes.fine)
      const reasons = exit.cause.reasons
      const failed = reasons.find(Cause.isFailReason)?.error
      if (failed instanceof Failure) return onExit(failed.code)
      if (isUsage(failed)) return onExit(exitCodes.usage)
      const died = reasons.find(Cause.isDieReason)
      if (died === undefined && failed === undefined) return onExit(interruptedCode())
      const cause: unknown = died === undefined ? failed : died.defect
      process.stderr.write(`stepraft: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}\n`)
      onExit(exitCodes.failed)
    },
  })
}
