/** What the key-value store's state machine reads: commands from the log, images from peers and backups, records from its disk. */
import { crc32 } from "node:zlib"
import type { Configuration } from "../../../core/index.ts"
import { ByteReader, ByteWriter, MalformedBytes } from "../../../interpreters/bytes.ts"
import { decodeCommand, encodeCommand } from "../../../kv/machine/command.ts"
import { ImageReader, ImageWriter, type ImageRecord } from "../../../kv/machine/image.ts"
import * as layout from "../../../kv/machine/layout.ts"
import { readReply, writeReply } from "../../../kv/machine/reply.ts"
import type { Session } from "../../../kv/machine/sessions.ts"
import type { Command, Reply } from "../../../kv/types.ts"
import { must, orRefused, pieces, told, type Parser } from "../parser.ts"
import { depthOf } from "./resp.ts"

const secret = Buffer.from("0123456789abcdef")
const bytes = (text: string): Buffer => Buffer.from(text)
const members: Configuration = { voters: [{ name: "n1", incarnation: "aa" }], outgoing: [], learners: [] }
export const base = { index: 9, term: 2, time: 1_700_000_000_000, chain: -5, configuration: members }

const checkCommand = (input: Buffer): void => {
  const command = decodeCommand(input)
  if (command.type === "Malformed") return
  must(decodeCommand(Buffer.concat([input, Buffer.alloc(1)])).type === "Malformed", "what follows it is passed over")
  const again = encodeCommand(command)
  must(again.length <= input.length + 8 || command.type === "OpenSession", "written again it is much longer")
  must(told(decodeCommand(again)) === told(command), "written and read again it is another command")
  must(told(encodeCommand(decodeCommand(again) as Command)) === told(again), "it has two canonical forms")
}
const execute = (over: Partial<Extract<Command, { type: "Execute" }>>): Command => ({
  type: "Execute",
  session: 7,
  secret: null,
  sequence: 1,
  lowest: 1,
  exec: false,
  watches: [],
  calls: [[bytes("set"), bytes("a"), bytes("1")]],
  ...over,
})

const REPLIES: readonly Reply[] = [
  { type: "simple", text: "OK" },
  { type: "error", code: "ERR", text: "no" },
  { type: "integer", value: 7 },
  { type: "integer", value: -7 },
  { type: "integer", value: 2n ** 62n },
  { type: "bulk", bytes: bytes("value") },
  { type: "array", items: [{ type: "null" }, { type: "array", items: [] }] },
  {
    type: "map",
    entries: [
      [
        { type: "bulk", bytes: bytes("a") },
        { type: "integer", value: 1 },
      ],
    ],
  },
]
const replyBytes = (reply: Reply): Buffer => {
  const w = new ByteWriter(64)
  writeReply(w, reply)
  return w.take()
}
const checkReply = (input: Buffer): void => {
  const r = new ByteReader(input)
  const reply = orRefused(() => readReply(r), MalformedBytes)
  if (reply === undefined) return
  const again = replyBytes(reply)
  must(told(readReply(new ByteReader(again))) === told(reply), "written and read again it is another reply")
  must(again.equals(input.subarray(0, r.at)) || told(reply).includes('"OK"'), "written again it is other bytes")
  must(depthOf(reply) <= 9, "it is nested too deeply")
}

