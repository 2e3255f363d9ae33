/**
 * `stepraft lock`: runs a command while a lease is held, and no longer. `stepraft watch`: prints the value of a key
 * whenever it changes.
 */
import { spawn } from "node:child_process"
import { constants } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { exitCodes, failure, whenDying } from "../../../interpreters/cli/runtime.ts"
import { LeaseRefused, lock, type Lock } from "../../../interpreters/lease/index.ts"
import type { Client } from "../../client/client.ts"
import { NoLeader, TimedOut, TlsFailed, Unknown } from "../../client/errors.ts"
import { type DataOptions, printNow, withClient } from "./data.ts"

export interface LockOptions extends DataOptions {
  readonly name: string
  readonly words: readonly string[]
  readonly ttlMs: number
  /** null: wait as long as it takes. */
  readonly waitMs: number | null
}

/**
 * When a lease is lost, SIGTERM gets this part of its time, and at least as much again remains for SIGKILL before the
 * lease ends, however the cluster's clock runs: the holder relies on four fifths of the lease, and the cluster's clock
 * is at most a tenth faster.
 */
const LEFT = 0.05
/** How long a command may take to stop. */
const STOP_MS = 10_000
const LOOK_MS = 20

const take = async (client: Client, options: LockOptions, signal: AbortSignal): Promise<Lock> => {
  const { name, ttlMs, waitMs } = options
  const waiting = new AbortController()
  const end = (): void => waiting.abort()
  signal.addEventListener("abort", end)
  const timer = waitMs === null ? null : setTimeout(end, waitMs)
  try {
    return await lock(client, name, { ttl: ttlMs, signal: waiting.signal })
  } catch (error) {
    if (error instanceof LeaseRefused) throw failure(error.message)
    if (!waiting.signal.aborted) throw error
    throw failure(
      signal.aborted
        ? ""
        : `another holder has ${name}: it was not acquired within ${waitMs} ms, so the command was not run`,
    )
  } finally {
    if (timer !== null) clearTimeout(timer)
    signal.removeEventListener("abort", end)
  }
}

/** Succeeds with the command's exit code, as a shell reports it. */
const run = (held: Lock, { name, words, ttlMs }: LockOptions, signal: AbortSignal): Promise<number> =>
  new Promise((resolve, reject) => {
    const [command = "", ...rest] = words
    // The command runs in a process group of its own, so that it can be ended with everything that it has started. Such
    // a group may not read from a terminal.
    const child = spawn(command, rest, {
      detached: true,
      stdio: [process.stdin.isTTY ? "ignore" : "inherit", "inherit", "inherit"],
      env: { ...process.env, STEPRAFT_LOCK: name, STEPRAFT_LOCK_TOKEN: String(held.token) },
    })
    const tell = (how: NodeJS.Signals | 0): boolean => {
      if (child.pid === undefined) return false
      try {
        return process.kill(-child.pid, how)
      } catch {
        // The group has no process left.
        return false
      }
    }
    const isThere = (): boolean => tell(0)
    let last: NodeJS.Timeout | null = null
    let due = Infinity
    const kill = (): void => void tell("SIGKILL")
    // The earlier deadline counts: a lock may be lost while the command is already being stopped.
    const end = (patience: number) => (): void => {
      tell("SIGTERM")
      const at = performance.now() + patience
      if (at >= due) return
      due = at
      if (last !== null) clearTimeout(last)
      last = setTimeout(kill, patience)
    }
    const lost = end(ttlMs * LEFT)
    const stopped = end(STOP_MS)
    held.signal.addEventListener("abort", lost)
    signal.addEventListener("abort", stopped)
    // A second signal ends this program at once: then nothing would renew the lock for the command, so the command is
    // killed.
    const forget = whenDying(kill)
    const over = (): void => {
      if (last !== null) clearTimeout(last)
      forget()
      held.signal.removeEventListener("abort", lost)
      signal.removeEventListener("abort", stopped)
    }
    child.once("error", (error) => {
      over()
      reject(failure(`${command} cannot be run: ${error.message}`, exitCodes.usage))
    })
    child.once("exit", (code, how) => {
      // Processes that the command has started and left behind are stopped too, before the lock is released.
      if (isThere()) end(STOP_MS)()
      const look = (): void => {
        // In a container there may be no process that reaps ended ones, so this wait must have a limit.
        if (isThere() && performance.now() < due + 1000) return void setTimeout(look, LOOK_MS)
        over()
        resolve(code ?? 128 + (how === null ? 0 : constants.signals[how]))
      }
      look()
    })
    if (held.signal.aborted) lost()
    if (signal.aborted) stopped()
  })

export const runLocked = (options: LockOptions, signal: AbortSignal): Promise<void> =>
  withClient(options, async (client) => {
    const held = await take(client, options, signal)
    let code: number
    let why: unknown = null
    try {
      code = await run(held, options, signal)
    } finally {
      if (held.signal.aborted) why = held.signal.reason
      // A lock that cannot be released ends by itself.
      await held.release().catch((error: unknown) => (why ??= error))
    }
    if (why instanceof Error) throw failure(`the command has ended with exit code ${code}, and ${why.message}`)
    if (code !== exitCodes.fine) throw failure("", code)
  })

/** Errors that are over once the cluster is healthy again. */
const isOutage = (error: unknown): error is Error =>
  [NoLeader, TimedOut, TlsFailed, Unknown].some((kind) => error instanceof kind)

/**
 * The first read must succeed: otherwise it may be that no node was there at all. Later the watch continues after an
 * outage, and reports that changes in between were not seen.
 */
export const watchKey = (
  options: DataOptions & { readonly key: string; readonly intervalMs: number },
  signal: AbortSignal,
): Promise<void> =>
  withClient(options, async (client) => {
    let before: Uint8Array | null | undefined
    let outageSince: number | null = null
    const look = async (): Promise<void> => {
      const asked = performance.now()
      try {
        const now = await client.getBuffer(options.key)
        if (outageSince !== null) {
          const seconds = Math.max(1, Math.round((performance.now() - outageSince) / 1000))
          process.stderr.write(`stepraft: answered again after ${seconds} s; changes in between were not seen\n`)
        }
        outageSince = null
        if (before === undefined || !same(before, now)) printNow(now)
        before = now
      } catch (error) {
        if (before === undefined || !isOutage(error)) throw error
        if (outageSince === null) process.stderr.write(`stepraft: ${error.message}; still trying\n`)
        outageSince ??= asked
      }
    }
    while (!signal.aborted) {
      await look()
      await sleep(options.intervalMs, undefined, { signal }).catch(() => undefined)
    }
  })
const same = (a: Uint8Array | null, b: Uint8Array | null): boolean =>
  a === null || b === null ? a === b : Buffer.compare(a, b) === 0
