/**
 * Searches the spaces of spec/explore completely, each in its own thread, and prints the figures. A violation is
 * reported as the shortest history that was found for it, and saved as a scenario, with the command that opens it.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { isMainThread, parentPort, Worker } from "node:worker_threads"
import {
  describeSteps,
  explore,
  spaces,
  toScenario,
  type Counterexample,
  type Explored,
  type SearchProgress,
  type Space,
} from "../spec/explore/index.ts"
import { scenarioText } from "../interpreters/simulation/index.ts"
import { readOptions } from "./options.ts"

interface Job {
  readonly space: string
  readonly seconds: number
  readonly breadth: boolean
}
interface Done {
  readonly explored: Explored
  /** The shortest that was found. */
  readonly counterexample: Counterexample | null
  /** Seconds of CPU time: on a busy machine others take longer. */
  readonly cpu: number
  /** Of this thread alone. */
  readonly megabytes: number
}
type Told = { readonly progress: SearchProgress } | { readonly done: Done }

const all: Readonly<Record<string, Space>> = spaces
const spaceOf = (name: string): Space => {
  const space = all[name]
  if (space === undefined) throw new Error(`no space ${name}; there are ${Object.keys(all).join(", ")}`)
  return space
}

// ----------------------------------------------------------------------------------------------- a thread

/** Linux counts the CPU time of a thread in hundredths of a second; elsewhere the clock must do. */
const cpuSeconds = (): number => {
  try {
    const fields = readFileSync("/proc/thread-self/stat", "utf8").split(") ")[1]?.split(" ") ?? []
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    return performance.now() / 1000
  }
}

const search = ({ space, seconds, breadth }: Job, tell: (told: Told) => void): Done => {
  const onProgress = (progress: SearchProgress): void => tell({ progress })
  const before = cpuSeconds()
  const explored = explore(spaceOf(space), { maxSeconds: seconds, shortest: breadth, onProgress })
  const cpu = cpuSeconds() - before
  const { heapUsed, external } = process.memoryUsage()
  const { counterexample } = explored
  // A short history is found breadth first at once; for a long one, which was shrunk already, that would take too long.
  const again =
    counterexample === null || breadth ? null : explore(spaceOf(space), { maxSeconds: 10, shortest: true, onProgress })
  const shorter = again?.counterexample ?? counterexample
  return {
    explored,
    counterexample:
      shorter !== null && counterexample !== null && shorter.steps.length < counterexample.steps.length
        ? shorter
        : counterexample,
    cpu,
    megabytes: (heapUsed + external) / 1e6,
  }
}

// ------------------------------------------------------------------------------------------ the main thread

const thousands = (n: number): string => Math.round(n).toLocaleString("en-US")

const startWorker = (): Worker => {
  const file = JSON.stringify(import.meta.url)
  return new Worker(`import("tsx/esm/api").then(({ register }) => { register(); return import(${file}) })`, {
    eval: true,
  })
}

const tell = ({ explored: { space: name }, counterexample }: Done, folder: string): void => {
  if (counterexample === null) return
  const space = spaceOf(name)
  const world = toScenario(space, counterexample)
  console.log(
    JSON.stringify({
      failed: counterexample.name,
      detail: `${name}, ${counterexample.steps.length} steps: ${counterexample.detail}`,
    }),
  )
  if (world === null)
    console.log(
      `npx tsx test/explore.ts ${name}\nThe simulated world has no way to do the same: what follows is all there is.`,
    )
  else {
    const { script, failed, like } = world
    const file = join(folder, `explore-${name}-${counterexample.name}.ndjson`)
    writeFileSync(file, scenarioText(script, { violation: { name: failed.violation, at: failed.at } }))
    console.log(`npx tsx kv/cli.ts debug ${file}`)
    if (like === "earlier")
      console.log(`There ${failed.violation} is broken first, on the way to ${counterexample.name}.`)
    if (like === "other")
      console.log(`There it is ${failed.violation} that is broken; ${counterexample.name} does not show.`)
  }
  for (const line of describeSteps(space, counterexample.steps)) console.log(line)
}

const header =
  "| space | | combinations of servers | states | looked at | transitions | effective | depth | seconds | CPU s | transitions per CPU s | MB | server states | messages | reducer runs |"