const session = (): Session => ({
  id: 3,
  owner: "client",
  secret,
  last: 4,
  lowest: 3,
  active: 1_700_000_000_000,
  replies: new Map(REPLIES.slice(0, 2).map((reply, at) => [3 + at, reply])),
})
const record = (key: string, value: string): Buffer => {
  const item = { length: value.length, value: bytes(value), crc: 0, version: 8, expiry: 0 }
  return layout.encodeRecord(bytes(key), item, bytes(value))
}
export const image = (withSession: boolean): Buffer => {
  const w = new ImageWriter()
  w.begin(base)
  w.removals([[1, 2]])
  if (withSession) w.session(session())
  w.data(bytes("a"), record("a", "1"))
  w.data(bytes("b"), record("b", "two"))
  w.end()
  return Buffer.from(w.take())
}
interface Imaged {
  readonly records: readonly ImageRecord[]
  readonly complete: boolean
  readonly refused: string | null
}
const imageIn = (chunks: readonly Buffer[]): Imaged => {
  const reader = new ImageReader()
  const records: ImageRecord[] = []
  try {
    for (const chunk of chunks) for (const one of reader.push(chunk)) records.push(structuredClone(one))
    return { records, complete: reader.complete(), refused: null }
  } catch (error) {
    if (!(error instanceof MalformedBytes || error instanceof layout.BadRecord)) throw error
    return { records, complete: false, refused: error.message }
  }
}
const checkImage = (input: Buffer): void => {
  const whole = imageIn([input])
  must(told(imageIn(pieces(input))) === told(whole), "in pieces it is another image")
  if (!whole.complete) return
  const w = new ImageWriter()
  for (const one of whole.records) {
    if (one.type === "header") w.begin(one.base)
    else if (one.type === "session") w.session(one.session)
    else if (one.type === "removals") w.removals(one.removals)
    else w.data(one.key, one.record)
  }
  w.end()
  const again = Buffer.from(w.take())
  must(told(imageIn([again])) === told(whole), "written and read again it is another image")
  // Replies and addresses have more forms than one.
  if (whole.records.some(({ type }) => type === "session") || told(whole).includes('["addresses"')) return
  must(again.equals(input), "written again it is other bytes")
}
const FRAME = 5
export const mendImage = (input: Buffer): Buffer => {
  const out = Buffer.from(input)
  let [crc, count] = [0, 0]
  for (let at = 0; at + FRAME <= out.length;) {
    const left = out.length - at - FRAME
    if (out.readUInt32BE(at) > left) out.writeUInt32BE(left, at)
    const end = at + FRAME + out.readUInt32BE(at)
    const kind = out[at + 4]
    if (kind === 2 && end - at >= FRAME + 4) {
      // A record of data: its checksum covers key and record.
      const key = Math.min(out.readUInt32BE(at + FRAME), end - at - FRAME - 4)
      out.writeUInt32BE(key, at + FRAME)
      const from = at + FRAME + 4 + key
      if (end - from >= 4)
        out.writeUInt32BE(crc32(out.subarray(from + 4, end), crc32(out.subarray(from - key, from))), from)
    }
    if (kind === 3 && end - at >= FRAME + 10) {
      out.writeUIntBE(count, at + FRAME, 6)
      out.writeUInt32BE(crc, at + FRAME + 6)
    }
    crc = crc32(out.subarray(at, end), crc)
    if (kind !== 0) count++
    at = end
  }
  return out
}

