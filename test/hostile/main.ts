/**
 * Hostile but legal clients against three real nodes of 2 GB each, one scenario after the other, with polite clients
 * beside them whose history is checked.
 *
 * Exit code 0: the cluster held in every scenario; 1: it did not, and in which; 2: the run itself did not come to an end.
 */
import { writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { readOptions } from "../options.ts"
import { detailsOf, tableOf, verdictOf } from "./report.ts"
import { runScenario, type Result } from "./run.ts"
import { scenarios } from "./scenarios.ts"

const usage = `npm run hostile -- [options]
  --scenario NAME  only this one, or several with commas between (--list tells them)
  --seed S         of the random shapes (default: from the clock); it is told, so that a run can be repeated
  --minutes M      go on with random shapes of further seeds until so many minutes are over (default: every scenario once)
  --seconds S      of each attack (default: what the scenario needs, 10 mostly)
  --program FILE   another build of dist/kv/cli.js
  --list           the scenarios, and end
  -o json          the results as JSON, one a line, instead of the table

Each scenario starts three nodes of 2 GB each (a node that takes more is killed, as the system would), lets polite
clients work, attacks, and asks at the end:
  did every node run all the time, with no election?            did memory stay within 2 GB and within INFO's budget?
  is the polite clients' history linearizable, their p99 below 500 ms?     do all nodes come back after kill -9 and hold it?
After attacks of few entries all of them are executed again at that restart: what stalls a node once would stall it then.

verdicts   ok     all of that
           FAIL   something of it is not so: a fault of the store, told below the table
           late   only times are wrong
           busy   times are wrong, but they were before the attack, too, or this program itself was kept waiting: not judged
`
const { values, complain, number } = readOptions(usage, {
  scenario: { type: "string" },
  seed: { type: "string" },
  minutes: { type: "string" },
  seconds: { type: "string" },
  program: { type: "string" },
  list: { type: "boolean", default: false },
  o: { type: "string", short: "o" },
})
if (values.o !== undefined && values.o !== "json") complain(`-o ${values.o}: there is json`)
const json = values.o === "json"
if (values.list) {
  for (const { name, about } of scenarios) console.log(`${name.padEnd(18)} ${about}`)
  process.exit(0)
}
const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed)
if (!Number.isInteger(seed)) complain(`--seed ${values.seed}: a whole number is needed`)
const chosen =
  values.scenario === undefined
    ? scenarios
    : values.scenario
        .split(",")
        .map(
          (name) =>
            scenarios.find((one) => one.name === name) ??
            complain(`--scenario ${name}: there are ${scenarios.map((one) => one.name).join(", ")}`),
        )
const seconds = values.seconds === undefined ? null : number("seconds", 1)
const end = values.minutes === undefined ? 0 : performance.now() + number("minutes", 0.1) * 60_000

const say = (text: string): void => {
  if (!json) console.error(text)
}
const results: Result[] = []
const one = async (scenario: (typeof scenarios)[number], withSeed: number): Promise<void> => {
  const from = performance.now()
  const attempt = (): Promise<Result> =>
    runScenario(scenario, {
      seed: withSeed,
      ...(seconds === null ? {} : { seconds }),
      ...(values.program === undefined ? {} : { program: values.program }),
      say: (text) => say(`  ${((performance.now() - from) / 1000).toFixed(1)} s: ${text}`),
    })
  say(`${scenario.name} (seed ${withSeed}): ${scenario.about}`)
  let result = await attempt()
  if (verdictOf(result) === "busy") {
    say("  the machine was busy: once more")
    result = await attempt()
  }
  results.push(result)
  if (json) console.log(JSON.stringify({ verdict: verdictOf(result), ...result, logs: undefined }))
  else say(`  ${verdictOf(result)}\n${detailsOf(result)}`)
  if (result.logs !== "") {
    const file = join(tmpdir(), `stepraft-hostile-${scenario.name}-${withSeed}.log`)
    writeFileSync(file, result.logs)
    say(`  what the nodes said: ${file}`)
  }
}
try {
  for (const scenario of chosen) await one(scenario, seed)
  const random = chosen.filter(({ random }) => random === true)
  for (let more = 1; performance.now() < end && random.length > 0; more++)
    for (const scenario of random) if (performance.now() < end) await one(scenario, seed + more)
} catch (error) {
  console.error(`the run broke off: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  process.exit(2)
}
const bad = results.filter((result) => verdictOf(result) === "FAIL" || verdictOf(result) === "late")
if (!json)
  console.log(
    `\n${tableOf(results)}\n\n${bad.length === 0 ? "✓ the cluster held" : `✗ ${bad.length} of ${results.length}: ${bad.map(({ name, seed: of }) => `npm run hostile -- --scenario ${name} --seed ${of}`).join("\n  ")}`}`,
  )
process.exit(bad.length === 0 ? 0 : 1)
