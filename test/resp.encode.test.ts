import { connect, createServer } from "node:net"
import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { makeDecoder } from "../kv/client/resp.ts"
import { encode, encodeNullArray, type Protocol } from "../kv/server/wire/encode.ts"
import { keySlot } from "../kv/server/commands/keyslot.ts"
import { Output } from "../kv/server/wire/output.ts"
import type { Reply } from "../kv/types.ts"

const bytesOf = (reply: Reply, protocol: Protocol): string => {
  const sink = {
    text: "",
    bytes(bytes: Uint8Array): void {
      sink.text += Buffer.from(bytes).toString("latin1")
    },
  }
  encode(reply, protocol, sink)
  return sink.text
}
const bulk = (text: string): Reply => ({ type: "bulk", bytes: Buffer.from(text) })

const scalar: fc.Arbitrary<Reply> = fc.oneof(
  fc.constantFrom<Reply>({ type: "null" }, { type: "simple", text: "OK" }, { type: "simple", text: "QUEUED" }),
  fc.oneof(fc.integer(), fc.integer({ min: 0, max: 300 })).map((value): Reply => ({ type: "integer", value })),
  fc.uint8Array({ maxLength: 400 }).map((array): Reply => ({ type: "bulk", bytes: Buffer.from(array) })),
)
const { reply } = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    { weight: 4, arbitrary: scalar },
    {
      weight: 1,
      arbitrary: fc.array(tie("reply"), { maxLength: 5 }).map((items): Reply => ({ type: "array", items })),
    },
    {
      weight: 1,
      arbitrary: fc
        .array(fc.tuple(scalar, tie("reply")), { maxLength: 4 })
        .map((entries): Reply => ({ type: "map", entries })),
    },
  ),
}))

describe("replies", () => {
  test("each kind has its form in RESP2 and RESP3", () => {
    const forms: readonly (readonly [Reply, string, string])[] = [
      [{ type: "simple", text: "OK" }, "+OK\r\n", "+OK\r\n"],
      [{ type: "error", code: "ERR", text: "no\r\nbreak" }, "-ERR no  break\r\n", "-ERR no  break\r\n"],
      [{ type: "bulk", bytes: Buffer.from("a=1"), verbatim: true }, "$3\r\na=1\r\n", "=7\r\ntxt:a=1\r\n"],
      [{ type: "integer", value: -7 }, ":-7\r\n", ":-7\r\n"],
      [{ type: "integer", value: 2n ** 62n }, ":4611686018427387904\r\n", ":4611686018427387904\r\n"],
      [bulk(""), "$0\r\n\r\n", "$0\r\n\r\n"],
      [{ type: "null" }, "$-1\r\n", "_\r\n"],
      [{ type: "array", items: [bulk("a"), { type: "null" }] }, "*2\r\n$1\r\na\r\n$-1\r\n", "*2\r\n$1\r\na\r\n_\r\n"],
      [
        { type: "map", entries: [[bulk("a"), { type: "integer", value: 1 }]] },
        "*2\r\n$1\r\na\r\n:1\r\n",
        "%1\r\n$1\r\na\r\n:1\r\n",
      ],
    ]
    for (const [given, two, three] of forms) {
      expect(bytesOf(given, 2)).toBe(two)
      expect(bytesOf(given, 3)).toBe(three)
    }
    const sink = { text: "", bytes: (): void => {} }
    encodeNullArray(2, sink)
    encodeNullArray(3, sink)
    expect(sink.text).toBe("*-1\r\n_\r\n")
  })

  test("an error is one line: bytes that it quotes leave as they came, other characters as UTF-8", () => {
    const quoted = Buffer.from([0x67, 0xc3, 0xb6, 0xff, 0x80]).toString("latin1")
    expect(bytesOf({ type: "error", code: "ERR", text: `${quoted} €` }, 2)).toBe(
      `-ERR ${quoted} ${Buffer.from("€").toString("latin1")}\r\n`,
    )
  })

  test("a client decodes what was encoded, through a socket, whatever the sizes", async () => {
    const server = createServer()
    await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready))
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    const large = fc
      .integer({ min: 0, max: 3_000_000 })
      .map((size): Reply => ({ type: "bulk", bytes: Buffer.alloc(size, size & 0xff) }))
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof({ weight: 9, arbitrary: reply }, { weight: 1, arbitrary: large }), {
          minLength: 1,
          maxLength: 30,
        }),
        fc.integer({ min: 1, max: 8 }),
        async (replies, every) => {
          const got: Reply[] = []
          await new Promise<void>((done) => {
            server.once("connection", (socket) => {
              const output = new Output(socket)
              socket.on("drain", () => output.flush())
              for (const [at, each] of replies.entries()) {
                encode(each, 3, output)
                if (at % every === 0) output.flush()
              }
              output.flush()
            })
            const client = connect(port, "127.0.0.1")
            const decoder = makeDecoder((each) => {
              got.push(each)
              if (got.length === replies.length) {
                client.destroy()
                done()
              }
            })
            client.on("data", (chunk: Buffer) => decoder.feed(chunk))
          })
          expect(
            got.map((each) => bytesOf(each, 3)).join("") === replies.map((each) => bytesOf(each, 3)).join(""),
          ).toBe(true)
        },
      ),
      { numRuns: 40 },
    )
    server.close()
  })
})

test("a socket is not given more than it takes, and what waits is counted", () => {
  const wire = {
    writableLength: 0,
    write: (piece: Uint8Array | string) => (wire.writableLength += piece.length) > 0,
    cork: () => {},
    uncork: () => {},
  }
  const output = new Output(wire)
  for (let at = 0; at < 10; at++) encode({ type: "bulk", bytes: Buffer.alloc(600_000) }, 2, output)
  output.flush()
  expect(wire.writableLength).toBeLessThan(2_000_000)
  expect(output.buffered).toBe(10 * (600_000 + 11))
  wire.writableLength = 0
  output.flush()
  expect(wire.writableLength).toBeGreaterThan(1_000_000)
})

test("keys are hashed to slots as in Redis Cluster", () => {
  const slots: Readonly<Record<string, number>> = {
    a: 15495,
    foo: 12182,
    "123456789": 12739,
    "{user1000}.following": keySlot(Buffer.from("user1000")),
    "foo{}{bar}": 8363,
    "foo{{bar}}zap": 4015,
    "": 0,
  }
  for (const [key, slot] of Object.entries(slots)) expect(keySlot(Buffer.from(key))).toBe(slot)
})
