import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { ByteReader, ByteWriter } from "../interpreters/bytes.ts"
import { glob } from "../kv/machine/commands/glob.ts"
import { MemoryMachine, decodeCommand, encodeCommand, readReply, writeReply } from "../kv/machine/index.ts"
import { crc32c } from "../kv/machine/leveldb/crc32c.ts"
import type { Command, Reply } from "../kv/types.ts"
import { SECRET_BYTES } from "../kv/sessionKey.ts"
import { entryOf, plain, secretFor } from "./machine.kit.ts"
import { payloadOf } from "../interpreters/payload.ts"

const blob = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))
const u48 = fc.integer({ min: 0, max: 2 ** 48 - 1 })
const secret = fc.uint8Array({ minLength: SECRET_BYTES, maxLength: SECRET_BYTES }).map((bytes) => Buffer.from(bytes))
const command: fc.Arbitrary<Command> = fc.oneof(
  fc.constant<Command>({ type: "Tick" }),
  fc.record({ type: fc.constant("OpenSession" as const), owner: fc.string(), secret }),
  fc.record({ type: fc.constant("CloseSession" as const), session: u48, secret }),
  fc.record({
    type: fc.constant("Execute" as const),
    session: u48,
    secret: fc.option(secret),
    sequence: u48,
    lowest: u48,
    exec: fc.boolean(),
    watches: fc.array(fc.record({ key: blob, version: u48 }), { maxLength: 3 }),
    calls: fc.array(fc.array(blob, { maxLength: 4 }), { maxLength: 3 }),
  }),
)
const { reply } = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    { maxDepth: 3 },
    fc.record({ type: fc.constant("simple" as const), text: fc.string() }),
    fc.record({ type: fc.constant("error" as const), code: fc.string(), text: fc.string() }),
    fc.record({
      type: fc.constant("integer" as const),
      value: fc.oneof(
        fc.maxSafeInteger(),
        fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }),
        fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
      ),
    }),
    fc.record({ type: fc.constant("bulk" as const), bytes: blob }),
    fc.constant<Reply>({ type: "null" }),
    fc.record({ type: fc.constant("array" as const), items: fc.array(tie("reply"), { maxLength: 3 }) }),
    fc.record({
      type: fc.constant("map" as const),
      entries: fc.array(fc.tuple(tie("reply"), tie("reply")), { maxLength: 2 }),
    }),
  ),
}))

describe("binary forms", () => {
  test("a command comes back as it was", () => {
    fc.assert(
      fc.property(command, (value) => {
        expect(decodeCommand(encodeCommand(value))).toEqual(value)
      }),
    )
  })
  test("a reply comes back as it was", () => {
    fc.assert(
      fc.property(reply, (value) => {
        const w = new ByteWriter()
        writeReply(w, value)
        const r = new ByteReader(w.take())
        expect(readReply(r)).toEqual(value)
        r.done()
      }),
    )
  })
  test("whatever bytes stand in the log, decoding does not throw and every node makes the same of it", () => {
    const damaged = fc
      .tuple(
        command,
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 3 }),
        fc.nat({ max: 40 }),
      )
      .map(([value, flips, cut]) => {
        const bytes = Buffer.from(encodeCommand(value))
        for (const [at, byte] of flips) bytes[at % bytes.length] = byte
        return bytes.subarray(0, Math.max(0, bytes.length - cut))
      })
    fc.assert(
      fc.property(fc.oneof(blob, damaged), (bytes) => {
        const machine = new MemoryMachine()
        machine.applyNow([
          entryOf(1, 1, { type: "OpenSession", owner: "o", secret: secretFor("t") }),
          { kind: "command", index: 2, term: 1, time: 1, chain: 2, payload: payloadOf(bytes) },
        ])
        expect(machine.position().index).toBe(2)
      }),
    )
  })
  test("a command whose body is cut off is answered with an error, and its sequence number is used up", () => {
    const machine = new MemoryMachine()
    const whole = encodeCommand({
      type: "Execute",
      session: 1,
      secret: secretFor("t"),
      sequence: 1,
      lowest: 1,
      exec: false,
      watches: [],
      calls: [[Buffer.from("SET"), Buffer.from("a"), Buffer.from("b")]],
    })
    const out = machine.applyNow([
      entryOf(1, 1, { type: "OpenSession", owner: "o", secret: secretFor("t") }),
      {
        kind: "command",
        index: 2,
        term: 1,
        time: 1,
        chain: 2,
        payload: payloadOf(whole.subarray(0, whole.length - 1)),
      },
    ])
    expect(out[1]).toMatchObject({ type: "replied", session: 1, sequence: 1, reply: { type: "error", code: "ERR" } })
    expect(machine.replyOf(1, secretFor("t"), 1).type).toBe("kept")
    expect(plain(machine.read([Buffer.from("GET"), Buffer.from("a")]))).toBe(null)
  })
  test("CRC-32C is the one of RFC 3720", () => {
    expect(crc32c(new Uint8Array(32), 0, 32)).toBe(0x8a9136aa)
    expect(crc32c(Buffer.from("123456789"), 0, 9)).toBe(0xe3069283)
  })
})

describe("glob patterns", () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ["*", "", true],
    ["*", "abc", true],
    ["", "", true],
    ["", "a", false],
    ["a?c", "abc", true],
    ["a?c", "ac", false],
    ["h[ae]llo", "hallo", true],
    ["h[ae]llo", "hillo", false],
    ["h[^e]llo", "hello", false],
    ["h[^e]llo", "hbllo", true],
    ["h[a-b]llo", "hbllo", true],
    ["h[b-a]llo", "hallo", true],
    ["h\\*llo", "h*llo", true],
    ["h\\*llo", "hallo", false],
    ["[abc", "a", true],
    ["[\\]]", "]", true],
    ["a*b*c", "axxbyyc", true],
    ["a*b*c", "axxbyy", false],
    ["**a", "bba", true],
    ["a\\", "a\\", true],
    ["[]a", "a", false],
    ["user:*:x", "user:12:x", true],
    ["[a-]", "-", false],
  ]
  test.each(cases)("%j on %j: %s", (pattern, key, expected) => {
    expect(glob(Buffer.from(pattern))(Buffer.from(key))).toBe(expected)
  })
  test("many stars cost little", () => {
    const started = performance.now()
    expect(glob(Buffer.from(`${"*a".repeat(60)}b`))(Buffer.from("a".repeat(20_000)))).toBe(false)
    expect(performance.now() - started).toBeLessThan(2000)
  })
})
