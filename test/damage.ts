/** Damage to data directories, done to the files of a node that is not running. */
import { appendFileSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ByteWriter } from "../interpreters/bytes.ts"
import { beginFrame, sealFrame } from "../interpreters/file/frame.ts"

const filesUnder = (folder: string): readonly string[] =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? filesUnder(path) : [path]
  })

/** The log's segments, oldest first. */
export const segmentsOf = (data: string): readonly string[] =>
  filesUnder(data)
    .filter((path) => /wal-\d+$/.test(path))
    .sort()
export const lastSegment = (data: string): string => {
  const last = segmentsOf(data).at(-1)
  if (last === undefined) throw new Error(`no log in ${data}`)
  return last
}
/** LevelDB's non-empty tables and logs, largest first. */
export const levelFiles = (data: string): readonly string[] =>
  filesUnder(data)
    .filter((path) => /\.(ldb|log)$/.test(path) && statSync(path).size > 0)
    .sort((a, b) => statSync(b).size - statSync(a).size)

/** Where each record of a segment starts (frame.ts: a record begins with its length). The first is the head. */
export const recordsOf = (segment: string): readonly { readonly start: number; readonly end: number }[] => {
  const bytes = readFileSync(segment)
  const records: { start: number; end: number }[] = []
  for (let start = 0; start + 4 <= bytes.length;) {
    const end = start + bytes.readUInt32BE(start)
    if (end <= start || end > bytes.length) break
    records.push({ start, end })
    start = end
  }
  return records
}

export const flipBit = (path: string, offset: number): void => {
  const bytes = readFileSync(path)
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 1, offset)
  writeFileSync(path, bytes)
}
/** The file ends within a record that was being written: it was never acknowledged. */
export const tear = (segment: string): void => {
  const { size } = statSync(segment)
  const w = new ByteWriter()
  beginFrame(w)
  w.raw(Buffer.alloc(2000, 7))
  const frame = sealFrame(w, Number(segment.slice(-12)), size)
  appendFileSync(segment, frame.subarray(0, frame.length >> 1))
}
