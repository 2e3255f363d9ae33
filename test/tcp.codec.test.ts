import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { MAX_TERM, type Member, type Message, type Persist } from "../core/index.ts"
import { MalformedBytes, NumberOutOfDomain, ByteReader, ByteWriter, readEntries } from "../interpreters/bytes.ts"
import { readPersist, writePersist } from "../interpreters/file/frame.ts"
import {
  EncodedEntriesCache,
  Slab,
  readMessage,
  writeAppendTail,
  writeMessage,
  type Received,
} from "../interpreters/tcp/codec.ts"
import { FrameParser, FRAME_HEADER, closeFrame, frameLimit, openFrame } from "../interpreters/tcp/frame.ts"
import { ownFeatures } from "../interpreters/features.ts"
import {
  agreedOn,
  PROTOCOLS,
  readHandshake,
  readPreamble,
  writeHello,
  writePreamble,
  writeRefused,
  type Greeting,
} from "../interpreters/tcp/handshake.ts"
import * as arb from "./arbitraries.ts"
import { fresh } from "./tcp.nodes.ts"

const encode = (message: Message, chunk: Uint8Array | null = null): Buffer => {
  const w = new ByteWriter(16)
  writeMessage(w, message, chunk)
  return w.take()
}
const decode = (body: Buffer): Received => readMessage(body, 0, body.length, new Slab())
/** Bytes as hex: a Buffer and a Uint8Array of the same bytes count as equal. */
const plain = (value: unknown): unknown =>
  value instanceof Uint8Array
    ? Buffer.from(value).toString("hex")
    : Array.isArray(value)
      ? value.map(plain)
      : typeof value === "object" && value !== null
        ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
        : value
const same = (a: unknown, b: unknown): void => {
  expect(plain(a)).toEqual(plain(b))
}
/** A value or MalformedBytes; any other error fails the test. */
const survives = (body: Buffer): void => {
  try {
    decode(body)
  } catch (error) {
    if (!(error instanceof MalformedBytes)) throw error
  }
}
const frameOf = (message: Message, chunk: Uint8Array | null = null): Buffer => {
  const w = new ByteWriter(16)
  const at = openFrame(w)
  writeMessage(w, message, chunk)
  closeFrame(w, at)
  return w.take()
}

describe("every message comes back as it went", () => {
  for (const [type, arbitrary] of Object.entries(arb.messageOf) as [string, fc.Arbitrary<Message>][])
    test(type, () => {
      fc.assert(
        fc.property(arbitrary, (message) => same(decode(encode(message)), { message, chunk: null })),
        { numRuns: 200 },
      )
    })

  test("InstallSnapshot takes its chunk along, and its length from it", () => {
    fc.assert(
      fc.property(arb.messageOf.InstallSnapshot, arb.bytes, (message, chunk) =>
        same(decode(encode(message, chunk)), { message: { ...message, length: chunk.length }, chunk }),
      ),
    )
  })

  test("entries shared between peers are the same frame, byte for byte", () => {
    const blocks = new EncodedEntriesCache()
    fc.assert(
      fc.property(
        fc.array(
          arb.messageOf.AppendEntries.filter((m) => m.entries.length > 0),
          { minLength: 1, maxLength: 4 },
        ),
        fc.boolean(),
        (messages, over) => {
          for (const message of [
            ...messages,
            ...messages.map((m) => ({ ...m, entries: m.entries.slice(), term: MAX_TERM })),
          ]) {
            const w = new ByteWriter(16)
            const at = openFrame(w)
            const block = blocks.block(message.entries)
            w.raw(block.bytes)
            writeAppendTail(w, message)
            closeFrame(w, at, block.bytes.length, block.crc)
            expect(w.take().equals(frameOf(message))).toBe(true)
          }
          if (over) blocks.clear()
        },
      ),
    )
  })

  test("a run with the same last entry and another first one is not taken for the same", () => {
    fc.assert(
      fc.property(
        arb.messageOf.AppendEntries.filter((m) => m.entries.length > 1),
        (message) => {
          const blocks = new EncodedEntriesCache()
          const shorter = message.entries.slice(1)
          const all = Buffer.from(blocks.block(message.entries).bytes)
          const some = Buffer.from(blocks.block(shorter).bytes)
          same(readEntries(new ByteReader(all, 1)), message.entries)
          same(readEntries(new ByteReader(some, 1)), shorter)
        },
      ),
    )
  })
})

