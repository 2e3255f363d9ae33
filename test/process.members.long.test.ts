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

longTest(
  "every disk is lost in turn and replaced by one command, then one by none, and nothing that was acknowledged is lost",
  () =>
    withCluster({}, async (cluster) => {
      const workload = startWorkload(cluster)
      await goesOn(workload)
      for (const id of cluster.ids) {
        const before = await wipe(cluster, id, "--autopilot-voters", "3", "--autopilot-after", "5000")
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

longTest("every node moves to another port with the lists as they were, while another one is killed", () =>
  withCluster({}, async (cluster) => {
    const workload = startWorkload(cluster)
    const moved = new Map<string, readonly string[]>()
    for (const id of cluster.ids) {
      await goesOn(workload)
      await cluster.kill(id, "SIGTERM")
      const peer = `127.0.0.1:${await freePort()}`
      Object.assign(cluster.member(id), { peerPort: Number(peer.split(":")[1]) })
      moved.set(id, ["--advertise-peer", peer])
      const hurt = other(cluster, id)
      await cluster.kill(hurt)
      for (const one of [id, hurt]) cluster.start(one, { flags: moved.get(one) ?? [] })
      await until(`${id} is well at ${peer}`, async () => (await cluster.status(id))?.health === "ok")
      await until("its address is written down", async () =>
        (await stepraft("member", "list", "--port", portOf(cluster, other(cluster, id)))).text.includes(peer),
      )
    }
    await goesOn(workload)
    await nothingLost(cluster, workload)
  }),
)
