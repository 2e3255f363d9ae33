/** How long each fault lasts for clients: simulated worlds, real processes, and etcd, in one table. */
import { writeFileSync } from "node:fs"
import { readOptions } from "../options.ts"
import { rowIds, type RowId, type Times } from "./rows.ts"
import { simulate, simulatedRows } from "./simulated.ts"
import { tableOf, writeIntoReadme, type Column } from "./table.ts"

const usage = `npm run recovery -- [options]

Recovery times of every fault scenario: in simulated worlds (virtual time), default settings.

  --seeds N       simulated worlds for each row (default: 20; 0: none)
  --only ROW,…    of ${rowIds.join(", ")}
  --write         put the table into kv/README.md
  --json FILE     the times for a program
`
const { values, number, complain } = readOptions(usage, {
  seeds: { type: "string", default: "20" }, only: { type: "string" }, write: { type: "boolean", default: false }, json: { type: "string" },
})
const chosen = values.only?.split(",") ?? rowIds
for (const name of chosen) if (!rowIds.some((id) => id === name)) complain(`there is no row ${name}`)
const only = (id: RowId): boolean => chosen.includes(id)
const seeds = number("seeds", 0)

/** As the original was measured. */
const itsTimeouts = { heartbeat: 125, electionMin: 1000, electionMax: 2000 }

const columns: Column[] = []
const inWorlds = (title: string, settings = {}): void => {
  const trials: Times[] = []
  for (let seed = 1; seed <= seeds; seed++) trials.push(simulate({ seed, settings, only }))
  columns.push({ title, trials })
}
if (seeds > 0 && [...simulatedRows].some(only)) {
  inWorlds("simulated, 5 nodes")
  inWorlds("the same with the original's timeouts", itsTimeouts)
}

const facts = [
  `Simulated: ${seeds} seeds, five nodes, virtual time, a hop and a write take 1 ms each, nothing is lost unless the row says so; heartbeats every 100 ms and election timeouts of 500–1,000 ms (the defaults), or 125 and 1,000–2,000 as the original has.`,
  "Reproduce: `npm run recovery`.",
]
const text = [facts.join(" "), tableOf(columns)].join("\n\n")
console.log(text)
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify({ facts, columns }, null, 1))
if (values.write) writeIntoReadme(text)
