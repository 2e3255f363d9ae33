/** What stands on a node's disk: FORMAT, records of the log, whole segments. */
import { crc32 } from "node:zlib"
import { chainAfter, flawOfStored, type Configuration, type Entry, type Persist } from "../../../core/index.ts"
import { MalformedBytes, ByteReader, ByteWriter } from "../../../interpreters/bytes.ts"
import { IdentityUnreadable, LogCorrupted, LogCutShort, WrongFormat } from "../../../interpreters/file/errors.ts"
import type { Files, OpenFile } from "../../../interpreters/file/files.ts"
import {
  beginFrame,
  LOG_FRAME_HEADER,
  readPersist,
  sealFrame,
  SECTOR,
  writePersist,
  type LogSummary,
} from "../../../interpreters/file/frame.ts"
import {
  decodeFormat,
  encodeFormat,
  unstartedFormat,
  type DirectoryFormat,
} from "../../../interpreters/file/identity.ts"
import { inspectLog } from "../../../interpreters/file/inspection.ts"
import { recover } from "../../../interpreters/file/recovery.ts"
import { encodeHead } from "../../../interpreters/file/segment.ts"
import { payloadOf } from "../../../interpreters/payload.ts"
import { must, orRefused, told, type Parser } from "../parser.ts"

const self = { name: "n1", incarnation: "0123456789abcdef" }
const members: Configuration = { voters: [self], outgoing: [], learners: [], addresses: { n1: "127.0.0.1:8001" } }
const change = (over: Partial<Persist>): Persist => ({
  type: "Persist",
  seq: 1,
  hardState: null,
  truncateFrom: null,
  entries: [],
  base: null,
  ...over,
})
/** Each continues the chained checksum of the one before it. */
const chained = (before: number, ...entries: readonly Entry[]): readonly Entry[] => {
  let chain = before
  return entries.map((entry) => {
    chain = chainAfter(chain, entry)
    return { ...entry, chain }
  })
}
const entry = (index: number, term: number, text: string): Entry => {
  const payload = payloadOf(Buffer.from(text))
  return { kind: "command", index, term, time: index, chain: 0, payload }
}
const FIRST = chained(0, { kind: "noop", index: 1, term: 1, time: 1, chain: 0 }, entry(2, 1, "a"), entry(3, 1, "b"))
const SECOND = chained(FIRST[1]?.chain ?? 0, entry(3, 2, "c"), {
  kind: "configuration",
  index: 4,
  term: 2,
  time: 4,
  chain: 0,
  configuration: members,
})
const CHANGES: readonly Persist[] = [
  change({ hardState: { term: 1, vote: self } }),
  change({ entries: FIRST }),
  change({ truncateFrom: 3, entries: SECOND.slice(0, 1), hardState: { term: 2, vote: null } }),
  change({ entries: SECOND.slice(1) }),
  change({ base: { index: 2, term: 1, time: 2, chain: FIRST[1]?.chain ?? 0, configuration: members } }),
]
const body = (...changes: readonly Persist[]): Buffer => {
  const w = new ByteWriter()
  for (const one of changes) writePersist(w, one)
  return w.take()
}

const checkRecords = (input: Buffer): void => {
  const r = new ByteReader(input)
  for (;;) {
    const from = r.at
    const found = orRefused(() => readPersist(r), MalformedBytes)
    if (found === undefined || found === null) return
    const again = body({ type: "Persist", seq: 1, ...found })
    if (again.equals(input.subarray(from, r.at))) continue
    must(told(found).includes('["addresses"'), "written again it is another record")
    must(told(readPersist(new ByteReader(again))) === told(found), "written and read again it is another record")
  }
}

