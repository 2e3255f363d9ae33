/** One layer over one copy: runs it, listens for what fails, and ends it when its time is up. */
import { spawn } from "node:child_process"
import { performance } from "node:perf_hooks"
import { createInterface } from "node:readline"
import type { Layer } from "./layers.ts"

export interface Failure {
  readonly name: string
  readonly detail: string
  /** By what it is known if the shipped code fails in the same way. */
  readonly which: string
}
export interface Run {
  /** over: a suite that did not end in its time. */
  readonly end: "passed" | "failed" | "over"
  /** Until the first failure, or all of it. */
  readonly seconds: number
  readonly total: number
  readonly failures: readonly Failure[]
  readonly reproduce: string | null
  /** The end of its output, if it failed without telling what. */
  readonly tail: string
}

const COMMAND = /^\s*((?:npx|npm|node) .+)$/
const running = new Set<number>()
/** Everything that was started here. */
export const killAll = (): void => {
  for (const pid of running) killGroup(pid)
}
const killGroup = (pid: number): void => {
  try {
    process.kill(-pid, "SIGKILL")
  } catch {
    // It ended just now.
  }
}

const failureIn = (line: string): Failure | null => {
  if (!line.startsWith('{"failed"')) return null
  const {
    failed,
    detail = "",
    case: which = failed,
  } = JSON.parse(line) as { readonly failed: string; readonly detail?: string; readonly case?: string }
  return { name: failed, detail: detail.split("\n")[0] ?? "", which }
}

/** From the first failure to the command behind it, which comes at once. */
const LAST_WORDS = 200

/** After `limit` seconds it is ended; with `first`, once something has failed. `known` failures do not count. */
export const runLayer = (
  root: string,
  layer: Layer,
  budget: number,
  limit: number,
  known: ReadonlySet<string>,
  first: boolean,
): Promise<Run | null> => {
  const command = layer.command(root, budget, [...known])
  const [program, ...args] = command ?? []
  if (program === undefined) return Promise.resolve(null)
  return new Promise((resolve, reject) => {
    const started = performance.now()
    const elapsed = (): number => (performance.now() - started) / 1000
    const failures: Failure[] = []
    let failedAt: number | null = null
    let reproduce: string | null = null
    let over = false
    let sawKnown = false
    const tail: string[] = []
    const child = spawn(program, args, {
      cwd: root,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    })
    const { pid } = child
    if (pid !== undefined) running.add(pid)
    const stop = (): void => {
      over = true
      if (pid !== undefined) killGroup(pid)
    }
    const timer = setTimeout(stop, limit * 1000)
    const listen = (line: string): void => {
      tail.push(line)
      if (tail.length > 20) tail.shift()
      const failure = failureIn(line)
      if (failure !== null) {
        if (known.has(failure.which)) sawKnown = true
        else {
          failures.push(failure)
          failedAt ??= elapsed()
          if (first) setTimeout(stop, LAST_WORDS)
        }
        return
      }
      const again = COMMAND.exec(line)?.[1]
      // Of the first failure.
      if (again !== undefined && failures.length <= 1) reproduce = again
    }
    createInterface({ input: child.stdout }).on("line", listen)
    createInterface({ input: child.stderr }).on("line", listen)
    child.once("error", reject)
    child.once("close", (code) => {
      clearTimeout(timer)
      if (pid !== undefined) running.delete(pid)
      const seconds = failedAt ?? elapsed()
      // What is known to fail may be why it ended so.
      const well = code === 0 || sawKnown
      const end =
        failures.length > 0
          ? "failed"
          : over
            ? layer.kind === "search"
              ? "passed"
              : "over"
            : well
              ? "passed"
              : "failed"
      resolve({
        end,
        seconds,
        total: elapsed(),
        failures,
        reproduce,
        tail: end === "failed" && failures.length === 0 ? tail.join("\n") : "",
      })
    })
  })
}