describe("numbers at the edge", () => {
  const edges = [
    0,
    1,
    2 ** 31 - 1,
    2 ** 31 + 1,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 32 + 1,
    2 ** 48 - 2,
    2 ** 48 - 1,
    2 ** 48,
    2 ** 53 - 1,
    -1,
    Number.NaN,
    0.5,
    Number.POSITIVE_INFINITY,
  ]
  const numbersOf = (value: object, path: readonly string[] = []): readonly (readonly string[])[] =>
    Object.entries(value).flatMap(([key, inner]: [string, unknown]) =>
      typeof inner === "number"
        ? [[...path, key]]
        : typeof inner === "object" && inner !== null && !(inner instanceof Uint8Array)
          ? numbersOf(inner, [...path, key])
          : [],
    )
  const withAt = (value: object, [key = "", ...rest]: readonly string[], number: number): object => {
    const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...value }) as Record<string, unknown>
    copy[key] = rest.length === 0 ? number : withAt(copy[key] as object, rest, number)
    return copy
  }
  const at = (value: unknown, path: readonly string[]): unknown =>
    path.reduce<unknown>((inner, key) => (inner as Record<string, unknown> | null)?.[key], value)
  for (const [type, arbitrary] of Object.entries(arb.messageOf) as [string, fc.Arbitrary<Message>][])
    test(`at every place of ${type}: refused by name with nothing written, or it comes back`, () => {
      fc.assert(
        fc.property(arbitrary, (message) => {
          for (const path of numbersOf(message))
            for (const edge of edges) {
              const other = withAt(message, path, edge) as Message
              const w = new ByteWriter(16)
              w.u8(9)
              try {
                writeMessage(w, other, null)
              } catch (error) {
                expect(error).toBeInstanceOf(NumberOutOfDomain)
                expect(w.length).toBe(1)
                continue
              }
              expect(
                Object.is(at(decode(w.take().subarray(1)).message, path), edge),
                `${path.join(".")} = ${edge}`,
              ).toBe(true)
            }
        }),
        { numRuns: 6 },
      )
    })
  test("at every place of a record of the log: the same", () => {
    const persist = fc.record({
      type: fc.constant("Persist" as const),
      seq: fc.constant(1),
      hardState: fc.option(fc.record({ term: arb.term, vote: fc.option(arb.member) })),
      truncateFrom: fc.option(arb.index),
      entries: arb.entries,
      base: fc.option(arb.logBase),
    })
    fc.assert(
      fc.property(persist, (record) => {
        for (const path of numbersOf(record))
          for (const edge of edges) {
            if (path[0] === "seq") continue
            const other = withAt(record, path, edge) as Persist
            const w = new ByteWriter(16)
            try {
              writePersist(w, other)
            } catch (error) {
              expect(error).toBeInstanceOf(NumberOutOfDomain)
              expect(w.length).toBe(0)
              continue
            }
            if (w.length > 0)
              expect(
                Object.is(at(readPersist(new ByteReader(w.take())), path), edge),
                `${path.join(".")} = ${edge}`,
              ).toBe(true)
          }
      }),
      { numRuns: 15 },
    )
  })
  test("what older versions wrote, or a damaged peer says, is refused by name", () => {
    const body = encode({ type: "TimeoutNow", term: 1 })
    body.fill(0xff, 1, 7)
    expect(() => decode(body)).toThrow(/no correct server sends TimeoutNow with term 281474976710655/)
  })
})

describe("what is not a message", () => {
  test("any truncation and any added byte is MalformedBytes", () => {
    fc.assert(
      fc.property(arb.message, (message) => {
        const body = encode(message)
        for (let i = 0; i < body.length; i++) expect(() => decode(body.subarray(0, i))).toThrow(MalformedBytes)
        expect(() => decode(Buffer.concat([body, Buffer.of(0)]))).toThrow(MalformedBytes)
      }),
      { numRuns: 60 },
    )
  })
  test("any flipped bit gives a value or MalformedBytes", () => {
    fc.assert(
      fc.property(arb.message, fc.nat(), (message, at) => {
        const body = Buffer.from(encode(message))
        const bit = at % (body.length * 8)
        body[bit >> 3] = (body[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        survives(body)
      }),
      { numRuns: 2000 },
    )
  })
  test("random bytes under each kind give a value or MalformedBytes", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 20 }), fc.uint8Array({ maxLength: 200, size: "max" }), (kind, rest) =>
        survives(Buffer.concat([Buffer.of(kind), rest])),
      ),
      { numRuns: 3000 },
    )
  })
  test("a lie about a count or a length allocates nothing", () => {
    const huge = Buffer.alloc(64, 0xff)
    for (let kind = 0; kind < 256; kind++) {
      huge[0] = kind
      expect(() => decode(huge)).toThrow(MalformedBytes)
    }
  })
  test("nothing received aliases the socket's memory", () => {
    fc.assert(
      fc.property(fc.oneof(arb.messageOf.AppendEntries, arb.messageOf.ForwardProposal), (message) => {
        const body = encode(message)
        const received = decode(body)
        body.fill(0xee)
        same(received.message, message)
      }),
    )
    fc.assert(
      fc.property(arb.messageOf.InstallSnapshot, arb.bytes, (message, chunk) => {
        const body = encode(message, chunk)
        const received = decode(body)
        body.fill(0xee)
        same(received.chunk, chunk)
      }),
    )
  })
})

