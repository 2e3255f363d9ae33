import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { encodeRequest } from "../kv/client/resp.ts"
import { defaultLimits } from "../kv/server/limits/limits.ts"
import { ProtocolError, RequestParser, RequestTooLarge } from "../kv/server/wire/resp.ts"

const limits = { ...defaultLimits, maxEntryBytes: 100_000, maxArguments: 1000, maxInlineBytes: 1000 }

/** Feeds the bytes in pieces of the given sizes (repeated), and collects what comes out. */
const parse = (
  bytes: Buffer,
  sizes: readonly number[],
): { readonly calls: string[][]; readonly error: string | null } => {
  const parser = new RequestParser(limits)
  const calls: string[][] = []
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    parser.push(Buffer.from(bytes.subarray(at, at + size)))
    at += size
    for (;;) {
      const next = parser.next()
      if (next === null) break
      if (next instanceof ProtocolError) return { calls, error: next.text }
      calls.push(
        next instanceof RequestTooLarge
          ? ["too large:", next.name.toString("latin1"), next.text]
          : next.map((word) => word.toString("latin1")),
      )
    }
  }
  return { calls, error: null }
}
const whole = (text: string): ReturnType<typeof parse> => parse(Buffer.from(text, "latin1"), [1_000_000])

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))
const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 10 })

