import * as Effect from "effect/Effect"
import { spawn, type ChildProcess } from "node:child_process"
import { fileURLToPath } from "node:url"
import { afterEach, describe, expect, test } from "vitest"
import type { Entry, Message } from "../core/index.ts"
import { payloadOf } from "../interpreters/payload.ts"
import { ListenFailed, makeTcpTransport } from "../interpreters/tcp/index.ts"
import { allConnected, fresh, introduce, memberOf, open, until, type Node, type NodeOptions } from "./tcp.nodes.ts"

const opened: Node[] = []
const children: ChildProcess[] = []
const node = async (name: string, options?: NodeOptions): Promise<Node> => {
  const made = await open(name, options)
  opened.push(made)
  return made
}
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL")
  for (const made of opened.splice(0)) await made.close()
})

const entry = (index: number, size: number): Entry => ({
  kind: "command",
  index,
  term: 1,
  time: 5,
  chain: 0,
  payload: payloadOf(Buffer.alloc(size, index)),
})
const append = (round: number, entries: readonly Entry[] = []): Message => ({
  type: "AppendEntries",
  term: 1,
  prevLogIndex: (entries[0]?.index ?? 1) - 1,
  prevLogTerm: 0,
  prevLogChain: 0,
  entries,
  leaderCommit: 0,
  round,
  time: 0,
  settled: false,
})
const rounds = (made: Node): number[] => made.received.map(({ message }) => ("round" in message ? message.round : -1))

