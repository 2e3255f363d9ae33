/**
 * A mutant is the shipped code with one small mistake in it, seeded by replacing text in a copy of the sources: nothing
 * in the shipped code knows of it. Each patch must fit exactly one place.
 */
export interface Patch {
  /** From the root of the repository. */
  readonly file: string
  readonly find: string
  readonly replace: string
}
export interface Mutant {
  /** bug-… as in the catalogue of known bugs (a second counterpart has a letter behind it), own-… for our own. */
  readonly id: string
  readonly title: string
  readonly patches: readonly Patch[]
}
export interface NotOurs {
  readonly id: string
  readonly title: string
  readonly doesNotApply: string
}
export type Seeded = Mutant | NotOurs
export const applies = (seeded: Seeded): seeded is Mutant => "patches" in seeded

/** The parts of the code that it changes: a layer says which of them it is about. */
export type Part =
  | "core"
  | "driver"
  | "file"
  | "transport"
  | "machine"
  | "service"
  | "client"
  | "server"
  | "node"
  | "replica"
  | "members"
  | "command line"
  | "judge"
/** The first prefix that fits. */
const PARTS: readonly (readonly [string, Part])[] = [
  ["core/", "core"],
  ["interpreters/file/", "file"],
  ["interpreters/tcp/", "transport"],
  ["interpreters/port/", "transport"],
  ["interpreters/memory/network.ts", "transport"],
  ["interpreters/memory/disk.ts", "file"],
  ["interpreters/hello.ts", "transport"],
  ["interpreters/tls/", "transport"],
  ["kv/machine/", "machine"],
  ["kv/service/", "service"],
  ["interpreters/replica/session/", "service"],
  ["interpreters/replica/", "replica"],
  ["interpreters/lease/", "replica"],
  ["interpreters/node/durable.ts", "replica"],
  ["kv/node/", "node"],
  ["kv/backup/", "node"],
  ["interpreters/node/", "node"],
  ["interpreters/members/", "members"],
  ["interpreters/cli/", "command line"],
  ["interpreters/", "driver"],
  ["kv/client/", "client"],
  ["kv/server/", "server"],
  ["kv/cli/", "command line"],
  ["spec/cli/", "command line"],
  ["spec/linearizability/", "judge"],
]
export const folderOf = (part: Part): string => PARTS.find(([, name]) => name === part)?.[0] ?? part
export const partOf = (file: string): Part => {
  const part = PARTS.find(([prefix]) => file.startsWith(prefix))?.[1]
  if (part === undefined) throw new Error(`no layer is about ${file}`)
  return part
}
export const partsOf = (mutant: Mutant): ReadonlySet<Part> => new Set(mutant.patches.map(({ file }) => partOf(file)))

/** The text with the patch in it; throws unless it fits exactly once. */
export const patched = (text: string, { file, find, replace }: Patch): string => {
  const at = text.indexOf(find)
  if (at < 0) throw new Error(`${file} does not hold\n${find}`)
  if (text.includes(find, at + 1)) throw new Error(`${file} holds more than once\n${find}`)
  return text.slice(0, at) + replace + text.slice(at + find.length)
}

/** The files that a mutant changes, changed. `read` gives the text of a file as shipped. */
export const mutate = (mutant: Mutant, read: (file: string) => string): ReadonlyMap<string, string> => {
  const files = new Map<string, string>()
  for (const patch of mutant.patches) files.set(patch.file, patched(files.get(patch.file) ?? read(patch.file), patch))
  return files
}
