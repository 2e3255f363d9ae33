/** The door between nodes with TLS: who is let in, who is not and what both ends say, and certificates that are replaced. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { chmodSync, writeFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import * as tls from "node:tls"
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest"
import { makeAuthority, openTls, type TlsMaterial, type Tls } from "../interpreters/tls/index.ts"
import { temporaryFolder } from "./cluster.ts"
import { secureServer } from "../interpreters/tls/server.ts"
import {
  allConnected,
  heartbeat,
  introduce,
  memberOf,
  open,
  preambleAndHello,
  says,
  until,
  type Node,
} from "./tcp.nodes.ts"
import { authority, DAY, held, purposeless, shownBy, stranger, tlsOf } from "./tls.kit.ts"

const opened: Node[] = []
const sockets: Socket[] = []
const node = async (name: string, tls: Tls | null, cluster: string | null = null): Promise<Node> => {
  const hello = { cluster, empty: cluster === null }
  const made = await open(name, { hello, ...(tls === null ? {} : { tls }) })
  opened.push(made)
  return made
}
let kept = 0
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const made of opened.splice(kept)) await made.close()
})
afterAll(async () => {
  for (const made of opened) await made.close()
})
const linked = async (...held: readonly Tls[]): Promise<readonly [Node, Node]> => {
  const [a, b] = [await node("a", held[0] ?? tlsOf("a"), "red"), await node("b", held[1] ?? tlsOf("b"), "red")]
  introduce(a, b)
  await allConnected(a, b)
  return [a, b]
}
/** The link of a and b was never lost, and carries messages. */
const unharmed = async (a: Node, b: Node): Promise<void> => {
  a.received.length = 0
  b.transport.send(a.self, heartbeat(99), null)
  b.transport.flush()
  await until("the message arrives", () => a.received.length > 0)
  expect([a.links, b.links]).toEqual([["+b/b-1"], ["+a/a-1"]])
}

test("members with certificates of one authority talk", async () => {
  const [a, b] = await linked()
  await unharmed(a, b)
})

describe("refused at both ends, in words that say what to do, while the others go on", () => {
  let a: Node
  let b: Node
  beforeAll(async () => {
    ;[a, b] = await linked()
    kept = opened.length
  })
  const cases: readonly [what: string, make: (name: string) => Tls | null, here: string, there: string][] = [
    ["no TLS at all", () => null, "the TLS handshake on a connection", "speaks TLS, and this node does not"],
    [
      "the certificate of another authority",
      (name) => tlsOf(name, stranger),
      "no authority that is trusted",
      "Untrusted",
    ],
    [
      "another authority, though it trusts ours",
      (name) => tlsOf(name, stranger, {}, authority),
      "no authority that is trusted",
      "no authority that is trusted",
    ],
    [
      "an expired one",
      (name) => tlsOf(name, authority, { from: new Date(Date.now() - 3 * DAY) }),
      "has expired",
      "has expired",
    ],
    [
      "one of tomorrow",
      (name) => tlsOf(name, authority, { from: new Date(Date.now() + DAY / 2) }),
      "not valid yet",
      "clocks",
    ],
    ["another member's", () => tlsOf("b"), "but its certificate is for b", "but its certificate is for b"],
    ["a client's", (name) => tlsOf(name, authority, { purpose: "client" }), "is a client's", "stepraft cert node"],
  ]
  test.each(cases)("%s", async (what, make, here, there) => {
    // Each its own: what a node says again of the same peer is left out for a while.
    const name = `c${cases.findIndex(([other]) => other === what)}`
    a.logs.length = 0
    const c = await node(name, make(name))
    a.transport.setPeer(name, { host: "127.0.0.1", port: c.port })
    c.transport.setPeer("a", { host: "127.0.0.1", port: a.port })
    await until("both say so", () => says(a, here) && says(c, there))
    expect([c.links, c.received]).toEqual([[], []])
    a.transport.setPeer(name, null)
    await unharmed(a, b)
  })

  test("another cluster with the same authority", async () => {
    const other = await node("other", tlsOf("other"), "blue")
    a.transport.setPeer("other", { host: "127.0.0.1", port: other.port })
    other.transport.setPeer("a", { host: "127.0.0.1", port: a.port })
    await until("both say so", () => [a, other].every((one) => says(one, "WrongCluster", "a belongs to cluster red")))
    a.transport.setPeer("other", null)
    await unharmed(a, b)
  })

  test("an older version of TLS: nothing that could be talked down", async () => {
    const socket = tls.connect({
      port: a.port,
      host: "127.0.0.1",
      rejectUnauthorized: false,
      maxVersion: "TLSv1.2",
      ...shownBy("b"),
    })
    sockets.push(socket)
    const error = await new Promise<Error>((resolve) => void socket.once("error", resolve))
    expect(error.message).toMatch(/protocol version/)
    await unharmed(a, b)
  })

  test("no certificate; and whoever comes again and again is one line of the log", async () => {
    const before = a.transport.turnedAway().get("Untrusted") ?? 0
    a.logs.length = 0
    let heard = ""
    for (let i = 0; i < 20; i++) {
      const socket = tls.connect({ port: a.port, host: "127.0.0.1", rejectUnauthorized: false })
      sockets.push(socket)
      socket.on("error", () => {})
      // What it says before it has been let in is not read.
      socket.write(preambleAndHello(memberOf("b"), "a"))
      socket.on("data", (chunk: Buffer) => (heard += chunk.toString("latin1")))
      await new Promise((resolve) => void socket.once("close", resolve))
    }
    expect(heard).toContain("it showed no certificate")
    expect(heard).not.toContain("b-1")
    expect(a.logs.filter((line) => line.includes("Untrusted")).length).toBeLessThanOrEqual(1)
    expect(a.transport.turnedAway().get("Untrusted")).toBe(before + 20)
    await unharmed(a, b)
  })

  test("handshakes that are begun and left alone are bounded, and keep nobody out", async () => {
    const crowd = Array.from({ length: 200 }, () => connect(a.port, "127.0.0.1"))
    sockets.push(...crowd)
    for (const one of crowd) one.on("error", () => {})
    await until("the first of them are given up", () => crowd.filter(({ closed }) => closed).length >= 100)
    const c = await node("c", tlsOf("c"))
    introduce(a, c)
    await until("it is let in", () => c.links.length > 0)
    a.transport.setPeer("c", null)
    b.transport.send(a.self, heartbeat(98), null)
    b.transport.flush()
    await until("and the others talk as before", () => a.received.length > 0)
  })
})