/** A kind of record of LevelDB: how it is read, and how what was read is written. */
type Kind = (value: Buffer) => Buffer
const NUMBERED = layout.markerKey(5)
const KINDS: readonly Kind[] = [
  (value) => {
    const { begins, ...identity } = layout.decodeIdentity(value)
    // Of another format no more is known than that it is one.
    return identity.format === layout.FORMAT ? layout.encodeIdentity(identity, begins) : value
  },
  (value) => layout.encodePosition(layout.decodePosition(value)),
  (value) => layout.encodeMarker(5, layout.decodeMarker(NUMBERED, value)),
  (value) => layout.encodeCheckpoint(layout.decodeCheckpoint(value)),
  (value) => layout.encodeRemoval(5, layout.decodeRemoval(layout.removalKey(5), value)[1]),
  (value) => layout.encodeOpening(layout.sessionKey(5), layout.decodeOpening(layout.sessionKey(5), value)),
  (value) => {
    const { lowest, active, replies } = layout.decodeReplySegment(layout.repliesKey(5, 1), value)
    const kept = new Map(replies.map((reply, at) => [1 + at, reply]))
    const again = { id: 5, owner: "", secret, last: replies.length, lowest, active, replies: kept }
    return layout.encodeReplySegment(layout.repliesKey(5, 1), again, 1)
  },
  (value) => {
    const item = layout.decodeRecord(bytes("key"), value)
    return item.value === null
      ? layout.encodeApart(bytes("key"), item, item.crc)
      : layout.encodeRecord(bytes("key"), item, item.value)
  },
]
const KEYS: readonly Buffer[] = [
  layout.identityKey,
  layout.positionKey,
  NUMBERED,
  layout.checkpointKey,
  layout.removalKey(5),
  layout.sessionKey(5),
  layout.repliesKey(5, 1),
  bytes("key"),
]
const kindIn = (input: Buffer): number => (input[0] ?? 0) % KINDS.length
const checkLayout = (input: Buffer): void => {
  const kind = KINDS[kindIn(input)]
  if (kind === undefined) return
  const value = input.subarray(1)
  const again = orRefused(() => kind(Buffer.from(value)), MalformedBytes, layout.BadRecord)
  if (again === undefined || again.equals(value)) return
  // Numbers and texts of replies have more forms than one, and addresses come in any order: then it is the same once more.
  must(kindIn(input) === 1 || kindIn(input) === 6, "written again it is another record")
  must(kind(Buffer.from(again)).equals(again), "written and read again it is another record")
}
const mendLayout = (input: Buffer): Buffer => {
  const out = Buffer.from(input)
  const key = KEYS[kindIn(input)] ?? Buffer.alloc(0)
  if (out.length >= 5) out.writeUInt32BE(crc32(out.subarray(5), crc32(key)), 1)
  return out
}
const layoutSeeds = (): readonly Buffer[] =>
  [
    layout.encodeIdentity({ format: layout.FORMAT, cluster: "c1", node: "n1" }, 3),
    layout.encodePosition({ base, generation: 2, large: true }),
    layout.encodeMarker(5, 9),
    layout.encodeCheckpoint(4),
    layout.encodeRemoval(5, 6),
    layout.encodeOpening(layout.sessionKey(5), { owner: "client", secret }),
    layout.encodeReplySegment(
      layout.repliesKey(5, 1),
      { ...session(), lowest: 1, last: 2, replies: new Map(REPLIES.slice(3, 5).map((reply, at) => [1 + at, reply])) },
      1,
    ),
    record("key", "value"),
    layout.encodeApart(bytes("key"), { length: 70_000, value: null, crc: 5, version: 8, expiry: 9 }, 5),
  ].map((value, at) => Buffer.concat([Buffer.from([Math.min(at, 7)]), value]))

