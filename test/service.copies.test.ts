/**
 * Many copies of one request in the log: of this node, of others, in order and out of it. What each request is told must be
 * true of all of them. And requests of others: under the same numbers, with another key.
 */
import * as fc from "fast-check"
import { afterEach, describe, expect, test, vi } from "vitest"
import type { Command, Reply, SessionKey } from "../kv/types.ts"
import { many } from "./long.ts"
import { call, codeOf, FakeWorld, type Faulty, keyIn, noSession } from "./service.fake.ts"

afterEach(() => {
  vi.useRealTimers()
})

const told = (reply: Reply | undefined): string | null => (reply === undefined ? null : (codeOf(reply) ?? "fine"))
const opened = (world: FakeWorld, owner = "client"): SessionKey => {
  let session = noSession
  world.service.openSession(owner, (reply) => {
    session = keyIn(reply) ?? session
  })
  world.heal(100)
  expect(session).not.toBe(noSession)
  return session
}
const execute = ({ id, secret }: SessionKey, sequence: number, text = `${sequence};`): Command => ({
  type: "Execute",
  session: id,
  secret,
  sequence,
  lowest: 1,
  exec: false,
  watches: [],
  calls: [call("APPEND", "log", text)],
})
const everything = Number.POSITIVE_INFINITY

