/** What nodes say to each other: frames, the handshake, messages. */
import * as fc from "fast-check"
import { crc32 } from "node:zlib"
import type { Configuration, Entry } from "../../../core/index.ts"
import { MalformedBytes, ByteWriter } from "../../../interpreters/bytes.ts"
import { readFrame, sentOf, UnreadableFrame } from "../../../interpreters/port/frames.ts"
import {
  EncodedEntriesCache,
  readMessage,
  readService,
  Slab,
  writeAppendTail,
  writeMessage,
  writeService,
} from "../../../interpreters/tcp/codec.ts"
import { closeFrame, FrameParser, FRAME_HEADER, openFrame } from "../../../interpreters/tcp/frame.ts"
import {
  aliveFrame,
  echoFrame,
  PREAMBLE,
  readHandshake,
  readPreamble,
  writeHello,
  writePreamble,
  writeRefused,
  type PeerHello,
} from "../../../interpreters/tcp/handshake.ts"
import { escaped } from "../../../interpreters/text.ts"
import { messageOf } from "../../arbitraries.ts"
import { must, orRefused, pieces, told, type Parser } from "../parser.ts"

const LIMIT = 2048
interface Cut {
  readonly bodies: readonly Buffer[]
  readonly refused: string | null
}
const framesIn = (chunks: readonly Buffer[]): Cut => {
  const bodies: Buffer[] = []
  const parser = new FrameParser(LIMIT, (buffer, from, to) => bodies.push(Buffer.from(buffer.subarray(from, to))))
  try {
    for (const chunk of chunks) parser.push(chunk)
    return { bodies, refused: null }
  } catch (error) {
    if (!(error instanceof MalformedBytes)) throw error
    return { bodies, refused: error.message }
  }
}
const framed = (...bodies: readonly Uint8Array[]): Buffer => {
  const w = new ByteWriter()
  for (const body of bodies) {
    const at = openFrame(w)
    w.raw(body)
    closeFrame(w, at)
  }
  return w.take()
}
const mendFrames = (input: Buffer): Buffer => {
  const out = Buffer.from(input)
  for (let at = 0; at + FRAME_HEADER < out.length;) {
    const left = out.length - at - FRAME_HEADER
    const size = out.readUInt32BE(at)
    if (size === 0 || size > left) out.writeUInt32BE(left, at)
    const end = at + FRAME_HEADER + out.readUInt32BE(at)
    out.writeUInt32BE(crc32(out.subarray(at + FRAME_HEADER, end)), at + 4)
    at = end
  }
  return out
}
const checkFrames = (input: Buffer): void => {
  const { bodies, refused } = framesIn([input])
  must(told(framesIn(pieces(input))) === told({ bodies, refused }), "in pieces they are other frames")
  must(
    bodies.every(({ length }) => length > 0 && length <= LIMIT),
    "a frame of a size that is not allowed",
  )
  const again = framed(...bodies)
  must(again.equals(input.subarray(0, again.length)), "written again they are other bytes")
}

/** Addresses are kept by name, in whatever order they came: then the value is the same, if not the bytes. */
const sameBytes = (before: Buffer, after: Buffer, value: unknown, again: () => unknown, what: string): void => {
  if (before.equals(after)) return
  must(told(value).includes('["addresses"'), `written again it is another ${what}`)
  must(told(again()) === told(value), `written and read again it is another ${what}`)
}

/** Whatever a message holds must not be the memory that it came in. */
const readAlone = (input: Buffer): ReturnType<typeof readMessage> => {
  const chunk = Buffer.concat([Buffer.from([1, 2, 3]), input, Buffer.from([4])])
  const received = readMessage(chunk, 3, 3 + input.length, new Slab())
  chunk.fill(0xee)
  return received
}
const written = ({ message, chunk }: ReturnType<typeof readMessage>): Buffer => {
  const w = new ByteWriter(64)
  writeMessage(w, message, chunk)
  return w.take()
}
const checkMessages = (input: Buffer): void => {
  const asked = orRefused(() => readService(input, 0, input.length), MalformedBytes)
  if (asked === undefined) return
  if (asked !== null) {
    const w = new ByteWriter(64)
    writeService(w, asked)
    return must(w.take().equals(input), "written again it is another question")
  }
  const received = orRefused(() => readAlone(input), MalformedBytes)
  if (received === undefined) return
  const { message } = received
  sameBytes(input, written(received), received, () => readAlone(written(received)), "message")
  if (message.type === "AppendEntries" && message.entries.length > 0) {
    const terms = [message.prevLogTerm, ...message.entries.map(({ term }) => term), message.term]
    must(
      terms.every((term, at) => at === 0 || term >= (terms[at - 1] ?? 0)),
      "terms fall",
    )
    const w = new ByteWriter(64)
    w.raw(new EncodedEntriesCache().block(message.entries).bytes)
    writeAppendTail(w, message)
    must(w.take().equals(written(received)), "shared by followers it is another message")
  }
  const sent = sentOf(message, received.chunk)
  const frame = orRefused(
    () => readFrame(structuredClone({ kind: "batch", items: [sent], sent: 1, taken: 0 })),
    UnreadableFrame,
  )
  must(frame?.kind === "batch", "a port does not take what TCP takes")
  if (frame?.kind === "batch") must(told(frame.items) === told([received]), "over a port it is another message")
}