const COMMAND = "kv/machine/command.ts"
const IMAGE = "kv/machine/image.ts"
const LAYOUT = "kv/machine/layout.ts"
const REPLY = "kv/machine/reply.ts"
export const parsers: readonly Parser[] = [
  {
    name: "commands",
    about:
      "commands in the log: read the same by every node from any bytes, never an error, and the same when written again",
    files: [COMMAND],
    seeds: () => [
      ...[
        execute({}),
        execute({ secret }),
        execute({
          calls: [
            [bytes("get"), bytes("a")],
            [bytes("incr"), bytes("b")],
          ],
        }),
        execute({ exec: true, watches: [{ key: bytes("a"), version: 3 }], secret }),
        { type: "OpenSession", owner: "client", secret } as const,
        { type: "CloseSession", session: 9, secret } as const,
        { type: "Tick" } as const,
      ].map(encodeCommand),
      encodeCommand(execute({ calls: [[bytes("set"), bytes("k"), Buffer.alloc(200, 1)]] })),
    ],
    check: checkCommand,
    faults: [
      {
        id: "fuzz-commands-1",
        title: "bytes after a command are passed over",
        patches: [
          {
            file: COMMAND,
            find: "if (cursor.at !== buffer.length) throw",
            replace: "if (cursor.at > buffer.length) throw",
          },
        ],
      },
      {
        id: "fuzz-commands-2",
        title: "the secret of a session is read for a command of a node",
        patches: [
          {
            file: COMMAND,
            find: "const secret = kind === EXECUTE_ALONE ? null : cursor.readSecret()",
            replace: "const secret = cursor.readSecret()",
          },
        ],
      },
      {
        id: "fuzz-commands-3",
        title: "a secret that is cut short is no refusal",
        patches: [
          {
            file: COMMAND,
            find: "buffer.length >= HEADER + (clients ? SECRET_BYTES : 0)",
            replace: "buffer.length >= HEADER",
          },
        ],
      },
    ],
  },
  {
    name: "kept-replies",
    about: "replies that sessions keep, on disk and in images: the same when written again",
    files: [REPLY],
    seeds: () => REPLIES.map(replyBytes),
    check: checkReply,
    faults: [
      {
        id: "fuzz-kept-replies-1",
        title: "nothing bounds how deep a reply is nested",
        patches: [
          { file: REPLY, find: "if (depth > MAX_DEPTH) throw", replace: "if (depth > MAX_DEPTH * 2 ** 20) throw" },
        ],
      },
      {
        id: "fuzz-kept-replies-2",
        title: "any text is a wide number",
        patches: [
          { file: REPLY, find: "if (!/^-?\\d{1,19}$/.test(text)) throw", replace: "if (text.length > 19) throw" },
        ],
      },
      {
        id: "fuzz-kept-replies-3",
        title: "a wide number loses its last digits",
        patches: [
          {
            file: REPLY,
            find: "return Number.isSafeInteger(Number(value)) ? Number(value) : value",
            replace: "return Number(value)",
          },
        ],
      },
    ],
  },
  {
    name: "images",
    about: "images of the store, from peers and in backups: the same in pieces, and when written again",
    files: [IMAGE, LAYOUT, REPLY],
    seeds: () => [image(true), image(false)],
    mend: mendImage,
    check: checkImage,
    faults: [
      {
        id: "fuzz-images-1",
        title: "the first pieces of a header are not joined",
        patches: [
          {
            file: IMAGE,
            find: "first.length < FRAME_HEADER) first = this.join()",
            replace: "first.length < 1) first = this.join()",
          },
        ],
      },
      {
        id: "fuzz-images-2",
        title: "the checksum of the whole is not looked at",
        patches: [{ file: IMAGE, find: "if (r.u32() !== this.crc) throw", replace: "if (r.u32() < 0) throw" }],
      },
      {
        id: "fuzz-images-3",
        title: "what comes after the trailer is passed over",
        patches: [
          {
            file: IMAGE,
            find: 'if (this.ended) throw new MalformedBytes("records after the trailer")',
            replace: "if (this.ended) return null",
          },
        ],
      },
    ],
  },
  {
    name: "store-records",
    about: "records of the store on disk: the same bytes when written again, or refused",
    files: [LAYOUT, REPLY, "interpreters/bytes.ts"],
    seeds: layoutSeeds,
    mend: mendLayout,
    check: checkLayout,
    faults: [
      {
        id: "fuzz-store-records-1",
        title: "a record of an unknown kind is one of a large value",
        patches: [
          {
            file: LAYOUT,
            find: "if (record[16] !== APART || record.length !== APART_SIZE)",
            replace: "if (record.length < APART_SIZE)",
          },
        ],
      },
      {
        id: "fuzz-store-records-2",
        title: "bytes after a record are passed over",
        patches: [
          { file: LAYOUT, find: "  const result = read(r)\n  r.done()\n", replace: "  const result = read(r)\n" },
        ],
      },
      {
        id: "fuzz-store-records-3",
        title: "the checksum of a record is not looked at",
        patches: [
          {
            file: LAYOUT,
            find: "if (value.length < 4 || crc32(value.subarray(4), crc32(key)) !== value.readUInt32BE(0))",
            replace: "if (value.length < 4)",
          },
        ],
      },
    ],
  },
]
