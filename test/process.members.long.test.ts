/** Members of real processes, under load: every disk lost in turn and replaced by one command, every node moved, leadership handed over. */
import { rmSync } from "node:fs"
import { expect } from "vitest"
import type { MemberList } from "../interpreters/members/index.ts"
import { freePort, until, withCluster, type Cluster } from "./cluster.ts"
import { longTest } from "./long.ts"
import { stepraft } from "./recovery/backup.ts"
import { measureProcesses } from "./recovery/processes.ts"
import type { RowId } from "./recovery/rows.ts"
import { startWorkload, verify, type Workload } from "./workload.ts"

/** A write is acknowledged that was sent after now. */
const goesOn = (workload: Workload): Promise<unknown> => workload.nextAfter(performance.now(), true)
const nothingLost = async (cluster: Cluster, workload: Workload): Promise<void> => {
  const { wrong, digests } = await verify(cluster, [workload], cluster.ids)
  expect(wrong).toEqual([])
  expect(new Set(digests).size).toBe(1)
}
const portOf = (cluster: Cluster, id: string): string => String(cluster.member(id).clientPort)
const other = (cluster: Cluster, id: string): string => cluster.ids.find((one) => one !== id) ?? ""

/** The node is killed, its disk wiped, and it is started again; answers with its incarnation before. */
const wipe = async (cluster: Cluster, id: string, ...flags: readonly string[]): Promise<string | undefined> => {
  const before = (await cluster.status(id))?.incarnation
  await cluster.kill(id)
  rmSync(cluster.member(id).data, { recursive: true })
  cluster.start(id, { flags })
  return before
}

/** Each moves to another address while another one is killed, so nobody is left that knows both; at the end all lists are wrong. */
const moveAll = async (cluster: Cluster, workload: Workload): Promise<void> => {
  for (const id of cluster.ids) {
    const victim = other(cluster, id)
    await cluster.kill(id, "SIGTERM")
    Object.assign(cluster.member(id), { peerPort: await freePort() })
    await cluster.kill(victim)
    cluster.start(id)
    await goesOn(workload)
    cluster.start(victim)
    await until("all are well, and the new address is written down", async () =>
      (await Promise.all(cluster.ids.map(cluster.status))).every((one) => one?.health === "ok"),
    )
  }
  await cluster.killAll()
  cluster.startAll()
  await goesOn(workload)
}

longTest(
  "every disk is lost in turn and replaced by one command, then one by none; then every node moves while another one is killed: nothing that was acknowledged is lost",
  () =>
    withCluster({}, async (cluster) => {
      const workload = startWorkload(cluster)
      await goesOn(workload)
      for (const id of cluster.ids) {
        const before = await wipe(cluster, id, "--autopilot-voters", "3", "--autopilot-after", "10000")
        const { code, text } = await stepraft("member", "replace", id, "--port", portOf(cluster, other(cluster, id)))
        expect([code, text]).toEqual([0, expect.stringMatching(new RegExp(`${id} (votes|is a voter)`)) as string])
        expect((await cluster.status(id))?.incarnation).not.toBe(before)
        await goesOn(workload)
      }
      // All of them have an autopilot now.
      const lost = await cluster.leader()
      const before = await wipe(cluster, lost)
      await until(`${lost} votes again`, async () => {
        const { text } = await stepraft("member", "list", "-o", "json", "--port", portOf(cluster, other(cluster, lost)))
        const { members } = JSON.parse(text) as MemberList
        return members.some(
          ({ name, role, incarnation }) => name === lost && role === "voter" && incarnation !== before,
        )
      })
      await goesOn(workload)
      await moveAll(cluster, workload)
      await nothingLost(cluster, workload)
    }),
)

const rows: readonly RowId[] = ["hand-over", "rolling-restart", "member-replaced", "moved"]

longTest(
  "every node restarted, replaced and moved under load, one by one: no request of a client that tries again fails, nothing is lost or doubled, all is linearizable",
  async () => {
    const { trials, judged, failures } = await measureProcesses({
      trials: 1,
      only: (id) => rows.includes(id),
      say: console.log,
    })
    expect(failures).toEqual([])
    expect(judged).toMatchObject([{ failed: 0, wrong: [] }])
    expect(judged[0]?.requests).toBeGreaterThan(100)
    // The longest time without an acknowledged write of anybody, for each: as printed.
    expect(trials.flatMap(Object.keys)).toEqual(rows)
  },
)
