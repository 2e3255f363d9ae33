/** What a transport knows of why a link is not up, or slow: the reasons that health tells are made of it. */
import { afterEach, expect, test } from "vitest"
import { payloadOf } from "../interpreters/payload.ts"
import { clear, Flow, openProxy } from "./chaos/proxy.ts"
import { freePort } from "./cluster.ts"
import { allConnected, introduce, memberOf, open, until, type Node, type NodeOptions } from "./tcp.nodes.ts"

const opened: { readonly close: () => Promise<void> }[] = []
const node = async (name: string, options?: NodeOptions): Promise<Node> => {
  const made = await open(name, options)
  opened.push(made)
  return made
}
afterEach(async () => {
  for (const made of opened.splice(0)) await made.close()
})
const at = (port: number): { readonly host: string; readonly port: number } => ({ host: "127.0.0.1", port })

test("a node that has moved learns that the others dial its old address, and they learn where it listens", async () => {
  const [moved, other] = [await node("a"), await node("b")]
  const old = await freePort()
  moved.transport.setPeer("b", at(other.port))
  other.transport.setPeer("a", at(old))
  const here = `127.0.0.1:${moved.port}`
  await until(
    "the moved one knows",
    () => moved.peer("b").problem?.includes(`it dials a at 127.0.0.1:${old}, and a listens at ${here}`) === true,
  )
  expect(moved.peer("b").problem).toContain("correct its address in the peer list of b")
  await until(
    "the other one knows",
    () =>
      other.peer("a").problem?.includes(`ECONNREFUSED`) === true &&
      other.peer("a").problem?.includes(`it listens at ${here}`) === true,
  )
  other.transport.setPeer("a", at(moved.port))
  await allConnected(moved, other)
  expect([moved.peer("b").problem, other.peer("a").problem]).toEqual([null, null])
})

test("a peer that is back is dialled at once at its likeliest address, whichever of its addresses had its turn", async () => {
  const pause = 3_600_000
  const a = await node("a", { limits: { backoffMinMs: pause, backoffMaxMs: pause } })
  const [live, dead] = [await freePort(), await freePort()]
  a.transport.setPeer("b", [at(live), at(dead)])
  await until("it does not answer", () => a.peer("b").address === `127.0.0.1:${dead}`)
  const b = await node("b", { port: live })
  b.transport.setPeer("a", at(a.port))
  await allConnected(a, b)
})

test("who dials this node and is not in its list is known by name and address, and no longer once it is", async () => {
  const [a, b] = [await node("a"), await node("b")]
  b.transport.setPeer("a", at(a.port))
  await until("a knows", () => a.transport.unlisted().length > 0)
  const told = { version: "unknown", level: 1, clusterLevel: 1 }
  expect(a.transport.unlisted()).toEqual([
    { name: "b", member: b.self, empty: true, address: `127.0.0.1:${b.port}`, features: told },
  ])
  a.transport.setPeer("b", at(b.port))
  await allConnected(a, b)
  expect(a.transport.unlisted()).toEqual([])
})

test("a slow link is measured: how long there and back, how much may still be on its way, what has come in part", async () => {
  const limits = { aliveMs: 20 }
  const [a, b] = [await node("a", { limits }), await node("b", { limits })]
  const [there, back] = [new Flow(), new Flow()]
  const proxy = await openProxy(
    await freePort().then(async (port) => {
      a.transport.setPeer("b", at(port))
      return port
    }),
    () => b.port,
    there,
    back,
  )
  opened.push(proxy)
  b.transport.setPeer("a", at(a.port))
  await allConnected(a, b)
  await until("the way is short", () => (a.peer("b").transitMs ?? 1000) < 500 && (b.peer("a").transitMs ?? 1000) < 500)
  there.set({ ...clear, rate: 200 })
  const entry = {
    kind: "command" as const,
    index: 1,
    term: 1,
    time: 1,
    chain: 0,
    payload: payloadOf(Buffer.alloc(6_000_000)),
  }
  a.transport.send(
    b.self,
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
  a.transport.flush()
  await until(
    "both know that it takes long",
    () => (a.peer("b").transitMs ?? 0) > 700 && (b.peer("a").transitMs ?? 0) > 700,
  )
  expect(a.peer("b").behindBytes).toBeGreaterThan(5_000_000)
  expect(b.peer("a").arriving?.whole).toBeGreaterThan(6_000_000)
  expect(b.peer("a").arriving?.have).toBeLessThan(6_000_000)
  expect([a.peer("b").connected, b.received.length]).toEqual([true, 0])
  there.set(clear)
  await until(
    "it has arrived, and the way is short again",
    () =>
      b.received.length === 1 &&
      (a.peer("b").transitMs ?? 1000) < 500 &&
      a.peer("b").behindBytes < 1000 &&
      b.peer("a").arriving === null,
  )
})

test("new handlers are told of the links that are up, once each", async () => {
  const [a, b] = [await node("a"), await node("b")]
  introduce(a, b)
  await allConnected(a, b)
  await until("the first ones were told", () => a.links.length === 1)
  const second: string[] = []
  a.transport.attach({ received: () => {}, connected: (peer) => second.push(peer.name), disconnected: () => {} })
  await until("the second ones are told", () => second.length > 0)
  a.transport.send(memberOf("b"), { type: "TimeoutNow", term: 1 }, null)
  a.transport.flush()
  await until("all turns are over", () => b.received.length > 0)
  expect([second, a.links]).toEqual([["b"], ["+b/b-1"]])
})
