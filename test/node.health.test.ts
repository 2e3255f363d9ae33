/** Health names the true reason: in health, STATUS, INFO and what clients are answered. */
import { rmSync } from "node:fs"
import { expect, test } from "vitest"
import { nodeFiles, type Files } from "../interpreters/file/index.ts"
import { healthOf } from "../interpreters/node/health.ts"
import type { Address } from "../interpreters/tcp/index.ts"
import { freePort, until } from "./cluster.ts"
import { withLocalCluster, type LocalNode } from "./node.help.ts"
import { ErrorReply, type RespClient } from "./resp.ts"
import { server, voting } from "./server.ts"
import { memberOf, open } from "./tcp.nodes.ts"

const wipe = (node: LocalNode): void => rmSync(node.config.dataDir, { recursive: true, force: true })
const says = (node: LocalNode, ...parts: readonly (string | RegExp)[]): Promise<true> =>
  until(`${node.id} says ${parts.join(", ")}; it says: ${node.status().health}`, () =>
    parts.every((part) => node.status().health.match(part) !== null),
  ).then(() => true as const)
/** As a client is told. */
const told = async (client: RespClient, ...words: readonly string[]): Promise<string> => {
  const reply = await client.call(...words)
  return reply instanceof ErrorReply ? reply.text : JSON.stringify(reply)
}
const text = async (client: RespClient, ...words: readonly string[]): Promise<string> => {
  const reply = await client.call(...words)
  if (typeof reply !== "string") throw new Error(`${words.join(" ")} answered no text`)
  return reply
}
const here = (port: number): Address => ({ host: "127.0.0.1", port })

test.concurrent("a node that restarts in a cluster is starting, says how far it is, and answers LOADING until it serves", async () => {
  await withLocalCluster(1, async (cluster) => {
    await cluster.startAll()
    const node = await cluster.leader()
    const client = await cluster.connect(node)
    for (let i = 0; i < 20; i++) await client.call("SET", `k${i}`, "v".repeat(1000))
    await node.stop()
    let goOn = (): void => undefined
    const held = new Promise<void>((resolve) => {
      goOn = resolve
    })
    const files: Files = {
      ...nodeFiles,
      open: async (path, mode) => {
        if (path.includes("wal-")) await held
        return nodeFiles.open(path, mode)
      },
    }
    const starting = node.start({}, { files })
    const early = await until("the port is open", () => cluster.connect(node).catch(() => null))
    expect(await told(early, "SET", "a", "1")).toMatch(
      /^LOADING starting: reading the log \(0\.0 MB, file 1 of 1\)\. Nothing was executed: ask another node, or wait\.$/,
    )
    expect(await told(early, "GET", "k1")).toMatch(/^LOADING starting/)
    const status: unknown = JSON.parse(await text(early, "STEPRAFT", "STATUS"))
    expect(status).toMatchObject({
      role: "starting",
      loading: true,
      health: "starting: reading the log (0.0 MB, file 1 of 1)",
    })
    const info = await text(early, "INFO")
    expect(info).toContain("\r\nloading:1\r\n")
    expect(info).toContain("\r\nraft_health:starting: reading the log")
    goOn()
    await starting
    await until("it serves", async () => (await told(early, "GET", "k1")) === `"${"v".repeat(1000)}"`)
    expect(await text(early, "INFO")).toContain("\r\nloading:0\r\n")
  })
})

