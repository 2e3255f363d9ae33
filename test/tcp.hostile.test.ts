import * as fc from "fast-check"
import { connect, createServer, type Server, type Socket } from "node:net"
import { afterEach, describe, expect, test, vi } from "vitest"
import type { Message } from "../core/index.ts"
import { ByteWriter } from "../interpreters/bytes.ts"
import { payloadOf } from "../interpreters/payload.ts"
import { writeMessage } from "../interpreters/tcp/codec.ts"
import { closeFrame, openFrame } from "../interpreters/tcp/frame.ts"
import { PREAMBLE, PROTOCOLS } from "../interpreters/tcp/handshake.ts"
import {
  allConnected,
  fresh,
  introduce,
  memberOf,
  open,
  preambleAndHello,
  raw,
  until,
  type Node,
  type NodeOptions,
  heartbeat,
  says,
} from "./tcp.nodes.ts"

const opened: Node[] = []
const sockets: Socket[] = []
const servers: Server[] = []
const node = async (name: string, options?: NodeOptions): Promise<Node> => {
  const made = await open(name, options)
  opened.push(made)
  return made
}
const client = (port: number, bytes: Uint8Array): ReturnType<typeof raw> => {
  const made = raw(port, bytes)
  sockets.push(made.socket)
  return made
}
/** A server that is no node; resolves with its port. */
const serve = (onSocket: (socket: Socket) => void): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer((socket) => {
      sockets.push(socket)
      socket.on("error", () => {})
      onSocket(socket)
    })
    servers.push(server)
    server.listen(0, "127.0.0.1", () => {
      const bound = server.address()
      resolve(bound !== null && typeof bound === "object" ? bound.port : 0)
    })
  })
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const made of opened.splice(0)) await made.close()
  for (const server of servers.splice(0)) server.close()
})
const linked = async (): Promise<readonly [Node, Node]> => {
  const [a, b] = [await node("a"), await node("b")]
  introduce(a, b)
  await allConnected(a, b)
  return [a, b]
}
/** A start that a node has met before is answered at once. */
const met = (made: Node, hello: Buffer): Promise<void> => {
  const first = client(made.port, hello)
  return until("the hello is answered", () => first.got().length > 0).then(() => void first.socket.destroy())
}
const at = (port: number): { readonly host: string; readonly port: number } => ({ host: "127.0.0.1", port })
const speaking = (lowest: number, highest: number, bytes: Uint8Array): Buffer => {
  const out = Buffer.from(bytes)
  out.writeUInt16BE(lowest, PREAMBLE - 4)
  out.writeUInt16BE(highest, PREAMBLE - 2)
  return out
}
/** The link between a and b has neither been lost nor hurt. */
const unharmed = async (a: Node, b: Node): Promise<void> => {
  a.received.length = 0
  b.transport.send(a.self, heartbeat(99), null)
  b.transport.flush()
  await until("a message of b has arrived", () => a.received.length > 0)
  expect(a.links).toEqual(["+b/b-1"])
  expect(b.links).toEqual(["+a/a-1"])
}

