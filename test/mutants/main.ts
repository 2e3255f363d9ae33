/** The kill matrix: seeds each known bug into a copy of the shipped code and looks which layers of the tests catch it. */
import { spawnSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { performance } from "node:perf_hooks"
import { fileURLToPath } from "node:url"
import { seeded } from "./all.ts"
import { readOptions } from "../options.ts"
import { layers, type Layer } from "./layers.ts"
import { applies, partsOf, type Mutant } from "./mutant.ts"
import { lookAt, report, survivors } from "./report.ts"
import { caught, loadResults, saveResults, type Cell } from "./results.ts"
import { killAll, runLayer, type Run } from "./run.ts"
import { fingerprint, makeSandbox, type Sandbox } from "./sandbox.ts"

const usage = `npm run mutants -- [options]                    the matrix, or what is left of it
npm run mutants -- --debug ID [options]         looks at one bug, in a copy that has it
npm run mutants -- --shrink [options]           shrinks what the random worlds found of every bug

  --only ID,…          these bugs (default: all)
  --layer NAME,…       these layers (default: all)
  --budget SECONDS     for each search in a layer (default: 20)
  --enough N           a bug that so many layers have caught is not shown to others (default: all layers)
  --workers N          at once (default: 2)
  --commit REF         not the working tree
  --out FOLDER         for the results (default: node_modules/.mutants)
  --fresh              start over; otherwise a run goes on where the last one about the same sources ended
  --keep               keep what is known about other sources, too
  --commands TEXT      with --debug: what to do in the step-through, such as "back; show n1"

The matrix ends with exit code 1 if a bug survives, and as matrix.md among the results. --debug takes a random world that
fails, shrinks it, saves it beside the results and opens it in the step-through at the violation; where a test failed, that
test is run.
`
const { values, complain, number } = readOptions(usage, {
  only: { type: "string" },
  layer: { type: "string" },
  budget: { type: "string", default: "20" },
  workers: { type: "string", default: "2" },
  enough: { type: "string", default: "100" },
  commit: { type: "string" },
  fresh: { type: "boolean", default: false },
  keep: { type: "boolean", default: false },
  out: { type: "string" },
  debug: { type: "string" },
  commands: { type: "string", short: "c" },
  shrink: { type: "boolean", default: false },
})
const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const out = values.out ?? join(repository, "node_modules/.mutants")
const file = join(out, "results.json")
const budget = number("budget", 1)
const enough = number("enough", 1)
const workers = number("workers", 1)
const chosen = (names: string | undefined, name: string): boolean =>
  names === undefined || names.split(",").includes(name)
const tell = (text: string): void => {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`)
}

/** Each of them is there. */
const checkNames = (what: string, names: string | undefined, known: readonly string[]): void => {
  const stranger = names?.split(",").find((name) => !known.includes(name))
  if (stranger !== undefined) complain(`there is no ${what} ${stranger} among ${known.join(", ")}`)
}
checkNames(
  "bug",
  values.only,
  seeded.map(({ id }) => id),
)
checkNames(
  "bug",
  values.debug,
  seeded.filter(applies).map(({ id }) => id),
)
checkNames(
  "layer",
  values.layer,
  layers.map(({ name }) => name),
)

const wanted = seeded.filter(applies).filter(({ id }) => chosen(values.only, id))
const mine = layers.filter(({ name }) => chosen(values.layer, name))
const isAbout = (layer: Layer, mutant: Mutant): boolean => {
  const parts = partsOf(mutant)
  return layer.about.some((part) => parts.has(part))
}

const sandboxes: Sandbox[] = []
const cleanUp = (): void => {
  killAll()
  for (const sandbox of sandboxes.splice(0)) sandbox.remove()
}
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    cleanUp()
    process.exit(130)
  })

const ABSENT: Cell = { verdict: "absent", seconds: 0, by: null, detail: "", reproduce: null }
const round = (seconds: number): number => Math.round(seconds * 10) / 10
const cellOf = (run: Run | null): Cell => {
  if (run === null) return ABSENT
  const [first] = run.failures
  const verdict = run.end === "over" ? "hung" : run.end === "failed" ? "killed" : "survived"
  const by = first?.name ?? (verdict === "killed" ? "it ended with an error" : null)
  return {
    verdict,
    seconds: round(run.seconds),
    by,
    detail: first?.detail ?? run.tail,
    reproduce: verdict === "killed" ? run.reproduce : null,
  }
}

/** What is known of a bug by the sources that it was sought in, old or not: a seed or a command may still do. */
const known = (id: string): Readonly<Record<string, Cell>> => loadResults(file, "", true).cells[id] ?? {}
const worldLayers = ["invariants", "refinement"] as const

/** The arguments of layers/debug.ts for one bug in one of the layers of random worlds. */
const debugArguments = (id: string, layer: string): readonly string[] => {
  const seed = /--seed (\d+)/.exec(known(id)[layer]?.reproduce ?? "")?.[1]
  return [
    "test/mutants/layers/debug.ts",
    "--trace",
    join(out, `${id}.${layer}.ndjson`),
    ...(layer === "refinement" ? ["--refine"] : []),
    ...(seed === undefined ? [] : ["--seed", seed]),
  ]
}
const runTsx = (
  root: string,
  args: readonly string[],
  quiet: boolean,
): { readonly code: number; readonly output: string } => {
  const { status, stdout } = spawnSync("node_modules/.bin/tsx", args, {
    cwd: root,
    stdio: ["inherit", quiet ? "pipe" : "inherit", "inherit"],
    encoding: "utf8",
  })
  return { code: status ?? 1, output: quiet ? stdout : "" }
}

const debug = (id: string): number => {
  const mutant = seeded.filter(applies).find((one) => one.id === id)
  if (mutant === undefined) return complain(`there is no bug ${id}`)
  mkdirSync(out, { recursive: true })
  const sandbox = makeSandbox(repository, values.commit ?? null)
  sandboxes.push(sandbox)
  sandbox.seed(mutant)
  const cells = known(id)
  const likely =
    worldLayers.find((name) => caught(cells[name])) ??
    mine.find(({ name }) => caught(cells[name]))?.name ??
    "invariants"
  const layer = values.layer ?? likely
  if (worldLayers.some((name) => name === layer))
    return runTsx(
      sandbox.root,
      [...debugArguments(id, layer), ...(values.commands === undefined ? [] : ["--commands", values.commands])],
      false,
    ).code
  const command =
    cells[layer]?.reproduce ??
    layers
      .find(({ name }) => name === layer)
      ?.command(sandbox.root, budget, [])
      ?.join(" ")
  if (command === undefined) {
    tell(`there is no layer ${layer} among ${layers.map(({ name }) => name).join(", ")}`)
    return 1
  }
  tell(`${sandbox.root}: ${command}`)
  return spawnSync("sh", ["-c", command], { cwd: sandbox.root, stdio: "inherit" }).status ?? 1
}

/** Sizes of what is left of failing worlds: a median of few events is what makes a failure readable. */
const shrink = (): number => {
  mkdirSync(out, { recursive: true })
  const sandbox = makeSandbox(repository, values.commit ?? null)
  sandboxes.push(sandbox)
  const sizes: {
    readonly id: string
    readonly layer: string
    readonly actions: number
    readonly steps: number
    readonly seconds: number
  }[] = []
  for (const mutant of wanted)
    for (const { name } of mine) {
      if (!worldLayers.some((one) => one === name) || !caught(known(mutant.id)[name])) continue
      sandbox.seed(mutant)
      const { code, output } = runTsx(sandbox.root, [...debugArguments(mutant.id, name), "--save-only"], true)
      sandbox.mend(mutant)
      if (code !== 0) {
        tell(`${mutant.id} ${name}: it does not fail any more`)
        continue
      }
      const one = JSON.parse(output) as {
        readonly actions: number
        readonly steps: number
        readonly seconds: number
        readonly violation: string
      }
      sizes.push({ id: mutant.id, layer: name, ...one })
      tell(
        `${mutant.id} ${name}: ${one.violation}, ${one.actions} actions, ${one.steps} steps, in ${one.seconds} s; ${lookAt(mutant.id, name)}`,
      )
    }
  const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0
  writeFileSync(join(out, "shrunk.json"), `${JSON.stringify(sizes, null, 1)}\n`)
  console.log(
    `${sizes.length} shrunk; medians: ${median(sizes.map(({ actions }) => actions))} actions, ${median(sizes.map(({ steps }) => steps))} steps, ${median(sizes.map(({ seconds }) => seconds))} s`,
  )
  return 0
}

const main = async (): Promise<number> => {
  for (let i = 0; i < workers; i++) sandboxes.push(makeSandbox(repository, values.commit ?? null))
  const [one] = sandboxes
  if (one === undefined) return 1
  const sources = fingerprint(one.root)
  const results = values.fresh ? { sources, cells: {} } : loadResults(file, sources, values.keep)
  const { cells } = results

  // What fails on the shipped code says nothing about a bug, there or with a bug in it.
  const failing = new Map<string, ReadonlySet<string>>()
  const usual = new Map<string, number>()
  const usable: Layer[] = []
  for (const layer of mine.filter((one) => wanted.some((mutant) => isAbout(one, mutant)))) {
    const names = new Set<string>()
    const look = async (): Promise<Run | null> => {
      // A little further than with a bug in it.
      const far = 1.5 * budget
      const run = await runLayer(one.root, layer, far, layer.kind === "search" ? far + 15 : 180, names, false)
      const { size } = names
      for (const { name, detail, which } of run?.failures ?? []) {
        names.add(which)
        tell(`${layer.name} FAILS ON THE SHIPPED CODE: ${name}: ${detail} (${run?.reproduce})`)
      }
      // A search stops at the first.
      return layer.kind === "search" && names.size > size ? look() : run
    }
    const run = await look()
    if (run === null) tell(`${layer.name}: there is none here`)
    else if (run.end !== "passed" && run.failures.length === 0)
      tell(`${layer.name} IS OF NO USE, on the shipped code it ended so: ${run.end} ${run.tail}`)
    else {
      tell(`${layer.name}: ${run.end} in ${run.total.toFixed(1)} s`)
      failing.set(layer.name, names)
      usual.set(layer.name, run.total)
      usable.push(layer)
    }
  }

  const isOpen = (mutant: Mutant): boolean =>
    usable.some((layer) => isAbout(layer, mutant) && cells[mutant.id]?.[layer.name] === undefined)
  const queue = wanted.filter(isOpen)
  const open = queue.length
  if (open < wanted.length) tell(`${wanted.length - open} of ${wanted.length} are known already (${file})`)
  let done = 0
  const started = performance.now()
  const examine = async (sandbox: Sandbox, mutant: Mutant): Promise<void> => {
    const { id } = mutant
    cells[id] ??= {}
    const row = cells[id]
    sandbox.seed(mutant)
    try {
      for (const layer of usable) {
        if (!isAbout(layer, mutant) || row[layer.name] !== undefined) continue
        if (Object.values(row).filter(caught).length >= enough) break
        // Two run at once; the usual time was taken by one alone.
        const limit = layer.kind === "search" ? budget + 15 : Math.max(budget, 10 + 3 * (usual.get(layer.name) ?? 0))
        const cell = cellOf(
          await runLayer(sandbox.root, layer, budget, limit, failing.get(layer.name) ?? new Set(), true),
        )
        row[layer.name] = cell
        saveResults(file, results)
        tell(
          `  ${id} ${layer.name}: ${cell.verdict}${cell.by === null ? "" : ` in ${cell.seconds} s by ${cell.by}: ${lookAt(id, layer.name)}`}`,
        )
      }
    } finally {
      sandbox.mend(mutant)
    }
    done += 1
    const killed = wanted.filter((other) => Object.values(cells[other.id] ?? {}).some(caught)).length
    const left = ((performance.now() - started) / done) * (open - done)
    tell(
      `${wanted.length - open + done} of ${wanted.length} done, ${killed} killed; ${survivors([mutant], results).length === 0 ? "" : `${id} SURVIVES: ${mutant.title}; `}${Math.ceil(left / 60_000)} min left`,
    )
  }
  await Promise.all(
    sandboxes.map(async (sandbox) => {
      for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) await examine(sandbox, mutant)
    }),
  )
  const text = report(
    seeded.filter(({ id }) => chosen(values.only, id)),
    layers,
    results,
  )
  writeFileSync(join(out, "matrix.md"), text)
  console.log(text)
  const lost = survivors(wanted, results)
  for (const { id, title } of lost) tell(`SURVIVOR ${id}: ${title}`)
  return lost.length > 0 ? 1 : 0
}

try {
  process.exitCode = values.debug !== undefined ? debug(values.debug) : values.shrink ? shrink() : await main()
} finally {
  cleanUp()
}
