/** What package-lock.json pins. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "./house.ts"

interface Locked {
  readonly version?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly license?: string
  readonly dev?: boolean
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}
const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
  readonly packages: Readonly<Record<string, Locked>>
}
const { "": top = {}, ...others } = packages
export const own: Locked = top
const PREFIX = "node_modules/"
export const locked = Object.entries(others).map(([place, found]) => ({
  name: place.slice(place.lastIndexOf(PREFIX) + PREFIX.length),
  version: found.version ?? "",
  resolved: found.resolved ?? null,
  integrity: found.integrity ?? "",
  licence: found.license ?? "none",
  dev: found.dev === true,
}))
/** What comes along with an install of the package. */
export const shipped = locked.filter(({ dev }) => !dev)