describe("refused by both sides, with the reason", () => {
  test("another cluster, whoever dials first; and the change to it later", async () => {
    const [a, b] = [await node("a", { hello: { cluster: "red" } }), await node("b", { hello: { cluster: "blue" } })]
    introduce(a, b)
    await until("both say so", () => says(a, "WrongCluster", "red", "blue") && says(b, "WrongCluster", "red", "blue"))
    expect([...a.links, ...b.links]).toEqual([])
    await until("the status says so", () => a.peer("b").problem?.includes("WrongCluster") === true)
    b.transport.announce({ ...fresh, cluster: "red", empty: false })
    await allConnected(a, b)
    b.transport.announce({ ...fresh, cluster: "blue", empty: false })
    await until("both have lost each other", () => a.links.includes("-b/b-1") && b.links.includes("-a/a-1"))
  })
  test("the wrong node at an address", async () => {
    const [a, b] = [await node("a"), await node("b")]
    b.transport.setPeer("a", at(a.port))
    a.transport.setPeer("c", at(b.port))
    await until(
      "both say so",
      () =>
        says(a, "WrongTarget", "a wanted to speak to c, but this is b") &&
        says(b, "WrongTarget", "a wanted to speak to c"),
    )
    expect(a.links).toEqual([])
  })
  test("its own name", async () => {
    const [a, other] = [await node("a"), await node("a", { incarnation: "a-9" })]
    a.transport.setPeer("b", at(other.port))
    await until(
      "both say so",
      () => says(a, "OwnName", "two nodes are called a") && says(other, "OwnName", "two nodes are called a"),
    )
    a.transport.setPeer("c", at(a.port))
    await until("itself as well", () => a.logs.filter((line) => line.includes("OwnName")).length > 1)
  })
  test("a node that is not on the list", async () => {
    const [a, b] = [await node("a"), await node("b")]
    a.transport.setPeer("b", at(b.port))
    await until(
      "both say so",
      () =>
        says(a, "UnknownPeer", "a is not in the peer list of b") &&
        says(b, "UnknownPeer", "a is not in the peer list of b"),
    )
    b.transport.setPeer("a", at(a.port))
    await allConnected(a, b)
  })
  test("a second process of the same name, while the first keeps its link", async () => {
    const [a, b] = await linked()
    const double = client(a.port, preambleAndHello(memberOf("b", "b-other"), "a"))
    await until("it is cut off", () => double.closed())
    expect(double.got().toString("latin1")).toContain("another b, of another incarnation")
    expect(says(a, "DuplicateName")).toBe(true)
    expect(a.peer("b")).toMatchObject({ connected: true, refused: expect.stringMatching(/^DuplicateName/) as string })
    await unharmed(a, b)
  })
  test("a version that cannot do the cluster's level, whichever end it is; and the start of one that can", async () => {
    const low = { version: "0.1.0", level: 1, clusterLevel: 1 }
    const [a, b] = [
      await node("a", { hello: { features: { version: "0.2.0", level: 2, clusterLevel: 2 } } }),
      await node("b", { hello: { features: low } }),
    ]
    const said = "b runs version 0.1.0, which supports feature levels up to 1, but the cluster of a is at level 2"
    b.transport.setPeer("a", at(a.port))
    await until("both say so", () => says(a, "LevelTooLow", said) && says(b, "LevelTooLow", said))
    expect(a.transport.unlisted()).toMatchObject([{ name: "b", features: low }])
    a.transport.setPeer("b", at(b.port))
    await until("the status says so", () => a.peer("b").problem?.includes(said) === true)
    b.transport.announce({ ...fresh, features: { version: "0.2.0", level: 2, clusterLevel: 1 } })
    await allConnected(a, b)
    expect(a.links).toEqual(["+b/b-1"])
  })
  const { lowest, highest } = PROTOCOLS
  test("a node of a version to come speaks the protocol that both know", async () => {
    const a = await node("a")
    a.transport.setPeer("b", at(1))
    const newer = client(a.port, speaking(lowest - 1, highest + 1, preambleAndHello(memberOf("b"), "a")))
    await until("it is greeted", () => newer.got().length > PREAMBLE)
    expect(says(a, "WrongVersion")).toBe(false)
  })
  test.each([
    [lowest - 2, lowest - 1],
    [highest + 1, highest + 2],
  ])("no protocol version in common, dialling or dialled: %i to %i", async (from, to) => {
    const a = await node("a")
    const theirs = speaking(from, to, preambleAndHello(memberOf("b"), "a"))
    const newer = client(a.port, theirs)
    await until("it is cut off", () => newer.closed())
    const said = `a speaks protocol ${lowest}, the other end ${from} to ${to}`
    expect(newer.got().toString("latin1")).toContain(said)
    expect(says(a, "WrongVersion", said)).toBe(true)
    const port = await serve((socket) => socket.write(theirs))
    a.transport.setPeer("b", at(port))
    await until("the dialling side says so", () => says(a, "WrongVersion", `refused b at 127.0.0.1:${port}`))
  })
})

