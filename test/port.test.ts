/** What is particular to ports: whatever comes over one, and what is posted. */
import * as fc from "fast-check"
import { afterEach, expect, test } from "vitest"
import type { Entry } from "../core/index.ts"
import { makeMemoryNetwork } from "../interpreters/memory/index.ts"
import { crc32, crc32ByTable, payloadOf } from "../interpreters/payload.ts"
import { readFrame, sentOf, UnreadableFrame } from "../interpreters/port/frames.ts"
import { makePortTransport, PORT_PROTOCOL, type LocalHello, type PortTransport } from "../interpreters/port/index.ts"
import { until } from "./cluster.ts"
import { memberOf } from "./tcp.nodes.ts"
import { turns } from "./waiting.ts"

const hello: LocalHello = {
  cluster: "c",
  clientAddress: "",
  empty: false,
  founding: null,
  start: { number: 1, words: [1] },
  recovered: { term: 0, index: 0 },
  refused: null,
}
const open: PortTransport[] = []
afterEach(() => {
  for (const transport of open.splice(0)) transport.close()
})

test("whatever arrives is a frame, or unreadable by name", () => {
  const item = fc.record({
    message: fc.oneof(
      fc.anything(),
      fc.record({
        type: fc.constantFrom("AppendEntries", "TimeoutNow", "toString", "RequestVote"),
        term: fc.anything(),
        entries: fc.anything(),
      }),
    ),
    chunk: fc.anything(),
  })
  const frame = fc.oneof(
    fc.anything(),
    fc.record(
      {
        kind: fc.constantFrom("hello", "welcome", "refused", "batch", "alive", "__proto__"),
        protocol: fc.anything(),
        hello: fc.anything(),
        refusal: fc.anything(),
        items: fc.oneof(fc.anything(), fc.array(item)),
        sent: fc.nat(),
        taken: fc.nat(),
      },
      { requiredKeys: ["kind"] },
    ),
  )
  fc.assert(
    fc.property(frame, (data) => {
      try {
        readFrame(data)
      } catch (error) {
        expect(error).toBeInstanceOf(UnreadableFrame)
      }
    }),
    { numRuns: 2000 },
  )
  const vote = { type: "RequestVote", term: 1, lastLogIndex: 0, lastLogTerm: 0, transfer: false }
  const batch = (message: unknown, chunk: unknown = null): unknown => ({
    kind: "batch",
    items: [{ message, chunk }],
    sent: 1,
    taken: 0,
  })
  expect(readFrame(batch(vote))).toEqual(batch(vote))
  for (const bad of [
    { kind: "batch", items: Array.from({ length: 2 }, () => undefined), sent: 1, taken: 0 },
    batch({ ...vote, term: -1 }),
    batch({ ...vote, transfer: 1 }),
    batch({ ...vote, lastLogIndex: 2 ** 48 }),
    batch(vote, new Uint8Array(3)),
    { kind: "hello", protocol: PORT_PROTOCOL + 1, hello: {} },
  ])
    expect(() => readFrame(bad)).toThrow(UnreadableFrame)
})

test("a port on which something unreadable comes is closed by name, and nothing else is", async () => {
  const lost: string[] = []
  const a = makePortTransport({ self: memberOf("a"), hello, lost: (peer) => lost.push(peer) })
  const b = makePortTransport({ self: memberOf("b"), hello })
  open.push(a, b)
  const [good, bad] = [new MessageChannel(), new MessageChannel()]
  a.connect("b", good.port1)
  b.connect("a", good.port2)
  await until("a and b are connected", () => a.peers().some(({ connected }) => connected))
  a.connect("c", bad.port1)
  bad.port2.postMessage({ kind: "batch", items: [], sent: 0, taken: 0 })
  await until("the port is given up", () => lost.includes("c"))
  expect(a.peers().find(({ name }) => name === "c")?.problem).toContain("before the handshake")
  expect(a.peers().find(({ name }) => name === "b")?.connected).toBe(true)
})

test("what lies in a large piece of memory is posted alone: a port copies all that a view belongs to", () => {
  const slab = Buffer.alloc(65_536, 7)
  const entry: Entry = {
    kind: "command",
    index: 1,
    term: 1,
    time: 1,
    chain: 1,
    payload: payloadOf(slab.subarray(5, 15)),
  }
  const { message } = sentOf(
    {
      type: "AppendEntries",
      term: 1,
      prevLogIndex: 0,
      prevLogTerm: 0,
      prevLogChain: 0,
      entries: [entry],
      leaderCommit: 0,
      round: 1,
      time: 0,
      settled: false,
    },
    null,
  )
  const copied = structuredClone(message)
  const sent = copied.type === "AppendEntries" ? copied.entries[0] : undefined
  expect(sent?.kind === "command" && [sent.payload.bytes.length, sent.payload.bytes.buffer.byteLength]).toEqual([
    10, 10,
  ])
})

test("checksums are the same with Node and without", () => {
  expect(crc32).not.toBe(crc32ByTable)
  expect(crc32(new TextEncoder().encode(""), 7)).toBe(7)
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 9 }),
      (bytes, before) => crc32ByTable(bytes, crc32ByTable(before)) === crc32(bytes, crc32(before)),
    ),
  )
})

test("a link that is given another port of the same process moves to it, without a word to the driver", async () => {
  const words: string[] = []
  const [a, b] = [makePortTransport({ self: memberOf("a"), hello }), makePortTransport({ self: memberOf("b"), hello })]
  open.push(a, b)
  a.attach({
    received: (_, message) => words.push(message.type),
    connected: (peer) => words.push(`+${peer.name}`),
    disconnected: (peer) => words.push(`-${peer.name}`),
  })
  const connect = (): void => {
    const { port1, port2 } = new MessageChannel()
    a.connect("b", port1)
    b.connect("a", port2)
  }
  connect()
  await until("they are connected", () => words.includes("+b") && b.peers().every(({ connected }) => connected))
  const moved = new Promise<void>((resolve) => void a.onHello(() => resolve()))
  connect()
  await moved
  await turns(50)
  b.send(memberOf("a"), { type: "TimeoutNow", term: 1 }, null)
  b.flush()
  await until("a message arrives on the new port", () => words.includes("TimeoutNow"))
  expect(words).toEqual(["+b", "TimeoutNow"])
})

test("what is cut in memory is lost without a word, and silence ends the link", async () => {
  const network = makeMemoryNetwork()
  const words: string[] = []
  const [a, b] = ["a", "b"].map((name) =>
    network.join({ self: memberOf(name), hello, limits: { aliveMs: 20, silenceMs: 200, helloMs: 200 } }),
  )
  if (a === undefined || b === undefined) throw new Error("two nodes")
  open.push(a, b)
  a.attach({
    received: (_, message) => words.push(message.type),
    connected: () => words.push("+b"),
    disconnected: () => words.push("-b"),
  })
  await until("they are connected", () => words.includes("+b"))
  network.act({ type: "cut", from: "b", to: "a" })
  b.send(memberOf("a"), { type: "TimeoutNow", term: 1 }, null)
  b.flush()
  await until("a gives b up", () => words.includes("-b"))
  network.act({ type: "heal" })
  await until("they find each other again", () => words.at(-1) === "+b")
  expect(words).toEqual(["+b", "-b", "+b"])
})
