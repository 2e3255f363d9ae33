/** Random worlds as scripts: what is generated, what checking them finds, and what shrinking leaves of it. */
import * as fc from "fast-check"
import { readFileSync, writeFileSync } from "node:fs"
import { describe, expect, test } from "vitest"
import { rules, type Entry, type LogBase } from "../core/index.ts"
import { readTrace } from "../interpreters/debugger/index.ts"
import {
  digestEntry,
  scenarioText,
  type Action,
  type Script,
  type WorldMachine,
} from "../interpreters/simulation/index.ts"
import { actionArbitrary, scriptArbitrary, worldProperty, WorldPropertyFailed } from "../spec/properties/index.ts"
import {
  checkScript,
  generateScript,
  profileNames,
  sameFailureAs,
  shrinkFailure,
  type Profile,
  type ScriptChecks,
  type ScriptFailed,
} from "../spec/index.ts"
import { longTest, many } from "./long.ts"
import { passing } from "./worlds.ts"

const nodesOf = (seed: number): number => [3, 5, 3, 4, 7, 2, 1][seed % 7] ?? 3
const scriptOf = (seed: number, steps = 40): Script =>
  generateScript(seed, profileNames[seed % profileNames.length] ?? "everything", { nodes: nodesOf(seed), steps })

const failureOf = (script: Script, checks: ScriptChecks = {}): ScriptFailed => {
  const verdict = checkScript(script, checks)
  if (verdict.ok) throw new Error("it was to fail")
  return verdict
}

describe("generated scripts", () => {
  test("a script is a pure function of its arguments, and plain JSON", () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.constantFrom(...profileNames),
        fc.integer({ min: 1, max: 7 }),
        (seed, profile, nodes) => {
          const script = generateScript(seed, profile, { nodes, steps: 30 })
          expect(generateScript(seed, profile, { nodes, steps: 30 })).toEqual(script)
          expect(JSON.parse(JSON.stringify(script))).toEqual(script)
          expect(script.actions.length).toBeGreaterThanOrEqual(30)
        },
      ),
      { numRuns: 100 },
    )
  })

  test("a profile holds what it says: every action somewhere in everything, no fault in calm", () => {
    const typesOf = (profile: Profile): Set<Action["type"]> =>
      new Set(
        Array.from({ length: 150 }, (_, seed) =>
          generateScript(seed, profile, { nodes: 5 }).actions.map(({ type }) => type),
        ).flat(),
      )
    const byHand = ["step", "deliver", "drop", "duplicate", "fire", "persist", "inject", "snapshots", "join"]
    const faults: readonly Action["type"][] = [
      "crash",
      "start",
      "pause",
      "resume",
      "skew",
      "wipe",
      "add",
      "disk",
      "stallDisk",
      "resumeDisk",
      "failWrite",
      "failSync",
      "fullDisk",
      "freeDisk",
      "corruptDisk",
      "damage",
      "apply",
      "cut",
      "isolate",
      "reconnect",
      "partition",
      "heal",
      "network",
      "clog",
      "reset",
      "change",
    ]
    const everything = typesOf("everything")
    expect(
      [...faults, "run", "propose", "read", "transfer"].filter((type) => !everything.has(type as Action["type"])),
    ).toEqual([])
    expect([...everything].filter((type) => byHand.includes(type))).toEqual([])
    expect([...typesOf("calm")].sort()).toEqual(expect.arrayContaining(["propose", "read", "run", "transfer"]))
    expect(
      [...typesOf("calm")].filter((type) => ["wipe", "disk", "change", "partition", "network"].includes(type)),
    ).toEqual([])
  })

  test("what is lost for good is a minority of every configuration that is asked for", () => {
    for (let seed = 0; seed < 400; seed++) {
      const { actions, options } = generateScript(seed, seed % 2 === 0 ? "everything" : "membership", {
        nodes: nodesOf(seed),
      })
      const lost = new Set(
        actions.flatMap((action) =>
          action.type === "wipe" ||
          action.type === "corruptDisk" ||
          action.type === "damage" ||
          (action.type === "crash" && action.keep === "corrupt")
            ? [action.node]
            : [],
        ),
      )
      const isMinority = (names: readonly string[]): boolean =>
        names.filter((name) => lost.has(name)).length * 2 < names.length
      expect(isMinority(Array.from({ length: Number(options.nodes) }, (_, i) => `n${i + 1}`))).toBe(true)
      for (const action of actions) if (action.type === "change") expect(isMinority(action.voters)).toBe(true)
    }
  })
})

