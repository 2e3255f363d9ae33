/**
 * The directory of a machine holds numbered LevelDB directories and a file `current` that names the one in use. A new
 * one is filled beside the old one, made durable, and becomes current by one rename; anything else that a crash leaves
 * is removed at the next start.
 */
import { existsSync } from "node:fs"
import { access, chmod, mkdir, open, readFile, readdir, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import { syncDirectory } from "./database.ts"

const POINTER = "current"
const ASIDE = "damaged-"
const NAME = /^db-(\d{6,})$/

const nameOf = (number: number): string => `db-${String(number).padStart(6, "0")}`

/** A file that every LevelDB directory in use has. */
const CURRENT = "CURRENT"
export const isGone = (database: string): boolean => !existsSync(join(database, CURRENT))
const LOOK_MS = 1000
/** Calls `gone` once the database no longer exists. Returns the function that ends the watch. */
export const watchGone = (database: () => string | null, gone: () => void): (() => void) => {
  const look = (): void => {
    const at = database()
    if (at === null) return
    access(join(at, CURRENT)).catch((error: NodeJS.ErrnoException) => {
      // A restore may have replaced the directory meanwhile. LevelDB will report other problems of the disk.
      if (error.code === "ENOENT" && database() === at) gone()
    })
  }
  const timer = setInterval(look, LOOK_MS).unref()
  return () => clearInterval(timer)
}

export class Directories {
  static readonly pointer = POINTER
  readonly root: string
  private highest = 0
  private constructor(root: string) {
    this.root = root
  }

  /** `current` is null if nothing was ever created here, and undefined if the file cannot be read. */
  static async open(
    root: string,
  ): Promise<{ readonly directories: Directories; readonly current: string | null | undefined }> {
    await mkdir(root, { recursive: true, mode: 0o700 })
    // LevelDB creates its files with its own permissions: this directory keeps others out.
    await chmod(root, 0o700)
    const directories = new Directories(root)
    const names = await readdir(root)
    for (const name of names) {
      const number = NAME.exec(name)?.[1]
      if (number !== undefined) directories.highest = Math.max(directories.highest, Number(number))
    }
    return { directories, current: await Directories.currentIn(root, names) }
  }
  /** The same without changing anything; null also if there is no such directory. */
  static async currentOf(root: string): Promise<string | null | undefined> {
    if (!existsSync(root)) return null
    return Directories.currentIn(root, await readdir(root))
  }
  private static async currentIn(root: string, names: readonly string[]): Promise<string | null | undefined> {
    if (!names.includes(POINTER)) return null
    const text = (await readFile(join(root, POINTER), "utf8")).trimEnd()
    return NAME.test(text) && names.includes(text) ? text : undefined
  }

  path(name: string): string {
    return join(this.root, name)
  }
  /** A name that has never been used. */
  fresh(): string {
    return nameOf(++this.highest)
  }
  /**
   * Switches to another directory: before the rename the old one is current, after it the new one, even if the power
   * fails.
   */
  async point(name: string): Promise<void> {
    const temporary = join(this.root, `${POINTER}.new`)
    const handle = await open(temporary, "w")
    try {
      await handle.writeFile(`${name}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, join(this.root, POINTER))
    await syncDirectory(this.root)
  }
  remove(name: string): Promise<void> {
    return rm(join(this.root, name), { recursive: true, force: true })
  }
  /**
   * Moves everything that was in use here into one directory beside it, where it can be inspected; an earlier such
   * directory is removed. The file `current` is removed first: from then on, whatever a crash leaves counts as if
   * nothing was ever created here.
   */
  async setAside(): Promise<string> {
    const aside = `${ASIDE}${new Date().toISOString().replace(/[:.]/g, "-")}`
    const names = await readdir(this.root)
    await mkdir(join(this.root, aside))
    for (const name of [POINTER, ...names.filter((other) => NAME.test(other))]) {
      if (names.includes(name)) await rename(join(this.root, name), join(this.root, aside, name))
    }
    await syncDirectory(this.root)
    for (const name of names) if (name.startsWith(ASIDE)) await this.remove(name)
    return join(this.root, aside)
  }
  async removeOthers(current: string | undefined): Promise<void> {
    for (const name of await readdir(this.root)) {
      if ((NAME.test(name) && name !== current) || name === `${POINTER}.new`) await this.remove(name)
    }
  }
}
