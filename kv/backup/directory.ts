/**
 * The data directory of a node, made from an image: the only voter of a cluster of its own, with a new identity. Nothing that
 * was taken from the old cluster can be mistaken for the new one's, and the other way round: connections between the two are
 * refused by name.
 *
 * What must not go back, for others have seen it: the clock goes on from the image, and on its first start to the present time;
 * log indexes, which are also the versions of keys and the fencing tokens of leases, go on beyond all that the old cluster may
 * have given out after the image was taken (`skip`). Sessions do not come along: what they acknowledged after the image is gone,
 * so a client that goes on in one is told that it has ended. Leases are keys, and keep their holder, token and deadline.
 */
import { randomBytes } from "node:crypto"
import { existsSync } from "node:fs"
import { chmod, mkdir, readdir, rename, rm, rmdir, stat } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"
import { isIndex, type LogBase } from "../../core/index.ts"
import { createLog, nodeFiles } from "../../interpreters/file/index.ts"
import { newClusterId } from "../../interpreters/node/index.ts"
import { FORMAT } from "../machine/layout.ts"
import { syncDirectory } from "../machine/leveldb/database.ts"
import { Directories } from "../machine/leveldb/directories.ts"
import { Incoming } from "../machine/leveldb/incoming.ts"
import { isShortage } from "../machine/leveldb/room.ts"
import { AlreadyThere, NoRoomToLook, NoRoomToMake, OwnedByAnother, SkipTooFar } from "./errors.ts"

/** More than a cluster executes in days: enough for what came after a backup, and for 28,000 restores one after the other. */
export const DEFAULT_SKIP = 10_000_000_000

export interface Making {
  /** Absent, or empty. */
  readonly data: string
  /** Of the node. */
  readonly name: string
  readonly image: AsyncIterable<Buffer>
  /** What the image stands for. */
  readonly base: LogBase
  /** The highest term that the old cluster may have had, as far as it is known. */
  readonly term: number
  readonly skip: number
}
export interface Made {
  readonly data: string
  readonly name: string
  readonly cluster: string
  readonly incarnation: string
  readonly index: number
}

const isEmpty = async (directory: string): Promise<boolean> => (await readdir(directory)).length === 0

/** What is made here belongs to whoever makes it: root would lock out the service that the folder is for. */
export const requireOwner = async (path: string, self = process.getuid?.()): Promise<void> => {
  const { uid } = await stat(path)
  if (self === 0 && uid !== 0) throw new OwnedByAnother({ path, uid })
}

/** Made beside its place and put there as a whole: what a crash leaves is named DIR.unfinished-… and may be removed. */
export const makeDirectory = async ({ data, name, image, base, term, skip }: Making): Promise<Made> => {
  if (existsSync(data) && !(await isEmpty(data))) throw new AlreadyThere({ path: data })
  const index = base.index + skip
  if (!isIndex(index)) throw new SkipTooFar({ index: base.index, skip })
  const place = resolve(data)
  const parent = dirname(place)
  // Only what is missing is made: a directory that is there is not ours to close.
  if (!existsSync(parent)) await nodeFiles.makeDirectory(parent)
  await requireOwner(existsSync(place) ? place : parent)
  const making = join(parent, `${basename(place)}.unfinished-${randomBytes(4).toString("hex")}`)
  await mkdir(making, { mode: 0o700 })
  try {
    const cluster = newClusterId()
    const laid = await createLog(join(making, "log"), name, cluster, term, { ...base, index })
    await fill(join(making, "state"), image, base, { cluster, node: name }, laid.base)
    await syncDirectory(making)
    if (existsSync(place)) await rmdir(place)
    await rename(making, place)
    await chmod(place, 0o700)
    await syncDirectory(parent)
    return { data, name, cluster, incarnation: laid.self.incarnation, index }
  } catch (error) {
    await rm(making, { recursive: true, force: true })
    // Without room for the copy that is read, that is what is said.
    if (isShortage(error) && !(error instanceof NoRoomToLook))
      throw new NoRoomToMake({ data, found: error instanceof Error ? error.message : String(error) })
    throw error
  }
}

const fill = async (
  root: string,
  image: AsyncIterable<Buffer>,
  base: Making["base"],
  identity: { readonly cluster: string; readonly node: string },
  as: LogBase,
): Promise<void> => {
  const { directories } = await Directories.open(root)
  const incoming = await Incoming.begin(directories, "image")
  try {
    let before: Buffer | null = null
    // The last piece is stored as such.
    for await (const piece of image) {
      if (before !== null) await incoming.store(before, false)
      before = piece
    }
    await incoming.store(before ?? Buffer.alloc(0), true)
    const db = await incoming.finish(base, { format: FORMAT, ...identity }, root, as)
    await directories.point(incoming.name)
    await db.close()
  } catch (error) {
    await incoming.abandon(directories)
    throw error
  }
}
