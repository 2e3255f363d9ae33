/**
 * `stepraft simulate`: random worlds on all cores, with every invariant at every step, and failures as short scripts.
 */
import { closeSync, mkdtempSync, openSync, rmdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { rules, type Rule } from "../../core/index.ts"
import { actionText, stepLines } from "../../interpreters/debugger/index.ts"
import { actionLine, hashLine, headerLine, violationLine } from "../../interpreters/simulation/index.ts"
import { checkScript, generateScript, debugCommandLine, saveFailure, type Profile } from "../index.ts"
import { makeFolders } from "../../interpreters/cli/folders.ts"
import { exitCodes, type Failure, failure } from "../../interpreters/cli/runtime.ts"
import type { SeedFailure, SeedJob, SeedResult } from "./seed.ts"
import { runHere, runThreads, type Simulated } from "./threads.ts"
import { grouped, paintFor, type Paint } from "../../interpreters/cli/paint.ts"

/** Bad input: what was asked for cannot be done. */
const BAD_INPUT = 3
const cannot = (what: string, error: unknown, advice: string): Failure =>
  failure(`${what}: ${error instanceof Error ? error.message : String(error)}; ${advice}`, BAD_INPUT)

export interface SimulateOptions {
  readonly seed: number
  /** The number of seeds; null: until the minutes are over. */
  readonly seeds: number | null
  readonly minutes: number | null
  readonly actions: number
  readonly nodes: number
  readonly profile: Profile
  /** The number of threads; 1: only this thread. */
  readonly workers: number
  readonly refine: boolean
  /** The number of clients of the service in each world; 0: none. */
  readonly clients: number
  readonly trace: string | null
  /** Folder for scripts of what failed. */
  readonly save: string
  readonly output: "table" | "json"
}
/** One failed seed as it is reported; with -o json under these names. */
export interface SimulateFailure extends Omit<SeedFailure, "lived"> {
  readonly seed: number
  /** The file of its script, or null: another failure of its kind was saved. */
  readonly file: string | null
  readonly look: string | null
  /** The command that checks the saved history of the clients; null: there is none. */
  readonly judge: string | null
  readonly repeat: string
}
export interface SimulateResult {
  readonly profile: Profile
  readonly nodes: number
  readonly seeds: number
  readonly steps: number
  readonly simulatedSeconds: number
  readonly seconds: number
  readonly stepsPerSecond: number
  readonly timesRealTime: number
  /** How often each rule of the algorithm was used. */
  readonly rules: Readonly<Record<string, number>>
  readonly neverUsed: readonly string[]
  readonly failures: readonly SimulateFailure[]
}

interface Tally {
  seeds: number
  steps: number
  ms: number
  readonly rules: Map<Rule, number>
  readonly failures: SimulateFailure[]
}

const count = (tally: Tally, { steps, ms, rules: used }: SeedResult): void => {
  tally.seeds += 1
  tally.steps += steps
  tally.ms += ms
  for (const [rule, times] of used) tally.rules.set(rule, (tally.rules.get(rule) ?? 0) + times)
}
const ALL_RULES = Object.keys(rules) as readonly Rule[]
/** A rule that stands for something that must never happen need not be used. */
const MUST_NEVER: ReadonlySet<string> = new Set([
  "halt.twoLeaders",
  "halt.committedConflict",
  "halt.logsDiverged",
  "append.chainBroken",
  "progress.diverged",
  "term.outOfDomain",
  "election.exhausted",
])
const neverUsed = ({ rules: used }: Tally): readonly Rule[] =>
  ALL_RULES.filter((rule) => !used.has(rule) && !MUST_NEVER.has(rule))

const repeatOf = ({ profile, nodes, actions, refine, clients }: SimulateOptions, seed: number): string =>
  `npx stepraft simulate --seed ${seed} --profile ${profile} --nodes ${nodes}${actions === defaultActions ? "" : ` --steps ${actions}`}${refine ? " --refine" : ""}${clients === 0 ? "" : ` --clients ${clients}`}`
export const defaultActions = 60

const quoted = (path: string): string =>
  /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`

export const saveSeedFailure = (
  options: SimulateOptions,
  seed: number,
  { lived, ...failed }: SeedFailure,
): SimulateFailure => {
  const repeat = repeatOf(options, seed)
  if (failed.shrunk === null) return { ...failed, seed, file: null, look: null, judge: null, repeat }
  const path = join(options.save, `simulate-${options.profile}-${options.nodes}-${seed}`)
  const file = `${path}.ndjson`
  try {
    saveFailure(lived, failed, { file, own: options.clients > 0 })
    if (lived.history !== null) writeFileSync(`${path}.history.jsonl`, lived.history)
  } catch (error) {
    throw cannot(
      `seed ${seed} violated ${failed.violation}, and its script cannot be written`,
      error,
      `choose another folder with --save and repeat it: ${repeat}`,
    )
  }
  const judge =
    lived.history === null ? null : `npx stepraft check-history ${quoted(`${path}.history.jsonl`)} --model kv`
  return { ...failed, seed, file, look: debugCommandLine(file), judge, repeat }
}

const optionLines = ({ options }: SeedFailure["script"]): readonly string[] => {
  const { settings = {}, ...world } = options
  const text = (part: Readonly<Record<string, unknown>>): string =>
    Object.entries(part)
      .map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`)
      .join(" ")
  return [`world ${text(world)}`, ...(Object.keys(settings).length === 0 ? [] : [`settings ${text(settings)}`])]
}

