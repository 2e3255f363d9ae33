/** The doctor and the diagnostics on a node of this process: nothing is found in one that is well, and no user data leave it. */
import { expect, test } from "vitest"
import { collect } from "../kv/cli/diagnostics.ts"
import { withLocalCluster } from "./node.help.ts"

test("diagnostics hold status, INFO, settings and findings of every node, and no key, no value, no name that a client chose", () =>
  withLocalCluster(1, async (cluster) => {
    await cluster.startAll()
    const node = await cluster.leader()
    const client = await cluster.connect(node)
    const secrets = [
      "confidential-key",
      "confidential-value",
      "confidential-name",
      "confidential-owner",
      "confidential-command",
      "confidential-lease",
    ]
    const [key = "", value = "", name = "", owner = "", command = "", lease = ""] = secrets
    await client.call("CLIENT", "SETNAME", name)
    await client.call("SET", key, value)
    await client.call("INCR", key)
    await client.call(command, key)
    await client.call("LEASE", lease, owner, "10000")
    const session = await client.call("STEPRAFT", "SESSION", "OPEN", owner)
    if (typeof session !== "string") throw new Error("no session was opened")
    const bundle = await collect({ endpoints: [node.config.client], intervalMs: 100, timeoutMs: 5000 }, "1")
    const text = JSON.stringify(bundle)
    expect(bundle.findings).toEqual([])
    expect(bundle.nodes.map(({ id }) => id)).toEqual(["n1"])
    for (const part of [
      '"raft_commit_index":',
      '"cmdstat_set":',
      '"electionMin":500',
      '"maxclients"',
      '"errorstat_ERR"',
    ])
      expect(text).toContain(part)
    for (const secret of [...secrets, session]) expect(text).not.toContain(secret)
    expect(bundle.nodes[0]?.probes.map(({ kind, error }) => ({ kind, error }))).toEqual([
      { kind: "read", error: null },
      { kind: "write", error: null },
    ])
  }))
