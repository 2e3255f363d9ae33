/**
 * A copy of a machine's directory to be opened, changed and thrown away, while the original stays as it is: LevelDB writes as
 * it opens. Tables are never changed, so the copy leads to those of the original; what LevelDB does change is small, and copied.
 */
import { copyFile, mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { Directories } from "./directories.ts"
import { isTable } from "./files.ts"

/** LevelDB's lock, and what it says to people. */
const NOT_DATA = /^(?:LOCK|LOG|LOG\.old)$/

export interface Shadow {
  readonly directory: string
  readonly remove: () => Promise<void>
}
/** Of a directory that no process has open. Null: there are no data. */
export const shadowOf = async (directory: string): Promise<Shadow | null> => {
  const current = await Directories.currentOf(directory)
  if (current === null) return null
  const root = await mkdtemp(join(tmpdir(), "stepraft-"))
  const remove = (): Promise<void> => rm(root, { recursive: true, force: true })
  try {
    await copyFile(join(directory, Directories.pointer), join(root, Directories.pointer))
    if (current === undefined) return { directory: root, remove }
    const [from, to] = [join(directory, current), join(root, current)]
    await mkdir(to)
    for (const name of await readdir(from)) {
      if (isTable(name)) await symlink(resolve(from, name), join(to, name))
      else if (!NOT_DATA.test(name)) await copyFile(join(from, name), join(to, name))
    }
    return { directory: root, remove }
  } catch (error) {
    await remove()
    throw error
  }
}
