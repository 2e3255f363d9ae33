/** The doctor and the diagnostics on a node of this process: nothing is found in one that is well, and no user data leave it. */
import { expect, test } from "vitest"
import { makeLog } from "../interpreters/node/index.ts"
import { decodeRecord } from "../kv/machine/layout.ts"
import { collect } from "../kv/cli/diagnosis/diagnostics.ts"
import { bundleOf } from "../kv/doctor/bundle.ts"
import { Faults } from "../kv/faults.ts"
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

test("lines of the log go along without what they quote, in both forms; what is no line of it does not", () => {
  const secret = "confidential"
  for (const json of [false, true]) {
    const log: string[] = []
    const write = makeLog({ node: "n1", json, least: "info", write: (line) => log.push(...line.trimEnd().split("\n")) })
    write("info", "leading in term 7")
    try {
      decodeRecord(Buffer.from(`it's ${secret} "${secret}`), Buffer.alloc(0))
    } catch (error) {
      write("warn", `the state machine is damaged: ${String(error)}`)
    }
    new Faults((text) => write("error", text)).report(
      "SET of a client",
      new SyntaxError(`${secret} is no number, ${secret}`),
    )
    write("error", `a command ended in an internal error and was not executed: ${new TypeError(secret).stack ?? ""}`)
    log.push(`throw new Error("${secret}")`, secret)
    const facts = {
      nodes: [{ id: "n1", client: null, silence: null, first: null, last: null, probes: [] }],
      apartMs: 0,
    }
    const bundle = bundleOf(
      facts,
      new Map([["n1", { settings: {}, log }]]),
      { version: "1", node: "", platform: "" },
      "",
    )
    const [told] = bundle.nodes
    const text = told?.log.join("\n") ?? ""
    expect(text).not.toContain(secret)
    for (const kept of [
      "leading in term 7",
      "the state machine is damaged",
      "SET of a client failed",
      "SyntaxError (its text left out)",
      "TypeError (its text left out)",
      "doctor.node.test.ts",
    ])
      expect(text).toContain(kept)
    expect(told?.log).toHaveLength(log.length)
  }
})
