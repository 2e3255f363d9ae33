/** The kill matrix for people: mutant × layer with the seconds to the kill, then what it says. */
import { invariants } from "../../spec/index.ts"
import type { Layer } from "./layers.ts"
import { applies, folderOf, partsOf, type Mutant, type Seeded } from "./mutant.ts"
import { caught, type Cell, type Results } from "./results.ts"

const cellText = (cell: Cell | undefined): string => {
  switch (cell?.verdict) {
    case undefined:
    case "absent":
      return ""
    case "survived":
      return "–"
    case "hung":
      return "hung"
    case "killed":
      return `**${cell.seconds.toFixed(1)}**`
  }
}
const row = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] => [
  row(head),
  row(head.map(() => "---")),
  ...rows.map(row),
]

/** The command that shows a kill again, step by step if there is a world to step through. */
export const lookAt = (id: string, layer: string): string => `npm run mutants -- --debug ${id} --layer ${layer}`

/** Those that some layer looked at and none caught. */
export const survivors = (mutants: readonly Mutant[], { cells }: Results): readonly Mutant[] =>
  mutants.filter(({ id }) => {
    const row = Object.values(cells[id] ?? {})
    return row.some(({ verdict }) => verdict === "survived") && !row.some(caught)
  })

export const report = (seeded: readonly Seeded[], layers: readonly Layer[], results: Results): string => {
  const { cells } = results
  const mutants = seeded.filter(applies).filter(({ id }) => Object.keys(cells[id] ?? {}).length > 0)
  const used = layers.filter(({ name }) =>
    mutants.some(({ id }) => cells[id]?.[name] !== undefined && cells[id][name].verdict !== "absent"),
  )
  const killersOf = (id: string): readonly string[] =>
    used.map(({ name }) => name).filter((name) => caught(cells[id]?.[name]))
  const firstOf = (id: string): Cell | undefined =>
    killersOf(id)
      .map((name) => cells[id]?.[name])
      .find((cell) => cell !== undefined)
  const total = (name: string): string => {
    const looked = mutants.filter(({ id }) => ["killed", "hung", "survived"].includes(cells[id]?.[name]?.verdict ?? ""))
    return `${looked.filter(({ id }) => caught(cells[id]?.[name])).length} of ${looked.length}`
  }
  const parts = [...new Set(mutants.flatMap((mutant) => [...partsOf(mutant)]))]
  const reach = parts.map((part): readonly string[] => {
    const seededHere = mutants.filter((mutant) => partsOf(mutant).has(part))
    return [
      folderOf(part),
      String(seededHere.length),
      String(seededHere.filter(({ id }) => killersOf(id).length > 0).length),
      used
        .filter(({ about }) => about.includes(part))
        .map(({ name }) => name)
        .join(", "),
    ]
  })
  const list = (title: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : ["", `## ${title}`, "", ...lines.map((line) => `- ${line}`)]
  const lost = survivors(mutants, results)
  const toldBy = (name: string): readonly string[] =>
    mutants.filter(({ id }) => cells[id]?.["invariants"]?.by === name).map(({ id }) => id)
  const told = [...Object.keys(invariants), "Liveness"].map((name) => ({ name, ids: toldBy(name) }))
  return [
    "# Seeded bugs and what catches them",
    "",
    `${mutants.length} bugs seeded one at a time, ${mutants.length - lost.length} caught. Seconds until the first failure, with the start of the program; "–": not caught; empty: not looked at, for that layer is not about it or enough others had caught it (--enough).`,
    "",
    ...table(
      ["bug", "what is wrong", ...used.map(({ name }) => name), "first told by"],
      mutants.map(({ id, title }) => [
        id,
        title,
        ...used.map(({ name }) => cellText(cells[id]?.[name])),
        firstOf(id)?.by ?? "**nothing**",
      ]),
    ),
    row(["", "caught", ...used.map(({ name }) => total(name)), ""]),
    "",
    "## Reach",
    "",
    ...table(["folder", "bugs seeded there", "caught", "layers that look at it"], reach),
    ...list(
      "To look at one",
      mutants.flatMap(({ id }) => {
        const [layer] = ["invariants", "refinement", ...killersOf(id)].filter((name) => caught(cells[id]?.[name]))
        return layer === undefined ? [] : [`${id}: \`${lookAt(id, layer)}\``]
      }),
    ),
    ...list(
      "What random worlds were told by",
      told.filter(({ ids }) => ids.length > 0).map(({ name, ids }) => `${name}: ${ids.join(", ")}`),
    ),
    ...list(
      "Told nothing first: another check was earlier (test/invariants.broken.test.ts breaks each of these by hand)",
      told.filter(({ ids }) => ids.length === 0).map(({ name }) => name),
    ),
    ...list(
      "Survivors",
      lost.map(({ id, title }) => `**${id}** ${title}`),
    ),
    ...list(
      "Caught by one layer only",
      mutants
        .filter(({ id }) => killersOf(id).length === 1)
        .map(({ id, title }) => `${id} ${title}: ${killersOf(id).join()} (${firstOf(id)?.by ?? ""})`),
    ),
    ...list(
      "Caught by tests of single rules only",
      mutants
        .filter(({ id }) => killersOf(id).length > 0 && killersOf(id).every((name) => name === "paper"))
        .map(({ id, title }) => `${id} ${title}: ${firstOf(id)?.by ?? ""}`),
    ),
    ...list(
      "Not ours",
      seeded.flatMap((one) => (applies(one) ? [] : [`${one.id} ${one.title}: ${one.doesNotApply}`])),
    ),
    "",
  ].join("\n")
}
