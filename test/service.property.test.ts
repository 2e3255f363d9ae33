import * as fc from "fast-check"
import { afterEach, describe, expect, test, vi } from "vitest"
import type { Reply, SessionKey } from "../kv/types.ts"
import { call, codeOf, FakeWorld, type Faulty, keyIn, noSession } from "./service.fake.ts"

afterEach(() => {
  vi.useRealTimers()
})

type Action =
  | { readonly do: "write"; readonly count: number }
  | { readonly do: "advance"; readonly millis: number }
  | { readonly do: "meet"; readonly what: Faulty }
  | { readonly do: "commit" | "apply"; readonly count: number }
  | { readonly do: "restore" | "trim" | "late" }
  | { readonly do: "elect"; readonly who: number | null; readonly lost: number }

const faults: readonly Faulty[] = [
  "append",
  "append",
  "append",
  "append",
  "appendUnknown",
  "appendSilent",
  "appendTold",
  "appendTwice",
  "drop",
  "dropSilent",
  "late",
  "notLeader",
  "noLeader",
  "busy",
  "transferring",
]
const action = (also: readonly Faulty[]): fc.Arbitrary<Action> =>
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant("write" as const), count: fc.integer({ min: 1, max: 5 }) }) },
    {
      weight: 6,
      arbitrary: fc.record({ do: fc.constant("meet" as const), what: fc.constantFrom(...faults, ...also) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant("advance" as const),
        millis: fc.constantFrom(1, 1, 5, 25, 60, 300, 1100, 4000),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constantFrom("commit" as const, "apply" as const),
        count: fc.integer({ min: 1, max: 8 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("restore" as const, "trim" as const, "late" as const) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant("elect" as const),
        who: fc.option(fc.integer({ min: 0, max: 2 }), { freq: 3 }),
        lost: fc.integer({ min: 0, max: 6 }),
      }),
    },
  )

const perform = (world: FakeWorld, step: Action, write: () => void): void => {
  switch (step.do) {
    case "write":
      for (let i = 0; i < step.count; i++) write()
      return world.turn()
    case "advance":
      return world.advance(step.millis)
    case "meet":
      return world.meet(step.what)
    case "commit":
      return world.commitSome(step.count)
    case "apply":
      return world.applySome(step.count)
    case "restore":
      return world.restore()
    case "trim":
      return world.trim()
    case "late":
      return world.arriveLate()
    case "elect":
      return world.elect(step.who, step.lost)
  }
}

const notExecuted = new Set(["NOLEADER", "BUSY", "SPACELOW", "TOOLARGE"])

/** Every reply against what the log really did. */
const judge = (world: FakeWorld, replies: readonly (Reply | undefined)[]): void => {
  const text = world.value("log")
  const executed = text
    .split(";")
    .filter((id) => id !== "")
    .map(Number)
  expect(executed, "in the order of the calls, each at most once").toEqual([...new Set(executed)].sort((a, b) => a - b))
  replies.forEach((reply, id) => {
    if (reply?.type === "integer")
      expect(text.slice(0, Number(reply.value)).endsWith(`${id};`), `the reply to ${id} is its own`).toBe(true)
    else if (notExecuted.has(codeOf(reply) ?? ""))
      expect(executed, `${id} was said not to be executed`).not.toContain(id)
    else expect(codeOf(reply), `${id} has an answer`).toBe("UNKNOWN")
  })
}

describe("writes of connections without a session", () => {
  test("are executed once, in order, and answered by what the log did, whatever happens to proposals", () => {
    fc.assert(
      fc.property(
        fc.array(action(["spaceLow"]), { minLength: 5, maxLength: 120 }),
        fc.constantFrom(3_600_000, 3_600_000, 3000, 900),
        fc.nat(2),
        (steps, idle, leader) => {
          // Short, so that many run out of time; and some sessions, too, under way and while a snapshot is restored.
          const world = new FakeWorld({ writeTimeout: 2000, stallMs: 400 }, idle)
          try {
            const replies: (Reply | undefined)[] = []
            const write = (): void => {
              const id = replies.push(undefined) - 1
              world.service.write([call("APPEND", "log", `${id};`)], false, [], (reply) => {
                expect(replies[id], "answered once").toBeUndefined()
                replies[id] = reply
              })
            }
            world.elect(0, 0)
            for (const step of steps) perform(world, step, write)
            world.heal(6000, leader)
            judge(world, replies)
            // Whoever leads, a write and a read through this node come to their end.
            const ends: (string | null)[] = []
            world.service.write([call("SET", "other", "1")], false, [], (reply) => ends.push(codeOf(reply)))
            world.service.barrier((refusal) => ends.push(refusal === null ? null : codeOf(refusal)))
            world.heal(3000, leader)
            expect(ends).toEqual([null, null])
            const before = world.proposed
            world.heal(3000)
            expect(world.proposed, "nothing is proposed any more once all is answered").toBe(before)
          } finally {
            world.end()
          }
        },
      ),
      { numRuns: process.env["STEPRAFT_ALL"] === undefined ? 400 : 5000 },
    )
  })

  test("are proposed once each if nothing goes wrong", () => {
    const world = new FakeWorld()
    let answered = 0
    world.elect(1, 0)
    for (let round = 0; round < 200; round++) {
      for (let i = 0; i < 25; i++) world.service.write([call("INCR", "n")], false, [], () => answered++)
      world.turn()
      while (world.proposals.length > 0) world.meet("append")
      world.commitSome(1000)
      if (round % 3 === 0) world.applySome(1000)
      world.advance(1)
    }
    world.commitSome(10_000)
    world.applySome(10_000)
    expect(answered).toBe(5000)
    expect(world.proposed, "the writes and the opening of the session").toBe(5001)
    expect(world.service.counters()["service.resends"]).toBe(0)
    world.end()
  })

  test("without progress are proposed again ever more rarely, one window at a time", () => {
    const world = new FakeWorld()
    world.elect(1, 0)
    world.turn()
    world.meet("append")
    world.commitSome(10)
    world.applySome(10)
    for (let i = 0; i < 100; i++) world.service.write([call("INCR", "n")], false, [], () => {})
    world.turn()
    for (let passed = 0; passed < 9900; passed += 10) {
      while (world.proposals.length > 0) world.meet("busy")
      world.advance(10)
    }
    expect(world.service.counters()["service.resends"]).toBeLessThan(20)
    world.end()
  })

  test("that are not known to have been executed in time are UNKNOWN, with all that was sent behind them; later ones go in a new session", () => {
    const world = new FakeWorld()
    const replies: (string | null)[] = []
    const write = (id: number): void =>
      world.service.write(
        [call("APPEND", "log", `${id};`)],
        false,
        [],
        (reply) => (replies[id] = codeOf(reply) ?? "fine"),
      )
    world.elect(1, 0)
    world.turn()
    world.meet("append")
    world.commitSome(10)
    world.applySome(10)
    write(0)
    world.turn()
    world.meet("late")
    world.advance(900)
    write(1)
    world.turn()
    world.meet("dropSilent")
    for (let i = 0; i < 92; i++) {
      world.advance(100)
      while (world.proposals.length > 0 && replies[0] === undefined) world.meet("dropSilent")
    }
    expect(replies).toEqual(["UNKNOWN", "UNKNOWN"])
    write(2)
    world.turn()
    // The new session first: only then can the old command arrive and do nothing.
    world.meet("append")
    world.arriveLate()
    world.heal(1000)
    expect(replies[2]).toBe("fine")
    expect(world.value("log")).toBe("2;")
    world.end()
  })

  test("go on in a new session when the old one has expired", () => {
    const world = new FakeWorld({}, 60_000)
    const replies: (string | null)[] = []
    const write = (id: number): void =>
      world.service.write(
        [call("APPEND", "log", `${id};`)],
        false,
        [],
        (reply) => (replies[id] = codeOf(reply) ?? "fine"),
      )
    write(0)
    world.heal(100)
    world.advance(100_000)
    write(1)
    write(2)
    world.heal(100)
    expect(replies).toEqual(["fine", "fine", "fine"])
    expect(world.value("log")).toBe("0;1;2;")
    world.end()
  })

  test("are refused as not executed if there never was a leader, and if they are too many or too large", async () => {
    const world = new FakeWorld({ maxWaiting: 3, maxEntryBytes: 1000 })
    const codes: (string | null)[] = []
    const write = (value: string): void =>
      world.service.write([call("SET", "k", value)], false, [], (reply) => codes.push(codeOf(reply)))
    write("x".repeat(1000))
    for (let i = 0; i < 4; i++) write("v")
    expect(codes, "never before the call has returned").toEqual([])
    await Promise.resolve()
    expect(codes).toEqual(["TOOLARGE", "BUSY"])
    for (let i = 0; i < 101; i++) world.advance(100)
    expect(codes).toEqual(["TOOLARGE", "BUSY", "NOLEADER", "NOLEADER", "NOLEADER"])
    expect(world.proposed).toBe(0)
    world.end()
  })
})

describe("writes in a client's own session", () => {
  test("are executed once each, in order, if the client repeats what is unknown", () => {
    fc.assert(
      fc.property(fc.array(action([]), { minLength: 5, maxLength: 80 }), (steps) => {
        const world = new FakeWorld({ writeTimeout: 2000, stallMs: 400 })
        try {
          let session = noSession
          let next = 1
          const done = new Set<number>()
          const open = new Set<number>()
          const send = (sequence: number): void => {
            open.add(sequence)
            world.service.writeInSession(
              session,
              sequence,
              1,
              [call("APPEND", "log", `${sequence};`)],
              false,
              [],
              (reply) => {
                open.delete(sequence)
                if (reply.type === "integer") {
                  expect(world.value("log").slice(0, Number(reply.value)).endsWith(`${sequence};`)).toBe(true)
                  done.add(sequence)
                } else if (codeOf(reply) === "OUTOFORDER") {
                  const lost = Array.from({ length: sequence - 1 }, (_, i) => i + 1).filter(
                    (earlier) => !done.has(earlier) && !open.has(earlier),
                  )
                  expect(lost.length, "a gap is told only if this node has given up what is missing").toBeGreaterThan(0)
                } else expect(codeOf(reply)).not.toBe("SESSIONEXPIRED")
              },
            )
          }
          world.elect(0, 0)
          world.service.openSession("client", (reply) => {
            session = keyIn(reply) ?? session
          })
          world.heal(1000)
          expect(session).not.toBe(noSession)
          for (const step of steps) perform(world, step, () => send(next++))
          for (let round = 0; round < 5; round++) {
            world.heal(3000)
            for (let sequence = 1; sequence < next; sequence++)
              if (!done.has(sequence) && !open.has(sequence)) send(sequence)
          }
          world.heal(3000)
          expect(world.value("log")).toBe(Array.from({ length: next - 1 }, (_, i) => `${i + 1};`).join(""))
          expect(done.size).toBe(next - 1)
        } finally {
          world.end()
        }
      }),
      { numRuns: process.env["STEPRAFT_ALL"] === undefined ? 150 : 2000 },
    )
  })

  test("are taken in sessions that are opened once and closed once that was told, whatever happens to proposals", () => {
    interface Held {
      /** Of the service; null: not told yet. */
      id: SessionKey | null
      next: number
      readonly told: (Reply | undefined)[]
      /** What whoever asked for its end was told; null: nothing yet; undefined: nobody asked. */
      closed: string | null | undefined
    }
    type Deed =
      | Exclude<Action, { readonly do: "write" }>
      | { readonly do: "open" }
      | { readonly do: "close" | "append"; readonly which: number }
    const deed: fc.Arbitrary<Deed> = fc.oneof(
      {
        weight: 20,
        arbitrary: action([]).filter((one): one is Exclude<Action, { readonly do: "write" }> => one.do !== "write"),
      },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("open" as const) }) },
      {
        weight: 4,
        arbitrary: fc.record({
          do: fc.constantFrom("close" as const, "append" as const, "append" as const),
          which: fc.nat(5),
        }),
      },
    )
    fc.assert(
      fc.property(fc.array(deed, { minLength: 5, maxLength: 100 }), (steps) => {
        const world = new FakeWorld({ writeTimeout: 2000, stallMs: 400 })
        // What a callback throws does not come back here.
        const wrong: string[] = []
        const must = (holds: boolean, what: string): void => {
          if (!holds) wrong.push(what)
        }
        try {
          const sessions: Held[] = []
          const open = (): void => {
            const held: Held = { id: null, next: 1, told: [], closed: undefined }
            world.service.openSession(`client ${sessions.push(held)}`, (reply) => {
              const id = keyIn(reply)
              if (id === null) return
              must(
                held.id === null && sessions.every((other) => other.id?.id !== id.id),
                `${id.id} is given to one client, once`,
              )
              must(world.isOpen(id), `${id.id} is open when that is told`)
              held.id = id
            })
          }
          const close = (held: Held): void => {
            const { id } = held
            if (id === null || held.closed !== undefined) return
            held.closed = null
            world.service.closeSession(id, (reply) => {
              must(held.closed === null, `the end of ${id.id} is told once`)
              held.closed = codeOf(reply) ?? "OK"
              must(held.closed !== "OK" || !world.isOpen(id), `${id.id} is closed when that is told`)
            })
          }
          const append = (held: Held): void => {
            const { id } = held
            if (id === null || held.closed !== undefined) return
            const sequence = held.next++
            world.service.writeInSession(
              id,
              sequence,
              1,
              [call("APPEND", `log${id.id}`, `${sequence};`)],
              false,
              [],
              (reply) => {
                must(held.told[sequence] === undefined, `${sequence} of ${id.id} is answered once`)
                held.told[sequence] = reply
                if (reply.type === "integer")
                  must(
                    world.value(`log${id.id}`).slice(0, Number(reply.value)).endsWith(`${sequence};`),
                    `the reply to ${sequence} of ${id.id} is its own`,
                  )
              },
            )
          }
          world.elect(0, 0)
          for (let i = 0; i < 3; i++) open()
          world.heal(500)
          for (const step of steps) {
            if (step.do === "open") open()
            else if ("which" in step) {
              const held = sessions[step.which % sessions.length]
              if (held === undefined) continue
              if (step.do === "close") close(held)
              else append(held)
              world.turn()
            } else perform(world, step, () => {})
          }
          world.heal(6000)
          expect(wrong).toEqual([])
          for (const { id, next, told, closed } of sessions) {
            if (id === null) continue
            expect(closed, `the end of ${id.id} has an answer`).not.toBe(null)
            if (closed === undefined || notExecuted.has(closed ?? ""))
              expect(world.isOpen(id), `${id.id} is not closed`).toBe(true)
            const text = world.value(`log${id.id}`)
            expect(text, "without a gap, each once").toBe(
              Array.from({ length: text.split(";").length - 1 }, (_, i) => `${i + 1};`).join(""),
            )
            for (let sequence = 1; sequence < next; sequence++)
              expect(told[sequence], `${sequence} of ${id.id} has an answer`).toBeDefined()
          }
        } finally {
          world.end()
        }
      }),
      { numRuns: process.env["STEPRAFT_ALL"] === undefined ? 400 : 4000 },
    )
  })

  test("a closing that was overwritten is told only once another was executed, also if its place in the log is trimmed", () => {
    const world = new FakeWorld()
    let session = noSession
    let told: string | null = null
    world.elect(1, 0)
    world.service.openSession("client", (reply) => {
      session = keyIn(reply) ?? session
    })
    world.heal(100)
    world.service.closeSession(session, (reply) => (told = codeOf(reply) ?? "OK"))
    world.turn()
    world.meet("append")
    world.elect(1, 1)
    world.elect(1, 0)
    world.commitSome(10)
    world.restore()
    world.elect(2, 0)
    world.commitSome(10)
    world.applySome(10)
    expect([told, world.isOpen(session)]).toEqual([null, true])
    world.heal(3000)
    expect([told, world.isOpen(session)]).toEqual(["OK", false])
    world.end()
  })

  test("a gap that the client left is told; one that this node made is closed", () => {
    const world = new FakeWorld()
    let session = noSession
    world.elect(1, 0)
    world.service.openSession("client", (reply) => {
      session = keyIn(reply) ?? session
    })
    world.heal(100)
    const replies: (string | null)[] = []
    const send = (sequence: number): void =>
      world.service.writeInSession(
        session,
        sequence,
        1,
        [call("INCR", "n")],
        false,
        [],
        (reply) => (replies[sequence] = codeOf(reply) ?? "fine"),
      )
    send(2)
    world.heal(100)
    expect(replies[2]).toBe("OUTOFORDER")
    send(1)
    world.turn()
    world.meet("dropSilent")
    send(2)
    world.heal(3000)
    expect(replies).toEqual([undefined, "fine", "fine"])
    world.service.closeSession(session, (reply) => (replies[0] = reply.type))
    world.heal(100)
    expect(replies[0]).toBe("simple")
    world.end()
  })
})
