/** A cluster of three with TLS on every port, users and roles: who is let in, what the others are told, and certificates that are replaced under load. */
import { writeFileSync } from "node:fs"
import * as https from "node:https"
import { join } from "node:path"
import * as tls from "node:tls"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { connect } from "../kv/client/client.ts"
import { socketTo } from "../kv/client/connection.ts"
import type { NodeConfig } from "../kv/node/index.ts"
import { makeAuthority } from "../interpreters/tls/index.ts"
import { freePort, temporaryFolder, until } from "./cluster.ts"
import { localCluster, type LocalCluster } from "./node.help.ts"
import { dial, exchange, plain, serving } from "./resp.client.ts"
import { makeFake } from "./resp.fake.ts"
import { authority, shownBy, stranger, userLine } from "./tls.kit.ts"

const folder = temporaryFolder("stepraft-doors-")
const filesOf = (id: string) => ({
  cert: join(folder, `${id}.crt`),
  key: join(folder, `${id}.key`),
  ca: join(folder, "ca.crt"),
})
const certify = (id: string, by = authority): void => {
  const { cert, key } = shownBy(id, by)
  writeFileSync(filesOf(id).key, key)
  writeFileSync(filesOf(id).cert, cert)
}
const users = join(folder, "users")
let cluster: LocalCluster
let http = 0
const securityOf = (id: string): Partial<NodeConfig> => ({
  security: { tls: filesOf(id), plaintext: [], authClients: "optional", users },
})
const client = { purpose: "client" } as const
const ca = authority.certificate

beforeAll(async () => {
  writeFileSync(join(folder, "ca.crt"), ca)
  writeFileSync(users, [userLine("ann", "write", "a"), "ops admin -"].join("\n"))
  for (const id of ["n1", "n2", "n3"]) certify(id)
  cluster = await localCluster(3)
  http = await freePort()
  await Promise.all(
    cluster.nodes.map((node) =>
      node.start(
        { ...securityOf(node.id), ...(node.id === "n1" ? { http: { host: "127.0.0.1", port: http } } : {}) },
        { filesEveryMs: 50 },
      ),
    ),
  )
  await cluster.leader()
})
afterAll(() => cluster.dispose())
const portOf = (id: string): number => cluster.node(id).config.client.port

const get = (path: string, trusted: string): Promise<string> =>
  new Promise((resolve, reject) => {
    https
      .get({ host: "127.0.0.1", port: http, path, ca: trusted, agent: false }, (response) => {
        let text = ""
        response.on("data", (chunk: Buffer) => (text += chunk.toString()))
        response.on("end", () => resolve(text))
      })
      .on("error", reject)
  })

