import { isDeepStrictEqual } from "node:util"
import { describe, expect, test } from "vitest"
import {
  copyState,
  defaultSettings,
  initialState,
  inPlace,
  Log,
  runInPlace,
  stepAll,
  type Effect,
  type Event,
  type State,
} from "../core/index.ts"
import { full } from "./cluster.ts"
import { many } from "./long.ts"
import { scripted } from "./worlds.ts"

const plain = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) =>
    part instanceof Uint8Array
      ? part.length
      : part instanceof Log
        ? { base: part.base, entries: part.toArray() }
        : part,
  )

/** What one life of one node was fed, and what came out. */
interface Life {
  readonly start: State
  readonly batches: { readonly events: readonly Event[]; readonly effects: readonly Effect[] }[]
  /** The in-place state: at the end of the world it is what the life's last step left. */
  end: State | null
}

describe("two runners", () => {
  test("step under immer, the in-place runner and a copy give equal states and effects over random event sequences with faults", () => {
    let sequences = 0
    let events = 0
    const wanted = full ? many(10_000, 2000) : 100
    for (let seed = 1; sequences < wanted; seed++) {
      const lives = new Map<string, Life>()
      const finished: Life[] = []
      scripted(seed, {
        steps: 2,
        started: (node, recovered, settings) => {
          const before = lives.get(node)
          if (before !== undefined) finished.push(before)
          lives.set(node, { start: initialState(settings, recovered), batches: [], end: null })
        },
        observe: ({ node, events: batch, state, effects }) => {
          const bootId = lives.get(node)
          if (bootId === undefined) throw new Error("a node acts before it starts")
          // Kept as they are, not copied: an effect that shares something with the state would change under us.
          bootId.batches.push({ events: batch, effects })
          bootId.end = state
        },
      })
      finished.push(...lives.values())
      for (const bootId of finished) {
        let state = bootId.start
        for (const { events: batch, effects } of bootId.batches) {
          const [next, owed]: readonly [State, readonly Effect[]] = stepAll(state, batch)
          // States of `stepAll` are frozen: a copy that shares what the reducer changes in place throws.
          const copy = copyState(state)
          runInPlace(copy, batch)
          if (!isDeepStrictEqual(copy, next)) expect(plain(copy)).toBe(plain(next))
          if (!isDeepStrictEqual(owed, effects)) expect(plain(owed)).toBe(plain(effects))
          state = next
          events += batch.length
        }
        expect(plain(state)).toBe(plain(bootId.end))
        sequences += 1
      }
    }
    expect(sequences).toBeGreaterThanOrEqual(wanted)
    expect(events).toBeGreaterThan(wanted * 12)
  }, 1_800_000)

  test("an in-place runner leaves the state that it was not given alone", () => {
    const base = {
      index: 0,
      term: 0,
      time: 0,
      chain: 0,
      configuration: { voters: [{ name: "n1", incarnation: "a" }], outgoing: [], learners: [] },
    }
    const recovered = {
      self: { name: "n1", incarnation: "a" },
      bootId: 1,
      hardState: { term: 0, vote: null },
      base,
      entries: [],
      position: base,
    }
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