export const failureText = (failed: SimulateFailure, paint: Paint): string => {
  const { seed, message, from, shrunk, script, file, look, judge, repeat } = failed
  const [first = "", ...more] = message.split("\n")
  const head = `${paint.red(`seed ${seed}`)}: ${paint.bold(first)}`
  if (shrunk === null || file === null || look === null) return `${head}\n  repeat it   ${repeat}\n`
  const size = `${grouped(shrunk.actions)} actions, ${grouped(shrunk.steps)} steps; made as ${grouped(from.actions)} actions, ${grouped(from.steps)} steps; shrunk in ${shrunk.seconds.toFixed(1)} s`
  const width = String(script.actions.length).length
  return [
    head,
    ...more.map((line) => paint.dim(line)),
    `  ${size}`,
    ...optionLines(script).map((line) => `  ${paint.dim(line)}`),
    ...script.actions.map((action, i) => `  ${paint.dim(String(i + 1).padStart(width))}  ${actionText(action)}`),
    `  saved as    ${file}`,
    `  look at it  ${look}`,
    ...(judge === null ? [] : [`  judge it    ${judge}`]),
    `  repeat it   ${repeat}`,
    "",
  ].join("\n")
}

/** On a terminal the line is redrawn; in a pipe there is one line a minute. */
const makeProgress = (tally: Tally, started: number): { readonly clear: () => void; readonly stop: () => void } => {
  const out = process.stderr
  const line = (): string => {
    const seconds = (performance.now() - started) / 1000
    const used = ALL_RULES.length - MUST_NEVER.size - neverUsed(tally).length
    return `${grouped(tally.seeds)} seeds · ${grouped(tally.steps / seconds)} steps/s · ${grouped(tally.ms / 1000 / seconds)} × real time · ${used} of ${ALL_RULES.length - MUST_NEVER.size} rules · ${tally.failures.length} failed`
  }
  const clear = (): void => void (out.isTTY && out.write("\r\x1b[K"))
  const timer = setInterval(
    () => void (out.isTTY ? out.write(`\r\x1b[K${line()}`) : out.write(`${line()}\n`)),
    out.isTTY ? 250 : 60_000,
  )
  return {
    clear,
    stop: () => {
      clearInterval(timer)
      clear()
    },
  }
}

// ------------------------------------------------------------------------------------------------- results

const resultOf = ({ profile, nodes }: SimulateOptions, tally: Tally, seconds: number): SimulateResult => ({
  profile,
  nodes,
  seeds: tally.seeds,
  steps: tally.steps,
  simulatedSeconds: Math.round(tally.ms / 1000),
  seconds,
  stepsPerSecond: Math.round(tally.steps / seconds),
  timesRealTime: Math.round(tally.ms / 1000 / seconds),
  rules: Object.fromEntries(tally.rules),
  neverUsed: neverUsed(tally),
  failures: tally.failures,
})

const summary = (result: SimulateResult, paint: Paint): string => {
  const { profile, nodes, seeds, steps, seconds, stepsPerSecond, timesRealTime, neverUsed: never, failures } = result
  const kinds = new Set(failures.map(({ violation }) => violation))
  const verdict =
    failures.length === 0
      ? paint.green("no violation")
      : paint.red(`${failures.length} failed: ${[...kinds].join(", ")}`)
  return [
    `${profile}, ${nodes} nodes: ${grouped(seeds)} seeds, ${grouped(steps)} steps in ${seconds.toFixed(1)} s (${grouped(stepsPerSecond)} steps/s, ${grouped(timesRealTime)} × real time): ${verdict}`,
    never.length === 0 ? "Every rule of the algorithm was used." : `Rules never used: ${never.join(", ")}`,
    "",
  ].join("\n")
}