describe("the client library", () => {
  const timeoutMs = 300
  test("comes in with a name and a password in its address", async () => {
    const kv = await connect({ endpoints: `rediss://ann:a@localhost:${portOf("n2")}`, tls: { ca } })
    await kv.set("a", "1")
    expect(await kv.get("a")).toBe("1")
    await expect(kv.call("FLUSHALL")).rejects.toMatchObject({ _tag: "ServerError", code: "NOPERM" })
    await kv.close()
  })
  test("a wrong password is told at once, and not tried again", async () => {
    const wrong = {
      endpoints: `127.0.0.1:${portOf("n2")}`,
      tls: { ca },
      username: "ann",
      password: "x",
      timeoutMs: 60_000,
    }
    await expect(connect(wrong)).rejects.toMatchObject({ _tag: "ServerError", code: "WRONGPASS" })
  })
  test("takes no client's certificate for a node's, though it has the node's name", async () => {
    const told = async (purpose: "node" | "client"): Promise<string> => {
      const server = tls.createServer(shownBy("localhost", authority, { purpose }))
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      const at = server.address()
      const socket = socketTo({ host: "localhost", port: typeof at === "object" ? (at?.port ?? 0) : 0 }, { ca })
      const told = await new Promise<string>((resolve) => {
        socket.once("secureConnect", () => resolve("believed"))
        socket.once("error", ({ message }) => resolve(message))
      })
      socket.destroy()
      server.close()
      return told
    }
    expect(await told("node")).toBe("believed")
    expect(await told("client")).toContain("purpose")
  })
  test("reads its certificates once, however many connections there are", async () => {
    let reads = 0
    const secured = {
      get ca() {
        reads++
        return ca
      },
    }
    for (let i = 0; i < 3; i++) {
      const socket = socketTo({ host: "localhost", port: portOf("n1") }, secured)
      await new Promise<void>((resolve, reject) => {
        socket.once("secureConnect", resolve)
        socket.once("error", reject)
      })
      socket.destroy()
    }
    expect(reads).toBe(1)
  })
  test("says why it does not believe a node, and what a node in TLS wants", async () => {
    const endpoints = `127.0.0.1:${portOf("n1")}`
    for (const tls of [{ ca: stranger.certificate }, true])
      await expect(connect({ endpoints, tls, timeoutMs })).rejects.toThrow(/certificate.* Give the cluster's, ca\.crt/)
    await expect(connect({ endpoints, timeoutMs })).rejects.toThrow(/if it uses TLS, this client must use it too/)
  })
})

test("a certificate is a name without a password; a stranger's is refused with a reason, and so is one for another user", async () => {
  const named = async (shown: ReturnType<typeof shownBy>): Promise<unknown> => {
    const raw = await dial(portOf("n1"), { ...shown, ca })
    const told = plain(await raw.send("CONFIG", "GET", "maxclients"))
    raw.socket.destroy()
    return told
  }
  expect(await named(shownBy("ops", authority, client))).toEqual(["maxclients", "10000"])
  expect(await named(shownBy("ops", stranger, client))).toMatch(
    /^-NOAUTH this node serves clients with a certificate .* no authority that is trusted here .* see stepraft cert client/,
  )
  expect(await named(shownBy("nobody", authority, client))).toBe("-NOAUTH Authentication required.")
})

test("HTTP is HTTPS, and counts who was turned away", async () => {
  expect(await get("/readyz", ca)).toContain("ok")
  expect(await get("/metrics", ca)).toMatch(/stepraft_client_connections_unproven_total [1-9]/)
  await expect(get("/metrics", stranger.certificate)).rejects.toThrow(/certificate/)
  expect(await exchange(http, "GET /metrics HTTP/1.1\r\n\r\n")).not.toContain("stepraft")
})

test("every certificate and the authority are replaced under load, without a failed request", async () => {
  const next = makeAuthority({ days: 2 })
  const both = `${ca}${next.certificate}`
  const kv = await connect({ endpoints: `rediss://ann:a@127.0.0.1:${portOf("n3")}`, tls: { ca: both } })
  let done = 0
  const over = new AbortController()
  const caller = async (key: string): Promise<void> => {
    while (!over.signal.aborted) {
      await kv.incr(key)
      done += 1
    }
  }
  const load = Promise.all(["x", "y", "z"].map(caller))
  const reloads = (times: number): number =>
    cluster.nodes.filter(({ lines }) => lines.filter((line) => line.includes("new TLS files")).length >= times).length
  const taken = async (times: number): Promise<void> => {
    await until("every node has taken them up", () => reloads(times) === 3)
    const before = done
    await until("and clients go on", () => done > before + 10)
  }
  writeFileSync(join(folder, "ca.crt"), both)
  await taken(1)
  for (const { id } of cluster.nodes) certify(id, next)
  await taken(2)
  over.abort()
  await load
  const sum = await Promise.all(["x", "y", "z"].map((key) => kv.get(key)))
  expect(sum.map(Number).reduce((a, b) => a + b)).toBe(done)
  await kv.close()
  // Who comes now is shown the new one.
  const raw = await dial(portOf("n1"), { ca: next.certificate })
  raw.socket.destroy()
  await expect(dial(portOf("n1"), { ca })).rejects.toThrow()
  for (const { lines } of cluster.nodes) expect(lines.filter((line) => line.includes("disconnected"))).toEqual([])
})

test("one address has no more than its connections, and is told so; they are free again when it leaves", async () => {
  await serving(makeFake(), { limits: { maxClientsPerAddress: 2 } }, async (port, server) => {
    const [one, two] = [await dial(port), await dial(port)]
    // An administrator at that address still gets in, and sees who holds the places.
    const third = await dial(port)
    expect(
      String(plain(await third.send("CLIENT", "LIST")))
        .trim()
        .split("\n"),
    ).toHaveLength(3)
    expect(plain(await third.send("GET", "k"))).toMatch(
      /max number of clients reached: this node serves 2 from one address/,
    )
    await third.ended
    expect(server.stats().crowded).toBe(1)
    one.socket.destroy()
    await until("its place is free", () => server.connections() === 1)
    const four = await dial(port)
    expect(plain(await four.send("GET", "k"))).toBe(null)
    for (const { socket } of [two, four]) socket.destroy()
  })
})

test("an address at its limit takes no place of another one, and gets no more than the reserve", async () => {
  await serving(makeFake(), { limits: { maxClientsPerAddress: 1, reservedClients: 2 } }, async (port, server) => {
    const one = await dial(port)
    const administrator = await dial(port)
    expect(await (await dial(port)).ended).toMatch(/this node serves 1 from one address/)
    administrator.socket.destroy()
    await until("it is gone", () => server.connections() === 1)
    one.socket.destroy()
    await until("both are gone", () => server.connections() === 0)
    const next = await dial(port)
    expect(plain(await next.send("GET", "k"))).toBe(null)
    next.socket.destroy()
  })
})
