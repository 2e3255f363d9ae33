/** Starts of a directory: who is known by whom, whatever is copied, put back and started; and what is said over a wire. */
import * as fc from "fast-check"
import { afterEach, describe, expect, test } from "vitest"
import {
  recordClaim,
  holdsLess,
  MAX_LINEAGE_WORDS,
  lineage,
  NO_START,
  startAfter,
  withSighting,
  type Message,
  type Sighting,
  type Start,
} from "../core/index.ts"
import { memorySightings } from "../interpreters/starts.ts"
import {
  allConnected,
  introduce,
  memberOf,
  open,
  preambleAndHello,
  raw,
  until,
  type Node,
  type NodeOptions,
} from "./tcp.nodes.ts"

describe("a line of starts", () => {
  /** Starts as a tree: each knows the one that its directory held when it was started. */
  interface Told {
    readonly start: Start
    readonly parent: Told | null
  }
  const isAncestor = (a: Told, of: Told | null): boolean => of !== null && (a === of || isAncestor(a, of.parent))

  test("of copies made, put back and started in any order: later is what went through the other, the rest is told apart", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1000), { maxLength: 40 }), (choices) => {
        const root: Told = { start: startAfter(NO_START, 1), parent: null }
        const all = [root]
        choices.forEach((choice, i) => {
          const parent = all[choice % all.length] ?? root
          all.push({ start: startAfter(parent.start, i + 2), parent })
        })
        for (const met of all) {
          for (const told of all) {
            const expected =
              met === told ? "same" : isAncestor(met, told) ? "later" : isAncestor(told, met) ? "superseded" : "forked"
            expect(lineage(met.start, told.start)).toBe(expected)
          }
        }
      }),
      { numRuns: 100 },
    )
  })
  test("is kept as long as a hello may be; what lies further back proves nothing", () => {
    let start = NO_START
    const met = startAfter(NO_START, 77)
    for (let i = 1; i <= MAX_LINEAGE_WORDS; i++) start = startAfter(start, i)
    expect(lineage(met, start)).toBe("forked")
    start = startAfter(start, MAX_LINEAGE_WORDS + 1)
    expect(start.words.length).toBe(MAX_LINEAGE_WORDS)
    expect(lineage(met, start)).toBe("later")
    expect(lineage(start, met), "an older one is refused all the same").toBe("forked")
  })
})

describe("what a member has said that its disk holds", () => {
  const accepted = (term: number, matchIndex: number): Message => ({
    type: "AppendAccepted",
    term,
    matchIndex,
    verifiedIndex: matchIndex,
    verifiedChain: 0,
    round: 1,
    condition: "ready",
    wall: 0,
    leaderTime: 0,
  })
  test("grows by acknowledgements within a term and by votes, and binds a later start", () => {
    const sighting: Sighting = { member: memberOf("b"), start: NO_START, term: 0, index: 0 }
    for (const message of [
      accepted(2, 10),
      accepted(2, 7),
      { type: "RequestVoteReply", term: 3, granted: false, wall: 0, time: 0 } as const,
      {
        type: "AppendRejected",
        term: 9,
        prevLogIndex: 1,
        conflictTerm: 0,
        conflictIndex: 1,
        round: 1,
        wall: 0,
        time: 0,
      } as const,
    ])
      recordClaim(sighting, message)
    expect(sighting).toMatchObject({ term: 2, index: 10 })
    expect(
      [
        [2, 9],
        [1, 99],
        [2, 10],
        [3, 0],
      ].map(([term = 0, index = 0]) => holdsLess({ term, index }, sighting)),
    ).toEqual([true, true, false, false])
    recordClaim(sighting, { type: "RequestVoteReply", term: 3, granted: true, wall: 0, time: 0 })
    expect(
      [
        [2, 99],
        [3, 0],
      ].map(([term = 0, index = 0]) => holdsLess({ term, index }, sighting)),
    ).toEqual([true, false])
  })
  test("is forgotten for the incarnations met first, if there are many of one name", () => {
    let all: readonly Sighting[] = []
    for (let i = 0; i < 1000; i++)
      all = withSighting(all, { member: memberOf(`n${i % 3}`, String(i)), start: NO_START, term: 0, index: 0 })
    expect(all.map(({ member }) => member.incarnation)).toEqual([
      "999",
      "998",
      "997",
      "996",
      "995",
      "994",
      "993",
      "992",
      "991",
      "990",
      "989",
      "988",
    ])
  })
})

