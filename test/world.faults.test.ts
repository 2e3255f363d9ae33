/** Every fault that a world knows does what it says: otherwise a suite built on it would prove little. */
import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import {
  cluster,
  flights,
  lossyNetwork,
  networks,
  seconds,
  World,
  type Action,
  type NetworkName,
  type WorldHooks,
  type WorldOptions,
  type WorldStep,
} from "../interpreters/simulation/index.ts"
import { randomScript, settled, tightSettings } from "./worlds.ts"

/** A world with a leader, and some load behind it. */
const led = (
  options: Partial<WorldOptions> & WorldHooks = {},
): { readonly world: World; readonly leader: string; readonly follower: string } => {
  const world = new World({ seed: 1, ...options })
  expect(world.runUntil(() => settled(world), seconds(30))).toBe(true)
  const leader = world.leader()?.name ?? ""
  return { world, leader, follower: world.names.find((name) => name !== leader) ?? "" }
}
const load = (world: World, count: number, bytes = 20): void => {
  for (let i = 0; i < count; i++) {
    world.act({ type: "propose", node: "leader", id: 1000 + i, bytes })
    world.run(20)
  }
}
const lastIndex = (world: World, name: string): number => world.node(name).disk.log.lastIndex
const leads = (world: World, name: string): boolean => world.state(name)?.role.type === "leader"

describe("network", () => {
  const fates = (network: NetworkName): { sent: number; lost: number; delivered: number; slowest: number } => {
    const count = { sent: 0, lost: 0, delivered: 0, slowest: 0 }
    const { world } = led({
      network,
      sent: () => (count.sent += 1),
      delivered: () => (count.delivered += 1),
      lost: () => (count.lost += 1),
    })
    for (let i = 0; i < 4000; i++) {
      if (i % 20 === 0) world.act({ type: "propose", node: "leader", id: i })
      for (const { at } of flights(world.data)) count.slowest = Math.max(count.slowest, at - world.now)
      world.run(1)
    }
    return count
  }
  test("reliable: all of it arrives, a millisecond later", () => {
    expect(fates("reliable")).toMatchObject({ lost: 0, slowest: 1 })
  })
  test("unreliable: a tenth is lost, the rest takes up to 27 ms, nothing comes twice", () => {
    const { sent, lost, delivered, slowest } = fates("unreliable")
    expect(lost / sent).toBeGreaterThan(0.07)
    expect(lost / sent).toBeLessThan(0.13)
    expect(delivered).toBeLessThanOrEqual(sent - lost)
    expect(slowest).toBeLessThanOrEqual(27)
  })
  test("lossy: some come twice and some very late", () => {
    const { sent, lost, delivered, slowest } = fates("lossy")
    expect(delivered + lost).toBeGreaterThan(sent)
    expect(slowest).toBeGreaterThan(200)
  })
  test("long reordering: replies take up to 2.2 s more, requests do not", () => {
    const { slowest } = fates("longReordering")
    expect(slowest).toBeGreaterThan(500)
    expect(slowest).toBeLessThanOrEqual(2200)
    const { world } = led({ network: "longReordering" })
    load(world, 10)
    expect(
      flights(world.data).filter(({ at, flight }) => flight.message.type === "AppendEntries" && at > world.now + 1),
    ).toEqual([])
  })
  test("a link can be cut one way: a leader that is not heard, but hears, steps down for another", () => {
    const { world, leader } = led()
    for (const other of world.names) if (other !== leader) world.cutOneWay(leader, other)
    world.run(seconds(5))
    expect(world.leader()?.name).not.toBe(leader)
    expect(world.state(leader)?.currentTerm).toBe(world.leader()?.runner?.state.currentTerm)
  })
  test("a cut takes what is under way with it", () => {
    const { world, leader, follower } = led({ network: { ...networks.reliable, delayMin: 50, delayMax: 50 } })
    world.act({ type: "propose", node: leader, id: 1 })
    const last = lastIndex(world, leader)
    world.cut(leader, follower)
    world.run(60)
    expect([lastIndex(world, leader), lastIndex(world, follower)]).toEqual([last + 1, last])
  })
  test("a clogged link delivers late what it is given, in full", () => {
    const { world, leader, follower } = led()
    world.act({ type: "clog", from: leader, to: follower, ms: 300 })
    const { length } = world.node(follower).disk.log.toArray()
    load(world, 10)
    expect(world.node(follower).disk.log.toArray()).toHaveLength(length)
    world.run(150)
    expect(world.node(follower).disk.log.toArray()).toHaveLength(length + 10)
  })
  test("what was meant for a server that lost its disk does not reach the one that came in its place", () => {
    const why: string[] = []
    const { world, follower } = led({
      lost: (_, to, __, reason) => (to.name === "n1" || to.name === "n2" || to.name === "n3") && why.push(reason),
    })
    world.act({ type: "wipe", node: follower })
    world.start(follower)
    world.run(1000)
    expect(new Set(why)).toEqual(new Set(["otherIncarnation"]))
    expect(world.state(follower)?.log.lastIndex).toBe(0)
  })
  test("a crash closes connections, and that is noticed: the next leader is there sooner", () => {
    const gap = (connections: boolean): number => {
      const { world, leader } = led({ connections })
      const { now } = world
      world.crash(leader)
      expect(world.runUntil(() => world.leader() !== undefined, seconds(10))).toBe(true)
      return world.now - now
    }
    expect(gap(true)).toBeLessThan(400)
    expect(gap(false)).toBeGreaterThan(400)
  })
})

