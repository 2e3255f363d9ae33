/**
 * The house as it stands: its rooms, what each imports of the others, and its lines, read from the sources.
 * `npm run house` prints it as Mermaid; the rules over it are in repository.test.ts.
 */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parseSync } from "vite"

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
/** From the ground up: none imports one above it. */
export const HOUSES = ["core", "interpreters", "spec", "kv", "test"] as const

export const walk = (folder: string, ending: string): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((item) =>
    item.isDirectory()
      ? walk(join(folder, item.name), ending)
      : item.name.endsWith(ending)
        ? [join(folder, item.name)]
        : [],
  )

export interface Import {
  readonly from: string
  readonly to: string
  readonly typeOnly: boolean
}
/** Relative specifiers are resolved to files of the repository, others stay as they are. */
export const importsOf = (file: string): Import[] => {
  const source = readFileSync(join(root, file), "utf8")
  const { module, program } = parseSync(file, source)
  if (program.type !== "Program") throw new Error(`${file} cannot be read`)
  const resolveName = (name: string): string =>
    name.startsWith(".") ? relative(root, resolve(root, dirname(file), name)) : name
  const statics = module.staticImports.map((found) => ({
    from: file,
    to: resolveName(found.moduleRequest.value),
    typeOnly: found.entries.length > 0 && found.entries.every((entry) => entry.isType),
  }))
  const reexports = module.staticExports.flatMap((found) =>
    found.entries.flatMap((entry) =>
      entry.moduleRequest === null
        ? []
        : [{ from: file, to: resolveName(entry.moduleRequest.value), typeOnly: entry.isType }],
    ),
  )
  const dynamics = module.dynamicImports.flatMap((found) => {
    const text = source.slice(found.moduleRequest.start, found.moduleRequest.end)
    const name = /^["'`]([^"'`]+)["'`]$/.exec(text)?.[1]
    return name === undefined ? [] : [{ from: file, to: resolveName(name), typeOnly: false }]
  })
  return [...statics, ...reexports, ...dynamics]
}

/** A program without its layout: two are the same if only spaces, line breaks and commas at the end of a list differ. */
export const syntaxOf = (source: string): string => {
  const { program, comments, errors } = parseSync("program.ts", source)
  if (errors.length > 0) throw new Error(`${errors[0]?.message ?? ""} in\n${source}`)
  const places = new Set(["start", "end", "raw", "loc", "range", "parent"])
  return JSON.stringify(
    [program, comments.map(({ value }) => value.trim())],
    (key, value: unknown) => (places.has(key) ? undefined : value),
    1,
  )
}
/** Blocks of code in a page of Markdown. */
export const fencesOf = (page: string, language: string): readonly string[] =>
  Array.from(
    readFileSync(join(root, page), "utf8").matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gmsu")),
    ([, code = ""]) => code,
  )
/** What a file holds between `// #region README` and `// #endregion`, one after the other. */
export const regionsOf = (file: string): string =>
  Array.from(
    readFileSync(join(root, file), "utf8").matchAll(/^ *\/\/ #region README\n(.*?)^ *\/\/ #endregion$/gmsu),
    ([, code = ""]) => code,
  ).join("")

/** For the names that a file exports: the file that declares each. */
export const declarations = (): ((file: string) => readonly (readonly [name: string, by: string])[]) => {
  const known = new Map<string, readonly (readonly [string, string])[]>()
  const declared = (file: string): readonly (readonly [string, string])[] => {
    const before = known.get(file)
    if (before !== undefined) return before
    const { module } = parseSync(file, readFileSync(join(root, file), "utf8"))
    const at = (name: string): string => relative(root, resolve(root, dirname(file), name))
    const found = module.staticExports.flatMap(({ entries }) =>
      entries.flatMap(
        ({ moduleRequest, exportName, importName, localName }): readonly (readonly [string, string])[] => {
          if (moduleRequest !== null) {
            const from = declared(at(moduleRequest.value))
            return exportName.name === null
              ? from
              : from.flatMap(([name, by]) => (name === importName.name ? [[exportName.name ?? "", by]] : []))
          }
          const imported = module.staticImports.find((one) =>
            one.entries.some((entry) => entry.localName.value === localName.name),
          )
          return exportName.name === null
            ? []
            : [[exportName.name, imported === undefined ? file : at(imported.moduleRequest.value)]]
        },
      ),
    )
    known.set(file, found)
    return found
  }
  return declared
}

/** The names that a file itself declares and exports. */
export const declaredIn = (file: string): readonly string[] => {
  const { module } = parseSync(file, readFileSync(join(root, file), "utf8"))
  const imported = new Set(module.staticImports.flatMap(({ entries }) => entries.map((one) => one.localName.value)))
  return module.staticExports.flatMap(({ entries }) =>
    entries.flatMap(({ moduleRequest, exportName, localName }) =>
      moduleRequest === null && exportName.name !== null && !imported.has(localName.name ?? "")
        ? [exportName.name]
        : [],
    ),
  )
}

/** What users import, and the program: they open rooms, and no room leads through them. */
export const DOORS: ReadonlySet<string> = new Set([
  "interpreters/index.ts",
  "interpreters/main.ts",
  "interpreters/builtin.ts",
  "kv/main.ts",
  "kv/cli.ts",
  "spec/index.ts",
  "spec/main.ts",
])
/** A folder of a house, or what stands in the house itself. */
export const roomOf = (file: string): string => {
  const [house = "", room = ""] = file.split("/")
  return room.endsWith(".ts") || house === "core" ? house : `${house}/${room}`
}

export interface House {
  /** Lines of each room. */
  readonly rooms: ReadonlyMap<string, number>
  /** The rooms that each imports. */
  readonly arrows: ReadonlyMap<string, ReadonlySet<string>>
}
const built = HOUSES.filter((house) => house !== "test")
export const readHouse = (
  imports: readonly Import[] = built.flatMap((house) => walk(house, ".ts")).flatMap(importsOf),
): House => {
  const rooms = new Map<string, number>()
  const arrows = new Map<string, Set<string>>()
  for (const file of built.flatMap((house) => walk(house, ".ts"))) {
    const room = roomOf(file)
    rooms.set(room, (rooms.get(room) ?? 0) + readFileSync(join(root, file), "utf8").split("\n").length - 1)
    if (!arrows.has(room)) arrows.set(room, new Set())
  }
  for (const { from, to } of imports) {
    const [room, other] = [roomOf(from), roomOf(to)]
    if (rooms.has(room) && rooms.has(other) && room !== other && !DOORS.has(from) && !DOORS.has(to))
      arrows.get(room)?.add(other)
  }
  return { rooms, arrows }
}

/** Rooms that lead back to themselves, each as the way there. */
export const circlesOf = ({ arrows }: House): readonly string[] => {
  const circles = new Set<string>()
  const done = new Set<string>()
  const visit = (room: string, path: readonly string[]): void => {
    if (path.includes(room)) circles.add([...path.slice(path.indexOf(room)), room].join(" → "))
    else if (!done.has(room)) {
      for (const next of arrows.get(room) ?? []) visit(next, [...path, room])
      done.add(room)
    }
  }
  for (const room of arrows.keys()) visit(room, [])
  return [...circles]
}

/** Arrows that no other way stands for: a picture of all of them shows nothing. */
const shortest = ({ arrows }: House): readonly (readonly [string, string])[] => {
  const reach = (from: string, seen = new Set<string>()): ReadonlySet<string> => {
    for (const next of arrows.get(from) ?? []) if (!seen.has(next)) reach(next, seen.add(next))
    return seen
  }
  return [...arrows].flatMap(([from, to]) =>
    [...to]
      .filter((one) => ![...to].some((other) => other !== one && reach(other).has(one)))
      .map((one) => [from, one] as const),
  )
}

export const mermaid = (house: House): string => {
  const id = (room: string): string => room.replaceAll("/", "_")
  const lines = HOUSES.toReversed().flatMap((name) => {
    const own = [...house.rooms].filter(([room]) => room === name || room.startsWith(`${name}/`))
    if (own.length === 0) return []
    const total = own.reduce((sum, [, count]) => sum + count, 0)
    return [
      `  subgraph ${name}_house["${name}: ${total.toLocaleString("en-US")} lines"]`,
      ...own.map(
        ([room, count]) =>
          `    ${id(room)}["${room === name ? (own.length === 1 ? name : "shared") : room.slice(name.length + 1)} ${count.toLocaleString("en-US")}"]`,
      ),
      "  end",
    ]
  })
  return ["flowchart TB", ...lines, ...shortest(house).map(([from, to]) => `  ${id(from)} --> ${id(to)}`)].join("\n")
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(mermaid(readHouse()))
