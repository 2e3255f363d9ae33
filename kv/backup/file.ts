/**
 * A backup in a file: a title line, a line of JSON with its position and cluster, the image of the state machine in the
 * form in which peers send it to each other (kv/machine/image.ts), and a last line with the SHA-256 of everything
 * before it. The image is the state after one entry; it has a checksum for each record and one for the whole, so the
 * file is checked twice.
 */
import { createHash, randomBytes } from "node:crypto"
import { link, open, rename, rm, type FileHandle } from "node:fs/promises"
import { existsSync } from "node:fs"
import { dirname, resolve } from "node:path"
import type { LogBase } from "../../core/index.ts"
import { MalformedBytes } from "../../interpreters/bytes.ts"
import { isMemberName, isPlainText } from "../../interpreters/text.ts"
import { CHUNK, ImageReader } from "../machine/image.ts"
import { syncDirectory } from "../machine/leveldb/database.ts"
import { BadRecord } from "../machine/layout.ts"
import { AlreadyThere, BackupDamaged } from "./errors.ts"

/** Where a backup comes from, and its position. */
export interface About {
  readonly cluster: string
  /** The name of the node from which it was taken. */
  readonly node: string
  /** The last entry whose effect is in the backup; `time` is that entry's time on the replicated clock. */
  readonly index: number
  readonly term: number
  readonly time: number
  /**
   * The chained checksum of that entry and all before it, as 8 hexadecimal digits: the same on all nodes of one
   * cluster.
   */
  readonly chain: string
  /** The voters of the cluster at that time. */
  readonly voters: readonly string[]
}
export const aboutOf = (
  cluster: string,
  node: string,
  voters: readonly string[],
  { index, term, time, chain }: LogBase,
): About => ({ cluster, node, index, term, time, chain: (chain >>> 0).toString(16).padStart(8, "0"), voters })

const TITLE = "stepraft backup, format 1\n"
const FOOTER = /^sha256 ([0-9a-f]{64})\n$/
const FOOTER_BYTES = 72
/** The limit for the first two lines. */
const HEAD_BYTES = 64 << 10

export interface SavedBackup {
  readonly bytes: number
  readonly sha256: string
}
/**
 * The file is written under another name, made durable, and renamed at the end: so a file of that name is always
 * complete.
 */
export const writeBackup = async (
  path: string,
  about: About,
  image: AsyncIterable<Uint8Array>,
): Promise<SavedBackup> => {
  if (existsSync(path)) throw new AlreadyThere({ path })
  const making = `${path}.${randomBytes(4).toString("hex")}.unfinished`
  const file = await open(making, "wx", 0o600)
  const hash = createHash("sha256")
  let bytes = 0
  const write = async (piece: Uint8Array): Promise<void> => {
    hash.update(piece)
    await file.writeFile(piece)
    bytes += piece.length
  }
  try {
    await write(Buffer.from(`${TITLE}${JSON.stringify(about)}\n`))
    for await (const piece of image) await write(piece)
    const sha256 = hash.digest("hex")
    await file.writeFile(`sha256 ${sha256}\n`)
    await file.sync()
    await file.close()
    // A rename would replace a file that was created there meanwhile, so a link is made.
    await link(making, path).then(
      () => rm(making),
      (error: NodeJS.ErrnoException) => {
        if (error.code === "EEXIST" || existsSync(path)) throw new AlreadyThere({ path })
        // Some file systems have no links.
        return rename(making, path)
      },
    )
    await syncDirectory(dirname(resolve(path)))
    return { bytes: bytes + FOOTER_BYTES, sha256 }
  } catch (error) {
    await file.close().catch(() => undefined)
    await rm(making, { force: true })
    throw error
  }
}

const MOST_TEXT = 200
const isWhole = (value: unknown, most: number): boolean =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= most && !Object.is(value, -0)
/** What a date can be. */
const LAST_TIME = 8.64e15
const isAbout = (value: unknown): value is About =>
  typeof value === "object" &&
  value !== null &&
  "cluster" in value &&
  typeof value.cluster === "string" &&
  isPlainText(value.cluster, MOST_TEXT) &&
  "node" in value &&
  typeof value.node === "string" &&
  isMemberName(value.node) &&
  "index" in value &&
  isWhole(value.index, Number.MAX_SAFE_INTEGER) &&
  "term" in value &&
  isWhole(value.term, Number.MAX_SAFE_INTEGER) &&
  "time" in value &&
  isWhole(value.time, LAST_TIME) &&
  "chain" in value &&
  typeof value.chain === "string" &&
  /^[0-9a-f]{8}$/.test(value.chain) &&
  "voters" in value &&
  Array.isArray(value.voters) &&
  value.voters.every((voter: unknown) => typeof voter === "string" && isMemberName(voter))

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const readAt = async (file: FileHandle, position: number, size: number): Promise<Buffer> => {
  const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(size), 0, size, position)
  return buffer.subarray(0, bytesRead)
}