describe("disks", () => {
  const crashed = (keep: "all" | "none" | "torn"): number => {
    const { world, leader } = led({ disk: { min: 1, max: 1 } })
    const before = lastIndex(world, leader)
    world.act({ type: "disk", node: leader, min: 100, max: 100 })
    for (let i = 0; i < 3; i++) world.act({ type: "propose", node: leader, id: i })
    expect(lastIndex(world, leader)).toBe(before)
    world.crash(leader, keep)
    return lastIndex(world, leader) - before
  }
  test("a crash keeps a prefix of what was being written: all, nothing, or all but the torn end", () => {
    expect([crashed("all"), crashed("none"), crashed("torn")]).toEqual([3, 0, 2])
  })
  test("writes are done in order: a fast one does not overtake a slow one", () => {
    let last = 0
    const { world, leader } = led({ disk: { min: 1, max: 60 } })
    const seen: number[] = []
    for (let i = 0; i < 100; i++) {
      world.act({ type: "propose", node: leader, id: i })
      world.run(3)
      const oldest = world.node(leader).disk.pending[0]?.seq ?? last
      expect(oldest).toBeGreaterThanOrEqual(last)
      if (oldest > last) seen.push(oldest - last)
      last = oldest
    }
    // One by one, but for those that fall on the same moment.
    expect(Math.max(...seen.slice(1))).toBeLessThan(10)
  })
  test("which prefix it is at random: every one of them comes", () => {
    const seen = new Set<number>()
    for (let seed = 1; seed <= 40; seed++) {
      const world = new World({ seed, nodes: 1, disk: { min: 1, max: 1 } })
      world.run(500)
      world.act({ type: "disk", node: "n1", min: 50, max: 50 })
      const before = lastIndex(world, "n1")
      for (let i = 0; i < 2; i++) world.act({ type: "propose", node: "n1", id: i })
      world.crash("n1")
      seen.add(lastIndex(world, "n1") - before)
    }
    expect(seen).toEqual(new Set([0, 1, 2]))
  })
  test("a leader whose disk hangs hands over; what it held back is written when the disk goes on", () => {
    const { world, leader } = led()
    world.act({ type: "stallDisk", node: leader })
    load(world, 3)
    expect(world.runUntil(() => world.leader() !== undefined && !leads(world, leader), seconds(5))).toBe(true)
    world.act({ type: "resumeDisk", node: leader })
    expect(world.runUntil(() => settled(world), seconds(5))).toBe(true)
  })
  test.each(["failWrite", "failSync"] as const)("%s: the node stops, and says why", (type) => {
    const stopped: string[] = []
    const { world, leader } = led({ stopped: (node, why) => stopped.push(`${node} ${why}`) })
    const before = lastIndex(world, leader)
    world.act({ type, node: leader })
    load(world, 1)
    expect(stopped).toEqual([`${leader} ${type === "failWrite" ? "writeFailed" : "syncFailed"}`])
    if (type === "failWrite") expect(lastIndex(world, leader)).toBe(before)
    world.start(leader)
    expect(world.runUntil(() => settled(world), seconds(10))).toBe(true)
  })
  test("a full disk is told, also to the next life; a leader hands over", () => {
    const { world, leader } = led()
    world.act({ type: "fullDisk", node: leader })
    expect(world.runUntil(() => world.leader() !== undefined && !leads(world, leader), seconds(5))).toBe(true)
    world.crash(leader)
    world.start(leader)
    expect(world.state(leader)?.spaceLow).toBe(true)
    world.act({ type: "freeDisk", node: leader })
    expect(world.state(leader)?.spaceLow).toBe(false)
  })
  test("from a corrupt disk nothing starts; wiped, it comes back amnesiac, votes for nobody, and is taken in as a new member", () => {
    const { world, follower } = led()
    world.act({ type: "corruptDisk", node: follower })
    world.crash(follower)
    world.start(follower)
    expect(world.state(follower)).toBe(undefined)
    world.act({ type: "wipe", node: follower })
    world.start(follower)
    world.run(seconds(3))
    expect(world.state(follower)).toMatchObject({ currentTerm: 0, votedFor: null })
    const change = (voters: readonly string[], learners: readonly string[]): void => {
      const ref = world.change("leader", voters, learners)
      expect(world.outcomes.get(ref)).toMatchObject({ type: "ProposalAppended" })
      expect(world.runUntil(() => settled(world), seconds(10))).toBe(true)
    }
    change(
      world.names.filter((name) => name !== follower),
      [follower],
    )
    change(world.names, [])
    expect(
      world
        .state(follower)
        ?.configurations.at(-1)
        ?.configuration.voters.map(({ incarnation }) => incarnation),
    ).toContain(world.node(follower).member.incarnation)
  })
})

