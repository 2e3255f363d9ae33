/** Directories that go back in time, exist twice or end early: named at both ends, harmless, and to be replaced. */
import { cpSync, readdirSync, rmSync, truncateSync } from "node:fs"
import { expect, test } from "vitest"
import type { NodeStatus } from "../kv/types.ts"
import { full, launch, until, withCluster, within, type Cluster, type Watched } from "./cluster.ts"
import { lastSegment, recordsOf } from "./damage.ts"
import { longTest } from "./long.ts"
import { ErrorReply } from "./resp.ts"
import { startWorkload, verify, type Workload } from "./workload.ts"

const copied = (cluster: Cluster, id: string): string => {
  const copy = `${cluster.member(id).data}-copy`
  rmSync(copy, { recursive: true, force: true })
  cpSync(cluster.member(id).data, copy, { recursive: true })
  // On another machine the lock of the first process would mean nothing.
  for (const name of readdirSync(`${copy}/log`)) if (name.startsWith("LOCK.")) rmSync(`${copy}/log/${name}`)
  return copy
}
const putBack = (cluster: Cluster, id: string, copy: string): void => {
  const { data } = cluster.member(id)
  rmSync(data, { recursive: true })
  cpSync(copy, data, { recursive: true })
}
const aFollower = async (cluster: Cluster): Promise<string> => {
  const [first] = await cluster.followers()
  if (first === undefined) throw new Error("no follower")
  return first
}
const goesOn = async (workload: Workload): Promise<void> => {
  await workload.nextAfter(performance.now(), true)
  await workload.nextAfter(performance.now(), false)
}
const nothingLost = async (cluster: Cluster, workload: Workload, without: string): Promise<void> => {
  const { wrong, digests } = await verify(
    cluster,
    [workload],
    cluster.ids.filter((id) => id !== without),
  )
  expect(wrong).toEqual([])
  expect(new Set(digests).size).toBe(1)
}
/** The node says of itself that it counts as lost, and at least one of the others says so of it: in the log and in STATUS. */
const named = async (cluster: Cluster, id: string, reason: RegExp): Promise<void> => {
  const own = await until(`${id} says ${reason}`, async () => {
    const one = await cluster.status(id)
    return one?.role === "amnesiac" && one
  })
  expect(own.health).toMatch(reason)
  expect(cluster.process(id).output()).toMatch(reason)
  const others = cluster.ids.filter((one) => one !== id && cluster.running(one))
  const speaks = (status: NodeStatus | null): boolean =>
    status !== null &&
    reason.test(status.health) &&
    status.peers.some((peer) => peer.id === id && reason.test(peer.problem ?? ""))
  await until(`others say ${reason} of ${id}`, async () => (await Promise.all(others.map(cluster.status))).some(speaks))
  expect(others.some((one) => reason.test(cluster.process(one).output()))).toBe(true)
}
const served = async (cluster: Cluster, id: string): Promise<boolean> => {
  const client = await cluster.connect(id)
  const reply = await within(3000, client.call("SET", "must", "wait"))
  client.close()
  return reply !== null && !(reply instanceof ErrorReply)
}
/** With the third one gone, the voice of this one must not make a majority. */
const doesNotCount = async (cluster: Cluster, id: string): Promise<void> => {
  const leader = await cluster.leader()
  const third = cluster.ids.find((one) => one !== id && one !== leader) ?? ""
  await cluster.kill(third)
  expect(await served(cluster, leader)).toBe(false)
  expect(await served(cluster, id)).toBe(false)
  cluster.start(third)
}
/** An empty directory in its place: it waits, like every lost disk, to be taken in under its new incarnation. */
const replaced = async (cluster: Cluster, id: string): Promise<void> => {
  const before = (await cluster.status(id))?.incarnation
  await cluster.kill(id)
  rmSync(cluster.member(id).data, { recursive: true })
  cluster.start(id)
  const after = await until(`${id} waits to be taken in`, async () => {
    const one = await cluster.status(id)
    return one?.role === "amnesiac" && one
  })
  expect(after.incarnation).not.toBe(before)
  expect(after.health).toContain(`(incarnation ${after.incarnation}): its disk was lost or replaced`)
}

/** A process of the same name, with another directory and other ports. */
const startedBeside = (cluster: Cluster, id: string, directory: string): Watched => {
  const { clientPort } = cluster.member(id)
  return launch(process.execPath, [
    "dist/kv/cli.js",
    "serve",
    "--id",
    id,
    "--data",
    directory,
    "--client",
    `127.0.0.1:${clientPort + 1}`,
    "--peer",
    `127.0.0.1:${clientPort + 2}`,
    "--peers",
    cluster.members.map((one) => `${one.id}=127.0.0.1:${one.id === id ? clientPort + 2 : one.peerPort}`).join(","),
  ])
}

