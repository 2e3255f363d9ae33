/** Creates the folders of a path one by one: Node's own recursive mkdir never returns in some places, such as /proc. */
import { existsSync, mkdirSync } from "node:fs"
import { dirname, resolve } from "node:path"

export const makeFolders = (path: string): void => {
  const full = resolve(path)
  if (existsSync(full)) return
  makeFolders(dirname(full))
  mkdirSync(full)
}