const format: DirectoryFormat = {
  ...unstartedFormat({ self, cluster: "c1", founding: members }),
  last: 3,
  start: { number: 2, words: [5, 6] },
  met: [{ member: { name: "n2", incarnation: "bb" }, start: { number: 1, words: [9] }, term: 3, index: 4 }],
  refused: { reason: "RolledBack", by: "n2", detail: "it was put back" },
  synced: { segment: 3, bytes: 512 },
}
const checkFormat = async (input: Buffer): Promise<void> => {
  const found = orRefused(() => decodeFormat("FORMAT", Buffer.from(input)), IdentityUnreadable, WrongFormat)
  if (found === undefined) return
  const again = encodeFormat(found)
  if (!again.equals(input)) {
    must(told(found).includes('["addresses"'), "written again it is another FORMAT")
    must(
      told(decodeFormat("FORMAT", Buffer.from(again))) === told(found),
      "written and read again it is another FORMAT",
    )
  }
  // A directory that has nothing else: what is missing is told, in bounded time.
  const log = await inspectLog(shelf(new Map([["FORMAT", input]])), "")
  must(log !== null && (log.damage.length > 0 || found.first > found.last), "a log without segments is no damage")
}
const mendFormat = (input: Buffer): Buffer => {
  const out = Buffer.from(input)
  const start = out.indexOf("\n") + 1
  if (out.length - 4 >= start) out.writeUInt32BE(crc32(out.subarray(start, out.length - 4)), out.length - 4)
  return out
}

/** A directory of files in memory that can only be read, and cut. */
const shelf = (contents: Map<string, Buffer>): Files => {
  const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1)
  const never = (): never => {
    throw new Error("nothing is written here")
  }
  const done = (): Promise<void> => Promise.resolve()
  return {
    makeDirectory: done,
    list: () => Promise.resolve([...contents.keys()]),
    open: (path) => {
      const name = nameOf(path)
      const content = (): Buffer => contents.get(name) ?? Buffer.alloc(0)
      if (!contents.has(name)) return Promise.reject(Object.assign(new Error(path), { code: "ENOENT" }))
      const file: OpenFile = {
        writeDurable: never,
        write: never,
        datasync: (then) => then(null),
        read: (into, position) => Promise.resolve(content().copy(into, 0, position)),
        size: () => Promise.resolve(content().length),
        truncate: (size) => {
          contents.set(name, content().subarray(0, size))
          return done()
        },
        close: done,
      }
      return Promise.resolve(file)
    },
    rename: never,
    remove: (path) => {
      contents.delete(nameOf(path))
      return done()
    },
    syncDirectory: done,
    freeBytes: () => Promise.resolve(1e12),
    touch: done,
    touched: () => Promise.resolve(0),
  }
}