test("a handshake that is begun and left alone is closed in time, however few they are", async () => {
  const failed: string[] = []
  const server = secureServer(
    tlsOf("a"),
    { minVersion: "TLSv1.3", ask: true, patienceMs: 50, handshakes: 64 },
    { secured: () => undefined, failed: (_, code) => failed.push(code) },
  )
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  const silent = Array.from({ length: 3 }, () => connect(address.port, "127.0.0.1"))
  sockets.push(...silent)
  for (const one of silent) one.on("error", () => {})
  await until("all are closed", () => silent.every(({ closed }) => closed))
  expect(failed).toHaveLength(3)
  server.close()
})

test("certificates and their authority are replaced while both are trusted, and no link is lost", async () => {
  const next = makeAuthority({ days: 2 })
  const both = `${authority.certificate}${next.certificate}`
  const [ofA, ofB] = [held(shownBy("a")), held(shownBy("b"))]
  const [a, b] = await linked(ofA, ofB)
  for (const one of [ofA, ofB]) one.change({ ...one.material(), ca: both })
  ofA.change({ ...shownBy("a", next), ca: both })
  ofB.change({ ...shownBy("b", next), ca: both })
  for (const one of [ofA, ofB]) one.change({ ...one.material(), ca: next.certificate })
  await unharmed(a, b)
  // Who comes now needs the new one, and gets in with it.
  const [late, old] = [await node("c", tlsOf("c", next)), await node("d", tlsOf("d"))]
  introduce(a, late)
  await until("it is let in", () => late.links.length > 0)
  old.transport.setPeer("a", { host: "127.0.0.1", port: a.port })
  await until("the old one is not", () => says(a, "Untrusted", "for d") && says(old, "no authority that is trusted"))
})

describe("in the clear", () => {
  // Reserved for documents: nobody is there.
  const far = { host: "192.0.2.1", port: 9 }
  test("an address on another machine is not dialled, wherever it was learnt; what is known of this machine is", async () => {
    const [a, b] = [await open("a", { welcome: () => true }), await open("b")]
    opened.push(a, b)
    introduce(a, b)
    await allConnected(a, b)
    // As when a configuration tells it, then as when the node itself does.
    a.transport.setPeer("b", [far])
    a.transport.setPeer("c", [far])
    await until("it says so", () => says(a, "c is said to be at 192.0.2.1:9", "stepraft cert"))
    const d = connect(a.port, "127.0.0.1")
    sockets.push(d)
    d.write(preambleAndHello(memberOf("d"), "a", { advertises: "192.0.2.1:9" }))
    await until("of that one too", () => says(a, "d is said to be at 192.0.2.1:9"))
    expect(a.transport.peers().map(({ name }) => name)).toEqual(["b"])
    a.transport.setPeer("c", [far, { host: "127.0.0.1", port: b.port }])
    await until("it dials", () => says(a, "WrongTarget"))
    await unharmed(a, b)
  })
  test("but it is for whoever has accepted what that risks, and with TLS", async () => {
    for (const options of [{ plaintext: true }, { tls: tlsOf("a") }]) {
      const a = await open("a", options)
      opened.push(a)
      a.transport.setPeer("b", [far])
      expect(a.transport.peers()).toHaveLength(1)
    }
  })
})