test.concurrent("no leader: a node that moved, a list that lacks the leader, and members that lost their disks are told apart", async () => {
  await withLocalCluster(
    3,
    async (cluster) => {
      await cluster.startAll()
      const leader = await cluster.leader()
      const [moved, short] = cluster.nodes.filter((node) => node !== leader)
      if (moved === undefined || short === undefined) throw new Error("three nodes")

      // Its peers still dial the old address.
      await moved.stop()
      const elsewhere = await freePort()
      await moved.start({ peer: here(elsewhere) })
      const { port } = moved.config.peer
      await says(
        moved,
        /^no leader for/,
        `${leader.id} was reached at`,
        `it dials ${moved.id} at 127.0.0.1:${port}, and ${moved.id} listens at 127.0.0.1:${elsewhere}`,
        `correct its address in the peer list of ${leader.id}`,
      )
      expect(moved.status().health).not.toMatch(/dialled yet|all peers are connected/)
      expect(leader.status().health).toBe("ok")
      expect(leader.status().peers.find(({ id }) => id === moved.id)?.problem).toMatch(
        new RegExp(`it listens at 127.0.0.1:${elsewhere}`),
      )
      await moved.stop()
      await moved.start()
      await until("it is back", () => moved.status().health === "ok" && moved.status().leader !== null)

      // Its list lacks the leader, who is a member all the same.
      await short.stop()
      const first = await cluster.leader().catch(() => leader)
      const { [first.id]: _, ...others } = short.config.peers
      await short.start({ peers: others })
      await says(
        short,
        /no leader for .* is known here, although a majority is connected/,
        `${first.id} is a member and not in the peer list of ${short.id}: add ${first.id}=127.0.0.1:${first.config.peer.port}`,
      )
      await short.stop()

      // Two come back without their disks.
      const rest = cluster.nodes.filter((node) => node !== first)
      for (const node of rest) {
        await node.stop()
        wipe(node)
      }
      for (const node of rest) await node.start()
      const names = rest.map(({ id }) => id).join(" and ")
      await says(
        first,
        /^no leader for .* of 3 only this one is/,
        `${names} lost their disks: they came back with directories that this cluster does not know`,
      )
      expect(first.status().peers.map(({ problem }) => problem)).toEqual(
        rest.map(({ id }) => expect.stringContaining(`${id} lost its disk`) as string),
      )
      await until("the log says so, too", () =>
        first.lines.some((line) => line.startsWith("warn no leader for") && line.includes("lost their disks")),
      )
      for (const node of rest) await says(node, `stop it and start it with an empty one`)
      const client = await cluster.connect(rest[0] ?? first)
      expect(await told(client, "GET", "a")).toMatch(
        /^NOLEADER .* has an empty data directory.* Nothing was executed: ask another node\.$/,
      )

      // So it may have been the one with the old directory that was the mistake: nothing was written down.
      await first.stop()
      wipe(first)
      await first.start()
      const again = await cluster.leader()
      const served = await cluster.connect(again)
      expect(await told(served, "SET", "a", "1")).toBe('"OK"')
      await until("all are well", () => cluster.nodes.every((node) => node.status().health === "ok"))
      // Nodes that do not tell where they are found.
    },
    { advertisePeer: "" },
  )
})

test.concurrent("an empty node writes nothing down of a cluster that does not know it, until that speaks to its very incarnation", async () => {
  await withLocalCluster(2, async (cluster) => {
    const node = cluster.node("n2")
    const founding = { voters: [memberOf("n1")], outgoing: [], learners: [] }
    const leader = await open("n1", {
      port: cluster.node("n1").config.peer.port,
      hello: { cluster: "x", founding, empty: false },
    })
    try {
      await node.start()
      leader.transport.setPeer("n2", node.config.peer)
      await says(node, "n1 holds data of cluster x that do not know it")
      const { incarnation } = node.status()
      expect(node.status()).toMatchObject({ role: "amnesiac", cluster: null })
      await node.stop()
      await node.start()
      // Forming, or told by n1 again already. Had it written anything down, it would know the cluster, as at the end.
      expect(node.status(), "nothing was written down").toMatchObject({ cluster: null, incarnation })
      await until("it is linked again", () => leader.peer("n2").connected)
      const speak = (): void => {
        leader.transport.send(
          { name: "n2", incarnation },
          { type: "RequestVote", term: 5, lastLogIndex: 0, lastLogTerm: 0, transfer: true },
          null,
        )
        leader.transport.flush()
      }
      speak()
      await until(
        "it belongs to the cluster now",
        () => node.status().cluster === "x" && node.running?.driver() !== null,
      )
      await until("its core hears the leader", () => {
        speak()
        return node.status().term === 5
      })
      await node.stop()
      await node.start()
      expect(node.status()).toMatchObject({ role: "amnesiac", cluster: "x", term: 5 })
    } finally {
      await leader.close()
    }
  })
})

test.concurrent("a node that has moved is not well until its new address is written down", () => {
  const { state } = server({ configuration: { ...voting("abc"), addresses: { a: "old:1" } } })
  const says = (advertises: string): string =>
    healthOf({
      self: state.self,
      phase: { doing: "opening" },
      state,
      stopping: false,
      failed: null,
      refused: null,
      leaderlessMs: null,
      links: [],
      unlisted: [],
      pending: { ms: 0, wanting: null },
      short: null,
      advertises,
      clock: null,
    }).text
  expect(says("new:1")).toMatch(/^a has moved: it is found at new:1, and the cluster still has old:1 written down\./)
  // The same address, and a node that is found by the lists of the others.
  expect([says("old:1"), says("")]).toEqual(["ok", "ok"])
})
