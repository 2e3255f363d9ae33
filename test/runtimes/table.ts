/** What runs on which runtime, row by row: a cell is the result, the failure, or why it was not run. */
import { alone, type Alone } from "./alone.ts"
import type { App } from "./app.ts"
import { mixedReplicate, mixedServe, ownCluster, type Mixed } from "./mixed.ts"
import type { Runtime } from "./tools.ts"

export type Cell = { readonly type: "passed" | "failed" | "not run"; readonly text: string }
export interface Row {
  readonly what: string
  readonly run: () => Promise<Cell>
}

const passed = (text: string): Cell => ({ type: "passed", text })
const failed = (text: string): Cell => ({ type: "failed", text })
const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error))
const cell = (runtimes: readonly Runtime[], work: () => Promise<Cell>) => async (): Promise<Cell> => {
  const missing = runtimes.filter(({ version }) => version === null)
  if (missing.length > 0)
    return { type: "not run", text: missing.map(({ name, missing: why }) => `${name}: ${why}`).join("; ") }
  try {
    return await work()
  } catch (error) {
    return failed(reason(error))
  }
}

const hashesText = ({ steps, hashes }: Alone): string => `${Object.keys(hashes).length} hashes of ${steps} steps equal`
const differing = (a: Alone, b: Alone): readonly string[] =>
  [...new Set([...Object.keys(a.hashes), ...Object.keys(b.hashes)])].filter((name) => a.hashes[name] !== b.hashes[name])

const aloneCell = ({ ports, ...found }: Alone, reference: Alone): Cell => {
  const wrong = differing({ ports, ...found }, reference)
  if (wrong.length > 0) return failed(`other hashes than Node's: ${wrong.join(", ")}`)
  if (new Set([ports.executed, ...ports.totals]).size !== 1)
    return failed(`over ports ${ports.executed} were executed, the replicas hold ${ports.totals.join(", ")}`)
  return passed(
    `${hashesText({ ports, ...found })}; over MessagePorts ${ports.executed} commands, each once, through three crashes`,
  )
}
const mixedCell = ({ operations, unknown, violations }: Mixed): Cell =>
  violations.length > 0
    ? failed(violations.join("\n"))
    : passed(`each killed in turn under load: ${operations} operations, ${unknown} of unknown outcome, linearizable`)

export const rowsOf = (runtimes: readonly Runtime[], app: App): readonly Row[] => {
  const node = runtimes.find(({ version, name }) => version !== null && name.includes("Node"))
  let reference: Promise<Alone> | null = null
  const mixed = ["Node 20", "Bun", "Deno"].flatMap((name) => runtimes.filter((one) => one.name === name))
  const titled = (one: Runtime): string => `${one.name}${one.version === null ? "" : ` (${one.version})`}`
  const together = mixed.map(titled).join(" + ")
  return [
    ...runtimes.map((one): Row => ({
      what: `${titled(one)}: core, simulation, replicas over ports`,
      run: cell([one], async () => {
        if (node === undefined) throw new Error("no Node to compare with")
        reference ??= alone(node, app)
        return aloneCell(one === node ? await reference : await alone(one, app), await reference)
      }),
    })),
    ...runtimes.flatMap((one): readonly Row[] =>
      one.name === "Chromium"
        ? []
        : [
            {
              what: `${titled(one)}: \`stepraft cluster\``,
              run: cell([one], () =>
                ownCluster(one, app).then(() => passed("three nodes form, take a write and stop in order")),
              ),
            },
          ],
    ),
    { what: `${together}: \`stepraft serve\``, run: cell(mixed, () => mixedServe(mixed, app).then(mixedCell)) },
    {
      what: `${together}: a program of \`replicate\``,
      run: cell(mixed, () => mixedReplicate(mixed, app).then(mixedCell)),
    },
  ]
}