const checkHandshake = (input: Buffer): void => {
  const verdict = readPreamble(input)
  const begun = Math.min(input.length, PREAMBLE - 4)
  const ours = input.subarray(0, begun).equals(preamble().subarray(0, begun))
  must(ours === (verdict !== "foreign"), "a stranger is taken for a node, or a node for a stranger")
  for (let to = 0; to < Math.min(input.length, PREAMBLE); to++) {
    const before = readPreamble(input.subarray(0, to))
    must(before === null || told(before) === told(verdict), "with more bytes it is another preamble")
  }
  const frame = orRefused(() => readHandshake(input, 0, input.length), MalformedBytes)
  if (frame === undefined || frame === null) return
  const w = new ByteWriter()
  if (frame.type === "Hello") writeHello(w, frame.hello.member, frame.hello.target, frame.hello)
  else if (frame.type === "Refused") writeRefused(w, frame.refusal)
  else w.raw(frame.type === "Alive" ? aliveFrame(frame.number) : echoFrame(frame.number))
  const again = Buffer.from(w.view().subarray(FRAME_HEADER))
  if (frame.type === "Hello")
    must(escaped(told(frame.hello)) === told(frame.hello), "a hello holds what can move a cursor")
  // Later versions say more, after what this one knows.
  if (again.equals(frame.type === "Hello" ? input.subarray(0, again.length) : input)) return
  // A reason is shown without what could move a cursor, and cut: shown again it is the same, unless that made it longer.
  const reason = frame.type === "Hello" ? frame.hello.refused : frame.type === "Refused" ? frame.refusal.detail : null
  if (reason !== null && reason.length > 2000) return
  const escaping = reason !== null && /\\[xu]/.test(reason)
  must(
    escaping || again.length !== input.length || told(frame).includes('["addresses"'),
    "written again it is another handshake",
  )
  must(reason !== null || told(frame).includes('["addresses"'), "written again it is another handshake")
  must(told(readHandshake(again, 0, again.length)) === told(frame), "written and read again it is another handshake")
}

const n1 = { name: "n1", incarnation: "0123456789abcdef" }
const members: Configuration = { voters: [n1, { name: "n2", incarnation: "aa" }], outgoing: [], learners: [] }
const hello: PeerHello = {
  member: n1,
  target: "n2",
  cluster: "c1",
  clientAddress: "127.0.0.1:7001",
  empty: false,
  founding: { ...members, addresses: { n1: "127.0.0.1:8001", n2: "[::1]:8002" } },
  start: { number: 3, words: [1, 2, 2 ** 48 - 1] },
  recovered: { term: 7, index: 1000 },
  refused: null,
  listens: "127.0.0.1:8001",
  advertises: "",
  dials: "127.0.0.1:8002",
  features: { version: "0.1.0", level: 1, clusterLevel: 1 },
}
const helloBytes = (change: Partial<PeerHello> = {}): Buffer => {
  const w = new ByteWriter()
  writeHello(w, n1, "n2", { ...hello, ...change })
  return w.take().subarray(FRAME_HEADER)
}
const refusedBytes = (): Buffer => {
  const w = new ByteWriter()
  writeRefused(w, { reason: "WrongCluster", detail: "n1 belongs to another cluster" })
  return w.take().subarray(FRAME_HEADER)
}
const preamble = (): Buffer => {
  const w = new ByteWriter()
  writePreamble(w)
  return w.take()
}
const messageBytes = (): readonly Buffer[] =>
  Object.values<fc.Arbitrary<Parameters<typeof written>[0]["message"]>>(messageOf).flatMap((one) =>
    fc.sample(one, { seed: 1, numRuns: 1 }).map((sample) => written({ message: sample, chunk: null })),
  )
const withEntries = (): Buffer => {
  const place = (index: number) => ({ index, term: 2, time: 5, chain: -7 })
  const entries: readonly Entry[] = [
    { kind: "noop", ...place(4) },
    { kind: "command", ...place(5), payload: { bytes: Buffer.from("set a 1"), checksum: 9 } },
    { kind: "configuration", ...place(6), configuration: { ...members, addresses: { n1: "h:1", n2: "h:2" } } },
  ]
  const numbers = { term: 2, prevLogIndex: 3, prevLogTerm: 1, prevLogChain: 8, leaderCommit: 4, round: 5, time: 6 }
  return written({ message: { type: "AppendEntries", ...numbers, settled: true, entries }, chunk: null })
}
const forwarded = (): Buffer => {
  const payloads = [{ bytes: Buffer.from("set a 1"), checksum: 9 }]
  return written({ message: { type: "ForwardProposal", term: 2, ref: 1, bootId: 3, payloads }, chunk: null })
}
const withChunk = (): Buffer => {
  const snapshot = { index: 9, term: 2, time: 3, chain: 4, configuration: members, id: "s1" }
  const place = { term: 2, offset: 0, length: 4, last: false, round: 1 }
  return written({ message: { type: "InstallSnapshot", ...place, snapshot }, chunk: Buffer.from("data") })
}
const question = (): Buffer => {
  const w = new ByteWriter()
  writeService(w, { type: "ServiceQuestion", bootId: 1, ref: 2, bytes: Buffer.from('{"type":"status"}') })
  return w.take()
}