describe("copies of a request", () => {
  test("that an older copy came before its turn is no answer to the request that waits, of which a later copy is executed", () => {
    const world = new FakeWorld()
    world.elect(1, 0)
    const session = opened(world)
    // Another node proposed 2 before 1, then both; the client knows the answer to 1 from there, and is here now.
    for (const sequence of [2, 1, 2]) world.foreign(execute(session, sequence))
    world.commitSome(everything)
    const replies: Reply[] = []
    world.service.writeInSession(session, 2, 2, [call("APPEND", "log", "2;")], false, [], (reply) =>
      replies.push(reply),
    )
    world.turn()
    world.applySome(everything)
    world.heal(100)
    expect(replies.map(told)).toEqual(["fine"])
    expect(world.value("log")).toBe("1;2;")
    world.end()
  })

  test("an error that the command gave is told apart by its first word, from every other, by every copy of it", async () => {
    const world = new FakeWorld()
    world.elect(1, 0)
    const session = opened(world)
    world.foreign(execute(session, 1, "text"))
    world.commitSome(everything)
    const replies: Reply[] = []
    for (const sequence of [2, 2, 2 ** 48]) {
      world.service.writeInSession(session, sequence, 1, [call("INCR", "log")], false, [], (reply) =>
        replies.push(reply),
      )
      world.heal(100)
      await Promise.resolve()
    }
    const error = { type: "error", code: "RESULT", text: "ERR value is not an integer or out of range" }
    expect(replies).toEqual([
      error,
      error,
      { type: "error", code: "ERR", text: expect.stringMatching(/Nothing was executed/) as unknown },
    ])
    world.end()
  })

  test("the same of a session that is full: an older copy's refusal is not the answer", () => {
    const world = new FakeWorld()
    world.elect(1, 0)
    const session = opened(world)
    for (let sequence = 1; sequence <= 4096; sequence++) world.foreign(execute(session, sequence, ""))
    world.foreign(execute(session, 4097))
    world.commitSome(everything)
    const replies: Reply[] = []
    world.service.writeInSession(session, 4097, 4097, [call("APPEND", "log", "4097;")], false, [], (reply) =>
      replies.push(reply),
    )
    world.turn()
    world.applySome(everything)
    expect(replies).toEqual([])
    world.heal(100)
    expect(replies.map(told)).toEqual(["fine"])
    // And its own refusal is.
    for (let sequence = 4098; sequence <= 4096 + 4096; sequence++) world.foreign(execute(session, sequence, ""))
    world.service.writeInSession(session, 8193, 1, [call("APPEND", "log", "x")], false, [], (reply) =>
      replies.push(reply),
    )
    world.heal(100)
    expect(replies.map(told)).toEqual(["fine", "SESSIONFULL"])
    world.end()
  })

  test("a gap that the client left is told although the place in the log is learnt only when it was executed", () => {
    const world = new FakeWorld()
    world.elect(1, 0)
    const session = opened(world)
    const replies: Reply[] = []
    world.service.writeInSession(session, 2, 1, [call("APPEND", "log", "2;")], false, [], (reply) =>
      replies.push(reply),
    )
    world.turn()
    world.meet("appendTold")
    world.commitSome(everything)
    world.applySome(everything)
    expect(replies).toEqual([])
    world.advance(1)
    expect(replies.map(told)).toEqual(["OUTOFORDER"])
    world.end()
  })

  test("a gap that has closed by the time that the place is learnt is not told: the request goes again", () => {
    const world = new FakeWorld()
    world.elect(1, 0)
    const session = opened(world)
    const replies: Reply[] = []
    world.service.writeInSession(session, 2, 1, [call("APPEND", "log", "2;")], false, [], (reply) =>
      replies.push(reply),
    )
    world.turn()
    world.meet("appendTold")
    world.foreign(execute(session, 1))
    world.commitSome(everything)
    world.applySome(everything)
    world.heal(100)
    expect(replies.map(told)).toEqual(["fine"])
    expect(world.value("log")).toBe("1;2;")
    world.end()
  })

  test("what another leader's entry gave at the same place is no answer of the own entry, which it has overwritten", () => {
    const world = new FakeWorld()
    world.elect(1, 0)
    const session = opened(world)
    const replies: Reply[] = []
    // Appended behind an entry of somebody else, and both are lost: the next leader has its no-op and a copy of 2 there.
    world.foreign({ type: "Tick" })
    world.service.writeInSession(session, 2, 1, [call("APPEND", "log", "2;")], false, [], (reply) =>
      replies.push(reply),
    )
    world.turn()
    world.meet("append")
    world.elect(2, 2)
    world.foreign(execute(session, 2))
    world.commitSome(everything)
    world.applySome(everything)
    expect(replies).toEqual([])
    world.foreign(execute(session, 1))
    world.heal(100)
    expect(replies.map(told)).toEqual(["fine"])
    expect(world.value("log")).toBe("1;2;")
    world.end()
  })

  test("a gap is not told while another copy of the request may still be executed", () => {
    const world = new FakeWorld()
    world.elect(1, 0)
    const session = opened(world)
    const replies: Reply[] = []
    world.service.writeInSession(session, 2, 1, [call("APPEND", "log", "2;")], false, [], (reply) =>
      replies.push(reply),
    )
    world.turn()
    world.meet("late")
    world.advance(100)
    world.meet("append")
    world.commitSome(everything)
    world.applySome(everything)
    expect(replies).toEqual([])
    world.foreign(execute(session, 1))
    world.arriveLate()
    world.heal(100)
    expect(replies.map(told)).toEqual(["fine"])
    expect(world.value("log")).toBe("1;2;")
    world.end()
  })

  type Step =
    | { readonly do: "send" | "copy" | "learn"; readonly which: number }
    | { readonly do: "meet"; readonly what: Faulty }
    | { readonly do: "commit" | "apply" | "advance"; readonly count: number }
    | { readonly do: "restore" | "trim" | "late" }
    | { readonly do: "elect"; readonly who: number; readonly lost: number }
  const which = fc.nat(6)
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constantFrom("send" as const, "send" as const, "copy" as const, "copy" as const, "learn" as const),
        which,
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant("meet" as const),
        what: fc.constantFrom<Faulty>(
          "append",
          "append",
          "append",
          "appendUnknown",
          "appendSilent",
          "appendTold",
          "drop",
          "dropSilent",
          "late",
          "notLeader",
          "busy",
        ),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constantFrom("commit" as const, "apply" as const, "apply" as const),
        count: fc.integer({ min: 1, max: 5 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant("advance" as const), count: fc.constantFrom(1, 5, 25, 60, 300, 1100) }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("restore" as const, "trim" as const, "late" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("elect" as const), who: fc.nat(2), lost: fc.nat(4) }) },
  )

  test("property: of a session that several nodes propose for and that may expire, each request is told what is true", () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 5, maxLength: 80, size: "max" }),
        fc.constantFrom(3_600_000, 3_600_000, 1200),
        (steps, idle) => {
          const world = new FakeWorld({ writeTimeout: 2000, stallMs: 400 }, idle)
          const wrong: string[] = []
          try {
            world.elect(0, 0)
            const session = opened(world)
            const sent = new Set<number>()
            const known = new Set<number>()
            const waiting = new Set<number>()
            /** Said not to be executed; what was also asked elsewhere, or before, does not count. */
            const refused = new Set<number>()
            const elsewhere = new Set<number>()
            /** Proposed for a request that came when so much was committed. */
            const since = new Map<number, number>()
            const ownRefused = (sequence: number): boolean =>
              (world.ownRefused.get(sequence) ?? []).some((index) => index > (since.get(sequence) ?? 0))
            const isExecuted = (sequence: number): boolean => world.value("log").includes(`${sequence};`)
            const send = (sequence: number): void => {
              if (waiting.has(sequence)) return
              // What becomes of copies of an earlier request is not this one's to tell.
              if (sent.has(sequence)) elsewhere.add(sequence)
              sent.add(sequence)
              waiting.add(sequence)
              refused.delete(sequence)
              since.set(sequence, world.commit)
              world.service.writeInSession(
                session,
                sequence,
                1,
                [call("APPEND", "log", `${sequence};`)],
                false,
                [],
                (reply) => {
                  if (!waiting.delete(sequence)) wrong.push(`${sequence} is answered twice`)
                  const code = told(reply) ?? ""
                  if (reply.type === "integer") {
                    known.add(sequence)
                    if (!world.value("log").slice(0, Number(reply.value)).endsWith(`${sequence};`))
                      wrong.push(`${sequence} has the answer of another`)
                  } else if (code === "OUTOFORDER") {
                    if (!ownRefused(sequence))
                      wrong.push(`${sequence} is told that it came too early, for another's copy`)
                    refused.add(sequence)
                  } else if (code === "SESSIONEXPIRED") {
                    if (idle > 10_000) wrong.push(`${sequence} is told that its session has expired`)
                    if (!ownRefused(sequence))
                      wrong.push(`${sequence} is told that its session has expired, for another's copy`)
                    refused.add(sequence)
                  } else if (code === "NOLEADER" || code === "BUSY") refused.add(sequence)
                  else if (code !== "UNKNOWN") wrong.push(`${sequence} is told ${code}`)
                },
              )
            }
            for (const one of steps) {
              // The next ones are used before those after them.
              const pick = (at: number): number => Math.max(1, known.size - 1 + at)
              switch (one.do) {
                case "send":
                  send(pick(one.which))
                  world.turn()
                  break
                case "copy": {
                  // Through another node, which has got it from the same client.
                  const sequence = pick(one.which)
                  sent.add(sequence)
                  elsewhere.add(sequence)
                  refused.delete(sequence)
                  world.foreign(execute(session, sequence))
                  break
                }
                case "learn":
                  for (const sequence of sent) if (isExecuted(sequence)) known.add(sequence)
                  break
                case "meet":
                  world.meet(one.what)
                  break
                case "commit":
                  world.commitSome(one.count)
                  break
                case "apply":
                  world.applySome(one.count)
                  break
                case "advance":
                  world.advance(one.count)
                  break
                case "restore":
                  world.restore()
                  break
                case "trim":
                  world.trim()
                  break
                case "late":
                  world.arriveLate()
                  break
                case "elect":
                  world.elect(one.who, one.lost)
                  break
              }
            }
            world.heal(5000)
            if (waiting.size > 0) wrong.push(`no answer for ${[...waiting].join(", ")}`)
            const text = world.value("log")
            const count = text.split(";").length - 1
            if (text !== Array.from({ length: count }, (_, i) => `${i + 1};`).join("")) wrong.push(`executed: ${text}`)
            for (const sequence of refused)
              if (!elsewhere.has(sequence) && isExecuted(sequence))
                wrong.push(`${sequence} was said not to be executed`)
            for (const sequence of known) if (!isExecuted(sequence)) wrong.push(`${sequence} was acknowledged`)
            expect(wrong).toEqual([])
          } finally {
            world.end()
          }
        },
      ),
      { numRuns: many(30_000, 200) },
    )
  })
})