const row = ({ explored: r, cpu, megabytes }: Done): string =>
  `| ${[r.space, r.closed ? "closed" : r.counterexample === null ? "not closed" : r.counterexample.name, thousands(r.combinations), thousands(r.states), thousands(r.expanded), thousands(r.transitions), thousands(r.effective), r.depth, r.seconds.toFixed(1), cpu.toFixed(1), thousands(r.transitions / Math.max(cpu, 0.01)), thousands(megabytes), thousands(r.serverStates), thousands(r.messages), thousands(r.reducerRuns)].join(" | ")} |`

/** Searches several spaces at once; a thread takes the next space when it has finished one, in a new isolate. */
const searchAll = (
  jobs: readonly string[],
  workers: number,
  jobFor: (space: string, left: number) => Job | null,
  done: (done: Done) => void,
): Promise<void> => {
  const queue = [...jobs]
  const next = (): Promise<void> => {
    const space = queue.shift()
    const job = space === undefined ? null : jobFor(space, queue.length + 1)
    if (job === null) return Promise.resolve()
    return new Promise<void>((resolve, reject) => {
      const worker = startWorker()
      worker.once("error", reject)
      worker.on("message", (told: Told) => {
        if ("progress" in told) {
          const { states, transitions, depth, level, queue: waiting, seconds } = told.progress
          process.stderr.write(
            `${job.space}: ${thousands(states)} states, ${thousands(transitions)} transitions, depth ${depth}, level ${level}, ${thousands(waiting)} to look at, ${thousands(states / seconds)} states/s\n`,
          )
          return
        }
        done(told.done)
        worker.terminate().then(() => resolve(), reject)
      })
      worker.postMessage(job, [])
    }).then(next)
  }
  return Promise.all(Array.from({ length: workers }, next)).then(() => {})
}

const usage = `npm run explore -- [space …] [options]

Searches spaces whole: every order of events that each allows, over the shipped reducer.

  --seconds N     for all of them together (default: 900 for each)
  --workers N     threads (default: one for each core)
  --breadth       breadth first from the start: slower, but what is found first is shortest
  --save FOLDER   for the scenarios of what is found (default: here)

Ends with exit code 1 if a rule is broken; a space that did not close within its time is named as such. The spaces:
${Object.values(all)
  .map(({ name, about }) => `  ${name.padEnd(18)}${about}`)
  .join("\n")}
`

const main = async (): Promise<void> => {
  const { values, positionals, complain, number } = readOptions(
    usage,
    {
      seconds: { type: "string" },
      workers: { type: "string" },
      breadth: { type: "boolean", default: false },
      save: { type: "string", default: "." },
    },
    "spaces",
  )
  const stranger = positionals.find((name) => all[name] === undefined)
  if (stranger !== undefined) complain(`there is no space ${stranger}`)
  const chosen = positionals.length === 0 ? Object.keys(all) : positionals.map((name) => spaceOf(name).name)
  const workers = Math.min(chosen.length, values.workers === undefined ? availableParallelism() : number("workers", 1))
  const budget = values.seconds === undefined ? null : number("seconds", 1)
  const found = new Map<string, Done>()
  const share = (left: number): number => {
    if (budget === null) return 900
    const rest = budget - performance.now() / 1000
    // Time that one space does not use is for the later ones.
    return Math.min(rest, (rest * workers) / left)
  }
  const jobFor = (space: string, left: number): Job | null => {
    const seconds = share(left)
    return seconds <= 0 ? null : { space, seconds, breadth: values.breadth }
  }
  await searchAll(chosen, workers, jobFor, (done) => {
    found.set(done.explored.space, done)
    if (done.counterexample === null) return
    process.exitCode = 1
    tell(done, values.save)
  })
  const rows = chosen.flatMap((name) => found.get(name) ?? [])
  console.log(`${header}\n|${" --- |".repeat(15)}`)
  for (const done of rows) console.log(row(done))
  for (const {
    explored: { space, notReached },
  } of rows)
    console.log(`\n${space} (${all[space]?.about}) never used ${notReached.length} rules: ${notReached.join(", ")}`)
  const everywhere = rows.map(({ explored }) => new Set<string>(explored.notReached))
  const nowhere = rows[0]?.explored.notReached.filter((rule) => everywhere.every((rules) => rules.has(rule))) ?? []
  console.log(`\nUsed in no space: ${nowhere.join(", ")}`)
}

const port = parentPort
if (isMainThread || port === null) await main()
else
  port.once("message", (job: Job) =>
    port.postMessage({ done: search(job, (told) => port.postMessage(told, [])) } satisfies Told, []),
  )
