/**
 * What whoever reaches the port for peers can do. In the clear he is a member (that is what `--plaintext peers` risks); over TLS
 * he is nobody, whatever he shows, for as long as it is not that member's own certificate.
 */
import { createServer, TLSSocket } from "node:tls"
import { afterEach, describe, expect, test, vi } from "vitest"
import { ByteWriter } from "../interpreters/bytes.ts"
import { writePreamble, writeRefused } from "../interpreters/tcp/handshake.ts"
import type { TlsMaterial } from "../interpreters/tls/index.ts"
import { forge, forgeries, type Forger } from "./forger.ts"
import { allConnected, introduce, open, says, until, type Node } from "./tcp.nodes.ts"
import { authority, nameless, purposeless, shownBy, stranger, tlsOf } from "./tls.kit.ts"

const opened: Node[] = []
const forgers: Forger[] = []
afterEach(async () => {
  for (const { socket } of forgers.splice(0)) socket.destroy()
  for (const made of opened.splice(0)) await made.close()
})
const pair = async (secured: boolean): Promise<readonly [Node, Node]> => {
  const [a, b] = [
    await open("a", secured ? { tls: tlsOf("a") } : {}),
    await open("b", secured ? { tls: tlsOf("b") } : {}),
  ]
  opened.push(a, b)
  introduce(a, b)
  await allConnected(a, b)
  return [a, b]
}
const attack = (...given: Parameters<typeof forge>): Forger => {
  const made = forge(...given)
  forgers.push(made)
  return made
}
/** A server with these certificates that sends `bytes` to whoever dials it. */
const answering = (
  as: TlsMaterial,
  bytes: Uint8Array,
): Promise<{ readonly port: number; readonly heard: () => string; readonly close: () => void }> =>
  new Promise((resolve) => {
    let heard = ""
    const server = createServer({ ...as, requestCert: true, rejectUnauthorized: false }, (socket) => {
      socket.on("error", () => {})
      socket.on("data", (chunk: Buffer) => (heard += chunk.toString("latin1")))
      socket.write(bytes)
    })
    server.listen(0, "127.0.0.1", () => {
      const at = server.address()
      const port = at === null || typeof at === "string" ? 0 : at.port
      resolve({ port, heard: () => heard, close: () => void server.close() })
    })
  })
/** What tells a member that its directory is an old copy: that counts for ever. */
const refusing = ((): Uint8Array => {
  const w = new ByteWriter()
  writePreamble(w)
  writeRefused(w, { reason: "RolledBack", detail: "it was restored to an earlier state" })
  return w.take()
})()
const everything = Object.values(forgeries(1))

describe("in the clear", () => {
  test("a stranger is believed to be a member: each message arrives as its own, its address is what he says, its link is pushed away", async () => {
    const [a, b] = await pair(false)
    a.received.length = 0
    // The true one may be back, with its own address, before anybody looks.
    const told: string[] = []
    a.transport.onHello(({ clientAddress }) => told.push(clientAddress))
    attack(a.port, null, "b", "a", { clientAddress: "evil:1" }, everything)
    await until("all of it is believed", () => a.received.length === everything.length)
    expect(a.received.map(({ from }) => from.name)).toEqual(everything.map(() => "b"))
    expect(told).toContain("evil:1")
    // The true one loses its connection, and has to come again.
    await until("b is pushed away", () => b.links.includes("-a/a-1"))
  })

  test("names of control characters and of 250 kB end the connection, and the log stays lines of a few hundred bytes", async () => {
    for (const name of ["b\u001b[2J\nerror all is lost", "b".repeat(100_000)]) {
      const a = await open("a")
      opened.push(a)
      await attack(a.port, null, name, "a", {}, []).over
      expect(a.logs.join()).toContain(`a name of ${name.length} characters that no node has`)
      expect(a.logs.join().length).toBeLessThan(1000)
      // oxlint-disable-next-line no-control-regex
      expect(a.logs.join()).not.toMatch(/[\u0000-\u001f]/)
    }
  })
})

describe("over TLS", () => {
  const ca = authority.certificate
  const identities = {
    "in the clear": null,
    "without a certificate": { ca },
    "with the certificate of another authority": { ...shownBy("b", stranger), ca },
    "with a client's": { ...shownBy("b", authority, { purpose: "client" }), ca },
    "with one that does not say what it is for": { ...purposeless("b"), ca },
    "with another member's": { ...shownBy("c"), ca },
    "with one whose names cannot be read": { ...nameless("b"), ca },
  } as const
  test.each(Object.entries(identities))(
    "%s nothing is believed, nothing is told, and nobody is disturbed",
    async (_, as) => {
      const [a, b] = await pair(true)
      a.received.length = 0
      const said = Array.from({ length: 5 }, () =>
        attack(a.port, as, "b", "a", { clientAddress: "evil:1" }, everything, "b-1"),
      )
      await Promise.all(said.map(({ over }) => over))
      expect(a.received).toEqual([])
      expect(a.peer("b").clientAddress).not.toBe("evil:1")
      for (const { heard } of said) expect(heard()).not.toMatch(/a-1|client-of-a/)
      expect([a.links, b.links]).toEqual([["+b/b-1"], ["+a/a-1"]])
      const complaints = a.logs.filter((line) => line.startsWith("error"))
      expect(complaints).toHaveLength(1)
      expect(complaints[0]).toMatch(/stepraft cert|tls-cert/)
      expect([...a.transport.turnedAway().values()]).toEqual([5])
    },
  )

  test("a node that somebody else's machine answers for tells it nothing, and takes no word of it for its own end", async () => {
    const a = await open("a", { tls: tlsOf("a") })
    const evil = await open("b", { tls: tlsOf("b", stranger, {}, authority), hello: { refused: "it is over" } })
    opened.push(a, evil)
    const refusals: string[] = []
    a.transport.onRefused((by, { reason }) => refusals.push(`${by} ${reason}`))
    introduce(a, evil)
    await until("it is not believed", () => a.logs.some((line) => line.includes("no authority that is trusted")))
    expect([refusals, a.links, evil.links]).toEqual([[], [], []])
  })

  test("whoever answers in the place of a member with another certificate of the cluster is told nothing, and cannot end the node", async () => {
    const a = await open("a", { tls: tlsOf("a") })
    opened.push(a)
    const refusals: string[] = []
    a.transport.onRefused((by, { reason }) => refusals.push(`${by} ${reason}`))
    const evil = await answering(shownBy("c\nerror all is lost"), refusing)
    a.transport.setPeer("b", { host: "127.0.0.1", port: evil.port })
    await until("it is not believed", () => says(a, "a dialled b", "for c\\x0aerror all is lost", "peer list of a"))
    await until("it was told why", () => evil.heard().includes("a dialled b"))
    evil.close()
    expect(refusals).toEqual([])
    expect(evil.heard()).not.toMatch(/a-1|client-of-a/)
  })

  test("of all that a stranger shows, only the certificate itself is read", async () => {
    const a = await open("a", { tls: tlsOf("a") })
    opened.push(a)
    const looked = vi.spyOn(TLSSocket.prototype, "getPeerCertificate")
    const { cert, key } = shownBy("b", stranger)
    await attack(a.port, { cert, key }, "b", "a", {}, []).over
    const detailed = looked.mock.calls.map(([all]) => all === true)
    looked.mockRestore()
    expect(new Set(detailed)).toEqual(new Set([false]))
  })
})