describe("a session that expires within what a restored snapshot covers", () => {
  test("of the node: writes under way have an unknown outcome and are not sent again; later ones go in a new session", () => {
    const world = new FakeWorld({}, 1000)
    const replies: (string | null)[] = []
    const write = (id: number): void =>
      world.service.write([call("APPEND", "log", `${id};`)], false, [], (reply) => (replies[id] = told(reply)))
    world.elect(1, 0)
    world.heal(100)
    write(0)
    write(1)
    world.turn()
    world.meet("append")
    world.commitSome(everything)
    world.advance(1500)
    // The session is over, and so is what this node knew of it.
    world.foreign({ type: "Tick" })
    world.commitSome(everything)
    world.restore()
    write(2)
    world.heal(3000)
    expect(replies).toEqual(["UNKNOWN", "UNKNOWN", "fine"])
    expect(world.value("log")).toBe("0;1;2;")
    world.end()
  })

  test("of a client: the same", () => {
    const world = new FakeWorld({}, 1000)
    world.elect(1, 0)
    const session = opened(world)
    const replies: (string | null)[] = []
    world.service.writeInSession(session, 1, 1, [call("APPEND", "log", "1;")], false, [], (reply) =>
      replies.push(told(reply)),
    )
    world.turn()
    world.meet("append")
    world.commitSome(everything)
    world.advance(1500)
    world.foreign({ type: "Tick" })
    world.commitSome(everything)
    world.restore()
    world.heal(3000)
    expect(replies).toEqual(["UNKNOWN"])
    expect(world.value("log")).toBe("1;")
    world.end()
  })
})

