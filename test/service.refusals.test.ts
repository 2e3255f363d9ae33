/** The service without faults: barriers of reads, and what is refused at once. */
import { describe, expect, test } from "vitest"
import type { Reply } from "../kv/types.ts"
import { call, codeOf, FakeWorld, noSession } from "./service.fake.ts"

describe("barriers", () => {
  test("reads before a turn share one, which the core confirms after all of them; a read after it has another", () => {
    const world = new FakeWorld()
    const order: string[] = []
    const read = (name: string): unknown => world.service.barrier(() => void order.push(name))
    world.elect(1, 0)
    const first = read("a")
    expect(read("b")).toBe(first)
    expect(world.reads.length).toBe(0)
    world.turn()
    expect([world.reads.length, first]).toMatchObject([1, { begun: true, open: false }])
    const later = read("c")
    expect(later).not.toBe(first)
    world.answerReads({ type: "ReadReady", index: 1 })
    expect(order).toEqual(["a", "b"])
    expect(later).toMatchObject({ begun: false, open: false })
    world.turn()
    world.answerReads({ type: "ReadReady", index: 1 })
    expect(order).toEqual(["a", "b", "c"])
    world.end()
  })
  test("of one turn share one read, are tried again under another leader, and end in time", () => {
    const world = new FakeWorld()
    const got: (string | null)[] = []
    world.elect(1, 0)
    for (let i = 0; i < 10; i++) world.service.barrier((refusal) => got.push(refusal === null ? null : codeOf(refusal)))
    world.turn()
    expect(world.reads.length).toBe(1)
    world.answerReads({ type: "ReadRefused", reason: "leaderChanged", leader: null })
    world.elect(2, 0)
    world.turn()
    world.answerReads({ type: "ReadReady", index: 1 })
    expect(got).toEqual(Array.from({ length: 10 }, () => null))
    world.elect(null, 0)
    world.service.barrier((refusal) => got.push(codeOf(refusal ?? undefined)))
    for (let i = 0; i < 51; i++) world.advance(100)
    expect(got.at(-1)).toBe("NOLEADER")
    world.end()
  })
})

describe("what is refused at once", () => {
  test("more arguments than one step can take, in a call or over a transaction; the owner of a node", async () => {
    const world = new FakeWorld({ maxArguments: 10 })
    const replies: (Reply | undefined)[] = []
    const into = (i: number) => (reply: Reply) => {
      replies[i] = reply
    }
    const nine = call("DEL", "a", "b", "c", "d", "e", "f", "g", "h")
    const watch = { key: Buffer.from("a"), version: 0 }
    world.service.write([[...nine, ...call("i", "j")]], false, [], into(0))
    world.service.write([nine, call("GET", "a")], true, [], into(1))
    world.service.writeInSession(noSession, 1, 1, [nine], true, [watch, watch], into(2))
    world.service.openSession("node:n1:i1", into(3))
    expect(replies).toEqual([])
    await Promise.resolve()
    expect(replies.map(codeOf)).toEqual(["TOOLARGE", "TOOLARGE", "TOOLARGE", "ERR"])
    expect(replies[0]).toMatchObject({ text: expect.stringContaining("more than 10 arguments") as string })
    expect(world.service.counters()).toMatchObject({ "service.waiting": 0 })
    world.end()
  })
})
