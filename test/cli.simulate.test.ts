/** `stepraft simulate`: what it prints, writes and answers. */
import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, test, vi } from "vitest"
import { readTrace, readTraceFile } from "../interpreters/debugger/index.ts"
import { fingerprint, makeWorld, World } from "../interpreters/simulation/index.ts"
import { simulated } from "../kv/cli/simulated.ts"
import { runSeed } from "../spec/cli/seed.ts"
import {
  failureText,
  saveSeedFailure,
  simulate as simulateWith,
  type SimulateFailure,
  type SimulateOptions,
} from "../spec/cli/simulate.ts"
import { paintFor } from "../interpreters/cli/paint.ts"
import { checkScript, generateScript } from "../spec/index.ts"
import { root } from "./cluster.ts"
import { turns } from "./waiting.ts"

const cleanups: (() => void)[] = []
afterEach(() => {
  vi.restoreAllMocks()
  for (const clean of cleanups.splice(0)) clean()
})
const folder = (): string => {
  const made = mkdtempSync(join(tmpdir(), "stepraft-simulate-"))
  cleanups.push(() => rmSync(made, { recursive: true, force: true }))
  return made
}
const options = (over: Partial<SimulateOptions> = {}): SimulateOptions => ({
  seed: 1,
  seeds: 3,
  minutes: null,
  actions: 20,
  nodes: 3,
  profile: "calm",
  workers: 1,
  refine: false,
  clients: 0,
  trace: null,
  save: folder(),
  output: "json",
  ...over,
})
const printed = (): (() => string) => {
  let text = ""
  vi.spyOn(process.stdout, "write").mockImplementation((part) => {
    text += String(part)
    return true
  })
  return () => text
}
/** As users run it: the emitted program, or without a build the sources. `err` is the first line. */
const built = join(root, "dist", "kv", "cli.js")
const command = existsSync(built) ? [built] : ["--import", "tsx", join(root, "kv", "cli.ts")]
const run = (words: readonly string[]): Promise<{ readonly code: number | null; readonly err: string }> =>
  new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [...command, "simulate", ...words],
      { cwd: root, timeout: 30_000, killSignal: "SIGKILL" },
      (_, __, err) => resolve({ code: child.exitCode, err: err.split("\n")[0] ?? "" }),
    )
  })
const simulate = (options: SimulateOptions, signal: AbortSignal): ReturnType<typeof simulateWith> =>
  simulateWith(options, simulated, signal)
const going = new AbortController().signal

describe("simulate", () => {
  test("threads run every seed once, and the sum of them is told as JSON", async () => {
    const text = printed()
    const result = await simulate(options({ seeds: 5, workers: 2, refine: true }), going)
    expect(JSON.parse(text())).toEqual(JSON.parse(JSON.stringify(result)))
    const alone = Array.from({ length: 5 }, (_, i) =>
      checkScript(generateScript(1 + i, "calm", { nodes: 3, steps: 20 })),
    )
    expect(result).toMatchObject({ seeds: 5, failures: [], steps: alone.reduce((sum, { steps }) => sum + steps, 0) })
    expect(result.rules["election.won"]).toBeGreaterThanOrEqual(5)
    expect(result.neverUsed).toContain("snapshot.chunk")
    expect(result.neverUsed).not.toContain("halt.twoLeaders")
  })

  test("for people: one line of figures, and the rules that nobody used", async () => {
    const text = printed()
    await simulate(options({ output: "table" }), going)
    expect(text()).toMatch(
      /^calm, 3 nodes: 3 seeds, [\d,]+ steps in \d+\.\d s \([\d,]+ steps\/s, [\d,]+ × real time\): no violation\nRules never used: .*\n$/,
    )
  })

  test("a trace holds the actions, the events and hashes of the world, and replays", async () => {
    printed()
    const path = join(folder(), "trace.ndjson")
    await simulate(options({ seed: 7, seeds: 1, actions: 40, profile: "partitions", trace: path }), going)
    const { script, steps, hashes, violation } = readTraceFile(path)
    expect(violation).toBeNull()
    expect(script.actions.slice(0, 40)).toEqual(
      generateScript(7, "partitions", { nodes: 3, steps: 40 }).actions.slice(0, 40),
    )
    expect(steps.map(({ i }) => i)).toEqual(steps.map((_, i) => i))
    expect(hashes.length).toBeGreaterThan(0)
    // Run again, the world is the same at each of them.
    const told = new Map(hashes.map(({ i, hash }) => [i, hash]))
    let agreed = 0
    const world = new World({
      ...script.options,
      seed: script.seed,
      observe: ({ i, node, at }) => expect(steps[i]).toMatchObject({ node, at }),
    })
    for (const action of script.actions) {
      world.act(action)
      if (told.get(world.steps) === world.hash()) agreed += 1
    }
    expect(agreed).toBeGreaterThanOrEqual(hashes.length)
    expect(fingerprint(makeWorld({ ...script.options, seed: script.seed }))).not.toBe(world.hash())
  })

  test("what cannot be done as asked is said, with code 3", async () => {
    printed()
    await expect(
      simulate(options({ trace: join(folder(), "no", "such", "folder"), seeds: 1 }), going),
    ).rejects.toMatchObject({ code: 3, message: /cannot be written/ })
    await expect(simulate(options({ save: join(import.meta.filename, "sub") }), going)).rejects.toMatchObject({
      code: 3,
      message: /--save names no folder/,
    })
    // Disks that are full, and folders that take no file.
    await expect(simulate(options({ trace: "/dev/full", seeds: 1 }), going)).rejects.toMatchObject({
      code: 3,
      message: /cannot be written/,
    })
    for (const taken of ["/proc", "/proc/x"])
      await expect(simulate(options({ save: taken }), going)).rejects.toMatchObject({
        code: 3,
        message: /--save names no folder/,
      })
    await expect(simulate(options({ trace: join(folder(), "t"), seeds: 2 }), going)).rejects.toMatchObject({
      code: 3,
      message: /one seed/,
    })
  })

  test("a flag that is out of bounds is wrong usage; no clients are as many as by default", async () => {
    const bad = [
      ["--seed", -1, "at least 0"],
      ["--seeds", 0, "at least 1"],
      ["--steps", 100_001, "at most 100000"],
      ["--workers", 1025, "at most 1024"],
    ] as const
    const told = await Promise.all(bad.map(([flag, value]) => run([flag, String(value)])))
    expect(told).toEqual(
      bad.map(([flag, value, bound]) => ({
        code: 2,
        err: `stepraft simulate: Invalid value for flag ${flag}: "${value}". Expected: must be ${bound}, not ${value}`,
      })),
    )
    expect(
      await run(["--clients", "0", "--seed", "1", "--steps", "1", "--profile", "calm", "--save", folder()]),
    ).toEqual({ code: 0, err: "" })
  })

  test("told to stop, it tells what it has", async () => {
    printed()
    const stopping = new AbortController()
    const running = simulate(options({ seeds: null, minutes: 60 }), stopping.signal)
    await turns(10)
    stopping.abort()
    expect((await running).seconds).toBeLessThan(20)
  })
})

