import { isDeepStrictEqual } from "node:util"
import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { defaultSettings, initialState, inPlace, Log, stepAll, type Effect, type Event, type State } from "../core/index.ts"
import { chaos, settingsOf, settled } from "./worlds.ts"

const seeds = fc.integer({ min: 1, max: 0x7fffffff })
const all = process.env["STEPRAFT_ALL"] !== undefined

describe("random worlds", () => {
  test("every invariant holds at every step, and a healed cluster makes progress", () => {
    fc.assert(
      fc.property(seeds, fc.constantFrom(1, 2, 3, 4, 5), (seed, nodes) => {
        const world = chaos({ seed, nodes, settings: settingsOf(seed) })
        const healed = (): boolean => settled(world)
        // A damaged machine of every member at once cannot be rebuilt from anybody.
        if (world.names.every((name) => world.state(name)?.machine === "rebuild")) return
        expect(world.runUntil(() => world.leader() !== undefined, 20_000)).toBe(true)
        expect(world.runUntil(healed, 30_000)).toBe(true)
      }),
      { numRuns: all ? 300 : 100 },
    )
  })

  test("the same seed gives the same world", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const trace = (): string => {
          const lines: string[] = []
          const world = chaos({ seed, rounds: 15, observe: ({ at, node, effects }) => lines.push(`${at} ${node} ${effects.map((e) => e.type).join()}`) })
          return `${world.now} ${world.messages} ${lines.join("\n")}`
        }
        expect(trace()).toBe(trace())
      }),
      { numRuns: 10 },
    )
  })
})

const plain = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) => (part instanceof Uint8Array ? part.length : part instanceof Log ? { base: part.base, entries: part.toArray() } : part))

/** What one life of one node was fed, and what came out. */
interface Life {
  readonly start: State
  readonly batches: { readonly events: readonly Event[]; readonly effects: readonly Effect[] }[]
  /** The in-place state: at the end of the world it is what the life's last step left. */
  end: State | null
}

describe("two runners", () => {
  test("step under immer and the in-place runner give equal states and effects over random event sequences with faults", () => {
    let sequences = 0
    let events = 0
    const wanted = all ? 10_000 : 1000
    for (let seed = 1; sequences < wanted; seed++) {
      const lives = new Map<string, Life>()
      const finished: Life[] = []
      chaos({
        seed,
        rounds: 4,
        nodes: 1 + (seed % 5),
        settings: settingsOf(seed),
        started: (node, recovered) => {
          const before = lives.get(node)
          if (before !== undefined) finished.push(before)
          lives.set(node, { start: initialState({ ...defaultSettings, ...settingsOf(seed) }, recovered), batches: [], end: null })
        },
        observe: ({ node, events: batch, state, effects }) => {
          const life = lives.get(node)
          if (life === undefined) throw new Error("a node acts before it starts")
          // Kept as they are, not copied: an effect that shares something with the state would change under us.
          life.batches.push({ events: batch, effects })
          life.end = state
        },
      })
      finished.push(...lives.values())
      for (const life of finished) {
        let state = life.start
        for (const { events: batch, effects } of life.batches) {
          const [next, owed]: readonly [State, readonly Effect[]] = stepAll(state, batch)
          if (!isDeepStrictEqual(owed, effects)) expect(plain(owed)).toBe(plain(effects))
          state = next
          events += batch.length
        }
        expect(plain(state)).toBe(plain(life.end))
        sequences += 1
      }
    }
    expect(sequences).toBeGreaterThanOrEqual(wanted)
    expect(events).toBeGreaterThan(wanted * 12)
  }, 600_000)

  test("an in-place runner leaves the state that it was not given alone", () => {
    const base = { index: 0, term: 0, time: 0, configuration: { voters: [{ name: "n1", incarnation: "a" }], outgoing: [], learners: [] } }
    const recovered = { self: { name: "n1", incarnation: "a" }, life: 1, hardState: { term: 0, vote: null }, base, entries: [], position: base }
    const pure = initialState(defaultSettings, recovered)
    const [after] = stepAll(pure, [{ type: "TimerExpired", timer: "election" }])
    expect(pure.currentTerm).toBe(0)
    expect(after.currentTerm).toBe(1)
    expect(Object.isFrozen(after)).toBe(true)
    const runner = inPlace(initialState(defaultSettings, recovered))
    runner.run([{ type: "TimerExpired", timer: "election" }])
    expect(runner.state.currentTerm).toBe(1)
  })
})
