/** Folders on the way to a path, made one after the other: Node's own recursive mkdir never ends in some places, as /proc. */
import { existsSync, mkdirSync } from "node:fs"
import { dirname, resolve } from "node:path"

export const makeFolders = (path: string): void => {
  const full = resolve(path)
  if (existsSync(full)) return
  makeFolders(dirname(full))
  mkdirSync(full)
}