describe("a seed that fails", () => {
  // Read-only states: nothing in the shipped reducer fails, so the script is told as if it did.
  const script = generateScript(3, "partitions", { nodes: 3, steps: 12 })
  const failed: SimulateFailure = {
    seed: 3,
    violation: "ElectionSafety",
    message: "ElectionSafety violated at n1: leads term 2, and so does n2\n  at most one leader",
    at: 40,
    script,
    from: { actions: 60, steps: 1200 },
    shrunk: { actions: script.actions.length, steps: 41, seconds: 1.26 },
    file: "simulate-partitions-3-3.ndjson",
    look: "npx stepraft debug simulate-partitions-3-3.ndjson",
    judge: null,
    repeat: "npx stepraft simulate --seed 3 --profile partitions --nodes 3",
  }
  test("is told as one action a line, with the commands that show it again", () => {
    const lines = failureText(failed, paintFor(process.stdout)).split("\n")
    expect(lines[0]).toBe("seed 3: ElectionSafety violated at n1: leads term 2, and so does n2")
    expect(lines.filter((line) => /^ +\d+ {2}\w+/.test(line))).toHaveLength(script.actions.length)
    expect(lines).toContain("  look at it  npx stepraft debug simulate-partitions-3-3.ndjson")
    expect(lines).toContain("  repeat it   npx stepraft simulate --seed 3 --profile partitions --nodes 3")
    expect(
      failureText({ ...failed, shrunk: null, file: null, look: null }, paintFor(process.stdout)).split("\n"),
    ).toHaveLength(3)
  })

  test("whose script cannot be written is told with what repeats it", () => {
    const { file: _, look: __, judge: ___, repeat, ...seedFailure } = failed
    expect(() =>
      saveSeedFailure(options({ save: join(folder(), "gone"), profile: "partitions", actions: 60 }), 3, {
        ...seedFailure,
        lived: { script, mended: null, history: null },
      }),
    ).toThrow(
      expect.objectContaining({
        code: 3,
        message: expect.stringMatching(
          new RegExp(`^seed 3 violated ElectionSafety, and its script cannot be written: ENOENT.*: ${repeat}$`),
        ) as unknown,
      }) as Error,
    )
  })

  test("nothing is saved for seeds that do not", async () => {
    printed()
    const into = folder()
    await simulate(options({ save: into }), going)
    expect(readdirSync(into)).toEqual([])
    expect(
      runSeed({ seed: 1, profile: "calm", nodes: 3, actions: 20, refine: false, clients: 0, known: [] }, simulated.load)
        .failure,
    ).toBeNull()
    expect(() => readTrace(readFileSync(new URL(import.meta.url), "utf8"))).toThrow(/line 1/)
  })
})
