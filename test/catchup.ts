/** Figures of catching up by snapshot, on real processes. */
import { startCluster } from "./cluster.ts"
import { readOptions } from "./options.ts"
import { describe, rejoin } from "./rejoin.ts"

const usage = `npx tsx test/catchup.ts [options]

Three nodes; one is away while the others write, comes back, and is brought up to date by a snapshot.

  --writes N     meanwhile (default: 1000000)
  --bytes N      of a value (default: 100; with --writes 10000 --bytes 100000 it is 1 GB)
  --json         the figures for a program
`
const { values, number } = readOptions(usage, {
  writes: { type: "string", default: "1000000" },
  bytes: { type: "string", default: "100" },
  json: { type: "boolean", default: false },
})

const cluster = await startCluster()
try {
  await cluster.leader()
  const result = await rejoin(cluster, { writes: number("writes", 1), bytes: number("bytes", 1) })
  console.log(values.json ? JSON.stringify(result) : describe(result))
  if (result.wrong.length > 0 || !result.equal) {
    console.error(result.wrong.join("\n"), result.equal ? "" : "the nodes differ")
    process.exitCode = 1
  }
} catch (error) {
  console.error(cluster.logs())
  throw error
} finally {
  await cluster.dispose()
}