const CODEC = "interpreters/tcp/codec.ts"
const BYTES = "interpreters/bytes.ts"
const HANDSHAKE = "interpreters/tcp/handshake.ts"
const FRAME = "interpreters/tcp/frame.ts"
export const parsers: readonly Parser[] = [
  {
    name: "frames",
    about: "the frames between nodes: the same in pieces, and when written again",
    files: [FRAME],
    seeds: () => [framed(Buffer.from("a"), Buffer.from("frame"), Buffer.alloc(300, 7)), framed(Buffer.alloc(LIMIT, 1))],
    mend: mendFrames,
    check: checkFrames,
    faults: [
      {
        id: "fuzz-frames-1",
        title: "the checksum of a frame is not looked at",
        patches: [
          {
            file: FRAME,
            find: "!== buffer.readUInt32BE(from + 4))",
            replace: "!== buffer.readUInt32BE(from + 4) && to < 0)",
          },
        ],
      },
      {
        id: "fuzz-frames-2",
        title: "the limit is not looked at",
        patches: [{ file: FRAME, find: "if (size > this.limit) throw", replace: "if (size > 2 ** 40) throw" }],
      },
      {
        id: "fuzz-frames-3",
        title: "an empty frame is taken",
        patches: [
          {
            file: FRAME,
            find: 'if (size === 0) throw new MalformedBytes("an empty frame")',
            replace: 'if (size < 0) throw new MalformedBytes("an empty frame")',
          },
        ],
      },
    ],
  },
  {
    name: "messages",
    about:
      "messages between nodes: the same bytes when written again, for one or for all followers, and the same over a port",
    files: [CODEC, BYTES, "core/domain.ts"],
    seeds: () => [...messageBytes(), withEntries(), forwarded(), withChunk(), question()],
    check: checkMessages,
    faults: [
      {
        id: "fuzz-messages-1",
        title: "the payloads of a forwarded proposal are views of the socket's memory",
        patches: [
          { file: CODEC, find: "kind === KIND.ForwardProposal || (kind", replace: "(kind" },
          { file: BYTES, find: "if (r.lasting) return", replace: "if (r.lasting || r.end > 0) return" },
        ],
      },
      {
        id: "fuzz-messages-2",
        title: "bytes after a message are passed over",
        patches: [{ file: CODEC, find: "  r.done()\n  const flaw = flawOf", replace: "  const flaw = flawOf" }],
      },
      {
        id: "fuzz-messages-3",
        title: "the terms of entries may fall",
        patches: [
          {
            file: "core/domain.ts",
            find: "entry.term < term || entry.term > maxTerm",
            replace: "entry.term > maxTerm + 1",
          },
        ],
      },
    ],
  },
  {
    name: "handshake",
    about: "preamble, hello, refusal and keep-alives: decided early or not at all, and the same when written again",
    files: [HANDSHAKE, BYTES, "interpreters/text.ts"],
    seeds: () => [
      preamble(),
      helloBytes(),
      helloBytes({ cluster: null, founding: null, refused: "its start 4 was met", empty: true }),
      refusedBytes(),
      aliveFrame(7).subarray(FRAME_HEADER),
      echoFrame(2 ** 48 - 1).subarray(FRAME_HEADER),
    ],
    check: checkHandshake,
    faults: [
      {
        id: "fuzz-handshake-1",
        title: "a name in a hello may be anything",
        patches: [
          {
            file: HANDSHAKE,
            find: "if (name !== null && !isPlainText(name, LONGEST_NAME))",
            replace: "if (name === undefined)",
          },
        ],
      },
      {
        id: "fuzz-handshake-2",
        title: "a foreign client is recognised only by a whole preamble",
        patches: [{ file: HANDSHAKE, find: 'return "foreign"\n', replace: "return { protocol: 0 }\n" }],
      },
      {
        id: "fuzz-handshake-3",
        title: "an unknown reason for a refusal is taken as it is",
        patches: [
          {
            file: HANDSHAKE,
            find: 'if (reason === undefined) throw new MalformedBytes("a refusal for an unknown reason")',
            replace:
              'if (reason === undefined) return { type: "Refused", refusal: { reason: "WrongTarget", detail: shown(r.text(), LONGEST_REASON) } }',
          },
        ],
      },
    ],
  },
]