const frame = (segment: number, offset: number, ...changes: readonly Persist[]): Buffer => {
  const w = new ByteWriter()
  beginFrame(w)
  for (const one of changes) writePersist(w, one)
  return Buffer.from(sealFrame(w, segment, offset))
}
/** The first byte says how many sectors the first segment has; 0: there is only one. */
const segmentsOf = (input: Buffer): readonly Buffer[] => {
  const first = (input[0] ?? 0) % 8
  const rest = input.subarray(1)
  return first === 0 ? [rest] : [rest.subarray(0, first * SECTOR), rest.subarray(first * SECTOR)]
}
const nameOf = (number: number): string => `wal-${String(number).padStart(12, "0")}`
const directoryOf = (segments: readonly Buffer[]): Map<string, Buffer> => {
  const listed = { ...unstartedFormat({ self, cluster: "c1", founding: null }), last: segments.length }
  return new Map([
    ["FORMAT", encodeFormat(listed)],
    ...segments.map((bytes, at) => [nameOf(at + 1), Buffer.from(bytes)] as const),
  ])
}
const EMPTY = {
  hardState: { term: 0, vote: null },
  lastIndex: 0,
  base: { index: 0, term: 0, time: 0, chain: 0, configuration: { voters: [], outgoing: [], learners: [] } },
}
const oneSegment = (...changes: readonly Persist[]): Buffer => {
  let whole = Buffer.from(encodeHead(1, EMPTY))
  for (const one of changes) whole = Buffer.concat([whole, frame(1, whole.length, one)])
  return Buffer.concat([Buffer.from([0]), whole])
}
const ONE = chained(0, entry(1, 1, "a"))
const twoSegments = (): Buffer => {
  const first = Buffer.concat([encodeHead(1, EMPTY), frame(1, SECTOR, change({ entries: ONE }))])
  const head = encodeHead(2, { ...EMPTY, lastIndex: 1 })
  return Buffer.concat([
    Buffer.from([2]),
    first,
    head,
    frame(2, SECTOR, change({ entries: chained(ONE[0]?.chain ?? 0, entry(2, 1, "b")) })),
  ])
}
/** The last record of the first segment replaces an entry by another: nothing in the second one's head tells of it. */
const replacedInFirst = (): Buffer => {
  const voted: LogSummary = { ...EMPTY, lastIndex: 1, hardState: { term: 2, vote: null } }
  const replaced = chained(0, entry(1, 2, "z"))
  return Buffer.concat([
    Buffer.from([3]),
    encodeHead(1, EMPTY),
    frame(1, SECTOR, change({ entries: ONE, hardState: voted.hardState })),
    frame(1, 2 * SECTOR, change({ truncateFrom: 1, entries: replaced })),
    encodeHead(2, voted),
    frame(2, SECTOR, change({ hardState: { term: 2, vote: self } })),
  ])
}
const seedOf = (segment: number, offset: number): number => {
  const seed = Buffer.alloc(12)
  seed.writeUIntBE(segment, 0, 6)
  seed.writeUIntBE(offset, 6, 6)
  return crc32(seed)
}
const mendSegments = (input: Buffer): Buffer => {
  const out = Buffer.from(input)
  segmentsOf(out).forEach((bytes, number) => {
    for (let at = 0; at + LOG_FRAME_HEADER < bytes.length;) {
      const size = bytes.readUInt32BE(at)
      const left = bytes.length - at
      if (size < LOG_FRAME_HEADER) bytes.writeUInt32BE(left, at)
      // One that says more than there is stays as it is: so a crash leaves a record.
      const end = at + bytes.readUInt32BE(at)
      const start = seedOf(number + 1, at)
      bytes.writeUInt32BE(crc32(bytes.subarray(at + LOG_FRAME_HEADER, end), start), at + 8)
      bytes.writeUInt32BE(crc32(bytes.subarray(at, at + 12), start), at + 12)
      at = end
    }
  })
  return out
}
const checkSegments = async (input: Buffer): Promise<void> => {
  const segments = segmentsOf(input)
  const contents = directoryOf(segments)
  const inspected = await inspectLog(shelf(directoryOf(segments)), "/data")
  must(inspected !== null, "an inspection finds no log")
  const recovery = await recover(shelf(contents), "/data", inspected?.format ?? format).catch((error: unknown) => {
    if (error instanceof LogCorrupted || error instanceof LogCutShort) return null
    throw error
  })
  if (recovery === null) return must(inspected?.damage.length !== 0, "an opening finds damage, an inspection does not")
  const { stored, summary } = recovery
  const gap = stored.entries.findIndex(({ index }, at) => index !== stored.base.index + 1 + at)
  must(gap < 0, "an opening finds entries that leave a gap")
  const flaw = flawOfStored(stored.hardState, stored.base, stored.entries)
  must((flaw === null) === (inspected?.damage.length === 0), `an inspection judges otherwise than a start: ${flaw}`)
  if (flaw === null) must(told(inspected?.stored) === told(stored), "an inspection finds another log than an opening")
  const kept = segments.map((_, at) => contents.get(nameOf(at + 1)) ?? Buffer.alloc(0))
  const second = await recover(shelf(directoryOf(kept)), "/data", inspected?.format ?? format)
  must(told(second.stored) === told(stored), "opened again it is another log")
  must(told(second.summary) === told(summary), "opened again it has another summary")
}