describe("the files", () => {
  const folder = temporaryFolder("stepraft-tls-")
  const files = { cert: join(folder, "n.crt"), key: join(folder, "n.key"), ca: join(folder, "ca.crt") }
  const write = (shown: Partial<TlsMaterial>): void => {
    for (const [name, text] of Object.entries(shown)) writeFileSync(files[name as keyof TlsMaterial], text)
  }
  const logs: string[] = []
  const opening = openTls({ name: "n", files, log: (level, text) => logs.push(`${level} ${text}`), everyMs: 1e9 })
  const refused = async (): Promise<string> =>
    (await Effect.runPromise(Effect.scoped(opening.pipe(Effect.flip)))).message

  test("what is no use is refused before anything is started, and says why", async () => {
    expect(await refused()).toMatch(/there is no such file.*Nothing was started/)
    write(shownBy("n"))
    writeFileSync(files.key, shownBy("n").key)
    expect(await refused()).toContain("it is not the key of the certificate")
    write(shownBy("other"))
    expect(await refused()).toContain("it is for other, and this node is n")
    write(shownBy("n", authority, { purpose: "client" }))
    expect(await refused()).toContain("it was not made for a node")
    write(purposeless("n"))
    expect(await refused()).toContain("it was not made for a node")
    write(shownBy("n", stranger, {}, authority))
    expect(await refused()).toContain("none of the authorities")
    write(shownBy("n", authority, { from: new Date(Date.now() - 3 * DAY) }))
    expect(await refused()).toContain("it ended at")
  })

  test("what is replaced is taken up once it fits together, and told; until then the former counts", async () => {
    // Of a day, of which less than a third is left.
    const old = { from: new Date(Date.now() - 0.7 * DAY) }
    const [first, second] = [shownBy("n", authority, old), shownBy("n", authority, old)]
    write(first)
    const scope = Scope.makeUnsafe()
    const keeper = await Effect.runPromise(opening.pipe(Scope.provide(scope)))
    let changes = 0
    keeper.onChange(() => (changes += 1))
    write({ key: second.key })
    await keeper.look()
    await keeper.look()
    expect([keeper.material().cert, changes]).toEqual([first.cert, 0])
    expect(logs.filter((line) => line.includes("the earlier ones stay in force"))).toHaveLength(1)
    write(second)
    await keeper.look()
    expect([keeper.material().cert, changes, keeper.reloads()]).toEqual([second.cert, 1, 1])
    expect(logs.filter((line) => line.includes("ends at"))).toHaveLength(3)
    // Copied in part: the second authority would be missing when its certificates come.
    const both = second.ca + stranger.certificate
    write({ ca: both.slice(0, -100) })
    await keeper.look()
    expect([keeper.material().ca, changes]).toEqual([second.ca, 1])
    expect(logs.at(-1)).toContain("ends in the middle")
    write({ ca: both })
    await keeper.look()
    expect([keeper.material().ca, changes]).toEqual([both, 2])
    write({ ca: "" })
    await keeper.look()
    write({ ca: both })
    await keeper.look()
    expect(logs.at(-1)).toBe("info the TLS files are those in force again")
    await Effect.runPromise(Scope.close(scope, Exit.void))
  })

  test("a certificate that ends while it is in force is an error of its own, every hour, and none of the files", async () => {
    write(shownBy("n"))
    const scope = Scope.makeUnsafe()
    const keeper = await Effect.runPromise(opening.pipe(Scope.provide(scope)))
    const [ends, from] = [keeper.ends().getTime(), logs.length]
    vi.useFakeTimers({ toFake: ["Date"] })
    try {
      for (const at of [ends - 1000, ends - 500, ends + 1000, ends + 2000, ends + 3_700_000]) {
        vi.setSystemTime(at)
        await keeper.look()
      }
    } finally {
      vi.useRealTimers()
    }
    const said = new RegExp(
      `^error the certificate in force .*n\\.crt\\) ended at ${new Date(ends).toISOString()}: no new connection can be made until it is replaced: stepraft cert node n --replace`,
    )
    const before = expect.stringMatching(/^warn the certificate in force .* ends at /) as unknown
    expect(logs.slice(from)).toEqual([before, expect.stringMatching(said), expect.stringMatching(said)])
    await Effect.runPromise(Scope.close(scope, Exit.void))
  })

  test("a key that other users of the machine can read is told, with the command that ends it", async () => {
    write(shownBy("n"))
    const warned = async (mode: number): Promise<readonly string[]> => {
      chmodSync(files.key, mode)
      const from = logs.length
      await Effect.runPromise(Effect.scoped(opening))
      return logs.slice(from).filter((line) => line.includes("chmod"))
    }
    expect(await warned(0o600)).toEqual([])
    expect(await warned(0o644)).toEqual([
      expect.stringMatching(/^warn .*n\.key can be read by other users .*\(mode 644\), .* chmod 600 .*n\.key$/),
    ])
  })
})