describe("requests of strangers", () => {
  test("under the same number of the same session get an answer of their own, and give none to the owner; after a restore too", () => {
    const world = new FakeWorld()
    world.elect(1, 0)
    const session = opened(world)
    const stranger: SessionKey = { id: session.id, secret: new Uint8Array(16) }
    const replies: Record<string, string | null> = {}
    const ask = (name: string, key: SessionKey, sequence: number): void =>
      world.service.writeInSession(key, sequence, 1, [call("APPEND", "log", `${name};`)], false, [], (reply) => {
        replies[name] = reply.type === "integer" ? String(reply.value) : told(reply)
      })
    ask("stranger first", stranger, 1)
    ask("owner", session, 1)
    ask("stranger second", stranger, 1)
    world.heal(100)
    expect(replies).toEqual({ "stranger first": "SESSIONEXPIRED", owner: "6", "stranger second": "SESSIONEXPIRED" })
    ask("late owner", session, 2)
    ask("late stranger", stranger, 2)
    world.turn()
    world.meet("append")
    world.commitSome(everything)
    world.restore()
    world.heal(100)
    expect([replies["late owner"], ["SESSIONEXPIRED", "UNKNOWN"].includes(replies["late stranger"] ?? "")]).toEqual([
      "17",
      true,
    ])
    expect(world.value("log")).toBe("owner;late owner;")
    world.end()
  })

  test("close nothing, and do not make the node open a new session of its own; the owner closes", () => {
    const world = new FakeWorld()
    world.elect(1, 0)
    const session = opened(world)
    const closed: (string | null)[] = []
    for (const key of [{ id: session.id, secret: new Uint8Array(16) }, session, { id: 1, secret: session.secret }])
      world.service.closeSession(key, (reply) => closed.push(told(reply)))
    world.service.write([call("APPEND", "log", "own;")], false, [], () => {})
    world.service.writeInSession(
      { id: 2, secret: session.secret },
      2,
      99,
      [call("APPEND", "log", "evil;")],
      false,
      [],
      (reply) => closed.push(told(reply)),
    )
    world.heal(100)
    expect(closed.toSorted((a, b) => String(a).localeCompare(String(b)))).toEqual([
      "fine",
      "SESSIONEXPIRED",
      "SESSIONEXPIRED",
      "SESSIONEXPIRED",
    ])
    expect(world.isOpen(session)).toBe(false)
    expect(world.value("log")).toBe("own;")
    expect(world.service.counters()["service.sessionsOpened"]).toBe(1)
    world.end()
  })

  test("numbers that the log cannot carry are refused by name, at every place", async () => {
    const world = new FakeWorld()
    const codes: (string | null)[] = []
    const done = (reply: Reply): void => void codes.push(told(reply))
    const secret = new Uint8Array(16)
    const wrong = [2 ** 48, 2 ** 53, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]
    for (const number of wrong) {
      world.service.writeInSession({ id: number, secret }, 1, 1, [call("GET", "a")], false, [], done)
      world.service.writeInSession({ id: 1, secret }, number, 1, [call("GET", "a")], false, [], done)
      world.service.writeInSession({ id: 1, secret }, 1, number, [call("GET", "a")], false, [], done)
      world.service.writeInSession(
        { id: 1, secret },
        1,
        1,
        [call("GET", "a")],
        true,
        [{ key: Buffer.from("a"), version: number }],
        done,
      )
      world.service.closeSession({ id: number, secret }, done)
    }
    await Promise.resolve()
    expect(codes).toEqual(Array.from({ length: wrong.length * 5 }, () => "ERR"))
    world.end()
  })
})