const IDENTITY = "interpreters/file/identity.ts"
const FRAME = "interpreters/file/frame.ts"
const RECOVERY = "interpreters/file/recovery.ts"
const INSPECTION = "interpreters/file/inspection.ts"
export const parsers: readonly Parser[] = [
  {
    name: "records",
    about: "records of the log: the same bytes when written again",
    files: [FRAME, "interpreters/bytes.ts", "core/domain.ts"],
    seeds: () => [
      body(...CHANGES),
      ...CHANGES.map((one) => body(one)),
      Buffer.concat([body(...CHANGES), Buffer.alloc(40, 0xff)]),
    ],
    check: checkRecords,
    faults: [
      {
        id: "fuzz-records-1",
        title: "a count of entries is believed",
        patches: [
          {
            file: "interpreters/bytes.ts",
            find: "if (value * least > this.end - this.at)",
            replace: "if (value > 2 ** 26)",
          },
        ],
      },
      {
        id: "fuzz-records-2",
        title: "a flag of a vote may be anything",
        patches: [
          {
            file: "interpreters/bytes.ts",
            find: "if (value > 1) throw new MalformedBytes(`a flag is 0 or 1, not ${value}`)",
            replace: "",
          },
        ],
      },
      {
        id: "fuzz-records-3",
        title: "a record that is impossible is taken for one",
        patches: [
          { file: FRAME, find: "  if (flaw !== null) throw new MalformedBytes(`no log holds ${flaw}`)\n", replace: "" },
        ],
      },
    ],
  },
  {
    name: "format",
    about: "FORMAT, a directory's identity: the same bytes when written again; what it lists and is missing is told",
    files: [IDENTITY, "interpreters/bytes.ts", INSPECTION],
    seeds: () => [
      encodeFormat(format),
      encodeFormat(unstartedFormat({ self, cluster: null, founding: null })),
      encodeFormat(format, 3),
    ],
    mend: mendFormat,
    check: checkFormat,
    faults: [
      {
        id: "fuzz-format-1",
        title: "its checksum is not looked at",
        patches: [
          { file: IDENTITY, find: "crc32(bytes.subarray(start, end)) !== bytes.readUInt32BE(end)", replace: "false" },
        ],
      },
      {
        id: "fuzz-format-2",
        title: "more bytes may follow",
        patches: [{ file: IDENTITY, find: "    r.done()\n", replace: "" }],
      },
      {
        id: "fuzz-format-3",
        title: "what cannot be read is no error of its own",
        patches: [
          {
            file: IDENTITY,
            find: "if (error instanceof MalformedBytes) throw",
            replace: "if (error instanceof RangeError) throw",
          },
        ],
      },
    ],
  },
  {
    name: "segments",
    about: "segments of the log: an inspection and an opening find the same, and so does the next opening",
    files: [FRAME, "interpreters/file/segment.ts", RECOVERY, INSPECTION],
    seeds: () => [
      oneSegment(...CHANGES),
      oneSegment(),
      twoSegments(),
      replacedInFirst(),
      oneSegment(change({ entries: chained(0, entry(1, 1, "\0".repeat(900))) })),
    ],
    mend: mendSegments,
    check: checkSegments,
    work: { least: 1_000_000, each: 2_000 },
    faults: [
      {
        id: "fuzz-segments-1",
        title: "an opening does not see that entries leave a gap",
        patches: [
          {
            file: RECOVERY,
            find: "if (start > this.lastIndex + 1) throw new MalformedBytes(`entry ${start} follows entry ${this.lastIndex}`)",
            replace: "",
          },
        ],
      },
      {
        id: "fuzz-segments-2",
        title: "an inspection takes a torn record within the log for its end",
        patches: [
          {
            file: INSPECTION,
            find: 'found.type === "torn" && isLast && at > 0',
            replace: 'found.type === "torn" && at > 0',
          },
        ],
      },
      {
        id: "fuzz-segments-3",
        title: "a torn record stays in the file",
        patches: [
          {
            file: RECOVERY,
            find: "if (isLast) break",
            replace: "if (isLast) {\n        at = bytes.length\n        break\n      }",
          },
        ],
      },
    ],
  },
]