export interface OpenBackup {
  readonly about: About
  readonly bytes: number
  readonly sha256: string
  /** The image. Fails with BackupDamaged if the file is not what was written. */
  readonly image: () => AsyncGenerator<Buffer, void>
  readonly close: () => Promise<void>
}
export const openBackup = async (path: string): Promise<OpenBackup> => {
  const damaged = (found: string): BackupDamaged => new BackupDamaged({ file: path, found })
  const file = await open(path, "r")
  try {
    const { size } = await file.stat()
    const head = await readAt(file, 0, Math.min(size, HEAD_BYTES))
    if (head.toString("latin1", 0, TITLE.length) !== TITLE)
      throw damaged(
        head.toString("latin1", 0, 16) === TITLE.slice(0, 16)
          ? "it is of another format; use the version that wrote it"
          : "it does not begin like a backup",
      )
    const end = head.indexOf("\n", TITLE.length)
    const footer = FOOTER.exec(
      (await readAt(file, Math.max(0, size - FOOTER_BYTES), FOOTER_BYTES)).toString("latin1"),
    )?.[1]
    if (end < 0 || footer === undefined || size < end + 1 + FOOTER_BYTES)
      throw damaged("it is incomplete: its last line is missing")
    let about: unknown
    try {
      about = JSON.parse(utf8.decode(head.subarray(TITLE.length, end)))
    } catch {
      about = null
    }
    if (!isAbout(about)) throw damaged("its second line cannot be read")
    const { cluster, node, index, term, time, chain, voters } = about
    const image = async function* (): AsyncGenerator<Buffer, void> {
      const hash = createHash("sha256").update(head.subarray(0, end + 1))
      const last = size - FOOTER_BYTES
      for (let at = end + 1; at < last;) {
        const piece = await readAt(file, at, Math.min(CHUNK, last - at))
        if (piece.length === 0) throw damaged("it became shorter while it was read")
        hash.update(piece)
        at += piece.length
        yield piece
      }
      if (hash.digest("hex") !== footer) throw damaged("the checksum in its last line is wrong")
    }
    // What else a later version may write there is passed over.
    const known: About = { cluster, node, index, term, time, chain, voters }
    return { about: known, bytes: size, sha256: footer, image, close: () => file.close() }
  } catch (error) {
    await file.close()
    throw error
  }
}

export interface ImageContents {
  readonly base: LogBase
  readonly keys: number
  /** Bytes of keys and values. */
  readonly bytes: number
  readonly expiring: number
}
/** Checks every record of an image. Throws BackupDamaged at the first that is damaged. */
export const checkImage = async (path: string, image: AsyncIterable<Buffer>): Promise<ImageContents> => {
  const reader = new ImageReader()
  let [keys, bytes, expiring] = [0, 0, 0]
  let base: LogBase | null = null
  try {
    for await (const piece of image) {
      for (const record of reader.push(piece)) {
        if (record.type === "header") base = record.base
        if (record.type !== "data") continue
        keys += 1
        bytes += record.key.length + record.item.length
        if (record.item.expiry !== 0) expiring += 1
      }
    }
  } catch (thrown) {
    if (thrown instanceof MalformedBytes || thrown instanceof BadRecord)
      throw new BackupDamaged({ file: path, found: thrown.message })
    throw thrown
  }
  if (base === null || !reader.complete()) throw new BackupDamaged({ file: path, found: "its image ends early" })
  return { base, keys, bytes, expiring }
}

/** The same for a backup, and that its image is of the entry that its second line says. */
export const checkBackup = async (path: string, { about, image }: OpenBackup): Promise<ImageContents> => {
  const contents = await checkImage(path, image())
  const { index, term, time, chain } = aboutOf(about.cluster, about.node, about.voters, contents.base)
  if (about.index !== index || about.term !== term || about.time !== time || about.chain !== chain)
    throw new BackupDamaged({
      file: path,
      found: `its second line is about entry ${about.index} of term ${about.term}, its image about entry ${index} of term ${term}, or their times or checksums differ`,
    })
  return contents
}
