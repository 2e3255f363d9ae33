/** Whatever fails prints one command, and that command opens it at the violation. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Writable } from "node:stream"
import { afterEach, describe, expect, test, vi } from "vitest"
import { cluster, seconds, type Script } from "../interpreters/simulation/index.ts"
import { debug } from "../spec/cli/debug.ts"
import { saveSeedFailure, type SimulateOptions } from "../spec/cli/simulate.ts"
import {
  withMending,
  checkScript,
  makeInvariantChecker,
  tellStory,
  type ScriptChecks,
  type ScriptFailed,
} from "../spec/index.ts"
import { worldProperty } from "../spec/properties/index.ts"
import { root } from "./cluster.ts"
import { checks as ownChecks } from "./failures.check.ts"
import { passing } from "./worlds.ts"

const folders: string[] = []
afterEach(() => {
  vi.restoreAllMocks()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})
const folder = (): string => {
  const made = mkdtempSync(join(tmpdir(), "stepraft-failures-"))
  folders.push(made)
  return made
}

/** Does what the one command in the text says, and answers what it shows first. */
const shown = async (text: string): Promise<string> => {
  const found = [...text.matchAll(/npx stepraft debug (\S+)(?: --check (\S+))?/g)]
  expect(found, text).toHaveLength(1)
  const [[, file = "", check] = []] = found
  folders.push(join(file, ".."))
  let out = ""
  const output = new Writable({ write: (chunk: Buffer, _, done) => ((out += chunk.toString()), done()) })
  vi.spyOn(process, "stdout", "get").mockReturnValue(output as unknown as typeof process.stdout)
  await debug({
    file,
    seed: 1,
    profile: null,
    nodes: 3,
    refine: false,
    machine: null,
    check: check ?? null,
    commands: "frame;back;frame",
  })
  vi.restoreAllMocks()
  return out
}
const messageOf = (fail: () => unknown): string => {
  try {
    fail()
  } catch (error) {
    if (error instanceof Error) return error.message
  }
  return expect.fail("it was to fail")
}
const failedOf = (script: Script, checks: ScriptChecks = {}): ScriptFailed => {
  const verdict = checkScript(script, checks)
  return verdict.ok ? expect.fail("it was to fail") : verdict
}
/** At the violation, which the frame before does not have. */
const expectShown = (out: string, violation: string): void => {
  const [opened = "", there = "", before = ""] = out.split("> ")
  expect(opened).toContain(`${violation} `)
  expect(there).toContain(`VIOLATED: ${violation}`)
  expect(before).toMatch(/^back[^]*hold up to here/)
}

const after = (...actions: Script["actions"]): Script => ({
  seed: 1,
  options: { nodes: 3 },
  actions: [{ type: "run", ms: 1500 }, ...actions, { type: "run", ms: 300 }],
})
/** What no correct server does, forged. */
const twoLeaders = after({
  type: "inject",
  node: "leader",
  event: {
    type: "MessageReceived",
    from: { name: "n1", incarnation: "i1" },
    message: {
      type: "AppendEntries",
      term: 1,
      prevLogIndex: 0,
      prevLogTerm: 0,
      prevLogChain: 0,
      entries: [],
      leaderCommit: 0,
      time: 0,
      settled: false,
      round: 1,
    },
  },
})
const impossibleSnapshot = after({
  type: "inject",
  node: "leader",
  event: {
    type: "SnapshotOpened",
    to: { name: "n1", incarnation: "i1" },
    snapshot: {
      id: "x",
      index: 9,
      term: 1,
      time: 0,
      chain: 0,
      configuration: { voters: [], outgoing: [], learners: [] },
    },
  },
})
/** No election within the bound. */
const slow: Script = {
  seed: 1,
  options: { nodes: 3, settings: { electionMin: 200_000, electionMax: 300_000 } },
  actions: [{ type: "run", ms: 10 }],
}