// ------------------------------------------------------------------------------------------------- hashes

const golden = new URL("./scripts.hashes.json", import.meta.url)
/** Steps and hash of each seed; the same on every version of Node. */
const hashesOf = (count: number): readonly (readonly [string, number, number])[] =>
  Array.from({ length: count }, (_, k) => {
    const verdict = checkScript(scriptOf(k + 1, 30), { invariants: false, liveness: false, machineDigests: false })
    return [verdict.ok ? "ok" : verdict.violation, verdict.steps, verdict.hash] as const
  })

describe("the same seed", () => {
  test("gives the same world as when its hash was written down (STEPRAFT_GOLDEN=1 writes it anew)", () => {
    const hashes = hashesOf(50)
    if (process.env["STEPRAFT_GOLDEN"] !== undefined)
      writeFileSync(golden, `[\n${hashes.map((line) => `  ${JSON.stringify(line)}`).join(",\n")}\n]\n`)
    expect(hashes).toEqual(JSON.parse(readFileSync(golden, "utf8")))
    expect(hashesOf(50)).toEqual(hashes)
  })

  test("looked at or not: what checks it changes nothing", () => {
    for (let seed = 1; seed < 8; seed++) {
      const plain = checkScript(scriptOf(seed), { invariants: false, machineDigests: false })
      const watched = checkScript(scriptOf(seed), {
        refinement: true,
        rules: new Map(),
        observe: () => {},
        acted: () => {},
      })
      expect([watched.steps, watched.hash]).toEqual([plain.steps, plain.hash])
    }
  })
})

// ------------------------------------------------------------------------------------------------- checking