describe("machines and snapshots", () => {
  const far = (options: Partial<WorldOptions> & WorldHooks): { readonly world: World; readonly follower: string } => {
    const { world, follower } = led({ settings: tightSettings, ...options })
    world.isolate(follower)
    load(world, 120)
    return { world, follower }
  }
  test("a snapshot goes out in as many chunks as the world says, from one to many", () => {
    const chunksOf = (chunks: number): number => {
      const offsets = new Set<number>()
      const { world } = far({
        snapshots: { chunksMin: chunks, chunksMax: chunks },
        delivered: (_, __, message) => message.type === "InstallSnapshot" && offsets.add(message.offset),
      })
      world.heal()
      expect(world.runUntil(() => settled(world), seconds(10))).toBe(true)
      return offsets.size
    }
    expect([chunksOf(1), chunksOf(9)]).toEqual([1, 9])
  })
  test("taking, opening and receiving one may fail; it comes through in the end", () => {
    const seen = new Set<string>()
    const { world } = far({
      snapshots: { takeFailPermille: 500, openFailPermille: 500, rejectPermille: 300 },
      network: lossyNetwork,
      observe: ({ events }) => events.forEach(({ type }) => seen.add(type)),
    })
    world.heal()
    expect(world.runUntil(() => settled(world), seconds(60))).toBe(true)
    expect([...seen]).toEqual(
      expect.arrayContaining(["SnapshotTakeFailed", "SnapshotOpenFailed", "SnapshotRejected", "SnapshotRestored"]),
    )
  })
  test("a damaged machine is rebuilt from a peer", () => {
    const restored: string[] = []
    const { world, follower } = led({ restored: (node) => restored.push(node) })
    load(world, 5)
    world.damage(follower)
    expect(world.runUntil(() => settled(world), seconds(10))).toBe(true)
    expect(restored).toEqual([follower])
  })
  test("a crash takes a machine back to its last snapshot, no further", () => {
    const { world, leader } = led({ settings: tightSettings })
    load(world, 40)
    world.run(100)
    const { position } = world.node(leader)
    world.crash(leader, "none")
    const kept = world.node(leader).position.index
    expect(kept).toBeLessThan(position.index)
    expect(kept).toBeGreaterThanOrEqual(world.node(leader).disk.log.base.index)
    expect(kept).toBeGreaterThan(0)
  })
  test("a slow machine holds its node's reads back, not its log", () => {
    const { world, follower } = led()
    world.act({ type: "apply", node: follower, min: 1000, max: 1000 })
    load(world, 10)
    world.run(200)
    expect(world.state(follower)?.applied).toBeLessThan(world.state(follower)?.commitIndex ?? 0)
    expect(lastIndex(world, follower)).toBe(lastIndex(world, world.leader()?.name ?? ""))
  })
})

