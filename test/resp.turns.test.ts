/** Whoever has much to do does it in turns; time is counted in units of work, on a clock of the test's own. */
import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { makeGate } from "../kv/node/gate.ts"
import { commandReply } from "../kv/server/commands/introspection.ts"
import { encode, isFixed, type Sink } from "../kv/server/wire/encode.ts"
import { isLong, Pieces } from "../kv/server/wire/pieces.ts"
import { Table } from "../kv/server/commands/table.ts"
import { Turns } from "../kv/server/limits/turns.ts"
import type { Reply, Service } from "../kv/types.ts"
import { dial, exchange, plain, serving } from "./resp.client.ts"
import { makeFake } from "./resp.fake.ts"
import { quiet } from "./waiting.ts"

/** How much was done between any two rounds of the event loop, while `use` ran. */
const perRound = async (done: () => number, use: () => Promise<void>): Promise<number> => {
  let most = 0
  let before = done()
  let over = false
  const look = (): void => {
    most = Math.max(most, done() - before)
    before = done()
    if (!over) setImmediate(look)
  }
  setImmediate(look)
  await use()
  over = true
  return most
}

describe("turns", () => {
  test("are short, fair, and leave the loop to others", async () => {
    let time = 0
    const turns = new Turns(() => time)
    const done: number[] = []
    const job = (id: number, units: number): { queued: boolean; work: (until: number) => boolean } => ({
      queued: false,
      work: (until) => {
        while (units > 0 && time < until) {
          units--
          time++
          done.push(id)
        }
        return units > 0
      },
    })
    const most = await perRound(
      () => done.length,
      async () => {
        const [a, b, c] = [job(0, 200), job(1, 5), job(2, 200)]
        for (const each of [a, b, c]) turns.run(each)
        // Asking again while it waits changes nothing.
        turns.run(a)
        while (done.length < 405) await new Promise((next) => setImmediate(next))
      },
    )
    expect(most).toBeLessThanOrEqual(16)
    expect(done.lastIndexOf(1)).toBeLessThan(30)
    expect(done.slice(0, 100).filter((id) => id === 0).length).toBeGreaterThan(40)
    expect(done.slice(0, 100).filter((id) => id === 2).length).toBeGreaterThan(40)
  })

  test("one connection's flood of slow commands is served in slices, and another's command comes between", async () => {
    let time = 0
    const done = { asked: 0 }
    const fake = makeFake()
    const service: Service = {
      ...fake,
      status: () => {
        done.asked++
        time += 1
        return fake.status()
      },
    }
    await serving(service, { now: () => time }, async (port) => {
      const [flood, silent, polite] = [await dial(port), await dial(port), await dial(port)]
      done.asked = 0
      const most = await perRound(
        () => done.asked,
        async () => {
          flood.write("STEPRAFT STATUS\r\n".repeat(300))
          flood.socket.end()
          silent.write(`CLIENT REPLY OFF\r\n${"INFO\r\n".repeat(300)}`)
          silent.socket.end()
          while (done.asked === 0) await new Promise((next) => setImmediate(next))
          expect(plain(await polite.send("ECHO", "x"))).toBe("x")
          expect(done.asked).toBeLessThan(400)
          expect((await flood.ended).split("$").length - 1).toBe(300)
          expect(await silent.ended).toBe("")
        },
      )
      expect(done.asked).toBe(600)
      expect(most).toBeLessThanOrEqual(16)
      polite.socket.destroy()
    })
  })

  test("long reads run two at a time, whoever asks, and each gets its own answer", async () => {
    const fake = makeFake()
    let running = 0
    let most = 0
    const read: Service["reader"]["read"] = async (call) => {
      most = Math.max(most, ++running)
      for (let turn = 0; turn < 3; turn++) await new Promise((next) => setImmediate(next))
      running--
      return { type: "bulk", bytes: call[1] ?? Buffer.alloc(0) }
    }
    await serving({ ...fake, reader: { ...fake.reader, read } }, {}, async (port) => {
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, at) => exchange(port, `KEYS ${at}\r\nKEYS ${at}\r\n`)),
      )
      for (const [at, answer] of answers.entries()) expect(answer).toBe(`$${String(at).length}\r\n${at}\r\n`.repeat(2))
      // Those whose client goes away hold up nobody.
      const gone = await Promise.all(Array.from({ length: 12 }, () => dial(port)))
      for (const { write, socket } of gone) {
        write("KEYS x\r\n".repeat(5))
        setImmediate(() => socket.resetAndDestroy())
      }
      expect(await exchange(port, "KEYS y\r\n")).toBe("$1\r\ny\r\n")
    })
    expect(most).toBe(2)
  })
})