describe("three nodes", () => {
  test("exchange messages in order, each from the member that sent it", async () => {
    const [a, b, c] = [await node("a"), await node("b"), await node("c")]
    introduce(a, b, c)
    await allConnected(a, b, c)
    expect(a.links.toSorted()).toEqual(["+b/b-1", "+c/c-1"])
    const run = Array.from({ length: 10 }, (_, i) => entry(i + 1, 256))
    for (let batch = 0; batch < 50; batch++) {
      for (let i = 0; i < 4; i++) {
        // Slices of their own, as the core makes them: encoded once all the same.
        a.transport.send(b.self, append(batch * 4 + i, run.slice()), null)
        a.transport.send(c.self, append(batch * 4 + i, run.slice()), null)
      }
      b.transport.send(c.self, append(1000 + batch), null)
      a.transport.flush()
      b.transport.flush()
    }
    await until("all have arrived", () => b.received.length === 200 && c.received.length === 250)
    expect(rounds(b)).toEqual(Array.from({ length: 200 }, (_, i) => i))
    expect(rounds(c).filter((round) => round >= 1000)).toEqual(Array.from({ length: 50 }, (_, i) => 1000 + i))
    expect(b.received[7]?.from).toEqual(a.self)
    const message = b.received[7]?.message
    expect(message?.type === "AppendEntries" && message.entries.length).toBe(10)
    expect(a.peer("b")).toMatchObject({
      connected: true,
      member: b.self,
      clientAddress: "client-of-b:1",
      messagesOut: 200,
      problem: null,
      unsentBytes: 0,
    })
    expect(b.peer("a").bytesIn).toBeGreaterThan(200 * 2560)
    expect(a.peer("b").bytesOut).toBeGreaterThan(200 * 2560)
  })

  test("carry an entry of 8 MB and a snapshot chunk", async () => {
    const [a, b] = [await node("a"), await node("b")]
    introduce(a, b)
    await allConnected(a, b)
    const chunk = Buffer.alloc(3_000_000, 9)
    const snapshot = {
      id: "s",
      index: 5,
      term: 1,
      time: 1,
      chain: 1,
      configuration: { voters: [a.self], outgoing: [], learners: [] },
    }
    a.transport.send(b.self, append(1, [entry(1, 8 << 20)]), null)
    a.transport.send(
      b.self,
      { type: "InstallSnapshot", term: 1, snapshot, offset: 0, length: 0, last: true, round: 2 },
      chunk,
    )
    a.transport.send(b.self, append(3), null)
    a.transport.flush()
    await until("all have arrived", () => b.received.length === 3)
    expect(rounds(b)).toEqual([1, 2, 3])
    expect(b.received[1]?.message).toMatchObject({ length: 3_000_000, snapshot })
    expect(chunk.equals(b.received[1]?.chunk ?? Buffer.alloc(0))).toBe(true)
    expect(b.received[0]?.chunk).toBeNull()
  })

  test("reuse of the send buffer never changes what is on its way", async () => {
    const [a, b] = [await node("a"), await node("b")]
    introduce(a, b)
    await allConnected(a, b)
    // More than the kernel takes at once, so that some writes wait; each entry is checked against its checksum.
    for (let i = 0; i < 300; i++) {
      a.transport.send(b.self, append(i, [entry(i + 1, 1 + ((i * 7919) % 90_000))]), null)
      a.transport.flush()
    }
    await until("all have arrived", () => b.received.length === 300)
    for (const { message } of b.received)
      for (const e of message.type === "AppendEntries" ? message.entries : [])
        expect(e.kind === "command" && payloadOf(e.payload.bytes).checksum === e.payload.checksum).toBe(true)
  })

  test("learn of a change of hello on open connections", async () => {
    const [a, b] = [await node("a"), await node("b")]
    introduce(a, b)
    await allConnected(a, b)
    const heard: unknown[] = []
    const off = b.transport.onHello((hello) => heard.push(hello))
    const founding = { voters: [a.self, b.self], outgoing: [], learners: [] }
    a.transport.announce({ ...fresh, cluster: "k", clientAddress: "new:1", empty: false, founding })
    await until("b has heard", () => heard.length > 0)
    expect(heard).toEqual([
      {
        ...fresh,
        member: a.self,
        target: "b",
        listens: `127.0.0.1:${a.port}`,
        advertises: `127.0.0.1:${a.port}`,
        dials: `127.0.0.1:${b.port}`,
        cluster: "k",
        clientAddress: "new:1",
        empty: false,
        founding,
      },
    ])
    expect(b.peer("a")).toMatchObject({ connected: true, clientAddress: "new:1" })
    off()
    a.transport.announce({ ...fresh, cluster: "k", clientAddress: "newer:1", empty: false, founding })
    await until("b knows", () => b.peer("a").clientAddress === "newer:1")
    expect(heard.length).toBe(1)
    expect([...a.links, ...b.links]).toEqual(["+b/b-1", "+a/a-1"])
  })

  test("attached late are told of the links that are up, on a later turn", async () => {
    const [a, b] = [await node("a", { attach: false }), await node("b")]
    introduce(a, b)
    await allConnected(a, b)
    const seen: string[] = []
    a.transport.attach({
      received: () => {},
      connected: (peer) => seen.push(`+${peer.name}`),
      disconnected: (peer) => seen.push(`-${peer.name}`),
    })
    expect(seen).toEqual([])
    await until("a is told", () => seen.length > 0)
    await b.close()
    opened.splice(opened.indexOf(b), 1)
    await until("a has lost b", () => seen.includes("-b"))
    expect(seen).toEqual(["+b", "-b"])
  })

  test("messages for another incarnation or for nobody are dropped and counted", async () => {
    const [a, b] = [await node("a"), await node("b")]
    introduce(a, b)
    a.transport.send(b.self, append(0), null)
    await allConnected(a, b)
    a.transport.send(memberOf("b", "b-0"), append(1), null)
    a.transport.send(memberOf("z"), append(2), null)
    a.transport.send(b.self, append(3), null)
    a.transport.flush()
    await until("the good one has arrived", () => b.received.length > 0)
    expect(rounds(b)).toEqual([3])
    expect(a.peer("b").dropped).toEqual({ disconnected: 1, incarnation: 1, backpressure: 0, tooLarge: 0 })
  })

  test("what is larger than a frame is not sent, and the connection lives", async () => {
    const [a, b] = [
      await node("a", { limits: { maxEntryBytes: 1000 } }),
      await node("b", { limits: { maxEntryBytes: 1000 } }),
    ]
    introduce(a, b)
    await allConnected(a, b)
    a.transport.send(b.self, append(1, [entry(1, 2 << 20)]), null)
    a.transport.send(b.self, append(2), null)
    a.transport.flush()
    await until("the small one has arrived", () => b.received.length > 0)
    expect(rounds(b)).toEqual([2])
    expect(a.peer("b").dropped.tooLarge).toBe(1)
    expect(a.logs.join("\n")).toContain("did not send a AppendEntries")
    expect(a.links).toEqual(["+b/b-1"])
  })
})