describe("bytes of others close their own connection and nothing else", () => {
  test("HTTP, Redis, TLS, random bytes", async () => {
    const [a, b] = await linked()
    const random = fc.sample(fc.uint8Array({ minLength: 1, maxLength: 100, size: "max" }), 30)
    const foreign = ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "*1\r\n$4\r\nPING\r\n", "\u0016\u0003\u0001\u0002\u0000"].map(
      (text) => Buffer.from(text, "latin1"),
    )
    const all = [...foreign, ...random].map((bytes) => client(a.port, bytes))
    await until("all are cut off", () => all.every((one) => one.closed()))
    expect(all.every((one) => one.got().length === 0)).toBe(true)
    expect(says(a, "ForeignPeer", "does not speak the peer protocol", "GET / HTTP")).toBe(true)
    // Repeated complaints about one host are one line.
    expect(a.logs.filter((line) => line.includes("ForeignPeer")).length).toBe(1)
    await unharmed(a, b)
  })
  test("a frame of 2 GB, before and after the hello; damage after the hello", async () => {
    const [a, b] = await linked()
    a.transport.setPeer("evil", at(1))
    const hello = preambleAndHello(memberOf("evil"), "a")
    const huge = Buffer.from("80000000000000000102", "hex")
    const early = client(a.port, Buffer.concat([hello.subarray(0, PREAMBLE), huge]))
    await until("it is cut off", () => early.closed())
    expect(says(a, "BrokenStream", "a frame of 2147483648 bytes is announced, the limit is 262144")).toBe(true)
    await met(a, hello)
    const late = client(a.port, Buffer.concat([hello, huge]))
    await until("it is cut off too", () => late.closed())
    expect(late.got().length).toBeGreaterThan(0)
    const damaged = Buffer.from(hello)
    damaged[30] = (damaged[30] ?? 0) ^ 4
    const flipped = client(a.port, damaged)
    await until("so is the damaged one", () => flipped.closed())
    const silent = client(
      a.port,
      Buffer.concat([hello, hello.subarray(PREAMBLE), Buffer.from("00000001d202ef8d00", "hex")]),
    )
    await until("and the one with a message of no kind", () => silent.closed())
    await unharmed(a, b)
  })
  test("a message before the hello, and a hello that changes its name", async () => {
    const [a, b] = await linked()
    a.transport.setPeer("evil", at(1))
    const hello = preambleAndHello(memberOf("evil"), "a")
    const w = new ByteWriter()
    const start = openFrame(w)
    writeMessage(w, heartbeat(1), null)
    closeFrame(w, start)
    const early = client(a.port, Buffer.concat([hello.subarray(0, PREAMBLE), w.take()]))
    await until("it is cut off", () => early.closed())
    expect(says(a, "a message arrived before the hello")).toBe(true)
    await met(a, hello)
    const changed = client(a.port, Buffer.concat([hello, preambleAndHello(memberOf("b"), "a").subarray(PREAMBLE)]))
    await until("it is cut off", () => changed.closed())
    expect(changed.got().length).toBeGreaterThan(0)
    expect(says(a, "evil became b")).toBe(true)
    await unharmed(a, b)
  })
  test("a server that is no node", async () => {
    const a = await node("a")
    const port = await serve((socket) => socket.write("-ERR unknown command\r\n"))
    a.transport.setPeer("b", at(port))
    await until("it is told apart", () => says(a, "ForeignPeer", "what answers at b at", "-ERR unknown"))
  })
})

test("who accepts or dials and never says hello is dropped, and a crowd of them keeps nobody out", async () => {
  const a = await node("a", { limits: { helloMs: 150 } })
  let accepted = 0
  const port = await serve(() => {
    accepted += 1
  })
  a.transport.setPeer("mute", at(port))
  await until("it was dropped and dialled again", () => accepted > 1)
  expect(says(a, "HelloTimeout", "mute at")).toBe(true)
  const crowd = Array.from({ length: 100 }, () => client(a.port, Buffer.alloc(0)))
  const b = await node("b")
  a.transport.setPeer("mute", null)
  introduce(a, b)
  await allConnected(a, b)
  await until("the crowd is gone", () => crowd.every((one) => one.closed()))
  await unharmed(a, b)
})