describe("frames", () => {
  const collect = (limit = frameLimit(8 << 20)): { readonly bodies: Buffer[]; readonly parser: FrameParser } => {
    const bodies: Buffer[] = []
    return {
      bodies,
      parser: new FrameParser(limit, (buffer, from, to) => bodies.push(Buffer.from(buffer.subarray(from, to)))),
    }
  }
  const big = fc.integer({ min: 0, max: 300_000 }).map((size) => Buffer.alloc(size, size & 0xff))

  test("are found again however the stream is cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(arb.messageOf.InstallSnapshot, fc.oneof(arb.bytes, big)), { maxLength: 6 }),
        fc.infiniteStream(
          fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1000, max: 70_000 })),
        ),
        (list, cuts) => {
          const frames = list.map(([message, chunk]) => frameOf(message, chunk))
          const stream = Buffer.concat(frames)
          const { bodies, parser } = collect()
          for (let at = 0; at < stream.length;) {
            // A run of tiny cuts through 300 KB takes too long; they matter around the headers, where frames are small.
            const size = Math.max(cuts.next().value ?? 1, stream.length > 20_000 ? 997 : 1)
            // Its own memory, destroyed afterwards: a parser that keeps a view of it is found out.
            const piece = Buffer.from(stream.subarray(at, at + size))
            parser.push(piece)
            piece.fill(0xdd)
            at += size
          }
          expect(bodies.length).toBe(frames.length)
          bodies.forEach((body, i) =>
            expect(body.equals(frames[i]?.subarray(FRAME_HEADER) ?? Buffer.alloc(0))).toBe(true),
          )
        },
      ),
      { numRuns: 150 },
    )
  })
  test("of 8 MB in chunks of 16 bytes to 64 KB copy each byte a bounded number of times", () => {
    const frame = frameOf(
      {
        type: "InstallSnapshot",
        term: 1,
        snapshot: {
          id: "s",
          index: 1,
          term: 1,
          time: 1,
          chain: 1,
          configuration: { voters: [], outgoing: [], learners: [] },
        },
        offset: 0,
        length: 0,
        last: true,
        round: 1,
      },
      Buffer.alloc(8 << 20, 5),
    )
    for (const size of [64, 65_536]) {
      const { bodies, parser } = collect()
      for (let at = 0; at < frame.length; at += size) parser.push(frame.subarray(at, at + size))
      expect(bodies.length).toBe(1)
    }
  })
  test("that announce 2 GB, nothing, or a wrong checksum are malformed", () => {
    for (const header of [
      [0x80, 0, 0, 0],
      [0xff, 0xff, 0xff, 0xff],
      [0, 0, 0, 0],
    ]) {
      const { parser } = collect()
      expect(() => parser.push(Buffer.from([...header, 0, 0, 0, 0, 1]))).toThrow(MalformedBytes)
    }
    fc.assert(
      fc.property(arb.message, fc.nat(), (message, at) => {
        const frame = Buffer.from(frameOf(message))
        const bit = 32 + (at % ((frame.length - 4) * 8))
        frame[bit >> 3] = (frame[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        const { bodies, parser } = collect()
        expect(() => parser.push(frame)).toThrow(MalformedBytes)
        expect(bodies).toEqual([])
      }),
    )
  })
  test("after stop are not handed on, not even the rest of the chunk", () => {
    const frame = frameOf({ type: "TimeoutNow", term: 1 })
    let seen = 0
    const parser: FrameParser = new FrameParser(1000, () => {
      seen += 1
      parser.stop()
    })
    parser.push(Buffer.concat([frame, frame, frame.subarray(0, 5)]))
    parser.push(frame.subarray(5))
    expect(seen).toBe(1)
  })
})

