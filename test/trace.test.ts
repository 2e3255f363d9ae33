import { expect, test } from "vitest"
import { initialState, stepAll, type Effect, type Event, type State } from "../core/index.ts"
import {
  decodeEffect,
  decodeEvent,
  decodeState,
  encodeEffect,
  encodeEvent,
  encodeState,
  readTrace,
  replayTrace,
  stepLines,
  TraceUnreadable,
} from "../interpreters/debugger/index.ts"
import {
  actionLine,
  headerLine,
  reliableNetwork,
  runScript,
  scenarioText,
  type Script,
} from "../interpreters/simulation/index.ts"
import { scripted } from "./worlds.ts"

test("a node replayed from its written trace, half way from a written state, does what the first one did", () => {
  let compared = 0
  for (let seed = 1; seed <= 20; seed++) {
    const lives: { start: State; batches: { events: readonly Event[]; effects: readonly Effect[] }[] }[] = []
    const latest = new Map<string, (typeof lives)[number]>()
    scripted(seed, {
      steps: 5,
      started: (node, recovered, settings) => {
        const boot = { start: initialState(settings, recovered), batches: [] }
        lives.push(boot)
        latest.set(node, boot)
      },
      observe: ({ node, events, effects }) => latest.get(node)?.batches.push({ events, effects }),
    })
    for (const { start, batches } of lives) {
      let state = decodeState(encodeState(start))
      batches.forEach(({ events, effects }, i) => {
        const [next, owed] = stepAll(
          state,
          events.map((event) => decodeEvent(encodeEvent(event))),
        )
        expect(owed.map((effect) => encodeEffect(effect))).toEqual(effects.map((effect) => encodeEffect(effect)))
        for (const effect of effects)
          expect(encodeEffect(decodeEffect(encodeEffect(effect)))).toBe(encodeEffect(effect))
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

test("every written step must be seen again", () => {
  const script: Script = {
    seed: 7,
    options: {},
    actions: [
      { type: "run", ms: 1200 },
      { type: "crash", node: "leader" },
      { type: "run", ms: 500 },
    ],
  }
  const events: string[] = []
  runScript(script, { observe: (step) => events.push(...stepLines(step)) })
  const replayed = (actions: number): string | null =>
    replayTrace(
      readTrace([headerLine(script), ...script.actions.slice(0, actions).map(actionLine), ...events].join("\n")),
    ).difference
  expect(replayed(3)).toBeNull()
  for (const actions of [2, 0])
    expect(replayed(actions)).toMatch(
      /^of \d+ recorded steps, \d+ never happen; the first is step \d+, of n\d at \d+ ms$/,
    )
})

test("headers and actions that a world would choke on are refused by line and field", () => {
  const header = '{"v":1,"seed":1,"config":{}}'
  expect(readTrace(header).nodes).toEqual(["n1", "n2", "n3"])
  const far = { min: 10_000_000, max: 10_000_000 }
  const byHand: Script = {
    seed: 1,
    options: {
      nodes: ["A", "B"],
      disk: far,
      network: { ...reliableNetwork, delayMin: far.min, delayMax: far.max },
      settings: { electionMax: 20_000_000 },
    },
    actions: [{ type: "disk", node: "A", ...far }],
  }
  expect(readTrace(scenarioText(byHand)).script).toEqual(byHand)
  const configs = [
    ['{"nodes":50}', "config.nodes"],
    ['{"nodes":-1}', "config.nodes"],
    ['{"nodes":"x"}', "config.nodes"],
    ['{"nodes":["a","a"]}', "config.nodes"],
    ['{"nodes":[]}', "config.nodes"],
    ['{"network":"foo"}', "config.network"],
    ['{"network":{"lossPermille":1}}', "config.network.duplicatePermille"],
    ['{"settings":{"heartbeat":0}}', "config.settings.heartbeat"],
    ['{"settings":{"preVote":1}}', "config.settings.preVote"],
    ['{"disk":{"min":"x","max":1}}', "config.disk.min"],
    ['{"nods":3}', "config has no field nods"],
  ] as const
  for (const [config, told] of configs)
    expect(() => readTrace(`{"v":1,"seed":1,"config":${config}}`), config).toThrow(`line 1 cannot be read: ${told}`)
  expect(() => readTrace('{"v":1,"seed":1,"config":{},"nodes":50}')).toThrow("change config.nodes")
  const actions = [
    ['{"type":"run","ms":"x"}', "run.ms"],
    ['{"type":"run","ms":-5}', "run.ms"],
    ['{"type":"run","ms":1e12}', "run.ms"],
    ['{"type":"run","ms":0.5}', "run.ms"],
    ['{"type":"step"}', "step.count"],
    ['{"type":"partition"}', "partition.side"],
    ['{"type":"crash","node":"n1","keep":"some"}', "crash.keep"],
    ['{"type":"crash","node":7}', "crash.node"],
    ['{"type":"fire","node":"n1","timer":"alarm"}', "fire.timer"],
    ['{"type":"change","node":"n1","voters":["n1",2],"learners":[]}', "change.voters[1]"],
    ['{"type":"propose","node":"n1","id":1,"payloads":[{"hex":"0","checksum":1}]}', "propose.payloads[0].hex"],
    ['{"type":"inject","node":"n1","event":{"type":"Nonsense"}}', "inject.event"],
    ['{"type":"network","profile":"foo"}', "network.profile"],
    ['{"type":"heal","node":"n1"}', "heal has no field node"],
    ['{"type":"toString"}', 'an action of type "toString"'],
    // Bytes that were left out have any length: they are named by it, and never walked through.
    ['{"type":{"$length":3}}', 'an action of type "3 bytes"'],
    [
      '{"type":"propose","node":"n1","id":1,"payloads":[{"$length":3}]}',
      'propose.payloads[0] must be an object, not "3 bytes"',
    ],
    ['{"type":"transfer","node":"n1","to":{"$length":3}}', 'transfer.to must be a name, not "3 bytes"'],
  ] as const
  for (const [action, told] of actions)
    expect(() => readTrace(`${header}\n{"action":${action}}`), action).toThrow(`line 2 cannot be read: ${told}`)
})