test("who was refused and stays is one of the crowd: it costs a socket no longer than others do", async () => {
  const a = await node("a")
  // Otherwise each would be closed after a while, however many they are.
  vi.useFakeTimers({ toFake: ["setTimeout"] })
  try {
    const crowd = Array.from({ length: 100 }, () => {
      const one = connect({ port: a.port, host: "127.0.0.1", allowHalfOpen: true })
      sockets.push(one)
      one.on("error", () => {})
      one.resume()
      one.write(preambleAndHello(memberOf("evil"), "a"))
      return one
    })
    const end = performance.now() + 20_000
    const closed = (): number => crowd.filter((one) => one.destroyed).length
    while (closed() < 36 && performance.now() < end) {
      for (const one of crowd) if (!one.destroyed) one.write("x")
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(closed()).toBe(36)
  } finally {
    vi.useRealTimers()
  }
})

test("the loss of one direction is the loss of the link, once, and the other is closed", async () => {
  const a = await node("a")
  for (const dying of ["inbound", "outbound"] as const) {
    const accepted: { socket: Socket; closed: boolean }[] = []
    const port = await serve((socket) => {
      const one = { socket, closed: false }
      accepted.push(one)
      socket.on("close", () => {
        one.closed = true
      })
      socket.once("data", () => socket.write(preambleAndHello(memberOf(dying), "a")))
    })
    a.transport.setPeer(dying, at(port))
    const inbound = client(a.port, preambleAndHello(memberOf(dying), "a"))
    await until("the link is up", () => a.links.includes(`+${dying}/${dying}-1`))
    const [outbound] = accepted
    if (dying === "inbound") inbound.socket.destroy()
    else outbound?.socket.destroy()
    await until("both are closed", () => inbound.closed() && outbound?.closed === true)
    await until("it is dialled anew", () => accepted.length > 1)
    expect(a.peer(dying).connected).toBe(false)
    expect(a.links.filter((line) => line === `-${dying}/${dying}-1`).length).toBe(1)
  }
})

test("a link without a byte for too long is given up; signs of life keep an idle one up", async () => {
  const a = await node("a", { limits: { aliveMs: 20, silenceMs: 1000 } })
  const b = await node("b", { limits: { aliveMs: 20, silenceMs: 1000 } })
  introduce(a, b)
  const port = await serve((socket) => socket.once("data", () => socket.write(preambleAndHello(memberOf("mute"), "a"))))
  a.transport.setPeer("mute", at(port))
  client(a.port, preambleAndHello(memberOf("mute"), "a"))
  await until("the mute one is lost", () => a.links.includes("-mute/mute-1"))
  expect(says(a, "mute disconnected. PeerSilent")).toBe(true)
  expect(a.links.toSorted()).toEqual(["+b/b-1", "+mute/mute-1", "-mute/mute-1"].toSorted())
  expect(b.links).toEqual(["+a/a-1"])
  expect(a.received).toEqual([])
})

test("a peer that stops reading costs a bounded amount of memory; what does not fit is dropped", async () => {
  const limit = 4 << 20
  const a = await node("a", { limits: { unsentBytes: limit } })
  // Handshakes like a node, in both directions, and then reads no more.
  const port = await serve((socket) => {
    socket.once("data", () => {
      socket.write(preambleAndHello(memberOf("b"), "a"))
      socket.pause()
    })
  })
  a.transport.setPeer("b", at(port))
  client(a.port, preambleAndHello(memberOf("b"), "a"))
  await until("the link is up", () => a.peer("b").connected)
  const entries = [
    { kind: "command" as const, index: 1, term: 1, time: 1, chain: 0, payload: payloadOf(Buffer.alloc(100_000)) },
  ]
  let worst = 0
  for (let i = 0; i < 1000; i++) {
    a.transport.send(memberOf("b"), { ...heartbeat(i), entries } as Message, null)
    worst = Math.max(worst, a.peer("b").unsentBytes)
    if (i % 3 === 0) a.transport.flush()
    if (i % 50 === 0) await new Promise((resolve) => void setImmediate(resolve))
  }
  const { dropped, messagesOut } = a.peer("b")
  expect(worst).toBeLessThanOrEqual(limit)
  expect(dropped.backpressure).toBeGreaterThan(0)
  expect(dropped.backpressure + messagesOut).toBe(1000)
  expect(a.logs.filter((line) => line.includes("takes bytes too slowly")).length).toBe(1)
  expect(a.links).toEqual(["+b/b-1"])
})
