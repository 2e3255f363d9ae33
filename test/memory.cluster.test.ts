/** Three replicas in this process: what a user's unit test does with them. */
import { afterEach, expect, test } from "vitest"
import { DiskInUse, makeMemoryDisk } from "../interpreters/memory/index.ts"
import { lineage } from "../core/index.ts"
import { payloadOf } from "../interpreters/index.ts"
import { until } from "./cluster.ts"
import { makeMemoryCluster, type MemoryCluster } from "./memory.cluster.ts"
import type { MemoryMachineOptions } from "./memory.machine.ts"

type Words = readonly string[]
const words: MemoryMachineOptions<Words> = {
  initial: [],
  apply: (state, command) => [...state, new TextDecoder().decode(command)],
  encode: (state) => new TextEncoder().encode(state.join(" ")),
  decode: (bytes) => new TextDecoder().decode(bytes).split(" "),
  chunkBytes: 50,
}

let made: MemoryCluster<Words> | null = null
afterEach(() => {
  made?.close()
  made = null
})
const cluster = (more: Partial<Parameters<typeof makeMemoryCluster<Words>>[0]> = {}): MemoryCluster<Words> => {
  made = makeMemoryCluster({
    machine: words,
    settings: { heartbeat: 30, electionMin: 150, electionMax: 300, disconnectMax: 50 },
    ...more,
  })
  return made
}
/** Proposed until somebody has executed it. */
const say = async (c: MemoryCluster<Words>, word: string): Promise<void> => {
  c.leader()?.propose([payloadOf(new TextEncoder().encode(word))], () => undefined)
  let asked = performance.now()
  await until(`${word} is executed`, () => {
    if (performance.now() - asked > 500) {
      asked = performance.now()
      c.leader()?.propose([payloadOf(new TextEncoder().encode(word))], () => undefined)
    }
    return c.nodes.some((node) => node.state().includes(word))
  })
}
const allAlike = (c: MemoryCluster<Words>, word: string): Promise<true> =>
  until(
    `all have executed ${word}, and are alike`,
    () =>
      c.nodes.every((node) => node.state().includes(word) && String(node.state()) === String(c.nodes[0]?.state())) ||
      null,
  )
const leads = (c: MemoryCluster<Words>, but = ""): Promise<string> =>
  until(
    "a leader",
    () => c.nodes.find((node) => node.name !== but && node.driver()?.leadership().role === "leader")?.name ?? null,
  )

test("a leader that crashes loses nothing that was acknowledged, and catches up from what its disk kept", async () => {
  const c = cluster()
  const first = await leads(c)
  for (const word of ["a", "b", "c"]) await say(c, word)
  c.act({ type: "crash", node: first })
  expect(c.node(first).driver()).toBeNull()
  expect(c.node(first).state(), "its state machine had not been made durable").toEqual([])
  const second = await leads(c, first)
  await until("the new leader has executed what was acknowledged", () =>
    ["a", "b", "c"].every((word) => c.node(second).state().includes(word)),
  )
  await say(c, "d")
  c.act({ type: "start", node: first })
  await allAlike(c, "d")
})

test("who is cut off learns what it missed, also if that is only left in a snapshot", async () => {
  const c = cluster({
    settings: { heartbeat: 30, electionMin: 150, electionMax: 300, snapshotBytes: 1000, trailingLogBytes: 0 },
  })
  const leader = await leads(c)
  await say(c, "before")
  await allAlike(c, "before")
  c.act({ type: "isolate", node: leader })
  const next = await leads(c, leader)
  for (let i = 0; i < 40; i++) await say(c, `w${i}`)
  await until("its log is gone", () => (c.node(next).driver()?.state().log.base.index ?? 0) > 10)
  expect(c.node(leader).state()).not.toContain("w0")
  c.act({ type: "heal" })
  await allAlike(c, "w39")
})

test("a disk that stalls or fails keeps its promises: nothing counts before it is durable, and the node that has lost its disk stops", async () => {
  const c = cluster()
  const leader = await leads(c)
  await say(c, "a")
  const follower = c.nodes.find(({ name }) => name !== leader)?.name ?? ""
  c.act({ type: "stall", node: follower })
  await say(c, "b")
  c.act({ type: "crash", node: follower })
  c.act({ type: "start", node: follower })
  await allAlike(c, "b")
  c.act({ type: "fail", node: follower })
  await say(c, "c")
  await until("it has stopped", () => c.node(follower).driver() === null)
  expect(c.node(follower).failure()?.name).toBe("DiskFailed")
  c.act({ type: "start", node: follower })
  await allAlike(c, "c")
})

test("a disk is open once; a copy of what it held is known by its starts", () => {
  const disk = makeMemoryDisk({ name: "n1" })
  const storage = disk.open()
  expect(() => disk.open()).toThrow(DiskInUse)
  storage.close()
  const kept = disk.contents()
  const [again, copy] = [disk.open(), makeMemoryDisk({ name: "n1", contents: kept }).open()]
  expect([
    lineage(storage.start, again.start),
    lineage(storage.start, copy.start),
    lineage(again.start, copy.start),
  ]).toEqual(["later", "later", "forked"])
})
