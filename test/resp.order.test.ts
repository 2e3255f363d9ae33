import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { encodeRequest, makeDecoder } from "../kv/client/resp.ts"
import type { Reply, Service } from "../kv/types.ts"
import { dial, plain, serving } from "./resp.client.ts"
import { makeFake } from "./resp.fake.ts"
import { until } from "./cluster.ts"

type Command = readonly string[]

const key = fc.constantFrom("a", "b", "c")
const write: fc.Arbitrary<Command> = fc.oneof(
  fc.tuple(fc.constant("SET"), key, fc.constantFrom("1", "2", "x")),
  fc.tuple(fc.constant("INCR"), key),
  fc.tuple(fc.constant("APPEND"), key, fc.constant("y")),
  fc.tuple(fc.constant("DEL"), key),
)
const read: fc.Arbitrary<Command> = fc.oneof(
  fc.tuple(fc.constant("GET"), key),
  fc.tuple(fc.constant("MGET"), key, key),
  fc.constant(["DBSIZE"]),
  fc.constant(["KEYS", "*"]),
)
const own: fc.Arbitrary<Command> = fc.constantFrom(["PING"], ["ECHO", "hi"], ["NONSENSE"], ["GET"])
const block: fc.Arbitrary<readonly Command[]> = fc.oneof(
  { weight: 4, arbitrary: write.map((one) => [one]) },
  { weight: 4, arbitrary: read.map((one) => [one]) },
  { weight: 2, arbitrary: own.map((one) => [one]) },
  {
    weight: 1,
    arbitrary: fc
      .array(fc.oneof(write, fc.tuple(fc.constant("GET"), key)), { maxLength: 4 })
      .map((inside) => [["MULTI"], ...inside, ["EXEC"]]),
  },
)

/** What one client alone would see, command after command. */
const model = (commands: readonly Command[]): unknown[] => {
  const { direct } = makeFake()
  const call = (command: Command): unknown => plain(direct(command.map((word) => Buffer.from(word))))
  let queue: Command[] | null = null
  return commands.map((command): unknown => {
    if (command[0] === "MULTI") {
      queue = []
      return "OK"
    }
    if (command[0] === "EXEC") {
      const replies = (queue ?? []).map(call)
      queue = null
      return replies
    }
    if (queue !== null) {
      queue.push(command)
      return "QUEUED"
    }
    if (command[0] === "PING") return "PONG"
    if (command[0] === "ECHO") return command[1]
    return call(command)
  })
}

/** Sends the bytes in pieces and collects as many replies as asked for. */
const converse = async (port: number, commands: readonly Command[], pieces: readonly number[]): Promise<Reply[]> => {
  const { socket } = await dial(port)
  const replies: Reply[] = []
  const stream = Buffer.concat(commands.map((command) => encodeRequest(command)))
  const whole = new Promise<void>((done) => {
    if (commands.length === 0) done()
    const decoder = makeDecoder((reply) => {
      replies.push(reply)
      if (replies.length === commands.length) done()
    })
    socket.on("data", (chunk: Buffer) => decoder.feed(chunk))
  })
  for (let at = 0, turn = 0; at < stream.length; turn++) {
    const size = pieces[turn % pieces.length] ?? 1
    socket.write(stream.subarray(at, at + size))
    at += size
    if (turn % 3 === 0) await new Promise((next) => setImmediate(next))
  }
  await whole
  socket.destroy()
  return replies
}