describe("when a peer goes", () => {
  test("by closing, its name is free again, and nothing is reported after the close", async () => {
    const [a, b] = [await node("a"), await node("b")]
    introduce(a, b)
    await allConnected(a, b)
    await b.close()
    await until("a has lost b", () => a.links.includes("-b/b-1"))
    const before = b.links.length
    const again = await node("b", { port: b.port, incarnation: "b-2" })
    introduce(again, a)
    await until("a has the new b", () => a.links.includes("+b/b-2"))
    expect(a.links).toEqual(["+b/b-1", "-b/b-1", "+b/b-2"])
    expect(b.links.length).toBe(before)
    expect(again.logs.filter((line) => line.startsWith("error"))).toEqual([])
  })

  test("by kill -9, it is lost at once, once; and found again after its restart", async () => {
    const a = await node("a")
    const spare = await open("b")
    const port = spare.port
    await spare.close()
    const start = (): ChildProcess => {
      const script = fileURLToPath(new URL("tcp.child.ts", import.meta.url))
      const child = spawn(
        process.execPath,
        ["--import", "tsx", script, "b", "b-1", String(port), "a", String(a.port)],
        { stdio: "ignore" },
      )
      children.push(child)
      return child
    }
    const losses: number[] = []
    a.transport.setPeer("b", { host: "127.0.0.1", port })
    for (let life = 1; life <= 2; life++) {
      const child = start()
      await until("b is up", () => a.links.length === 2 * life - 1)
      a.transport.send(memberOf("b"), append(life), null)
      a.transport.flush()
      await until("b has answered", () => a.received.length === life)
      // Unread bytes at the victim as well, so that its end is a reset.
      for (let i = 0; i < 100; i++) a.transport.send(memberOf("b"), append(life), null)
      if (life === 2) {
        child.kill("SIGSTOP")
        a.transport.flush()
      }
      const killed = performance.now()
      child.kill("SIGKILL")
      await until("b is lost", () => a.links.length === 2 * life)
      losses.push(performance.now() - killed)
      // Several redials in vain: they are no further losses.
      await until("dialled in vain", () => /ECONNREFUSED/.test(a.peer("b").problem ?? ""))
      expect(a.links.length).toBe(2 * life)
    }
    expect(a.links).toEqual(Array.from({ length: 2 }, () => ["+b/b-1", "-b/b-1"]).flat())
    console.log(`loss noticed after ${losses.map((ms) => ms.toFixed(0)).join(", ")} ms`)
  })

  test("a removed peer is closed without a report, and can be added again", async () => {
    const [a, b] = [await node("a"), await node("b")]
    introduce(a, b)
    await allConnected(a, b)
    a.transport.setPeer("b", null)
    await until("b has lost a", () => b.links.includes("-a/a-1"))
    expect(a.transport.peers()).toEqual([])
    await until("b is refused", () => b.logs.some((line) => line.includes("UnknownPeer")))
    a.transport.setPeer("b", { host: "127.0.0.1", port: b.port })
    await until("they are linked again", () => b.links.length === 3 && a.links.length === 2)
    expect(a.links).toEqual(["+b/b-1", "+b/b-1"])
  })
})

test("a port that is taken is a named error that says which and what to do", async () => {
  const a = await node("a")
  const error = await Effect.runPromise(
    Effect.flip(
      Effect.scoped(
        makeTcpTransport({
          self: memberOf("b"),
          listen: { host: "127.0.0.1", port: a.port },
          peers: {},
          hello: fresh,
          log: () => {},
        }),
      ),
    ),
  )
  expect(error).toBeInstanceOf(ListenFailed)
  expect(error.code).toBe("EADDRINUSE")
  expect(error.message).toContain(`another process holds port ${a.port}`)
})