describe("requests", () => {
  test("any commands in any pieces come out as they went in", () => {
    const commands = fc.array(fc.array(bytes, { minLength: 1, maxLength: 8 }), { maxLength: 20 })
    fc.assert(
      fc.property(commands, sizes, (sent, chunks) => {
        const { calls, error } = parse(Buffer.concat(sent.map((call) => encodeRequest(call))), chunks)
        expect(error).toBeNull()
        expect(calls).toEqual(sent.map((call) => call.map((word) => word.toString("latin1"))))
      }),
      { numRuns: 500 },
    )
  })

  test("inline commands and arrays may follow each other", () => {
    const word = fc.stringMatching(/^[a-z0-9:]{1,10}$/)
    const request = fc.record({
      words: fc.array(word, { minLength: 1, maxLength: 5 }),
      inline: fc.boolean(),
      blank: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(request, { maxLength: 10 }), sizes, (sent, chunks) => {
        fc.pre(sent.every(({ words }) => words[0] !== "post" && words[0] !== "host:"))
        const stream = sent.map(({ words, inline, blank }) =>
          Buffer.concat([
            Buffer.from(blank ? "\r\n" : ""),
            inline ? Buffer.from(`${words.join("  ")}\n`) : encodeRequest(words),
          ]),
        )
        expect(parse(Buffer.concat(stream), chunks)).toEqual({ calls: sent.map(({ words }) => words), error: null })
      }),
    )
  })

  test("bytes of any kind give commands or an error, in whatever pieces, and the same", () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .string({ unit: fc.constantFrom("*", "$", "1", "2", "-", "\r", "\n", "a", '"'), maxLength: 60 })
        .map((text) => Buffer.from(text)),
    )
    fc.assert(
      fc.property(noise, sizes, (array, chunks) => {
        const given = Buffer.from(array)
        const [pieces, once] = [parse(given, chunks), parse(given, [1_000_000])]
        expect(pieces.calls).toEqual(once.calls)
        if (once.error === null || !once.error.startsWith("unprintable")) expect(pieces.error).toEqual(once.error)
      }),
      { numRuns: 2000 },
    )
  })

  test("quotes of inline commands are those of redis-cli", () => {
    expect(whole(`SET "a b" 'c d' "\\x41\\n\\"" '\\''\r\n`).calls).toEqual([["SET", "a b", "c d", 'A\n"', "'"]])
    for (const line of ['a "b\r\n', "a 'b\r\n", 'a "b"c\r\n'])
      expect(whole(line).error).toBe("unbalanced quotes in request")
  })

  test("errors are named as in Redis", () => {
    const errors: readonly (readonly [string, string])[] = [
      ["*1\r\n+3\r\n", "expected '$', got '+'"],
      ["*abc\r\n", "invalid multibulk length"],
      ["*1001\r\n", "invalid multibulk length"],
      ["*99999999999999999999999999", "invalid multibulk length"],
      ["*1\r\n$-5\r\n", "invalid bulk length"],
      ["*1\r\n$3\r\nabcd\r\n", "expected CRLF after a bulk"],
      ["a".repeat(1001), "too big inline request"],
      ["POST / HTTP/1.1\r\n", "this port does not speak HTTP"],
      ["\x16\x03\x01\x02", "expected '*' or a command, got byte 0x16; this port does not speak TLS"],
      ["GET a\x00b\r\n", "unprintable byte 0x00 in an inline request"],
    ]
    for (const [text, error] of errors) expect(whole(text).error).toBe(error)
  })

  test("empty requests are passed over", () => {
    expect(whole("*-1\r\n*0\r\n\r\n\n  \r\nPING\r\n").calls).toEqual([["PING"]])
  })

  test("a request with too many bytes is passed over, whatever pieces it comes in, and what follows is read", () => {
    const bulk = (size: number): string => `$${size}\r\n${"x".repeat(size)}\r\n`
    const cases: readonly (readonly [string, readonly string[]])[] = [
      [
        `*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${bulk(100_001)}`,
        [
          "too large:",
          "SET",
          "an argument of 100001 bytes was given, at most 100000 are allowed. Nothing was executed.",
        ],
      ],
      [
        `*2\r\n${bulk(100_001)}${bulk(0)}`,
        ["too large:", "", "an argument of 100001 bytes was given, at most 100000 are allowed. Nothing was executed."],
      ],
      [
        `*4\r\n$4\r\nMGET\r\n${bulk(90_000)}${bulk(90_000)}${bulk(90_000)}`,
        [
          "too large:",
          "MGET",
          "a request of 270004 bytes or more was given, at most 200000 are allowed. Nothing was executed.",
        ],
      ],
      [
        `*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${bulk(790_000)}`,
        [
          "too large:",
          "SET",
          "an argument of 790000 bytes was given, at most 100000 are allowed. Nothing was executed.",
        ],
      ],
    ]
    fc.assert(
      fc.property(
        fc.constantFrom(...cases),
        fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 10 }),
        ([text, refusal], chunks) => {
          fc.pre(chunks.some((size) => size > 2_000))
          expect(parse(Buffer.from(`${text}PING\r\n${text}PING\r\n`), chunks)).toEqual({
            calls: [refusal, ["PING"], refusal, ["PING"]],
            error: null,
          })
        },
      ),
      { numRuns: 100 },
    )
  })

  test("beyond eight times the limit nothing is passed over, and what is passed over must be sound", () => {
    expect(whole("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$800001\r\n").error).toMatch(
      /^invalid bulk length: a request of 800005 bytes or more .* at most 800000 are skipped$/,
    )
    expect(whole(`*3\r\n$3\r\nSET\r\n$100001\r\n${"x".repeat(100_001)}\r\n$700000\r\n`).error).toMatch(
      /^invalid bulk length/,
    )
    expect(whole(`*2\r\n$100001\r\n${"x".repeat(100_002)}\r\n`).error).toBe("expected CRLF after a bulk")
    expect(whole(`*2\r\n$100001\r\n${"x".repeat(100_001)}\r\n+3\r\n`).error).toBe("expected '$', got '+'")
  })

  test("of what is passed over no more than its last chunk is held", () => {
    const parser = new RequestParser(limits)
    parser.push(Buffer.from("*2\r\n$3\r\nGET\r\n$700000\r\n"))
    for (let sent = 0; sent < 700_000; sent += 10_000) {
      parser.push(Buffer.alloc(10_000, 120))
      expect(parser.next()).toBeNull()
      expect(parser.weight).toBeLessThan(11_000)
    }
    parser.push(Buffer.from("\r\n"))
    expect(parser.next()).toBeInstanceOf(RequestTooLarge)
    expect(parser.requestWeight).toBe(0)
  })

  test("arguments within a chunk are views of it", () => {
    const parser = new RequestParser(limits)
    const chunk = encodeRequest(["GET", "key"])
    parser.push(chunk)
    const call = parser.next()
    if (call === null || call instanceof ProtocolError || call instanceof RequestTooLarge)
      throw new Error("expected a command")
    expect(call.map((word) => word.buffer === chunk.buffer)).toEqual([true, true])
    expect(parser.requestBytes).toBeGreaterThan(5)
  })

  test("a large bulk in many chunks costs time in proportion", () => {
    const parser = new RequestParser({ ...defaultLimits, maxEntryBytes: 64 * 1024 * 1024 })
    const size = 32 * 1024 * 1024
    const start = performance.now()
    parser.push(Buffer.from(`*1\r\n$${size}\r\n`))
    expect(parser.next()).toBeNull()
    const chunk = Buffer.alloc(512, 120)
    for (let sent = 0; sent < size; sent += chunk.length) {
      parser.push(chunk)
      parser.next()
    }
    parser.push(Buffer.from("\r\n"))
    const call = parser.next()
    expect(call instanceof ProtocolError || call instanceof RequestTooLarge ? call : call?.[0]?.length).toBe(size)
    // 65,536 chunks; copying all so far with each would move a terabyte.
    expect(performance.now() - start).toBeLessThan(5_000)
  })
})
