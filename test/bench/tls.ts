/**
 * What TLS and logins cost: the same load, from the same program, on clusters that differ in nothing else. Each round measures
 * all of them one after the other, so the ratios are of neighbours in time.
 */
import { execFile } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { cpus, loadavg } from "node:os"
import { join } from "node:path"
import type { BenchResult } from "../../kv/cli/bench/bench.ts"
import { passwordHash } from "../../kv/server/users/hash.ts"
import { root, startCluster, temporaryFolder, type Cluster } from "../cluster.ts"
import { readOptions } from "../options.ts"
import { authority, shownBy } from "../tls.kit.ts"
import { median } from "./table.ts"

const usage = `npm run bench:tls -- [options]

TLS and logins beside none: three clusters of three nodes on this machine, told as ratios of "stepraft bench".

  --clients N,…       at once (default: 1,64,256)
  --reads N,…         percentages of reads (default: 0,100)
  --rounds N          (default: 5)
  --seconds N         for each measurement (default: 4)
`
const { values, number } = readOptions(usage, {
  clients: { type: "string", default: "1,64,256" },
  reads: { type: "string", default: "0,100" },
  rounds: { type: "string", default: "5" },
  seconds: { type: "string", default: "4" },
})
const [rounds, seconds] = [number("rounds", 1), number("seconds", 1)]
const listOf = (text: string): readonly number[] => text.split(",").map(Number)

interface Side {
  readonly name: string
  readonly cluster: Cluster
  /** How the load proves itself. */
  readonly env: Readonly<Record<string, string>>
}
const PASSWORD = "measured"
const start = async (): Promise<readonly Side[]> => {
  const folder = temporaryFolder("stepraft-bench-tls-")
  mkdirSync(folder, { recursive: true })
  const file = (name: string, text?: string): string => {
    const path = join(folder, name)
    if (text !== undefined) writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  const ca = file("ca.crt", authority.certificate)
  const users = file("users", `ann admin ${await passwordHash(Buffer.from(PASSWORD))}\n`)
  const certified = (id: string): readonly string[] => {
    const { cert, key } = shownBy(id)
    return ["--tls-cert", file(`${id}.crt`, cert), "--tls-key", file(`${id}.key`, key), "--tls-ca", ca]
  }
  const login = { STEPRAFT_USER: "ann", STEPRAFT_PASSWORD: PASSWORD }
  return [
    { name: "neither", cluster: await startCluster(), env: {} },
    {
      name: "TLS between nodes",
      cluster: await startCluster({ flagsOf: certified, flags: ["--plaintext", "clients"] }),
      env: {},
    },
    {
      name: "TLS everywhere, and a login",
      cluster: await startCluster({
        flagsOf: certified,
        flags: ["--users", users],
        secured: shownBy("ann", authority, { purpose: "client" }),
      }),
      env: { ...login, STEPRAFT_TLS_CA: ca },
    },
  ]
}

const measure = ({ cluster, env }: Side, clients: number, reads: number): Promise<BenchResult> =>
  new Promise((resolve, reject) => {
    const endpoints = cluster.members.map(({ clientPort }) => `127.0.0.1:${clientPort}`).join(",")
    const words = ["bench", "--endpoints", endpoints, "-o", "json", "--duration", String(seconds)]
    const load = ["--clients", String(clients), "--reads", String(reads)]
    execFile(
      process.execPath,
      [join("dist", "kv", "cli.js"), ...words, ...load],
      { cwd: root, env: { ...process.env, ...env } },
      (error, out, err) => {
        if (error !== null) reject(new Error(`${err}\n${cluster.logs()}`))
        else resolve(JSON.parse(out) as BenchResult)
      },
    )
  })

const times = (value: number): string => `${value.toFixed(2)}×`
const main = async (): Promise<void> => {
  const sides = await start()
  try {
    await Promise.all(sides.map(({ cluster }) => cluster.leader()))
    const rows: string[] = []
    for (const reads of listOf(values.reads))
      for (const clients of listOf(values.clients)) {
        const measured = new Map<Side, BenchResult[]>(sides.map((side) => [side, []]))
        for (let round = -1; round < rounds; round++)
          for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
            const result = await measure(side, clients, reads)
            // The first round only warms up.
            if (round >= 0) measured.get(side)?.push(result)
          }
        const [bare = []] = measured.values()
        for (const [{ name }, results] of measured) {
          const of = (value: (one: BenchResult) => number): number => median(results.map(value))
          const ratios = results.map((one, i) => one.opsPerSecond / (bare[i]?.opsPerSecond ?? Number.NaN))
          rows.push(
            [
              `| ${reads === 0 ? "SET" : reads === 100 ? "GET" : `${reads} % GET`}, ${clients}`,
              name,
              Math.round(of((one) => one.opsPerSecond)).toLocaleString("en-US"),
              results === bare ? "" : `**${times(median(ratios))}** (${ratios.map(times).join(" ")})`,
              `${of((one) => one.latencyMs.p50).toFixed(2)} / ${of((one) => one.latencyMs.p99).toFixed(2)}`,
              `${of((one) => one.cpuMicros.servers ?? Number.NaN).toFixed(0)} + ${of((one) => one.cpuMicros.client).toFixed(0)}`,
              `${Math.round(of((one) => one.connectMs))} |`,
            ].join(" | "),
          )
          console.error(rows.at(-1))
        }
      }
    console.log(
      [
        `${cpus().length} cores (${cpus()[0]?.model.trim() ?? ""}), shared by nine nodes, of which three are at work, and the client; load at the end ${loadavg()[0]?.toFixed(1) ?? ""}. Node ${process.versions.node}; medians of ${rounds} rounds of ${seconds} s. Reproduce: \`npm run bench:tls\`.`,
        "",
        "| load, clients | with | ops/s | beside neither, rounds | p50 / p99 ms | CPU µs an operation: servers + client | all connected after ms |",
        "|---|---|---|---|---|---|---|",
        ...rows,
      ].join("\n"),
    )
  } finally {
    await Promise.all(sides.map(({ cluster }) => cluster.dispose()))
  }
}
await main()
