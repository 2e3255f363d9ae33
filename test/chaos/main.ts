/**
 * Real processes under faults, with a verdict: kill -9, SIGSTOP, partitions and slow links by a plan made from a seed,
 * random operations of many clients, and at the end a check that all answers fit together.
 *
 * Exit code 0: no violation; 1: a violation, by name; 2: the run itself did not finish.
 */
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { readOptions } from "../options.ts"
import type { Lie } from "./clients.ts"
import { describeFault, describeStep, makePlan } from "./plan.ts"
import { reportOf } from "./report.ts"
import { runChaos, type Progress } from "./run.ts"

const usage = `npm run chaos -- [options]
  --seed S        of the plan and of the operations (default: from the clock)
  --minutes M     of faults (default: 5)
  --nodes N       processes (default: 3)
  --clients C     half of them with sessions, half plain connections (default: 8)
  --keys K        used at a time (default: 12)
  --members       members are replaced, removed and added, and logs are damaged, meanwhile
  --pause MS      between two operations of one client (default: 10)
  --out DIR       for the history and the nodes' logs (default: a new temporary folder)
  --program FILE  another build of dist/kv/cli.js
  --lie NAME      to see it fail: local-reads (recorded as linearizable), resend (writes of unknown outcome, recorded as one)
  --plan          print the plan and end
`
const { values, complain, number } = readOptions(usage, {
  seed: { type: "string" },
  minutes: { type: "string", default: "5" },
  nodes: { type: "string", default: "3" },
  clients: { type: "string", default: "8" },
  keys: { type: "string", default: "12" },
  pause: { type: "string", default: "10" },
  out: { type: "string" },
  program: { type: "string" },
  lie: { type: "string" },
  plan: { type: "boolean", default: false },
  members: { type: "boolean", default: false },
})
const lies: readonly Lie[] = ["local-reads", "resend"]
const lie =
  values.lie === undefined
    ? null
    : (lies.find((one) => one === values.lie) ?? complain(`--lie ${values.lie}: there are ${lies.join(" and ")}`))
const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed)
if (!Number.isInteger(seed)) complain(`--seed ${values.seed}: a whole number is needed`)
const minutes = number("minutes", 0.1)
const nodes = number("nodes", 2)
const ids = Array.from({ length: nodes }, (_, i) => `n${i + 1}`)
const plan = makePlan({ seed, ids, ms: minutes * 60_000, members: values.members })

console.log(
  `seed ${seed}: ${nodes} nodes, ${plan.length} faults in ${minutes} min\n${plan.map(describeStep).join("\n")}\n`,
)
if (values.plan) process.exit(0)
const out = values.out ?? mkdtempSync(join(tmpdir(), `stepraft-chaos-${seed}-`))

const terminal = process.stdout.isTTY
const clearLine = (): void => void (terminal && process.stdout.write("\r\x1b[K"))
const clock = (ms: number): string =>
  `${Math.floor(ms / 60_000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, "0")}`
let lastLine = ""
let seconds = 0
const progress = ({ ms, counts: { ok, fail, info }, rate, active }: Progress): void => {
  const faults = active
    .map(({ step, targets }) => `${step.number} ${describeFault(step.fault)} [${targets.join(", ")}]`)
    .join(" + ")
  const line = `${clock(ms)}  ${ok} ok, ${fail} failed, ${info} unknown; ${rate}/s  ${faults === "" ? "calm" : faults}`
  seconds++
  if (terminal) process.stdout.write(`\r\x1b[K${line.slice(0, (process.stdout.columns || 120) - 1)}`)
  // In a pipe: only news, and a line now and then.
  else if (faults !== lastLine || seconds % 10 === 0) console.log(line)
  lastLine = faults
}

// Whatever hangs, this ends the process, and its children with it.
const limit = minutes * 60_000 + 6 * 60_000
setTimeout(() => {
  clearLine()
  console.error(`the run has not ended within ${clock(limit)}: given up. The history so far is in ${out}.`)
  process.exit(2)
}, limit).unref()

try {
  const report = await runChaos({
    seed,
    nodes,
    clients: number("clients", 1),
    plan,
    out,
    keys: number("keys", 1),
    pause: number("pause", 0),
    lie,
    ...(values.program === undefined ? {} : { program: values.program }),
    say: (text) => {
      clearLine()
      console.log(text)
    },
    progress,
  })
  clearLine()
  console.log(
    reportOf(
      report,
      `npm run chaos -- --seed ${seed} --minutes ${minutes} --nodes ${nodes} --clients ${values.clients} --keys ${values.keys} --pause ${values.pause}${values.members ? " --members" : ""}${lie === null ? "" : ` --lie ${lie}`}`,
    ),
  )
  process.exit(report.violations.length === 0 ? 0 : 1)
} catch (error) {
  clearLine()
  console.error(
    `the run broke off: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\nWhat there is of it is in ${out}.`,
  )
  process.exit(2)
}
