/** What a machine of a user's own must not do, each told by its name: ask a clock or chance, keep something outside of its state, lose something in a snapshot. */
import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { jsonCodec, type Machine } from "../interpreters/replica/index.ts"
import { checkScript, explore, machineChecks, machineSpace, toScenario } from "../spec/index.ts"
import * as tickets from "./examples/tickets.ts"
import { worldProperty, WorldPropertyFailed, type MachinePropertyOptions } from "../spec/properties/index.ts"
import { longTest, many } from "./long.ts"
import { unsteady, type Apply, type State } from "./machines.unsteady.ts"

const options = (
  machine: MachinePropertyOptions<State, number, unknown>["machine"],
  more: Partial<MachinePropertyOptions<State, number, unknown>> = {},
): MachinePropertyOptions<State, number, unknown> => ({
  machine,
  commands: fc.nat(9),
  profile: "calm",
  steps: 12,
  numRuns: 5,
  seed: 1,
  ...more,
})
const failureOf = (...given: Parameters<typeof options>): WorldPropertyFailed => {
  try {
    worldProperty(options(...given))
  } catch (error) {
    if (error instanceof WorldPropertyFailed) return error
    throw error
  }
  throw new Error("it was to fail")
}
const machineOf = (apply: Apply, initial: State = {}): Machine<State, number, unknown> => ({ initial, apply })

const seen = new Set<number>()

describe("a machine that is not deterministic is told as such", () => {
  test.each(unsteady)("%s", (_, apply, words) => {
    const { failed, message, script } = failureOf(machineOf(apply))
    expect(failed.violation).toBe("NotDeterministic")
    expect(message).toMatch(words)
    expect(script.actions.filter(({ type }) => type === "propose").length).toBe(1)
  })

  test("also if it does so once only, in all the life of its module", () => {
    const { failed, message } = failureOf(machineOf((_, n) => (seen.has(n) ? "again" : (seen.add(n), "new"))))
    expect(failed.violation).toBe("NotDeterministic")
    expect(message).toMatch(
      /failed and then, run again, did not: apply, or an invariant, keeps something outside of the state/,
    )
    expect(message).toMatch(/the result is "new", and then "again"/)
  })

  test("also if it changes what it made before, where the draft does not see it", () => {
    const kept: { n: number } = { n: 0 }
    const { failed, message } = failureOf({
      initial: {},
      apply: (_, n, { become }) => {
        kept.n += n + 1
        become(kept)
      },
    })
    expect([failed.violation, /without going through the draft: change the draft/.test(message)]).toEqual([
      "NotDeterministic",
      true,
    ])
  })

  test("clocks and chance are as they were afterwards", () => {
    expect([Date.now() > 1_790_000_000_000, new Date(5).getTime(), Object.hasOwn(performance, "now")]).toEqual([
      true,
      5,
      false,
    ])
  })
})

describe("a snapshot that is not the state is told", () => {
  test("of a codec that reads something else than it wrote", () => {
    const json = jsonCodec<State>()
    const { failed } = failureOf(
      {
        ...machineOf((state, n) => void Object.assign(state, { n })),
        states: { encode: json.encode, decode: (bytes) => ({ ...json.decode(bytes), again: true }) },
      },
      many,
    )
    expect(failed.violation).toBe("SnapshotChangesState")
  })
  const many = { profile: "disks", steps: 25, numRuns: 30 } as const
  test("of a state that is no plain data", () => {
    const { failed, message } = failureOf(
      machineOf((state, n) => void Object.assign(state, { at: new Date(n) })),
      many,
    )
    expect([failed.violation, message]).toEqual(["StateNotPlain", expect.stringMatching(/state\.at is a Date/)])
  })
  longTest("of a codec that leaves something out", () => {
    const json = jsonCodec<State>()
    const states = { encode: (state: State) => json.encode({ ...state, secret: undefined }), decode: json.decode }
    const { failed, message } = failureOf(
      {
        ...machineOf(
          (state, n) =>
            void Object.assign(state, { secret: n, sum: Number(state["sum"] ?? 0) + Number(state["secret"] ?? 0) }),
        ),
        states,
      },
      many,
    )
    expect(failed.violation).toBe("NotDeterministic")
    expect(message).toMatch(
      /the outcome differs from that on n\d: .* or a snapshot does not contain everything that apply uses/,
    )
    return Promise.resolve()
  })
})

