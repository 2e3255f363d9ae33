/** How long each fault lasts for clients: simulated worlds, real processes and etcd, in one table. */
import { readFileSync, writeFileSync } from "node:fs"
import { cpus, loadavg } from "node:os"
import { startCluster } from "../cluster.ts"
import { readOptions } from "../options.ts"
import { describeBackup, measureBackup, wrongIn } from "./backup.ts"
import { etcdVersion, measureEtcd } from "./etcd.ts"
import { measureProcesses, processRows } from "./processes.ts"
import { rowIds, type RowId, type Times } from "./rows.ts"
import { simulate, simulatedRows } from "./simulated.ts"
import { joined, tableOf, writeIntoReadme, type Column } from "./table.ts"

const usage = `npm run recovery -- [options]

Recovery times of every fault scenario, default settings: in simulated worlds (virtual time), on real processes,
and of etcd where it is installed and has the scenario.

  --seeds N       simulated worlds for each row (default: 20; 0: none)
  --trials N      on real processes (default: 10; 0: none)
  --only ROW,…    of ${rowIds.join(", ")}
  --without etcd
  --backup MB     nothing but a backup of so much, taken and restored under load
  --write         put the table, or the figures of the backup, into kv/README.md
  --json FILE     the times for a program
  --join FILE,…   adds the times of earlier runs
`
const { values, number, complain } = readOptions(usage, {
  seeds: { type: "string", default: "20" },
  trials: { type: "string", default: "10" },
  only: { type: "string" },
  without: { type: "string" },
  backup: { type: "string" },
  write: { type: "boolean", default: false },
  json: { type: "string" },
  join: { type: "string" },
})
if (values.backup !== undefined) {
  const cluster = await startCluster()
  try {
    const { figures, fresh } = await measureBackup(cluster, {
      bytes: number("backup", 1) * 1e6,
      quietMs: 10_000,
      say: console.error,
    })
    await fresh.dispose()
    const text = `${describeBackup(figures)} Reproduce: \`npm run recovery -- --backup ${values.backup}\`.`
    console.log(text)
    if (values.write) writeIntoReadme(text, "backup")
    process.exitCode = wrongIn(figures).length === 0 ? 0 : 1
  } catch (error) {
    console.error(cluster.logs())
    throw error
  } finally {
    await cluster.dispose()
  }
  process.exit()
}
const chosen = values.only?.split(",") ?? rowIds
for (const name of chosen) if (!rowIds.some((id) => id === name)) complain(`there is no row ${name}`)
if (values.without !== undefined && values.without !== "etcd")
  complain(`--without ${values.without}: only etcd can be left out`)
const only = (id: RowId): boolean => chosen.includes(id)
const seeds = number("seeds", 0)
const processTrials = number("trials", 0)

/** As the replaced system was measured. */
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

const load = (): string => (loadavg()[0] ?? 0).toFixed(1)
const facts: string[] = []
if (columns.length > 0)
  facts.push(
    `Simulated: ${seeds} seeds, five nodes, virtual time, a hop and a write take 1 ms each, nothing is lost unless the row says so; heartbeats every 100 ms and election timeouts of 500–1,000 ms (the defaults), or 125 and 1,000–2,000 as the original has.`,
  )

let wrong: readonly string[] = []
if (processTrials > 0 && [...processRows].some(only)) {
  const before = load()
  const { trials, judged, failures } = await measureProcesses({ trials: processTrials, only, say: console.error })
  columns.push({ title: "three processes", trials })
  wrong = [...failures, ...judged.flatMap((one) => one.wrong)]
  const requests = judged.reduce((sum, one) => sum + one.requests, 0)
  const failed = judged.reduce((sum, one) => sum + one.failed, 0)
  facts.push(
    `Processes: ${processTrials} trials, three nodes and their clients on ${cpus().length} shared cores (load ${before} at the start, ${load()} at the end, so the times are those of a busy machine), each node sent a write every 20 ms; starts include the start of the process.`,
    `Meanwhile our own clients made ${requests.toLocaleString("en-US")} requests, of which ${failed} failed; the longest took ${Math.round(Math.max(0, ...judged.map((one) => one.longest)))} ms. ${wrong.length === 0 ? "Nothing was lost or doubled, and every history was linearizable." : `WRONG: ${wrong.length} complaints.`}`,
  )
  const version = values.without === "etcd" ? null : etcdVersion()
  if (version !== null) {
    columns.push({
      title: `etcd ${version}, three processes`,
      trials: await measureEtcd(processTrials, only, console.error),
    })
    facts.push(
      "etcd in the same run, with as many clients and the same timeouts (heartbeat 100, election 500–1,000 ms), otherwise as it comes.",
    )
  }
}

let all: readonly Column[] = columns
for (const file of values.join?.split(",") ?? []) {
  const earlier = JSON.parse(readFileSync(file, "utf8")) as {
    readonly facts: readonly string[]
    readonly columns: readonly Column[]
    readonly wrong: readonly string[]
  }
  facts.push(...earlier.facts)
  all = joined(all, earlier.columns)
  wrong = [...wrong, ...earlier.wrong]
}
const text = [[...facts, "Reproduce: `npm run recovery`."].join(" "), tableOf(all)].join("\n\n")
console.log(text)
for (const one of wrong) console.error(one)
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify({ facts, columns: all, wrong }, null, 1))
if (values.write) writeIntoReadme(text)
if (wrong.length > 0) process.exitCode = 1
