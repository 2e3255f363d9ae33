/** Members of a running cluster of nodes: a lost disk is replaced, a node joins, others move, each by one command or by none. */
import { rmSync } from "node:fs"
import { expect, test } from "vitest"
import type { NodeConfig } from "../kv/node/index.ts"
import type { MemberList } from "../interpreters/members/index.ts"
import { freePort, until } from "./cluster.ts"
import { withLocalCluster, type LocalNode } from "./node.help.ts"
import { ErrorReply, type RespClient } from "./resp.ts"

/** What is answered, an error too, as text. */
const said = async (client: RespClient, ...words: readonly string[]): Promise<string> => {
  const reply = await client.call(...words)
  return reply instanceof ErrorReply ? reply.text : typeof reply === "string" ? reply : JSON.stringify(reply)
}

const listed = (node: LocalNode, ...names: readonly string[]): NodeConfig["peers"] =>
  Object.fromEntries(Object.entries(node.config.peers).filter(([name]) => names.includes(name)))
const listOf = async (client: RespClient): Promise<MemberList> =>
  JSON.parse(await said(client, "STEPRAFT", "MEMBER", "LIST")) as MemberList
const rolesOf = async (client: RespClient): Promise<string> =>
  (await listOf(client)).members
    .map(({ name, role }) => `${name}:${role}`)
    .toSorted()
    .join(" ")

test("a lost disk is replaced, a node joins that knows one member, and nodes move: the others find it, after restarts too", async () => {
  await withLocalCluster(4, async (cluster) => {
    const [n1, n2, n3, n4] = cluster.nodes as [LocalNode, LocalNode, LocalNode, LocalNode]
    const three = ["n1", "n2", "n3"]
    const settings = { ...n1.config.settings, heartbeat: 50, electionMin: 300, electionMax: 600 }
    const start = (node: LocalNode, change: Partial<NodeConfig> = {}): Promise<unknown> =>
      node.start({ settings, peers: listed(node, ...three), ...change })
    await Promise.all([n1, n2, n3].map((node) => start(node)))
    await cluster.leader()
    const client = await cluster.connect(n1)
    await client.call("SET", "k", "v")

    // One that is not there, and one that is there as it was.
    expect(await said(client, "STEPRAFT", "MEMBER", "ADD", "n9", "WAIT", "100")).toMatch(
      /^UNFINISHED not done within 0.1 s: n9 has never connected: .* Nothing was changed/,
    )
    expect(await said(client, "STEPRAFT", "MEMBER", "REPLACE", "n3")).toMatch(
      /^n3 votes with the directory that it has/,
    )

    // The disk is lost. It waits with an empty directory, and is voter again by one command.
    const before = n3.status().incarnation
    await n3.stop()
    rmSync(n3.config.dataDir, { recursive: true })
    await start(n3)
    await until("it waits", () => n3.status().role === "amnesiac")
    expect(n3.status().health).toContain("stepraft member replace NAME")
    expect(await said(client, "STEPRAFT", "MEMBER", "REPLACE", "n3")).toMatch(/^n3 (votes|is a voter)/)
    expect(n3.status().incarnation).not.toBe(before)
    const again = await cluster.connect(n3)
    await until("it serves", async () => (await said(again, "GET", "k")) === "v")

    // A node that knows one member joins, and the others find it: also as the leader of those that never listed it.
    await said(client, "STEPRAFT", "TRANSFER", "n2") // It knocks at one that does not lead.
    await n4.start({ settings, peers: listed(n4, "n1") })
    await until(
      "it is heard of",
      async () => (await listOf(client)).waiting.some(({ name }) => name === "n4") || n4.status().role === "amnesiac",
    )
    expect(await said(client, "STEPRAFT", "MEMBER", "ADD", "n4")).toBe("n4 is a learner")
    expect(await said(client, "STEPRAFT", "MEMBER", "PROMOTE", "n4")).toBe("n4 is a voter")
    expect(await rolesOf(client)).toBe("n1:voter n2:voter n3:voter n4:voter")
    await until("all are connected", () =>
      [n2, n3].every((node) => node.status().peers.some(({ id, connected }) => id === "n4" && connected)),
    )
    expect(await said(client, "STEPRAFT", "TRANSFER", "n4")).toBe("n4 leads")

    // Two move, one after the other, and nobody's list is changed; then all start again with lists that are wrong by now.
    for (const node of [n2, n3]) {
      await node.stop()
      const peer = { host: "127.0.0.1", port: await freePort() }
      await start(node, { peer })
      await until(
        "it is found",
        () =>
          node.status().health === "ok" &&
          node.status().leader !== null &&
          n1.status().peers.every(({ connected }) => connected),
      )
      // It says that it is not well until its new address is written down.
      expect((await listOf(client)).members.find(({ name }) => name === node.id)?.address).toBe(
        `127.0.0.1:${peer.port}`,
      )
      Object.assign(node, { config: { ...node.config, peer } })
    }
    await n1.stop()
    await start(n1, { peers: {} })
    await until(
      "it finds all by its own log",
      () =>
        n1.status().health === "ok" &&
        n1.status().peers.length === 3 &&
        n1.status().peers.every(({ connected }) => connected),
    )

    // Members leave, the leader too; what would leave no majority is refused.
    const at = await cluster.connect(n1)
    expect(await said(at, "STEPRAFT", "MEMBER", "REMOVE", "n4")).toBe("n4 is no member")
    await until("it has been told so, and campaigns no more", () => n4.status().details?.standing === null)
    await n2.stop()
    await until("it is missed", async () =>
      (await listOf(at)).members.some(({ name, reachable }) => name === "n2" && !reachable),
    )
    expect(await said(at, "STEPRAFT", "MEMBER", "REMOVE", "n3", "WAIT", "400")).toMatch(
      /^REFUSED removing n3 would leave n1, n2 as voters, of whom n2 is silent/,
    )
    expect(await said(at, "STEPRAFT", "MEMBER", "REMOVE", "n2")).toBe("n2 is no member")
    expect(await rolesOf(at)).toBe("n1:voter n3:voter")
  })
}, 120_000)
