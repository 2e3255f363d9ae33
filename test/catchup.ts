/**
 * Figures of catching up by snapshot, on real processes.
 *
 *   npx tsx test/catchup.ts [--writes 1000000] [--bytes 100]      many small values
 *   npx tsx test/catchup.ts --writes 10000 --bytes 100000         1 GB
 */
import { parseArgs } from "node:util"
import { startCluster } from "./cluster.ts"
import { describe, rejoin } from "./rejoin.ts"

const { values } = parseArgs({ options: { writes: { type: "string", default: "1000000" }, bytes: { type: "string", default: "100" }, json: { type: "boolean", default: false } } })

const cluster = await startCluster()
try {
  await cluster.leader()
  const result = await rejoin(cluster, { writes: Number(values.writes), bytes: Number(values.bytes) })
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
