import { expect, test } from "vitest"
import { initialState, stepAll, type Effect, type Event, type State } from "../core/index.ts"
import { decodeEffect, decodeEvent, decodeState, encodeEffect, encodeEvent, encodeState, TraceUnreadable } from "../interpreters/debugger/index.ts"
import { scripted } from "./worlds.ts"

test("a node replayed from its written trace, half way from a written state, does what the first one did", () => {
  let compared = 0
  for (let seed = 1; seed <= 20; seed++) {
    const lives: { start: State; batches: { events: readonly Event[]; effects: readonly Effect[] }[] }[] = []
    const latest = new Map<string, (typeof lives)[number]>()
    scripted(seed, {
      steps: 5,
      started: (node, recovered, settings) => {
        const life = { start: initialState(settings, recovered), batches: [] }
        lives.push(life)
        latest.set(node, life)
      },
      observe: ({ node, events, effects }) => latest.get(node)?.batches.push({ events, effects }),
    })
    for (const { start, batches } of lives) {
      let state = decodeState(encodeState(start))
      batches.forEach(({ events, effects }, i) => {
        const [next, owed] = stepAll(state, events.map((event) => decodeEvent(encodeEvent(event))))
        expect(owed.map((effect) => encodeEffect(effect))).toEqual(effects.map((effect) => encodeEffect(effect)))
        for (const effect of effects) expect(encodeEffect(decodeEffect(encodeEffect(effect)))).toBe(encodeEffect(effect))
        state = i % 5 === 0 ? decodeState(encodeState(next)) : next
        compared += effects.length
      })
    }
  }
  expect(compared).toBeGreaterThan(1000)
})

test("payloads can be left out: length and checksum stay", () => {
  const event: Event = { type: "Proposed", ref: 1, payloads: [{ bytes: new Uint8Array([1, 2, 3]), checksum: 77 }] }
  const text = encodeEvent(event, "length")
  expect(text).toContain('"$length":3')
  const back = decodeEvent(text)
  expect(back.type === "Proposed" && back.payloads[0]?.checksum).toBe(77)
  expect(back.type === "Proposed" && back.payloads[0]?.bytes.length).toBe(3)
})

test("what is no event, effect or state is refused by name", () => {
  for (const text of ["", "{", "[]", '{"type":"Nonsense"}', "null"]) {
    expect(() => decodeEvent(text)).toThrow(TraceUnreadable)
    expect(() => decodeEffect(text)).toThrow(TraceUnreadable)
    expect(() => decodeState(text)).toThrow(TraceUnreadable)
  }
})
