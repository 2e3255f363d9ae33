/** Figures of recovery, on real processes with kill -9 under load; every answer is checked. */
import { startCluster } from "./cluster.ts"
import { readOptions } from "./options.ts"
import { failovers, middle, outages, summary } from "./trials.ts"
import { startWorkload, verify } from "./workload.ts"

const usage = `npx tsx test/failover.ts [options]

Three nodes under load; kill -9 of the leader, then of all of them; how long until the next write, and whether all is there.

  --trials N      leaders killed (default: 10)
  --outages N     times that all are killed (default: 5)
  --json          the figures for a program
`
const { values, number } = readOptions(usage, {
  trials: { type: "string", default: "10" },
  outages: { type: "string", default: "5" },
  json: { type: "boolean", default: false },
})

const cluster = await startCluster()
try {
  await cluster.leader()
  const workload = startWorkload(cluster)
  const trials = await failovers(cluster, workload, number("trials", 0))
  const restarts = await outages(cluster, workload, number("outages", 0))
  const { wrong, digests } = await verify(cluster, [workload])
  const session = trials.map((one) => one.session)
  const plain = trials.map((one) => one.plain)
  const caughtUp = trials.map((one) => one.caughtUp)
  if (values.json)
    console.log(
      JSON.stringify({ session, plain, caughtUp, restarts, acknowledged: workload.acknowledgements.length, wrong }),
    )
  else {
    console.log(`leader killed, next write of a session:      ${summary(session)}`)
    console.log(`leader killed, next write of a plain client: ${summary(plain)}`)
    console.log(`killed node restarted, caught up:            ${summary(caughtUp)}`)
    console.log(`all nodes killed, restart to next write:     ${summary(restarts)}`)
    console.log(
      `${workload.acknowledgements.length} writes acknowledged, ${workload.attempts.filter((one) => one.outcome === "unknown").length} of unknown outcome; ${wrong.length === 0 ? "none lost, none doubled" : wrong.join("\n")}; nodes ${new Set(digests).size === 1 ? "equal" : "DIFFER"}`,
    )
  }
  if (wrong.length > 0 || new Set(digests).size !== 1 || middle(session) > 1500) process.exitCode = 1
} catch (error) {
  console.error(cluster.logs())
  throw error
} finally {
  await cluster.dispose()
}
