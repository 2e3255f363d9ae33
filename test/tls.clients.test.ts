/** A cluster of three with TLS on every port, users and roles: who is let in, what the others are told, and certificates that are replaced under load. */
import { readFileSync, writeFileSync } from "node:fs"
import * as https from "node:https"
import { join } from "node:path"
import { Duplex } from "node:stream"
import * as tls from "node:tls"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { failedHandshake } from "../kv/server/handshakes.ts"
import { connect } from "../kv/client/client.ts"
import { socketTo } from "../kv/client/connection.ts"
import { diagnose } from "../kv/doctor/diagnose.ts"
import type { Finding } from "../kv/doctor/findings.ts"
import type { NodeConfig } from "../kv/node/index.ts"
import { makeAuthority } from "../interpreters/tls/index.ts"
import { freePort, temporaryFolder, until } from "./cluster.ts"
import { localCluster, type LocalCluster } from "./node.help.ts"
import { dial, exchange, plain, serving } from "./resp.client.ts"
import { makeFake } from "./resp.fake.ts"
import { authority, DAY, shownBy, stranger, tlsOf, userLine } from "./tls.kit.ts"

const folder = temporaryFolder("stepraft-doors-")
const filesOf = (id: string) => ({
  cert: join(folder, `${id}.crt`),
  key: join(folder, `${id}.key`),
  ca: join(folder, "ca.crt"),
})
const certify = (id: string, by = authority): void => {
  // Of a day, of which an hour is left.
  const { cert, key } = shownBy(id, by, { from: new Date(Date.now() - DAY + 3_600_000) })
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
})

test("a certificate is a name without a password; a stranger's is refused with a reason, and so is one for another user", async () => {
  const named = async (shown: ReturnType<typeof shownBy>): Promise<unknown> => {
    const raw = await dial(portOf("n1"), { ...shown, ca })
    const told = plain(await raw.send("CONFIG", "GET", "maxclients"))
    raw.socket.destroy()
    return told
  }
  expect(await named(shownBy("ops", authority, client))).toEqual(["maxclients", "10000"])
  // A certificate is optional here.
  expect(await named(shownBy("ops", stranger, client))).toMatch(
    /^-NOAUTH its certificate for ops does not count .* no authority that is trusted here .* leave the certificate out and log in with that/,
  )
  expect(await named(shownBy("nobody", authority, client))).toMatch(
    /^-NOAUTH Authentication required\. Your certificate says nobody, and no user has that name/,
  )
  const hello = await dial(portOf("n1"), { ...shownBy("nobody", authority, client), ca })
  expect(plain(await hello.send("HELLO", "3"))).toMatch(/^-NOAUTH HELLO must be called .*certificate says nobody/)
  hello.socket.destroy()
  const quiet = await dial(portOf("n1"), { ca })
  expect(plain(await quiet.send("PING"))).toBe("-NOAUTH Authentication required.")
  quiet.socket.destroy()
})