describe("over a wire", () => {
  const opened: Node[] = []
  afterEach(async () => {
    for (const made of opened.splice(0)) await made.close()
  })
  const node = async (name: string, options: NodeOptions = {}): Promise<Node> => {
    const made = await open(name, options)
    opened.push(made)
    return made
  }
  const close = async (made: Node): Promise<void> => {
    opened.splice(opened.indexOf(made), 1)
    await made.close()
  }
  const says = (made: Node, ...words: readonly string[]): boolean =>
    made.logs.some((line) => words.every((word) => line.includes(word)))
  const line = (...words: readonly number[]): Start => ({ number: words.length, words })

  /** `a` meets b as it starts with `first`, which then ends; b comes again as `second`. */
  const twice = async (
    first: NodeOptions,
    second: NodeOptions,
    said: readonly Message[] = [],
  ): Promise<readonly [Node, Node, string[]]> => {
    const a = await node("a")
    const before = await node("b", first)
    introduce(a, before)
    await allConnected(a, before)
    for (const message of said) before.transport.send(a.self, message, null)
    before.transport.flush()
    await until("what was said has arrived", () => a.received.length === said.length)
    await close(before)
    await until("a has lost b", () => a.links.includes("-b/b-1"))
    const after = await node("b", second)
    const refusals: string[] = []
    after.transport.onRefused((by, { reason }) => refusals.push(`${by} ${reason}`))
    introduce(a, after)
    return [a, after, refusals]
  }
  const accepted: Message = {
    type: "AppendAccepted",
    term: 3,
    matchIndex: 12,
    verifiedIndex: 12,
    verifiedChain: 0,
    round: 1,
    condition: "ready",
    wall: 0,
    leaderTime: 0,
  }

  test("a directory that never went through the start that was met is refused by name, at both ends, for ever", async () => {
    const cases: readonly (readonly [Start, Start, string])[] = [
      [line(1, 2), line(1, 3), "RolledBack"],
      [line(1, 2), line(1, 3, 4, 5), "RolledBack"],
      [line(1, 2, 3), line(1, 9), "RolledBack"],
      [line(1, 2, 3), line(1, 2), "Superseded"],
    ]
    for (const [first, second, reason] of cases) {
      const [a, b, refusals] = await twice({ hello: { start: first } }, { hello: { start: second } })
      await until(
        `both say ${reason}`,
        () => says(a, reason, `a has seen start ${first.number}`) && says(b, reason, "refused this node"),
      )
      await until("it is told", () => refusals.includes(`a ${reason}`))
      expect(a.peer("b")).toMatchObject({ connected: false, refused: expect.stringContaining(reason) as string })
      expect(a.links).toEqual(["+b/b-1", "-b/b-1"])
      await close(a)
      await close(b)
    }
  })
  test("a log that holds less than was acknowledged is refused; one that holds as much, or is of a later term, is not", async () => {
    const hello = (term: number, index: number): NodeOptions => ({
      hello: { start: line(1, 2), recovered: { term, index } },
    })
    for (const [term, index] of [
      [3, 11],
      [2, 40],
    ] as const) {
      const [a, b] = await twice({ hello: { start: line(1) } }, hello(term, index), [accepted])
      await until(
        "both say so",
        () => says(a, "RolledBack", "term 3, entry 12 is on its disk") && says(b, "RolledBack"),
      )
      await close(a)
      await close(b)
    }
    for (const [term, index] of [
      [3, 12],
      [4, 5],
    ] as const) {
      const [a, b, refusals] = await twice({ hello: { start: line(1) } }, hello(term, index), [accepted])
      await allConnected(a, b)
      expect(refusals).toEqual([])
      await close(a)
      await close(b)
    }
  })
  test("a second process cannot push out the first while that one lives, and takes its place when it has ended", async () => {
    const [a, b] = [await node("a"), await node("b", { hello: { start: line(1) } })]
    introduce(a, b)
    await allConnected(a, b)
    const double = raw(a.port, preambleAndHello(b.self, "a", { start: line(1, 2) }))
    await until("it is cut off", () => double.closed())
    expect(double.got().toString("latin1")).toContain("that process is start 1, the one that is refused is start 2")
    expect(a.peer("b")).toMatchObject({ connected: true, refused: expect.stringContaining("StartedTwice") as string })
    expect([...a.links, ...b.links]).toEqual(["+b/b-1", "+a/a-1"])
    const { port } = b
    await close(b)
    const next = await node("b", { port, hello: { start: line(1, 2) } })
    next.transport.setPeer("a", { host: "127.0.0.1", port: a.port })
    await allConnected(a, next)
    await close(next)
    const first = await node("b", { port, hello: { start: line(1) } })
    first.transport.setPeer("a", { host: "127.0.0.1", port: a.port })
    await until("it is superseded now", () => says(a, "Superseded", "has seen start 2") && says(first, "Superseded"))
  })
  test("a node that was refused says so itself, and nobody takes it in", async () => {
    const [a, b] = [await node("a"), await node("b")]
    introduce(a, b)
    await allConnected(a, b)
    b.transport.announce({
      cluster: null,
      clientAddress: "",
      empty: false,
      founding: null,
      start: line(1),
      recovered: { term: 0, index: 0 },
      refused: "c said so",
    })
    await until(
      "the link is gone",
      () => a.links.includes("-b/b-1") && says(a, "RolledBack", "reports that its own directory", "c said so"),
    )
  })
  test("nothing is exchanged before a start is remembered for good", async () => {
    const kept = memorySightings()
    const waiting: (() => void)[] = []
    const a = await node("a", {
      sightings: {
        of: kept.of,
        record: (member, start, done) => void waiting.push(() => kept.record(member, start, done)),
      },
    })
    const b = await node("b")
    introduce(a, b)
    await until("a has heard of b on both connections", () => waiting.length >= 2)
    expect([...a.links, ...b.links]).toEqual([])
    for (const go of waiting.splice(0)) go()
    await allConnected(a, b)
  })
})
