/**
 * A copy of a machine's directory that can be opened, changed and deleted while the original stays unchanged: LevelDB
 * writes when it opens. Tables are never changed, so the copy links to those of the original; the files that LevelDB
 * does change are small, and copied.
 */
import { copyFile, mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { Directories } from "./directories.ts"
import { isTable } from "./files.ts"

/** LevelDB's lock file and its text log. */
const NOT_DATA = /^(?:LOCK|LOG|LOG\.old)$/

export interface Shadow {
  readonly directory: string
  /** There are no data. */
  readonly empty: boolean
  readonly remove: () => Promise<void>
}
/** For a directory that no process has open. */
export const shadowOf = async (directory: string): Promise<Shadow> => {
  const current = await Directories.currentOf(directory)
  const root = await mkdtemp(join(tmpdir(), "stepraft-"))
  const remove = (): Promise<void> => rm(root, { recursive: true, force: true })
  const shadow: Shadow = { directory: root, empty: current === null, remove }
  if (current === null) return shadow
  try {
    await copyFile(join(directory, Directories.pointer), join(root, Directories.pointer))
    if (current === undefined) return shadow
    const [from, to] = [join(directory, current), join(root, current)]
    await mkdir(to)
    for (const name of await readdir(from)) {
      if (isTable(name)) await symlink(resolve(from, name), join(to, name))
      else if (!NOT_DATA.test(name)) await copyFile(join(from, name), join(to, name))
    }
    return shadow
  } catch (error) {
    await remove()
    throw error
  }
}