test("a machine that keeps to its contract passes: its time is the replicated one, dates that are given are dates", () => {
  worldProperty(
    options(
      machineOf((state, n, { time, index }) => {
        if (n === 7) throw new Error("seven is undone")
        Object.assign(state, {
          last: new Date(time).toISOString(),
          index,
          [`n${n}`]: (Number(state[`n${n}`] ?? 0) || 0) + 1,
        })
        return { n, time }
      }),
      {
        profile: "everything",
        steps: 30,
        numRuns: 8,
        invariant: (state, { command, before, index, result }) =>
          state["index"] === index ||
          (command === 7 && result === undefined && state === before) ||
          "it was executed otherwise",
      },
    ),
  )
})

test("an invariant that throws, answers false or a text does not hold; it is named as it was given", () => {
  const machine = machineOf((state, n) => void Object.assign(state, { n }))
  expect(failureOf(machine, { invariant: { small: ({ n }) => Number(n) < 5 } })).toMatchObject({
    failed: { violation: "small" },
    message: expect.stringMatching(/it does not hold\n  n\d executes 5 /) as string,
  })
  expect(failureOf(machine, { invariant: { small: ({ n }) => Number(n) < 5 || "five is too much" } })).toMatchObject({
    message: expect.stringMatching(/^small violated: five is too much/) as string,
  })
  const thrown = failureOf(machine, {
    invariant: ({ n }) => {
      if (Number(n) >= 5) throw new RangeError("too much")
    },
  })
  expect(thrown).toMatchObject({
    failed: { violation: "invariant" },
    message: expect.stringMatching(/^invariant violated: too much/) as string,
  })
})

describe("in the explorer", () => {
  const commands: readonly tickets.Command[] = [
    { op: "buy", by: "ann" },
    { op: "cancel", by: "ann" },
  ]
  test("every order of two commands on two servers is searched: the mistake is found, and told as a scenario that fails alike", () => {
    const space = machineSpace({ ...tickets, commands })
    const { counterexample, closed } = explore(space, { shortest: true })
    expect(closed).toBe(false)
    expect(counterexample?.name).toBe("noSeatIsLost")
    expect(counterexample?.detail).toContain("ann buys a seat (entry 3) → yes")
    const scenario = counterexample === null ? null : toScenario(space, counterexample, () => machineChecks(tickets))
    expect(scenario).toMatchObject({ like: "same", failed: { violation: "noSeatIsLost" } })
  })
  test("without the mistake the space closes", () => {
    const apply: typeof tickets.machine.apply = (state, command, context) =>
      command.op === "buy" && command.by in state.sold ? false : tickets.machine.apply(state, command, context)
    expect(explore(machineSpace({ ...tickets, machine: { ...tickets.machine, apply }, commands }))).toMatchObject({
      closed: true,
      counterexample: null,
    })
  })
})

describe("with clients, over the sessions that replicate keeps", () => {
  const commands: fc.Arbitrary<tickets.Command> = fc.record({
    op: fc.constantFrom("buy", "cancel"),
    by: fc.constantFrom("ann", "bob", "cleo"),
  })
  const apply: typeof tickets.machine.apply = (state, command, context) =>
    command.op === "buy" && command.by in state.sold ? false : tickets.machine.apply(state, command, context)

  test("each command is executed once, and all that is answered fits into one order", () => {
    worldProperty({
      ...tickets,
      machine: { ...tickets.machine, apply },
      commands,
      clients: 4,
      steps: 30,
      numRuns: 6,
      seed: 1,
    })
  })
  longTest("the same in many worlds", () =>
    Promise.resolve(
      worldProperty({
        ...tickets,
        machine: { ...tickets.machine, apply },
        commands,
        clients: 4,
        steps: 40,
        numRuns: many(3000, 150),
        seed: 7,
        seconds: 3600,
      }),
    ),
  )
  test("what breaks is told with what the clients did, and needs no clients any more", () => {
    let caught: unknown
    try {
      worldProperty({ ...tickets, commands, clients: 3, steps: 10, profile: "calm", numRuns: 5, seed: 1 })
    } catch (error) {
      caught = error
    }
    if (!(caught instanceof WorldPropertyFailed)) throw new Error("it was to be caught", { cause: caught })
    expect(caught.failed.violation).toBe("noSeatIsLost")
    expect(caught.message).toMatch(/buys a seat \(number \d+ of session \d+\)/)
    expect(checkScript(caught.script, { ...machineChecks(tickets), liveness: false })).toMatchObject({
      ok: false,
      violation: "noSeatIsLost",
    })
  })
})
