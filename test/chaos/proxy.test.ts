/** The faults are what they claim to be: a proxy that lets bytes through during a cut would make every chaos run green. */
import { connect, createServer, type Socket } from "node:net"
import { expect, test } from "vitest"
import { freePort, until } from "../cluster.ts"
import { failoversOf, longestOutage, longestUnexcused } from "./figures.ts"
import type { Incident } from "./nemesis.ts"
import { describeStep, makePlan } from "./plan.ts"
import { clear, Flow, openProxy, worst } from "./proxy.ts"
import { turns } from "../waiting.ts"

interface End {
  readonly socket: Socket
  text: string
  closed: "" | "closed" | "reset"
}
const endOf = (socket: Socket): End => {
  const end: End = { socket, text: "", closed: "" }
  socket.on("data", (bytes: Buffer) => void (end.text += bytes.toString()))
  socket.on("end", () => void (end.closed ||= "closed"))
  socket.on("error", () => void (end.closed ||= "reset"))
  return end
}

/** Two ends with a proxy between them. */
const between = async (
  use: (a: End, b: () => Promise<End>, there: Flow, back: Flow, reset: () => void) => Promise<void>,
): Promise<void> => {
  const ends: End[] = []
  const server = createServer((socket) => void ends.push(endOf(socket)))
  const port = await freePort()
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve))
  const [there, back] = [new Flow(), new Flow()]
  const entry = await freePort()
  const proxy = await openProxy(entry, () => port, there, back)
  const a = endOf(connect({ port: entry, host: "127.0.0.1", noDelay: true }))
  try {
    await use(a, () => until("the other end is there", () => ends[0] ?? null, 5000), there, back, proxy.reset)
  } finally {
    a.socket.destroy()
    for (const { socket } of ends) socket.destroy()
    await proxy.close()
    await new Promise((resolve) => server.close(resolve))
  }
}
const cut = { ...clear, cut: true }
const numbers = Array.from({ length: 2000 }, (_, i) => `${i},`).join("")

test("bytes pass in both directions, in order, however long each takes", () =>
  between(async (a, theOther, there) => {
    there.set({ ...clear, delay: 5, jitter: 40 })
    const b = await theOther()
    for (const part of numbers.match(/.{1,500}/g) ?? []) {
      a.socket.write(part)
      await turns(1)
    }
    b.socket.write("back")
    await until("all has come", () => b.text.length === numbers.length && a.text === "back", 5000)
    expect(b.text).toBe(numbers)
  }))

test("a cut in one direction holds its bytes, and the news of the end, and lets the other pass; mended, all arrives", () =>
  between(async (a, theOther, there) => {
    const b = await theOther()
    there.set(cut)
    a.socket.write("held")
    b.socket.write("passes")
    await until("the answer has come", () => a.text === "passes", 5000)
    a.socket.end("last")
    await turns(50)
    expect([b.text, b.closed]).toEqual(["", ""])
    there.set(clear)
    await until("the end has come", () => b.closed !== "", 5000)
    expect([b.text, b.closed]).toEqual(["heldlast", "closed"])
  }))

test("no connection is made while either direction is cut", () =>
  between(async (a, theOther, there, back) => {
    back.set(cut)
    const late = theOther()
    a.socket.write("hello")
    await turns(50)
    back.set(clear)
    const b = await late
    await until("it comes through", () => b.text === "hello", 5000)
    there.set(cut)
  }))

test("a reset ends both ends and loses what was held", () =>
  between(async (a, theOther, there, _, reset) => {
    const b = await theOther()
    there.set(cut)
    a.socket.write("lost")
    await turns(50)
    reset()
    await until("both have noticed", () => a.closed !== "" && b.closed !== "", 5000)
    there.set(clear)
    await turns(50)
    expect([a.closed, b.closed, b.text]).toEqual(["reset", "reset", ""])
  }))

test("a limited rate makes bytes late, and is forgotten when it is lifted", () =>
  between(async (a, theOther, there) => {
    const b = await theOther()
    there.set({ ...clear, rate: 20 })
    const sent = performance.now()
    a.socket.write("x".repeat(4000))
    await until("the first have come", () => b.text.length === 4000, 5000)
    expect(performance.now() - sent).toBeGreaterThan(190)
    a.socket.write("y".repeat(200_000))
    await turns(50)
    expect(b.text.length).toBeLessThan(100_000)
    there.set(clear)
    await until("the rest has come", () => b.text.length === 204_000, 1000)
  }))

test("several faults on a flow add up", () => {
  expect(worst([])).toEqual(clear)
  expect(worst([{ delay: 10, rate: 5 }, { cut: true }, { delay: 20, jitter: 3, rate: 9 }])).toEqual({
    cut: true,
    delay: 30,
    jitter: 3,
    rate: 5,
  })
})

test("a plan is the same for the same seed, knows every fault, and stays within its time", () => {
  const ids = ["n1", "n2", "n3"]
  const plan = (seed: number) => makePlan({ seed, ids, ms: 120_000 })
  expect(plan(5).map(describeStep)).toEqual(plan(5).map(describeStep))
  expect(plan(5).map(describeStep)).not.toEqual(plan(6).map(describeStep))
  const many = [1, 2, 3, 4, 5, 6].flatMap(plan)
  expect([...new Set(many.map(({ fault }) => fault.type))].sort()).toEqual([
    "deafen",
    "delay",
    "kill",
    "mute",
    "partition",
    "pause",
    "reset",
    "stop",
    "throttle",
    "unlink",
  ])
  for (const { at, ms } of many) expect(at + ms).toBeLessThanOrEqual(120_000)
  for (const type of ["kill", "pause"] as const)
    expect(many.some(({ fault }) => fault.type === type && fault.targets.count === 3)).toBe(true)
})

test("an outage is the longest time between two acknowledgements, with the faults of that time; a failover begins with its fault", () => {
  const incident = (number: number, from: number, to: number, leader: string): Incident => ({
    step: {
      number,
      at: from,
      ms: to - from,
      fault: { type: "kill", targets: { count: 1, order: ["n1", "n2", "n3"], leader: "first" } },
    },
    targets: ["n1"],
    leader,
    from,
    to,
  })
  const incidents = [incident(1, 1000, 2500, "n1"), incident(2, 4000, 5500, "n2")]
  const acknowledged = [
    { sent: 0, answered: 900 },
    { sent: 950, answered: 1001 },
    { sent: 1100, answered: 1900 },
    { sent: 1900, answered: 2000 },
  ]
  expect(longestOutage(acknowledged, incidents)).toEqual({ ms: 899, from: 1001, during: incidents.slice(0, 1) })
  expect(longestOutage([], incidents)).toBe(null)
  // Two of three are well throughout. With all of them hit it is what follows the fault.
  expect(longestUnexcused(acknowledged, incidents, 3)).toEqual({ ms: 899, from: 1001, during: incidents.slice(0, 1) })
  const all = { ...incident(3, 1200, 1600, "n1"), targets: ["n1", "n2", "n3"] }
  expect(longestUnexcused(acknowledged.slice(1), [all], 3)).toEqual({ ms: 300, from: 1600, during: [] })
  // The second did not hit the leader.
  expect(failoversOf(acknowledged, incidents, 3)).toEqual({ kill: [900] })
})
