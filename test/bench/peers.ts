/** stepraft beside etcd (and, with --redis, one Redis): same machine, same disk, same load generator, alternating. */
import { closeSync, fdatasyncSync, openSync, statfsSync, writeFileSync, writeSync } from "node:fs"
import { cpus, loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { temporaryFolder } from "../cluster.ts"
import { readOptions } from "../options.ts"
import { coreTable, measureCore } from "./core.ts"
import { plainGenerator } from "./plain.ts"
import {
  buildGenerator,
  installed,
  installHint,
  sampleOf,
  startEtcd,
  startRedis,
  startStepraft,
  type Cell,
  type System,
} from "./systems.ts"
import { median, tableOf, writeIntoReadme, type Measured } from "./table.ts"

const usage = `npm run bench:peers -- [options]

stepraft beside etcd: same machine, same disk, same load, alternating; told as ratios.

  --only OP,…         put (writes), get (linearizable reads), local (reads of one node), mixed (half writes, half
                      reads, also with all clients on one connection); default: all
  --clients N,…       at once (default: 1,16,64,256,1024)
  --rounds N          (default: 3)
  --seconds N         for each measurement (default: 3)
  --quick             one short round
  --redis             one Redis too
  --without NAME      stepraft or etcd
  --write             put the tables into kv/README.md
  --json FILE         the figures for a program
`
const { values, number } = readOptions(usage, {
  rounds: { type: "string" },
  seconds: { type: "string" },
  quick: { type: "boolean", default: false },
  redis: { type: "boolean", default: false },
  only: { type: "string", default: "put,get,local,mixed" },
  clients: { type: "string" },
  write: { type: "boolean", default: false },
  json: { type: "string" },
  without: { type: "string", default: "" },
})
const orElse = (name: "rounds" | "seconds", otherwise: number): number =>
  values[name] === undefined ? otherwise : number(name, 1)
const rounds = orElse("rounds", values.quick ? 1 : 3)
const seconds = orElse("seconds", values.quick ? 1 : 3)
const counts = (values.clients ?? (values.quick ? "1,64" : "1,16,64,256,1024")).split(",").map(Number)
const keys = values.quick ? 2_000 : 20_000

/** With more clients than this, the shared-connection measurement is left out. */
const mostMixed = 256
const cellsOf = (op: Cell["op"]): Cell[] => {
  if (op === "mixed")
    return counts
      .filter((clients) => clients > 1 && clients <= mostMixed)
      .flatMap((clients) => [0, 1].map((connections) => ({ op, clients, connections })))
  const cells: Cell[] = counts.map((clients) => ({ op, clients, connections: 0 }))
  for (const clients of counts) if (clients >= 256 && op !== "local") cells.push({ op, clients, connections: 4 })
  return cells
}
const operations = (["put", "get", "local", "mixed"] as const).filter((op) => values.only.split(",").includes(op))
const cells = new Map(operations.map((op) => [op, cellsOf(op)]))

const tmpfs = 0x01021994
const syncTimes = (folder: string): readonly number[] => {
  const file = openSync(join(folder, "sync-probe"), "w")
  const block = Buffer.alloc(4096, 1)
  const times: number[] = []
  for (let i = 0; i < 200; i++) {
    const from = performance.now()
    writeSync(file, block)
    fdatasyncSync(file)
    times.push(performance.now() - from)
  }
  closeSync(file)
  return times
}

const main = async (): Promise<void> => {
  const generator = buildGenerator() ?? plainGenerator
  const parent = temporaryFolder("stepraft-bench-")
  const systems: System[] = []
  if (!values.without.includes("stepraft")) systems.push(await startStepraft(parent))
  if (values.without.includes("etcd")) console.error("without etcd")
  else if (generator.etcd && installed("etcd")) systems.push(await startEtcd(parent))
  else console.error(`etcd is not measured; to have it: ${installHint}`)
  if (values.redis && installed("redis-server")) systems.push(await startRedis(parent))

  const measured: Measured[] = []
  const load = (system: System, words: readonly string[]) => generator.run(system, ["-keys", String(keys), ...words])
  /**
   * After a burst of writes etcd has a large read buffer, and it copies that on each read. A few single writes with
   * pauses between them shrink it again; without them etcd's reads would look slower than they are.
   */
  const calm = async (): Promise<void> => {
    await Promise.all(
      systems.map(async (system) => {
        await sleep(500)
        await generator.run(system, [
          "-endpoints",
          await system.leader(),
          "-op",
          "put",
          "-fill",
          "-keys",
          "10",
          "-clients",
          "1",
          "-pause",
          "200ms",
        ])
      }),
    )
  }
  for (const system of systems)
    await load(system, ["-endpoints", await system.leader(), "-op", "put", "-fill", "-clients", "64"])
  for (let round = 0; round < rounds; round++)
    for (const [op, list] of cells) {
      if (op === "get" || op === "local") await calm()
      for (const cell of list)
        for (const system of round % 2 === 0 ? systems : [...systems].reverse()) {
          const sample = await sampleOf(async () => {
            const endpoints = op === "put" || op === "mixed" ? await system.leader() : system.endpoints.join(",")
            return load(system, [
              "-endpoints",
              endpoints,
              "-op",
              system.name === "Redis" && op === "local" ? "get" : op,
              "-clients",
              String(cell.clients),
              "-connections",
              String(cell.connections),
              "-seconds",
              String(seconds),
              "-warm",
              String(Math.min(1, seconds / 2)),
            ])
          })
          if (sample.failures > 0)
            console.error(`${system.name} ${op} ${cell.clients}: ${sample.failures} failures, ${sample.error}`)
          measured.push({ system: system.name, cell, round, sample })
          console.error(
            `round ${round + 1} ${op} ${cell.clients}${cell.connections > 0 ? ` on ${cell.connections}` : ""} ${system.name}: ${Math.round(sample.perSecond)}/s p50 ${sample.p50.toFixed(2)} p99 ${sample.p99.toFixed(2)} ms, cpu ${Math.round(sample.serverCpu)} + ${Math.round(sample.clientCpu)} µs`,
          )
        }
    }

  const sync = syncTimes(parent).map((time) => time * 1000)
  const disk =
    statfsSync(parent).type === tmpfs
      ? "**in memory (tmpfs): not a fair disk**"
      : `4 KiB append + fdatasync, median ${Math.round(median(sync))} µs`
  const facts = [
    `${cpus().length} cores (${cpus()[0]?.model.trim() ?? "unknown"}) shared by three servers and the client; ${disk}; load at the end ${loadavg()[0]?.toFixed(1)}.`,
    `${systems.map((system) => `${system.name} ${system.version}`).join("; ")}; clients: one program for all (${generator.version}), closed loop, 16-byte keys, 256-byte values.`,
    `Three nodes on loopback, everything synced; medians of ${rounds} alternating rounds of ${seconds} s. Reproduce: \`npm run bench:peers\`.`,
  ]
  const names = systems.map((system) => system.name)
  const core = coreTable(await measureCore(seconds))
  const text = [facts.join(" "), ...[...cells].map(([op, list]) => tableOf(op, list, measured, names)), core].join(
    "\n\n",
  )
  console.log(text)
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify({ facts, measured }, null, 1))
  if (values.write) writeIntoReadme(text)
  for (const system of systems) await system.dispose()
}

if (statfsSync(tmpdir()).type === tmpfs)
  console.error("the temporary folder is in memory: set TMPDIR to a folder on a disk")
await main()