describe("one connection", () => {
  test("replies to any pipeline, whatever the delays, are those of one command after the other", async () => {
    const blocks = fc.array(block, { maxLength: 25, size: "max" })
    const pieces = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 5 })
    const delays = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 10 })
    await fc.assert(
      fc.asyncProperty(
        blocks,
        pieces,
        delays,
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 8 }),
        fc.boolean(),
        async (chosen, chunks, waits, slow, pipelined, local) => {
          const commands = chosen.flat()
          let turn = 0
          const fake = makeFake({ delay: () => waits[turn++ % waits.length] ?? 0, slow: (at) => at % slow === 0 })
          const replies = await serving(fake, { limits: { pipelinedCommands: pipelined } }, (port) =>
            converse(port, local ? [["READONLY"], ...commands] : commands, chunks),
          )
          expect(replies.slice(local ? 1 : 0).map(plain)).toEqual(model(commands))
          const inside = commands
            .filter(([name]) => !["MULTI", "EXEC", "PING", "ECHO", "NONSENSE"].includes(name ?? ""))
            .filter((command) => command.join() !== "GET")
          expect(fake.executed).toEqual(inside.map((command) => command.join(" ")))
        },
      ),
      { numRuns: 150 },
    )
  })

  test("writes are sent on without waiting, and a run of reads shares one barrier", async () => {
    const fake = makeFake({ delay: () => 1 })
    await serving(fake, {}, async (port) => {
      const commands = [
        ...Array.from({ length: 20 }, () => ["INCR", "n"]),
        ...Array.from({ length: 20 }, () => ["GET", "n"]),
      ]
      const replies = await converse(port, commands, [100_000])
      expect(replies.slice(20).map(plain)).toEqual(Array.from({ length: 20 }, () => "20"))
    })
    expect(fake.counts).toMatchObject({ writes: 20, barriers: 1, reads: 20 })
  })

  test("local reads take no barrier", async () => {
    const fake = makeFake()
    await serving(fake, {}, async (port) => {
      const client = await dial(port)
      expect(plain(await client.send("READONLY"))).toBe("OK")
      expect(plain(await client.send("GET", "a"))).toBeNull()
      expect(plain(await client.send("CLIENT", "CONSISTENCY"))).toBe("local")
      expect(fake.counts.barriers).toBe(0)
      expect(plain(await client.send("CLIENT", "CONSISTENCY", "linearizable"))).toBe("OK")
      expect(plain(await client.send("GET", "a"))).toBeNull()
      expect(fake.counts.barriers).toBe(1)
      client.socket.destroy()
    })
  })

  test("a refused barrier refuses its run of reads and nothing else", async () => {
    const fake = makeFake({
      refuse: (at) => (at === 0 ? { type: "error", code: "NOLEADER", text: "none known" } : null),
    })
    await serving(fake, {}, async (port) => {
      const replies = await converse(
        port,
        [
          ["GET", "a"],
          ["GET", "b"],
        ],
        [10_000],
      )
      expect(replies.map(plain)).toEqual(["-NOLEADER none known", "-NOLEADER none known"])
      const client = await dial(port)
      expect(plain(await client.send("GET", "a"))).toBeNull()
      client.socket.destroy()
    })
  })

  test("a refused barrier does not refuse reads that a write takes along, nor those that could not have been taken yet", async () => {
    const fake = makeFake({
      refuse: (at) => (at === 0 ? { type: "error", code: "NOLEADER", text: "none known" } : null),
      delay: () => 2,
    })
    await serving(fake, {}, async (port) => {
      const replies = await converse(
        port,
        [
          ["GET", "a"],
          ["INCR", "a"],
          ["GET", "a"],
        ],
        [10_000],
      )
      expect(replies.map(plain)).toEqual([null, 1, "1"])
    })
  })

  test("reads hold up nothing: of writes and reads in turn all writes are on their way at once, in one barrier", async () => {
    const fake = makeFake()
    const held: (() => void)[] = []
    const service: Service = { ...fake, write: (...asked) => void held.push(() => fake.write(...asked)) }
    await serving(service, {}, async (port) => {
      // Fewer than are let into the log at first.
      const turns = 200
      const answered = converse(
        port,
        Array.from({ length: 2 * turns }, (_, i) => (i % 2 === 0 ? ["GET", "n"] : ["INCR", "n"])),
        [100_000],
      )
      await until("all writes are on their way", () => held.length === turns)
      for (const write of held) write()
      expect((await answered).map(plain)).toEqual(
        Array.from({ length: 2 * turns }, (_, i) => (i % 2 === 1 ? (i + 1) / 2 : i === 0 ? null : String(i / 2))),
      )
      expect(fake.counts.barriers).toBeLessThanOrEqual(2)
    })
  })

  test("where a read cannot be taken on the way of the write behind it, that is begun once it has been read", async () => {
    const fake = makeFake()
    const held: (() => void)[] = []
    const service: Service = {
      ...fake,
      write: (...asked) => void held.push(() => fake.write(...asked)),
      reader: { ...fake.reader, lengthOf: (key) => (key.length === 3 ? 1 << 20 : 0) },
    }
    const key = `7-${"ab".repeat(16)}`
    await serving(service, {}, async (port) => {
      for (const [read, next, taken] of [
        [["GET", "a"], ["INCR", "n"], true],
        // Large; long; of many keys; and before a write whose order to the others nobody knows.
        [["GET", "big"], ["INCR", "n"], false],
        [["KEYS", "*"], ["INCR", "n"], false],
        [["MGET", ...Array.from({ length: 65 }, () => "a")], ["INCR", "n"], false],
        [["GET", "a"], ["STEPRAFT", "DO", key, "1", "1", "INCR", "n"], false],
      ] as const) {
        const begun = (): number => held.length + fake.counts.sessions.length
        const before = begun()
        let replies: readonly unknown[] | null = null
        void converse(port, [["SET", "first", "1"], read, next], [100_000]).then((all) => (replies = all.map(plain)))
        await until("the first write is on its way", () => held.length > 0)
        await new Promise((done) => setImmediate(done))
        expect([read[0], next[0], begun() - before]).toEqual([read[0], next[0], taken ? 2 : 1])
        await until("all is answered", () => {
          for (const write of held.splice(0)) write()
          return replies !== null
        })
        expect([replies?.[0], replies?.[2]]).toEqual(["OK", expect.any(Number)])
      }
    })
  })
})