describe("the shipped reducer", () => {
  test("in random worlds of every profile: no invariant is broken, the specification allows every step, and afterwards there is progress", () => {
    for (let seed = 1; seed <= 18; seed++) {
      passing(scriptOf(seed), { refinement: seed % 3 === 0 })
    }
  })

  longTest("hundreds of seeds (a thousand in a soak), and nearly every rule of the algorithm is used", async () => {
    const used = new Map()
    const failures: string[] = []
    for (let seed = 1; seed <= many(1000, 300); seed++) {
      try {
        passing(scriptOf(seed, 60), { rules: used, refinement: true })
      } catch (error) {
        failures.push(`${seed}: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
    expect(failures).toEqual([])
    // What only a lie or a directory that went back brings about: core.halt, core.chain and world.directories show these.
    const rare = ["halt.logsDiverged", "halt.committedConflict", "progress.diverged"]
    const never = ["halt.twoLeaders", "append.chainBroken", "term.outOfDomain", "election.exhausted"]
    expect(never.filter((rule) => used.has(rule))).toEqual([])
    expect(
      Object.keys(rules).filter((rule) => !used.has(rule) && !rare.includes(rule) && !never.includes(rule)).length,
    ).toBeLessThanOrEqual(many(1, 5))
    return Promise.resolve()
  })
})

describe("what cannot make progress", () => {
  const plain: Script = { seed: 1, options: { nodes: 3 }, actions: [{ type: "run", ms: 2000 }] }
  test("is told as Liveness, after the bound and not before", () => {
    const verdict = failureOf(plain, { bound: 1 })
    expect(verdict.violation).toBe("Liveness")
    expect(verdict.message).toMatch(/after 1 ms not all servers have executed the same: n1 /)
    expect(checkScript(plain)).toMatchObject({ ok: true })
  })

  test("is not asked for where more is lost than Raft survives", () => {
    const lost: Script = {
      seed: 1,
      options: { nodes: 3 },
      actions: [
        { type: "run", ms: 2000 },
        { type: "wipe", node: "n1" },
        { type: "wipe", node: "n2" },
      ],
    }
    expect(checkScript(lost)).toMatchObject({ ok: true })
  })

  test("a circle that never ends is told instead of waited for", () => {
    expect(failureOf(plain, { mostSteps: 20 })).toMatchObject({ violation: "Liveness", at: 20 })
  })
})

// ------------------------------------------------------------------------------------------------- shrinking

/** A counter whose result hangs on how entries were batched: on what no server may depend. */
class Counter implements WorldMachine {
  private base: LogBase
  private batches: number
  private readonly wrong: boolean
  constructor(base: LogBase, wrong: boolean, batches = 0) {
    this.base = base
    this.batches = batches
    this.wrong = wrong
  }
  position(): LogBase {
    return this.base
  }
  apply(entries: readonly Entry[]): readonly number[] {
    let { configuration } = this.base
    const commands = entries.filter(({ kind }) => kind === "command").length
    this.batches += this.wrong ? Math.min(commands, 1) : commands
    for (const entry of entries) if (entry.kind === "configuration") configuration = entry.configuration
    const last = entries.at(-1)
    if (last !== undefined)
      this.base = { index: last.index, term: last.term, time: last.time, chain: last.chain, configuration }
    return entries.map(() => this.batches)
  }
  clone(): Counter {
    return new Counter(this.base, this.wrong, this.batches)
  }
  digest(): number {
    return this.batches
  }
}
const counter =
  (wrong: boolean) =>
  (base: LogBase): WorldMachine =>
    new Counter(base, wrong)

describe("a script that fails", () => {
  test("is shrunk to a few actions that fail in the same way, and comes out the same each time", () => {
    const checks = { machine: counter(true) }
    const limits = { limitMs: Number.POSITIVE_INFINITY }
    const scripts = Array.from({ length: 20 }, (_, seed) => generateScript(seed, "everything", { nodes: 3 }))
    // The one that fails soonest: now and then a world needs a long story, most need a short one.
    const [soonest] = scripts
      .map((script) => ({ script, verdict: checkScript(script, checks) }))
      .flatMap(({ script, verdict }) => (verdict.ok ? [] : [{ script, verdict }]))
      .sort((a, b) => a.verdict.steps - b.verdict.steps)
    if (soonest === undefined) throw new Error("none of them fails")
    const { script } = soonest
    const failed = failureOf(script, checks)
    expect(failed.violation).toBe("MachinesAgree")
    const small = shrinkFailure(script, failed, checks, limits)
    expect(small.failed.violation).toBe("MachinesAgree")
    expect(small.script.actions.length).toBeLessThanOrEqual(30)
    expect(sameFailureAs(failed, script, checks)(small.script)).not.toBeNull()
    // Nothing of it can be left out, if it is to fail before the world is mended.
    const same = sameFailureAs(small.failed, small.script, checks)
    for (let i = 0; i < small.script.actions.length; i++) {
      const fewer = { ...small.script, actions: small.script.actions.filter((_, k) => k !== i) }
      expect(same(fewer), JSON.stringify(small.script.actions[i])).toBeNull()
    }
    expect(shrinkFailure(script, failed, checks, limits)).toEqual(small)
  })

  test("is read back from its file as it was", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1 }), fc.constantFrom(...profileNames), (seed, profile) => {
        const script = generateScript(seed, profile, { nodes: 5, steps: 20 })
        const trace = readTrace(
          scenarioText(script, { violation: { name: "ElectionSafety", at: 7 }, hash: { i: 9, hash: 5 } }),
        )
        expect(trace).toMatchObject({
          script,
          violation: { name: "ElectionSafety", at: 7 },
          hashes: [{ i: 9, hash: 5 }],
          current: true,
        })
      }),
      { numRuns: 50 },
    )
    const injected: Script = {
      seed: 1,
      options: {},
      actions: [
        {
          type: "inject",
          node: "n1",
          event: { type: "Proposed", ref: 1, payloads: [{ bytes: new Uint8Array([1, 2]), checksum: 3 }] },
        },
      ],
    }
    expect(readTrace(scenarioText(injected)).script).toEqual(injected)
  })

  test("a file that is none says which line, and why", () => {
    expect(() => readTrace("")).toThrow(/it is empty/)
    expect(() => readTrace("{}")).toThrow(/line 1 .*header/)
    expect(() => readTrace(`${scenarioText(generateScript(1, "calm"))}{"action":{"type":"fly"}}\n`)).toThrow(
      /line \d+ .*fly/,
    )
    expect(() => readTrace('{"v":2,"seed":1}')).toThrow(/format 2/)
  })
})

describe("with fast-check", () => {
  test("a user's state machine that hangs on batches is caught, and shrunk to a script that is saved and fails again", () => {
    let caught: unknown
    try {
      worldProperty({
        profile: "lossy",
        steps: 30,
        numRuns: 50,
        seed: 1,
        command: () => new Uint8Array(8),
        checks: () => ({ machine: counter(true), liveness: false }),
      })
    } catch (error) {
      caught = error
    }
    if (!(caught instanceof WorldPropertyFailed)) throw new Error("it was to be caught", { cause: caught })
    const { script, message, file, path, seed } = caught
    expect(caught.failed.violation).toBe("MachinesAgree")
    expect(script.actions.length).toBeLessThanOrEqual(10)
    expect(message).toContain(`open it with: npx stepraft debug ${file}`)
    expect(
      failureOf(readTrace(readFileSync(file, "utf8")).script, { machine: counter(true), liveness: false }).violation,
    ).toBe("MachinesAgree")
    // Seed and path lead to the same script at once.
    expect(() =>
      worldProperty({
        profile: "lossy",
        steps: 30,
        seed,
        path,
        command: () => new Uint8Array(8),
        checks: () => ({ machine: counter(true), liveness: false }),
      }),
    ).toThrow(/MachinesAgree/)
  })

  test("what breaks only while the world is mended is saved with what mends it", () => {
    const wrong = (): ScriptChecks => ({
      applied: (_, entries) => {
        if (entries.some((entry) => entry.kind === "command" && entry.payload.checksum >= 0x60000000))
          throw new Error("a probe")
      },
    })
    let file = ""
    try {
      worldProperty({ profile: "calm", steps: 5, numRuns: 1, seed: 1, checks: wrong })
    } catch (error) {
      if (error instanceof WorldPropertyFailed) file = error.file
    }
    const { script, violation } = readTrace(readFileSync(file, "utf8"))
    expect(failureOf(script, { ...wrong(), liveness: false })).toMatchObject({ message: "a probe", at: violation?.at })
    // A probe needs a leader, and time to be executed: nothing else of the mending is listed.
    expect(script.actions.map(({ type }) => type).filter((type) => type !== "run" && type !== "step")).toEqual([
      "propose",
    ])
  })

  test("a property of a state machine whose commands nobody makes is an error: it would test nothing", () => {
    expect(() =>
      worldProperty({ profile: "calm", steps: 5, numRuns: 1, checks: () => ({ machine: counter(true) }) }),
    ).toThrow(/^this property would test nothing of its state machine: .* Give `command: /)
  })

  test("the same one, mended, passes", () => {
    worldProperty({
      profile: "lossy",
      steps: 20,
      numRuns: 8,
      seed: 1,
      command: () => new Uint8Array(8),
      checks: () => ({ machine: counter(false) }),
    })
  })

  test("results are seen by the user's own check, and commands carry the user's bytes", () => {
    const wrong = (): ScriptChecks => ({
      machine: counter(false),
      applied: (_, entries) => {
        for (const entry of entries)
          if (entry.kind === "command" && entry.payload.bytes[0] !== entry.payload.checksum % 251)
            throw new Error("other bytes")
      },
    })
    worldProperty({
      profile: "calm",
      steps: 10,
      numRuns: 5,
      seed: 1,
      command: (id) => new Uint8Array([id % 251]),
      checks: wrong,
    })
    expect(() =>
      worldProperty({
        profile: "calm",
        steps: 10,
        numRuns: 5,
        seed: 1,
        command: (id) => new Uint8Array([(id + 1) % 251]),
        checks: wrong,
      }),
    ).toThrow(/other bytes/)
  })

  test("scripts of single actions, too: no invariant is broken", () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.array(actionArbitrary("partitions"), { maxLength: 40 }),
        (seed, actions) => checkScript({ seed, options: {}, actions }, { liveness: false }).ok,
      ),
      { numRuns: 30, seed: 1 },
    )
    expect(fc.sample(scriptArbitrary("calm"), { numRuns: 2, seed: 1 })).toHaveLength(2)
    expect(digestEntry(1, { kind: "noop", index: 1, term: 1, time: 0, chain: 0 })).not.toBe(1)
  })
})