describe("the command that is printed opens at the violation", () => {
  test.each([
    ["an invariant", twoLeaders, {}, "ElectionSafety"],
    ["the refinement, which no invariant shows", impossibleSnapshot, { refinement: true }, "Refinement"],
    ["progress, which only the end of a world shows", slow, {}, "Liveness"],
  ] as const)("%s, in a world that a test runs and one that simulate runs", async (_, script, checks, violation) => {
    expectShown(await shown(messageOf(() => passing(script, checks))), violation)
    const failed = failedOf(script, checks)
    const options: SimulateOptions = {
      seed: 1,
      seeds: 1,
      minutes: null,
      actions: 2,
      nodes: 3,
      profile: "calm",
      workers: 1,
      refine: true,
      clients: 0,
      trace: null,
      save: folder(),
      output: "json",
    }
    const shrunk = { actions: 3, steps: failed.steps, seconds: 0 }
    const told = saveSeedFailure(options, 1, {
      ...failed,
      script,
      from: shrunk,
      shrunk,
      lived: { ...withMending(script, failed, checks), history: null },
    })
    const out = await shown(told.look ?? "")
    expectShown(out, violation)
    // A bound of sixty seconds is over where it is said that nothing has come of them.
    if (violation === "Liveness") expect(out).toMatch(/> frame\n── frame \d+ of \d+ made, 60\d\d\d ms/)
  })

  const property = (more: object, checks: () => ScriptChecks): string =>
    messageOf(() =>
      worldProperty({
        profile: "calm",
        steps: 6,
        numRuns: 20,
        seed: 1,
        command: () => new Uint8Array(8),
        file: join(folder(), "world.ndjson"),
        checks,
        ...more,
      }),
    )
  test("a property over a state machine of one's own: with its module it is run again, without it the step that was told is shown", async () => {
    const check = join(root, "test", "failures.check.ts")
    const told = property({ module: check }, ownChecks)
    const [module, none] = [await shown(told), await shown(told.replace(` --check ${check}`, ""))]
    expectShown(module, "MachinesAgree")
    expect(module).toContain("MachinesAgree is violated here")
    expectShown(none, "MachinesAgree")
    expect(none).toMatch(/was reported here when this was saved.*--check MODULE/)
  })
  test("a user's own check that throws", async () => {
    const wrong = (): ScriptChecks => ({
      liveness: false,
      observe: ({ state }) => {
        if (state.commitIndex >= 2) throw new RangeError("two is too much")
      },
    })
    const out = await shown(property({}, wrong))
    expect(out).toContain("VIOLATED: RangeError: two is too much")
    expect(out).toMatch(/> back[^]*hold up to here/)
  })

  test("a story that fails, by its own words, by an expectation, or by an invariant", async () => {
    const told = (end: (c: ReturnType<typeof cluster>) => void): string => {
      const check = makeInvariantChecker()
      const c = cluster(3, { seed: 7, observe: check, started: check.started })
      return messageOf(() =>
        tellStory(c, () => {
          c.cut(c.leader())
          c.one("x", 2)
          c.run(seconds(1))
          end(c)
        }),
      )
    }
    const out = await shown(told((c) => c.fail("nothing is right")))
    expect(out).toMatch(/VIOLATED: StoryFailed: nothing is right \(seed 7, at \d+ ms\)/)
    expect(out).toMatch(/it replays: [1-9]\d* steps/)
    expect(await shown(told((c) => expect(c.leader()).toBe("n9")))).toContain("VIOLATED: AssertionError: expected 'n")
    const twice = (c: ReturnType<typeof cluster>): void => {
      const leader = c.leader()
      const from = c.world.node(c.other(leader)).member
      c.world.inject(leader, {
        type: "MessageReceived",
        from,
        message: {
          type: "AppendEntries",
          term: c.state(leader).currentTerm,
          prevLogIndex: 0,
          prevLogTerm: 0,
          prevLogChain: 0,
          entries: [],
          leaderCommit: 0,
          time: 0,
          settled: false,
          round: 1,
        },
      })
    }
    expectShown(await shown(told(twice)), "ElectionSafety")
  })
})