test("a read that its write did not take along is not taken behind it: it is to be sent again", async () => {
  const fake = makeFake()
  // The effect of the write came with a snapshot; or nobody knows whether it has one; or it was refused, and the read goes on.
  for (const [end, told] of [
    [null, "-TRYAGAIN"],
    ["UNKNOWN", "-TRYAGAIN"],
    ["SPACELOW", null],
  ] as const) {
    const barriers: (() => void)[] = []
    let ended = false
    const service: Service = {
      ...fake,
      write: (calls, exec, watches, done) =>
        end === null
          ? fake.write(calls, exec, watches, done)
          : setImmediate(() => {
              done({ type: "error", code: end, text: "." })
              ended = true
            }),
      barrier: (opened) => {
        const barrier = { begun: true, open: false, refusal: null }
        barriers.push(() => {
          barrier.open = true
          opened(null)
        })
        return barrier
      },
    }
    await serving(service, {}, async (port) => {
      const answered = converse(
        port,
        [
          ["GET", "a"],
          ["INCR", "n"],
        ],
        [10_000],
      )
      await until("the barrier is asked for", () => barriers.length === 1)
      if (end === "SPACELOW") {
        await until("the write is refused", () => ended)
        barriers[0]?.()
      }
      const [read] = (await answered).map(plain)
      expect(typeof read === "string" ? read.split(" ")[0] : read).toBe(told)
    })
  }
})

describe("UNKNOWN", () => {
  const unknown: Reply = { type: "error", code: "UNKNOWN", text: "no answer in time" }

  test("goes over to the writes sent behind, also past reads, and those see what was executed", async () => {
    const fake = makeFake({ delay: () => 1, verdict: (at) => (at === 1 ? unknown : null) })
    await serving(fake, {}, async (port) => {
      const sent = [["INCR", "a"], ["INCR", "a"], ["INCR", "a"], ["PING"], ["INCR", "a"], ["GET", "a"], ["INCR", "a"]]
      const replies = (await converse(port, sent, [10_000])).map(plain)
      expect(replies.map((reply) => (typeof reply === "string" ? reply.split(" ")[0] : reply))).toEqual([
        1,
        "-UNKNOWN",
        "-UNKNOWN",
        "PONG",
        "-UNKNOWN",
        "3",
        "-UNKNOWN",
      ])
    })
  })

  test("what may still be executed comes before the reads that are sent later, local ones too", async () => {
    const turns = [0]
    const fake = makeFake({ delay: () => turns.shift() ?? 3000, verdict: (at) => (at === 0 ? unknown : null) })
    await serving(fake, {}, async (port) => {
      const client = await dial(port)
      await client.send("CLIENT", "CONSISTENCY", "LOCAL")
      client.socket.cork()
      const written = [client.send("INCR", "a"), client.send("INCR", "a")]
      client.socket.uncork()
      for (const reply of written) expect(String(plain(await reply))).toMatch(/^-UNKNOWN/)
      expect(plain(await client.send("GET", "a"))).toBe("1")
      client.socket.destroy()
    })
  })

  test("of one connection is nobody else's", async () => {
    const fake = makeFake({ verdict: (at) => (at === 0 ? unknown : null) })
    await serving(fake, {}, async (port) => {
      const [one, two] = await Promise.all([dial(port), dial(port)])
      const first = one.send("INCR", "a")
      const second = two.send("INCR", "b")
      const replies = [plain(await first), plain(await second)].map(String)
      expect(replies.filter((reply) => reply.startsWith("-UNKNOWN"))).toHaveLength(1)
      one.socket.destroy()
      two.socket.destroy()
    })
  })
})
