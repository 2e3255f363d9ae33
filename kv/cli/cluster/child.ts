/**
 * One node as a child process. Its output goes to a log file and its end is reported. It is started again after a
 * pause, which grows as long as it keeps ending soon, unless its exit code says that a restart would not help.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { openLogFile } from "./log-file.ts"
import { exitCodes } from "../../../interpreters/cli/runtime.ts"

export interface ChildSettings {
  readonly id: string
  /** The arguments after `node`. The first start gets the flag that is needed only when the cluster is made. */
  readonly words: (first: boolean) => readonly string[]
  readonly logPath: string
  /** Called with warnings and errors of the child, and with its end. */
  readonly say: (line: string) => void
  readonly backoffMs?: readonly [least: number, most: number]
  readonly healthyMs?: number
  readonly graceMs?: number
}
export interface Child {
  readonly pid: () => number | null
  /** True if it ended for a reason that a restart would not remove; then it is not started again. */
  readonly givenUp: () => boolean
  /** Sends SIGTERM, and SIGKILL if that does not help. */
  readonly stop: () => Promise<void>
}

/** Warnings and errors in the two forms of a node's log, and the errors with which Node.js itself ends. */
const grave = /^\S+ (warn|error)\b|"level":"(warn|error)"|^(\w*Error|FATAL ERROR|stepraft)\b/
const mostShown = 500

/** Splits a stream into lines. An incomplete line waits for its end, up to a limit. */
const lines = (take: (line: string) => void): ((chunk: Buffer) => void) => {
  let rest = ""
  return (chunk) => {
    const parts = (rest + chunk.toString()).split("\n")
    rest = (parts.pop() ?? "").slice(-65_536)
    for (const line of parts) take(line)
  }
}

export const startChild = (settings: ChildSettings): Child => {
  const { id, say } = settings
  const [least, most] = settings.backoffMs ?? [250, 15_000]
  const log = openLogFile(settings.logPath, (problem) => say(`its log cannot be written: ${problem}`))
  let child: ChildProcess | null = null
  let pause = least
  let again: NodeJS.Timeout | null = null
  let stopping: (() => void) | null = null
  let lives = 0
  let givenUp = false

  const start = (): void => {
    again = null
    const started = performance.now()
    let last = ""
    let lastSaid = ""
    let shown = 0
    let told = false
    const take = (line: string): void => {
      log.append(`${line}\n`)
      if (line.trim() !== "") last = line
      if (stopping !== null || !grave.test(line) || shown++ >= mostShown) return
      lastSaid = line
      say(line)
    }
    // The child has its own process group: Ctrl-C reaches this process alone, which then stops the nodes in order. Its
    // standard input is a pipe to which nothing is written: the pipe ends when this process does, however that ends.
    const env: NodeJS.ProcessEnv = { ...process.env, UV_THREADPOOL_SIZE: "16", STEPRAFT_STOP_WITH_STDIN: "1" }
    delete env["NODE_OPTIONS"]
    const mine = spawn(process.execPath, settings.words(lives === 0), {
      stdio: ["pipe", "pipe", "pipe"],
      detached: process.platform !== "win32",
      env,
    })
    child = mine
    lives += 1
    mine.stdout.on("data", lines(take))
    mine.stderr.on("data", lines(take))
    mine.stdin.on("error", () => {})
    const ended = (how: string, code: number | null = null): void => {
      if (told) return
      told = true
      child = null
      log.append(`--- ${id} ended: ${how}\n`)
      if (stopping !== null) return stopping()
      if (performance.now() - started > (settings.healthyMs ?? 10_000)) pause = least
      const words = last === "" ? ", and said nothing" : last === lastSaid ? "" : `; its last line: ${last}`
      givenUp = code === exitCodes.usage || code === exitCodes.lasting
      if (givenUp)
        return say(
          `ended (${how})${words}. A restart would not help, so it is not started again; its log: ${settings.logPath}`,
        )
      say(
        `ended (${how})${words}. Starting it again in ${(pause / 1_000).toFixed(pause < 1_000 ? 2 : 0)} s; its log: ${settings.logPath}`,
      )
      again = setTimeout(start, pause)
      pause = Math.min(most, pause * 2)
    }
    mine.once("error", (error) => ended(error.message))
    mine.once("close", (code, signal) => ended(signal === null ? `exit code ${code ?? "?"}` : `signal ${signal}`, code))
  }
  start()

  return {
    pid: () => child?.pid ?? null,
    givenUp: () => givenUp,
    stop: () => {
      if (again !== null) clearTimeout(again)
      const mine = child
      if (mine === null) return Promise.resolve()
      return new Promise((resolve) => {
        const force = setTimeout(() => {
          say(`did not end within ${(settings.graceMs ?? 10_000) / 1_000} s of SIGTERM: killed`)
          mine.kill("SIGKILL")
        }, settings.graceMs ?? 10_000)
        stopping = () => {
          clearTimeout(force)
          resolve()
        }
        mine.kill("SIGTERM")
      })
    },
  }
}