test("a failed handshake is told as what it is: plain text, a client's refusal with its reason, or silence; and from where", async () => {
  /** What a node logs of a client that sends these bytes and no more. */
  const told = async (bytes: string | Uint8Array): Promise<string> => {
    const lines: string[] = []
    const options = {
      tls: { keeper: tlsOf("n1"), authClients: "no" },
      log: (line: string) => void lines.push(line),
    } as const
    await serving(makeFake(), options, async (port) => {
      await exchange(port, bytes)
      await until("it is logged", () => lines.length > 0)
    })
    return lines.join()
  }
  const hello = await new Promise<Buffer>((resolve) => {
    const socket = new Duplex({ read: () => {}, write: (chunk: Buffer, _, done) => (resolve(chunk), done()) })
    tls.connect({ socket, maxVersion: "TLSv1.2" })
  })
  /** The beginning of a handshake, and a fatal alert (RFC 5246, section 7.2). */
  const alert = (code: number): Uint8Array => Buffer.concat([hello, Uint8Array.of(21, 3, 3, 0, 2, 2, code)])
  for (const plaintext of ["PING\r\n", "GET / HTTP/1.1\r\n\r\n"])
    expect(await told(plaintext)).toMatch(/^the TLS handshake with a client at \S*127\.0\.0\.1 failed .*needs TLS/)
  for (const [code, why] of [
    [48, /UNKNOWN_CA\): it trusts another authority/],
    [45, /CERTIFICATE_EXPIRED\): it ends at \S+Z, so the client's clock/],
    [42, /BAD_CERTIFICATE\): it may have dialled a host .*--replace --host HOST/],
  ] as const) {
    const line = await told(alert(code))
    expect(line).toMatch(/^a client at \S*127\.0\.0\.1 did not accept this node's certificate/)
    expect(line).toMatch(why)
    expect(line).not.toContain("needs TLS")
  }
  expect(await told(alert(40))).toMatch(/HANDSHAKE_FAILURE\): closed its connection\. The client ended it$/)
  const timeout = { host: "h", code: "ERR_TLS_HANDSHAKE_TIMEOUT", ends: new Date(1000), now: 2000 }
  const ended = { ...timeout, code: "ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED", heard: true }
  expect(failedHandshake(ended)).toMatch(/it ended at 1970-01-01T00:00:01.000Z \(replace it/)
  expect(failedHandshake({ ...timeout, heard: false })).toMatch(/connection\. It sent nothing$/)
  expect(failedHandshake({ ...timeout, heard: true })).toMatch(/It began and did not go on: .* not accept this node's/)
})

test("HTTP is HTTPS, and counts who was turned away", async () => {
  expect(await get("/readyz", ca)).toContain("ok")
  expect(await get("/metrics", ca)).toMatch(/stepraft_client_connections_unproven_total [1-9]/)
  await expect(get("/metrics", stranger.certificate)).rejects.toThrow(/certificate/)
  expect(await exchange(http, "GET /metrics HTTP/1.1\r\n\r\n")).not.toContain("stepraft")
})

test("a node tells whom it lets in, when its certificate ends, and which file its next start could not use", async () => {
  const good = readFileSync(users, "utf8")
  const { status } = cluster.node("n1")
  const found = (): readonly Finding[] =>
    diagnose({
      apartMs: 1,
      nodes: cluster.nodes.map((node) => {
        const look = { status: node.status(), info: {} }
        return { id: node.id, client: node.status().client, first: null, last: look, silence: null, probes: [] }
      }),
    })
  const metric = async (): Promise<string> =>
    /stepraft_server_files_unusable\{kind="users"\} (\d)/.exec(await get("/metrics", ca))?.[1] ?? "not told"
  const ofAccess = new Set(["access-differs", "files-unusable", "certificate-ends"])
  expect(found().flatMap(({ name }) => (ofAccess.has(name) ? [name] : []))).toEqual(["certificate-ends"])
  expect(await metric()).toBe("0")
  writeFileSync(users, `${good}\nann admin -`)
  await until("all have looked", () =>
    cluster.nodes.every((node) => node.status().details?.unusableFiles?.length === 1),
  )
  expect(found().find(({ name }) => name === "files-unusable")).toMatchObject({
    severity: "critical",
    evidence: expect.stringMatching(/n1, for .*\/users: line 3: ann is listed twice; n2, for/) as unknown,
  })
  expect(await metric()).toBe("1")
  expect(status().health).toMatch(/^the certificate of n1 ends at /)
  const { digest } = status().access?.users ?? {}
  writeFileSync(users, `# the same, in another order\n${good.split("\n").toReversed().join("\n")}`)
  await until("all is as before", () =>
    cluster.nodes.every((node) => node.status().details?.unusableFiles?.length === 0),
  )
  expect(status().access).toEqual({ tls: true, certificates: "optional", users: { count: 2, digest } })
  writeFileSync(users, `${good}\nbob read nopass`)
  await until("it has them", () => status().access?.users?.count === 3)
  expect(status().access?.users?.digest).not.toBe(digest)
  writeFileSync(users, good)
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