test("large values are read one each time the loop goes round, whoever asks, and small reads do not stand in line with them", async () => {
  const fake = makeFake()
  const done = { large: 0 }
  const order: string[] = []
  const read: Service["reader"]["read"] = (call, most = 0) => {
    const key = Buffer.from(call[1] ?? "").toString()
    if (key === "small") order.push("small")
    if (key === "small" || most < 1_000_000)
      return key === "small"
        ? { type: "bulk", bytes: Buffer.from("1") }
        : { type: "error", code: "TOOLARGE", text: "the reply would have more" }
    done.large++
    order.push("large")
    return { type: "bulk", bytes: Buffer.alloc(1_000_000) }
  }
  const gate = makeGate({
    status: fake.status,
    leader: fake.leader,
    refusal: () => ({ type: "error", code: "ERR", text: "shut" }),
  })
  // As in a node: what is allowed must pass through.
  gate.open({ ...fake, reader: { ...fake.reader, read } })
  await serving(gate, {}, async (port) => {
    const greedy = await Promise.all(Array.from({ length: 20 }, () => dial(port)))
    const polite = await dial(port)
    const most = await perRound(
      () => done.large,
      async () => {
        for (const { write } of greedy) write("GET large\r\nGET large\r\n")
        while (done.large === 0) await new Promise((next) => setImmediate(next))
        expect(plain(await polite.send("GET", "small"))).toBe("1")
        while (done.large < 40) await new Promise((next) => setImmediate(next))
      },
    )
    expect(most).toBeLessThanOrEqual(2)
    expect(order.indexOf("small")).toBeLessThan(35)
    for (const { socket } of [...greedy, polite]) socket.destroy()
  })
})

const textOf = (write: (sink: Sink) => void): string => {
  const sink: Sink = {
    text: "",
    bytes: (bytes) => {
      sink.text += Buffer.from(bytes).toString("latin1")
    },
  }
  write(sink)
  return sink.text
}
const { reply } = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    fc.constantFrom<Reply>(
      { type: "null" },
      { type: "integer", value: 7 },
      { type: "bulk", bytes: Buffer.from("x".repeat(20)) },
    ),
    fc.array(tie("reply"), { maxLength: 6 }).map((items): Reply => ({ type: "array", items })),
    fc
      .array(fc.tuple(tie("reply"), tie("reply")), { maxLength: 3 })
      .map((entries): Reply => ({ type: "map", entries })),
  ),
}))

describe("long replies", () => {
  test("in pieces are what they are in one", () => {
    fc.assert(
      fc.property(
        reply,
        fc.constantFrom(2 as const, 3 as const),
        fc.integer({ min: 1, max: 5 }),
        (given, protocol, items) => {
          if (given.type !== "array" && given.type !== "map") return
          const whole = textOf((sink) => encode(given, protocol, sink))
          let pieces = 0
          const parts = textOf((sink) => {
            const cut = new Pieces(given, protocol, sink)
            while (!cut.next(items, sink)) if (++pieces > 10_000) throw new Error("no end")
          })
          expect(parts).toBe(whole)
        },
      ),
      { numRuns: 300 },
    )
  })

  test("leave in order with what is around them, however deep their items lie, and wait for a client that takes nothing", async () => {
    const many = Array.from({ length: 40_000 }, (_, at): Reply => ({ type: "integer", value: at }))
    const nested: Reply = {
      type: "array",
      items: [
        { type: "bulk", bytes: Buffer.from("0") },
        { type: "array", items: many },
      ],
    }
    expect([isLong(nested), isLong({ type: "array", items: many.slice(0, 100) })]).toEqual([true, false])
    const fake = makeFake()
    const service: Service = {
      ...fake,
      reader: {
        ...fake.reader,
        read: (call) => (call.length === 2 && call[1]?.length === 4 ? nested : fake.direct(call)),
      },
    }
    const whole = textOf((sink) => encode(nested, 2, sink))
    await serving(service, { limits: { softOutputBytes: 50_000 } }, async (port) => {
      const client = await dial(port)
      client.socket.pause()
      client.write("SET a 1\r\nGET a\r\nGET long\r\nPING\r\nGET long\r\nGET a\r\nPING\r\n")
      client.socket.end()
      const other = await dial(port)
      await quiet(other)
      other.socket.destroy()
      client.socket.resume()
      expect((await client.ended) === `+OK\r\n$1\r\n1\r\n${whole}+PONG\r\n${whole}$1\r\n1\r\n+PONG\r\n`).toBe(true)
    })
  })

  test("of COMMAND are made and encoded once", () => {
    const { all } = new Table()
    const once = commandReply(all)
    expect(commandReply(all)).toBe(once)
    expect([isFixed(once), isLong(once)]).toEqual([true, false])
    if (once.type !== "array") throw new Error("an array")
    expect(textOf((sink) => encode(once, 3, sink))).toBe(
      textOf((sink) => encode({ type: "array", items: [...once.items] }, 3, sink)),
    )
  })
})
