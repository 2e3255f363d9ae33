/**
 * Makes the data directory of a node from an image: the only voter of a new cluster with a new identity. The old and
 * the new cluster cannot be mistaken for each other: connections between the two are refused.
 *
 * Some values must not go back, because others have seen them. The clock continues from the image, and at the first
 * start advances to the present time. Log indexes, which are also the versions of keys and the fencing tokens of
 * leases, continue above all that the old cluster may have given out after the image was taken (`skip`). Sessions are
 * not taken over: what they acknowledged after the image is gone, so a client that continues one is told that it has
 * ended. Leases are keys, and keep their holder, token and deadline.
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

/**
 * More entries than a cluster executes in days: enough for what came after a backup, and for 28,000 restores in a row.
 */
export const DEFAULT_SKIP = 10_000_000_000

export interface Making {
  /** The directory does not exist, or is empty. */
  readonly data: string
  /** The name of the node. */
  readonly name: string
  readonly image: AsyncIterable<Buffer>
  /** The position of the image. */
  readonly base: LogBase
  /** The highest term that the old cluster may have had, as far as that is known. */
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

/** Refuses to run as root in another user's folder: the service could not read the files that root creates. */
export const requireOwner = async (path: string, self = process.getuid?.()): Promise<void> => {
  const { uid } = await stat(path)
  if (self === 0 && uid !== 0) throw new OwnedByAnother({ path, uid })
}

/**
 * The directory is made beside its final place and put there at the end. What a crash leaves behind is named
 * DIR.unfinished-… and may be removed.
 */
export const makeDirectory = async ({ data, name, image, base, term, skip }: Making): Promise<Made> => {
  if (existsSync(data) && !(await isEmpty(data))) throw new AlreadyThere({ path: data })
  const index = base.index + skip
  if (!isIndex(index)) throw new SkipTooFar({ index: base.index, skip })
  const place = resolve(data)
  const parent = dirname(place)
  // Only missing directories are created: the permissions of an existing one are its owner's choice.
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
    // If there is no space for the copy that is read, that error is reported instead.
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
    // The last piece must be stored with the mark that it is the last.
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
