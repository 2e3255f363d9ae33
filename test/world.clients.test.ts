/** Clients of the key-value service in random worlds: what they were told fits together, and it would be noticed if not. */
import { describe, expect, test } from "vitest"
import { runSeed } from "../spec/cli/seed.ts"
import { readTrace } from "../interpreters/debugger/index.ts"
import { scenarioText, type Action } from "../interpreters/simulation/index.ts"
import { kvLoad } from "../kv/simulation/index.ts"
import {
  checkScript,
  generateScript,
  profileNames,
  shrinkFailure,
  type WorldClients,
  type Recorder,
} from "../spec/index.ts"
import { full } from "./cluster.ts"
import { many } from "./long.ts"
import { passing } from "./worlds.ts"

describe("clients in random worlds", () => {
  test("are told what is linearizable, in every profile", () => {
    let operations = 0
    let given = 0
    const recorded = (history: Recorder): void => {
      operations += history.events.filter(({ type }) => type === "invoke").length
      given += history.events.filter(({ type }) => type === "info").length
    }
    for (let seed = 1; seed <= (full ? many(2000, 120) : 8); seed++) {
      const script = generateScript(seed, profileNames[seed % profileNames.length] ?? "everything", {
        nodes: 1 + (seed % 5),
        steps: 40,
      })
      passing(script, { companions: kvLoad({ clients: 4, recorded }) })
    }
    // Not vacuous: much was done, and some of it given up.
    expect(operations).toBeGreaterThan(1000)
    expect(given).toBeGreaterThan(5)
  }, 3_600_000)

  test("a snapshot that is installed holds later writes of a connection than the read that waits: it is not served", () => {
    for (const [seed, profile] of [
      [40006, "partitions"],
      [40184, "everything"],
      [40352, "partitions"],
    ] as const)
      passing(generateScript(seed, profile, { nodes: 3 }), { companions: kvLoad({ clients: 4 }) })
  })

  test("the same seed, the same world and the same history", () => {
    const lived = (): readonly [number, string] => {
      let lines = ""
      const { hash } = checkScript(generateScript(5, "lossy", { steps: 20 }), {
        companions: kvLoad({ clients: 3, recorded: (history) => (lines = history.lines()) }),
      })
      return [hash, lines]
    }
    expect(lived()).toEqual(lived())
  })

  test("a read that is answered at once, by whatever the node has executed, is found, and shrunk with the clients at their work", () => {
    const lying = (of: number): WorldClients => {
      const it = kvLoad({ clients: 5 })(of)
      return {
        hooks: {
          ...it.hooks,
          observe: (step) => {
            it.hooks.observe?.(step)
            for (const event of step.events)
              if (event.type === "ReadRequested")
                it.hooks.responded?.(step.node, event.ref, { type: "ReadReady", index: 0 })
          },
        },
        command: (id) => it.command(id),
        join: (world) => it.join(world),
        run: (ms) => it.run(ms),
        finish: (mended) => it.finish(mended),
      }
    }
    // Only what clients are told is looked at.
    const checks = { companions: lying, liveness: true, invariants: false, machineDigests: false }
    for (let seed = 1; ; seed++) {
      const script = generateScript(seed, "partitions", { nodes: 3, steps: 40 })
      const failed = checkScript(script, checks)
      if (failed.ok) continue
      expect(failed).toMatchObject({
        violation: "Linearizability",
        message: expect.stringMatching(/have no order that respects real time|has no explanation/) as unknown,
      })
      const shrunk = shrinkFailure(script, failed, checks, { limitMs: Number.POSITIVE_INFINITY, limitTries: 16 })
      expect(shrunk.script.actions.length).toBeLessThan(script.actions.length)
      expect(checkScript(shrunk.script, checks)).toMatchObject({ ok: false, violation: "Linearizability" })
      return
    }
  })
})

test("a world with clients replays from its file", () => {
  const script = generateScript(1, "calm", { nodes: 3, steps: 5 })
  const actions: Action[] = []
  const verdict = checkScript(script, { companions: kvLoad({ clients: 2 }), acted: (action) => actions.push(action) })
  const again = checkScript(readTrace(scenarioText({ ...script, actions })).script, { liveness: false })
  expect([again.ok, again.steps, again.ms]).toEqual([true, verdict.steps, verdict.ms])
})

test("simulate runs them, too", () => {
  expect(
    runSeed({ seed: 3, profile: "partitions", nodes: 3, actions: 20, refine: true, clients: 3, known: [] }, kvLoad)
      .failure,
  ).toBeNull()
})