describe("handshake", () => {
  const start = fc
    .nat(300)
    .chain((number) =>
      fc.record({
        number: fc.constant(number),
        words: fc.array(fc.nat(), { minLength: Math.min(number, 128), maxLength: Math.min(number, 128) }),
      }),
    )
  const name = fc.string({ unit: fc.constantFrom(...Array.from("abZ09._-:[] äß漢🙂")), maxLength: 12 })
  const member = fc.record({ name, incarnation: name })
  const members = fc.array(member, { maxLength: 4 })
  const hello = fc.record({
    cluster: fc.option(name),
    clientAddress: name,
    empty: fc.boolean(),
    founding: fc.option(fc.record({ voters: members, outgoing: members, learners: members })),
    start,
    recovered: fc.record({ term: fc.nat(), index: fc.nat() }),
    refused: fc.option(name),
    listens: name,
    advertises: name,
    dials: name,
    features: fc.record({ version: name, level: fc.nat(), clusterLevel: fc.nat() }),
  })
  test("hello and refusal come back as they went, and every truncation is MalformedBytes", () => {
    fc.assert(
      fc.property(member, name, hello, (self, target, local) => {
        const w = new ByteWriter(16)
        writeHello(w, self, target, local)
        const frame = w.take()
        same(readHandshake(frame, FRAME_HEADER, frame.length), {
          type: "Hello",
          hello: { ...local, member: self, target },
        })
        for (let to = FRAME_HEADER + 1; to < frame.length; to++)
          expect(() => readHandshake(frame, FRAME_HEADER, to)).toThrow(MalformedBytes)
      }),
      { numRuns: 50 },
    )
    const w = new ByteWriter(16)
    writeRefused(w, { reason: "WrongCluster", detail: "why" })
    const frame = w.take()
    same(readHandshake(frame, FRAME_HEADER, frame.length), {
      type: "Refused",
      refusal: { reason: "WrongCluster", detail: "why" },
    })
  })
  test("no name in a hello is long or moves a cursor, and no reason of a peer reaches a log as it came", () => {
    const local = { ...fresh, listens: "h:1", advertises: "h:1", dials: "h:2" }
    const evil = ["n\u001b[2J", "n\r\nerror", "n\u009b31m", "n\u202e1n", "n".repeat(257)]
    const read = (self: Member, target: string, hello: Greeting): unknown => {
      const w = new ByteWriter(16)
      writeHello(w, self, target, hello)
      const frame = w.take()
      return readHandshake(frame, FRAME_HEADER, frame.length)
    }
    const good = { name: "n1", incarnation: "a" }
    expect(read(good, "n2", local)).toMatchObject({ type: "Hello" })
    for (const bad of evil) {
      const founding = { voters: [{ name: "n1", incarnation: bad }], outgoing: [], learners: [] }
      const all = [
        () => read({ ...good, name: bad }, "n2", local),
        () => read({ ...good, incarnation: bad }, "n2", local),
        () => read(good, bad, local),
        ...[
          { cluster: bad },
          { clientAddress: bad },
          { listens: bad },
          { advertises: bad },
          { dials: bad },
          { features: { ...ownFeatures, version: bad } },
          { founding },
        ].map((change) => () => read(good, "n2", { ...local, ...change })),
      ]
      for (const one of all) expect(one).toThrow(/a name of \d+ characters that no node has: [\w\\[…() ]+$/)
    }
    const w = new ByteWriter(16)
    writeRefused(w, { reason: "WrongCluster", detail: `\u001b]0;owned\u0007\n${"x".repeat(200_000)}` })
    const frame = w.take()
    const refused = readHandshake(frame, FRAME_HEADER, frame.length)
    const detail = refused?.type === "Refused" ? refused.refusal.detail : ""
    expect(detail.startsWith("\\x1b]0;owned\\x07\\x0axxx")).toBe(true)
    expect(detail).toMatch(/x… \(198011 more characters\)$/)
  })
  test("a hello of a later version may have more at its end: what is known of it is read, and the rest skipped", () => {
    const w = new ByteWriter(16)
    writeHello(w, { name: "n1", incarnation: "a" }, "n2", { ...fresh, listens: "h:1", advertises: "", dials: "" })
    const frame = Buffer.concat([w.take(), Buffer.from("more")])
    expect(readHandshake(frame, FRAME_HEADER, frame.length)).toMatchObject({ type: "Hello", hello: { listens: "h:1" } })
  })
  test("the highest version of the protocol that both know is spoken", () => {
    const { lowest, highest } = PROTOCOLS
    expect(agreedOn({ lowest: 1, highest: highest + 9 })).toBe(highest)
    expect(agreedOn({ lowest, highest: lowest })).toBe(lowest)
    expect(agreedOn({ lowest: highest + 1, highest: highest + 9 })).toBeNull()
    expect(agreedOn({ lowest: 1, highest: lowest - 1 })).toBeNull()
  })
  test("a preamble is known by its first byte and complete with its last", () => {
    const w = new ByteWriter(16)
    writePreamble(w)
    const all = w.take()
    for (let i = 0; i < all.length; i++) expect(readPreamble(all.subarray(0, i))).toBeNull()
    expect(readPreamble(all)).toEqual(PROTOCOLS)
    for (const foreign of ["GET / HTTP/1.1\r\n", "*1\r\n$4\r\nPING\r\n", "\u0016\u0003\u0001", "\u0000"])
      expect(readPreamble(Buffer.from(foreign.slice(0, 1), "latin1"))).toBe("foreign")
  })
})