describe("clocks and pauses", () => {
  test("no timer is early in its node's own time, whatever the clock does", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 0x7fffffff }), (seed) => {
        /** By node and timer: the node's own time since it was set, in thousandths of a millisecond. */
        const running = new Map<string, { readonly min: number; local: number }>()
        const drifts = new Map<string, number>()
        let last = 0
        const pass = (now: number): void => {
          for (const [key, timer] of running)
            timer.local += (now - last) * (1000 + (drifts.get(key.split(" ")[0] ?? "") ?? 0))
          last = now
        }
        const observe = ({ at, node, events, effects }: WorldStep): void => {
          pass(at)
          for (const event of events)
            if (event.type === "TimerExpired") {
              const timer = running.get(`${node} ${event.timer}`)
              if (timer === undefined) throw new Error(`${node}: ${event.timer} was not set`)
              // Times are whole milliseconds: each change of drift may round up once.
              if (timer.local < timer.min * 1000)
                throw new Error(`${node}: ${event.timer} is early, ${timer.local} of ${timer.min * 1000}`)
              running.delete(`${node} ${event.timer}`)
            }
          for (const effect of effects) {
            if (effect.type === "SetTimer" && effect.timer !== "lease")
              running.set(`${node} ${effect.timer}`, { min: effect.min, local: 0 })
            else if (effect.type === "CancelTimer") running.delete(`${node} ${effect.timer}`)
          }
        }
        const { options, actions } = randomScript(seed, 80)
        const world = new World({ ...options, settings: { ...options.settings, leaseReads: false }, seed, observe })
        for (const action of actions) {
          if (action.type === "fire") continue
          pass(world.now)
          world.act(action)
          if (action.type === "skew" && world.data.nodes[action.node] !== undefined)
            drifts.set(action.node, action.driftPermille)
          else if (action.type === "skew")
            for (const name of world.names) drifts.set(name, world.data.nodes[name]?.clock.driftPermille ?? 0)
        }
      }),
      { numRuns: 20 },
    )
  })
  test("a clock that runs fast elects sooner, one that runs slow later", () => {
    const election = (driftPermille: number): number => {
      const world = new World({ seed: 4, nodes: 1 + 2 })
      for (const node of world.names) world.act({ type: "skew", node, offset: 0, driftPermille })
      expect(world.runUntil(() => world.leader() !== undefined, seconds(30))).toBe(true)
      return world.now
    }
    expect(election(1000)).toBeLessThan(election(0))
    expect(election(-500)).toBeGreaterThan(election(0))
  })
  test("stamps follow the leader's clock, but never go back", () => {
    const { world, leader } = led()
    world.act({ type: "skew", node: leader, offset: 60_000, driftPermille: 0 })
    load(world, 1)
    const stamp = (): number => world.state(leader)?.log.last.time ?? 0
    expect(stamp()).toBeGreaterThan(60_000)
    const before = stamp()
    world.act({ type: "skew", node: leader, offset: -60_000, driftPermille: 0 })
    load(world, 1)
    expect(stamp()).toBeGreaterThanOrEqual(before)
    expect(stamp()).toBeLessThan(before + 100)
  })
  test("a paused follower does nothing, and does not campaign against a live leader when it goes on", () => {
    const steps: WorldStep[] = []
    const { world, leader, follower } = led({ observe: (step) => steps.push(step) })
    world.pause(follower)
    steps.length = 0
    world.run(seconds(5))
    expect(steps.filter(({ node }) => node === follower)).toEqual([])
    const term = world.state(leader)?.currentTerm
    world.resume(follower)
    world.run(seconds(2))
    expect([world.leader()?.name, world.state(follower)?.currentTerm]).toEqual([leader, term])
  })
  test("that a lease is over is told before whatever waited through a pause", () => {
    const seen: (readonly string[])[] = []
    const { world, leader } = led({
      settings: { leaseReads: true },
      observe: ({ node, events }) =>
        seen.push([node, ...events.map((event) => (event.type === "TimerExpired" ? event.timer : event.type))]),
    })
    world.run(1000)
    world.pause(leader)
    world.read(leader)
    world.run(seconds(2))
    seen.length = 0
    world.resume(leader)
    expect(seen[0]?.slice(0, 3)).toEqual([leader, "ClockAdvanced", "lease"])
    expect(seen[0]).toContain("ReadRequested")
  })
})

test("roles in actions are looked up when they happen, and mean nobody if nobody has them", () => {
  const world = new World({ seed: 1 })
  const hash = world.hash()
  for (const action of [
    { type: "crash", node: "leader" },
    { type: "transfer", node: "leader", to: null },
    { type: "pause", node: "follower9" },
  ] satisfies Action[])
    world.act(action)
  expect(world.hash()).toBe(hash)
  const c = cluster(3)
  const leader = c.leader()
  c.world.act({ type: "isolate", node: "leader" })
  c.run(seconds(3))
  c.world.act({ type: "crash", node: "follower1" })
  expect(c.isUp(leader) || c.isUp(c.other(leader))).toBe(true)
  expect(Object.keys(networks)).toContain("unreliable")
})