/** Writes every action, event and hash of one seed, as it happens. */
const writeTrace = (options: SimulateOptions, load: Simulated["load"], path: string): void => {
  const unwritable = (error: unknown): Failure =>
    cannot("the trace cannot be written", error, "name another file with --trace")
  const script = generateScript(options.seed, options.profile, { nodes: options.nodes, steps: options.actions })
  let file: number
  try {
    file = openSync(path, "w")
  } catch (error) {
    throw unwritable(error)
  }
  // Kept until the end, because checkScript would report an error thrown by a hook as a violation.
  let broken: Failure | null = null
  const write = (line: string): void => {
    if (broken !== null) return
    try {
      writeFileSync(file, `${line}\n`)
    } catch (error) {
      broken = unwritable(error)
    }
  }
  try {
    write(headerLine(script))
    const verdict = checkScript(script, {
      refinement: options.refine,
      ...(options.clients === 0 ? {} : { companions: load({ clients: options.clients }) }),
      acted: (action) => write(actionLine(action)),
      observe: (step) => stepLines(step).forEach(write),
      // A replay has no state machine of the service, so its hashes would differ.
      ...(options.clients === 0 ? { hashed: (i: number, hash: number) => write(hashLine({ i, hash })) } : {}),
    })
    if (!verdict.ok)
      write(
        violationLine({
          name: verdict.violation,
          at: verdict.at,
          message: verdict.message,
          ...(options.clients === 0 ? {} : { own: true }),
          ...(verdict.action < script.actions.length ? {} : { mended: script.actions.length }),
        }),
      )
    if (broken !== null) throw broken
  } finally {
    closeSync(file)
  }
}

/**
 * Done first: a failure that is found late in a long run must not be lost because a folder is missing or cannot be
 * written.
 */
const makeFolder = (path: string): void => {
  try {
    makeFolders(path)
    rmdirSync(mkdtempSync(join(path, ".simulate-")))
  } catch (error) {
    throw cannot("--save names no folder for the scripts of what fails", error, "name one that can be written to")
  }
}

export const simulate = async (
  options: SimulateOptions,
  service: Simulated,
  signal: AbortSignal,
): Promise<SimulateResult> => {
  const { seed, seeds, minutes, profile, nodes, actions, refine, clients, workers } = options
  if (options.trace !== null && seeds !== 1) throw failure("--trace writes one seed: name it with --seed", BAD_INPUT)
  makeFolder(options.save)
  if (options.trace !== null) writeTrace(options, service.load, options.trace)
  const started = performance.now()
  const end = minutes === null ? Number.POSITIVE_INFINITY : started + minutes * 60_000
  const tally: Tally = { seeds: 0, steps: 0, ms: 0, rules: new Map(), failures: [] }
  const progress = makeProgress(tally, started)
  const paint = paintFor(process.stdout)
  let next = seed
  try {
    const nextJob = (): SeedJob | null => {
      if ((seeds !== null && next >= seed + seeds) || performance.now() > end) return null
      return {
        seed: next++,
        profile,
        nodes,
        actions,
        refine,
        clients,
        known: tally.failures.map(({ violation }) => violation),
      }
    }
    const done = (result: SeedResult): void => {
      count(tally, result)
      if (result.failure === null) return
      const failed = saveSeedFailure(options, result.seed, result.failure)
      tally.failures.push(failed)
      progress.clear()
      if (options.output === "table") process.stdout.write(`${failureText(failed, paint)}\n`)
    }
    const threads = Math.min(workers, seeds ?? workers)
    await (threads > 1
      ? runThreads(service.thread, threads, nextJob, done, signal)
      : runHere(service.load, nextJob, done, signal))
  } finally {
    progress.stop()
  }
  const result = resultOf(options, tally, (performance.now() - started) / 1000)
  process.stdout.write(options.output === "json" ? `${JSON.stringify(result, null, 2)}\n` : summary(result, paint))
  if (options.trace !== null && options.output === "table")
    process.stdout.write(`Trace of seed ${seed}: ${options.trace}\n`)
  return result
}

/** As the command does it: fails with code 1 if anything was violated. */
export const simulateOrFail = async (
  options: SimulateOptions,
  service: Simulated,
  signal: AbortSignal,
): Promise<void> => {
  const { failures } = await simulate(options, service, signal)
  if (failures.length > 0) throw failure("", exitCodes.failed)
}