test("a directory put back to an earlier copy is named at both ends, counts as lost, also after a restart, and nothing acknowledged is lost", () =>
  withCluster({}, async (cluster) => {
    const workload = startWorkload(cluster)
    const id = await aFollower(cluster)
    await goesOn(workload)
    await cluster.kill(id)
    const copy = copied(cluster, id)
    cluster.start(id)
    await until("it has caught up", async () => ((await cluster.status(id))?.applied ?? 0) > 50)
    await cluster.kill(id)
    putBack(cluster, id, copy)
    cluster.start(id)
    await named(cluster, id, /RolledBack/)
    await goesOn(workload)
    // It knows by itself when it starts again, whoever is there to tell it.
    await cluster.kill(id)
    const others = cluster.ids.filter((one) => one !== id)
    for (const one of others) cluster.signal(one, "SIGSTOP")
    cluster.start(id)
    await until("it has not forgotten", async () => (await cluster.status(id))?.role === "amnesiac")
    for (const one of others) cluster.signal(one, "SIGCONT")
    await goesOn(workload)
    await named(cluster, id, /RolledBack/)
    if (full) {
      await doesNotCount(cluster, id)
      await replaced(cluster, id)
      await goesOn(workload)
    }
    await nothingLost(cluster, workload, id)
  }))

longTest("a copy that was made while the node ran is named by the leader, who knows what was acknowledged", () =>
  withCluster({}, async (cluster) => {
    const workload = startWorkload(cluster)
    const id = await aFollower(cluster)
    await goesOn(workload)
    cluster.signal(id, "SIGSTOP")
    const copy = copied(cluster, id)
    cluster.signal(id, "SIGCONT")
    const held = (await cluster.status(id))?.lastIndex ?? 0
    await until("it has acknowledged more", async () => ((await cluster.status(id))?.lastIndex ?? 0) > held + 50)
    await cluster.kill(id)
    putBack(cluster, id, copy)
    cluster.start(id)
    await named(cluster, id, /RolledBack.*is on its disk/)
    await goesOn(workload)
    await nothingLost(cluster, workload, id)
  }),
)

longTest(
  "two processes on copies of one directory: the second is named while the first lives, at both ends, and disturbs nobody",
  () =>
    withCluster({}, async (cluster) => {
      const workload = startWorkload(cluster)
      const id = await aFollower(cluster)
      await goesOn(workload)
      await cluster.kill(id)
      const copy = copied(cluster, id)
      cluster.start(id)
      await until("it has caught up", async () => ((await cluster.status(id))?.applied ?? 0) > 50)
      const second = startedBeside(cluster, id, copy)
      await until(
        "the second process is named",
        () => /RolledBack/.test(second.output()) && second.output().includes("counts as lost"),
      )
      const leader = await cluster.leader()
      await until("the leader names it", async () => /RolledBack/.test((await cluster.status(leader))?.health ?? ""))
      second.signal("SIGKILL")
      expect((await cluster.status(id))?.role).not.toBe("amnesiac")
      await goesOn(workload)
      await until("all is well again", async () => (await cluster.status(leader))?.health === "ok")
      await nothingLost(cluster, workload, "none")
    }),
)

longTest("a copy made of a running node and started beside it is named, and the first goes on", () =>
  withCluster({}, async (cluster) => {
    const workload = startWorkload(cluster)
    const id = await aFollower(cluster)
    await goesOn(workload)
    cluster.signal(id, "SIGSTOP")
    const copy = copied(cluster, id)
    cluster.signal(id, "SIGCONT")
    const second = startedBeside(cluster, id, copy)
    await until("the second process is named", () => /StartedTwice|RolledBack/.test(second.output()))
    const leader = await cluster.leader()
    await until("the leader names it", async () =>
      /StartedTwice|RolledBack/.test((await cluster.status(leader))?.health ?? ""),
    )
    expect((await cluster.status(id))?.role).not.toBe("amnesiac")
    await goesOn(workload)
    second.signal("SIGKILL")
    await until("all is well again", async () => (await cluster.status(leader))?.health === "ok")
    await nothingLost(cluster, workload, "none")
  }),
)

const cut = (signal: NodeJS.Signals, why: RegExp): Promise<void> =>
  withCluster({}, async (cluster) => {
    const workload = startWorkload(cluster)
    const id = await aFollower(cluster)
    await until("some writes", () => workload.acknowledgements.length > 200)
    await cluster.kill(id, signal)
    const segment = lastSegment(cluster.member(id).data)
    truncateSync(segment, recordsOf(segment)[1]?.start ?? 0)
    cluster.start(id)
    await until("the node ends by name", () => !cluster.process(id).running())
    expect(cluster.process(id).output()).toMatch(why)
    await goesOn(workload)
    await nothingLost(cluster, workload, id)
  })
longTest("a log cut at a record after a clean stop stops the node by name", () =>
  cut("SIGTERM", /ends at offset \d+, but it was durable through offset \d+/),
)
longTest("a log cut at a record after a kill stops the node by name: its data know of more", () =>
  cut("SIGKILL", /the data of this node reach entry \d+ of term \d+|ends at offset \d+, but it was durable through/),
)
