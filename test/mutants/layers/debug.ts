/**
 * Finds a failing random world, shrinks its script, saves it, and opens it in the step-through at the violation, with
 * the checks that found it. --save-only: tells how short it became, and ends.
 * Usage: tsx test/mutants/layers/debug.ts --trace file [--refine] [--seed n] [--seconds n] [--save-only] [--commands "back; show n1"]
 */
import { parseArgs } from "node:util"
import {
  openSession,
  runLines,
  runPiped,
  runTerminal,
  writeScenario,
  type Face,
} from "../../../interpreters/debugger/index.ts"
import { checkerOf, checkScript, shrinkFailure, type ScriptFailed } from "../../../spec/index.ts"
import { checksOf, scriptOf } from "./worlds.ts"

const { values } = parseArgs({
  options: {
    trace: { type: "string", default: "mutant.ndjson" },
    refine: { type: "boolean", default: false },
    seed: { type: "string" },
    seconds: { type: "string", default: "60" },
    "save-only": { type: "boolean", default: false },
    commands: { type: "string", short: "c" },
  },
})
const { refine, trace } = values
const checks = checksOf(refine)

const search = (): { readonly seed: number; readonly failed: ScriptFailed } | null => {
  const only = values.seed === undefined ? null : Number(values.seed)
  const end = performance.now() + Number(values.seconds) * 1000
  for (let seed = only ?? 1; performance.now() < end; seed++) {
    const failed = checkScript(scriptOf(seed), checks)
    if (!failed.ok) return { seed, failed }
    if (only !== null) return null
  }
  return null
}

const found = search()
if (found === null) {
  console.error("no world fails")
  process.exitCode = 1
} else {
  const { seed, failed } = found
  const started = performance.now()
  const small = shrinkFailure(scriptOf(seed), failed, checks)
  const { script } = small
  const { violation, message, at, steps } = small.failed
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  writeScenario(trace, script, { violation: { name: violation, at, message } })
  const told = {
    violation,
    seed,
    actions: script.actions.length,
    steps,
    from: { actions: scriptOf(seed).actions.length, steps: failed.steps },
    seconds: Number(seconds),
    trace,
  }
  if (values["save-only"]) console.log(JSON.stringify(told))
  else {
    const session = openSession(script, { checker: () => checkerOf(checks) })
    session.finish()
    const shows =
      session.frame().violation !== null
        ? "it is violated here; back shows how it came to be"
        : "no single step shows it, this is the last one"
    const { stdin: input, stdout: output } = process
    const face: Face = {
      input,
      output,
      save: (path, now) => {
        writeScenario(path, now.script())
        return `saved as ${path}`
      },
    }
    if (values.commands === undefined && input.isTTY && output.isTTY)
      await runTerminal(session, { ...face, input, output })
    else {
      output.write(
        `${message}\nseed ${seed} of ${told.from.actions} actions and ${told.from.steps} steps, shrunk to ${told.actions} and ${steps} in ${seconds} s, saved as ${trace}\n${shows}\n\n`,
      )
      if (
        (values.commands === undefined
          ? await runPiped(session, face)
          : await runLines(session, values.commands.split(";"), face)) > 0
      )
        process.exitCode = 2
    }
  }
}
