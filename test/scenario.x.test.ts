/**
 * Scenarios X that break disks, clocks, links and state machines in ways that the course's tests do not. Whether alerts
 * are right is judged where alerts are.
 */
import { describe, expect } from "vitest"
import type { Cluster, ReadResult, StoryTask } from "../interpreters/simulation/index.ts"
import { everyTen, offers, scenario, T, valuesOf, watched, type ScenarioOptions } from "./scenario.kit.ts"

/** The leader and two followers. */
const three = (c: Cluster): readonly [string, string, string] => {
  const leader = c.leader()
  const [a = "", b = ""] = c.others(leader)
  return [leader, a, b]
}
const executedTwice = (c: Cluster): readonly number[] => valuesOf(c).filter((value, i, all) => all.indexOf(value) !== i)

describe("sizes", () => {
  scenario("X1", {}, () => {
    for (const servers of [2, 4, 6]) {
      const c = watched({ servers })
      c.one(c.fresh(), servers)
      const leader = c.leader()
      // Half of an even number is no majority: neither half may decide.
      c.partition([leader, ...c.others(leader).slice(0, servers / 2 - 1)])
      const command = c.offer(leader, c.fresh())?.index ?? 0
      c.run(5 * T)
      c.nobodyLeads()
      expect(c.committed(command).count).toBe(0)
      c.heal()
      c.one(c.fresh(), servers)
      // One more than half is.
      c.cut(...c.others(c.leader()).slice(0, servers / 2 - 1))
      c.one(c.fresh(), servers / 2 + 1)
    }
  })
})

describe("snapshots", () => {
  scenario("X2", { settings: everyTen }, (c) => {
    const [leader, behind] = three(c)
    c.one(c.fresh(), 3)
    c.cut(behind)
    for (let i = 0; i < 60; i++) c.one(c.fresh(), 2)
    // It hears its leader; what it says is lost as soon as the transfer has begun, and while the leader trims on.
    c.join(behind)
    const installs = (): number => c.meter.count({ kind: "InstallSnapshot" }).sent
    expect(c.runUntil(() => installs() > 0, T)).toBe(true)
    c.world.cutOneWay(behind, leader)
    for (let i = 0; i < 60; i++) c.one(c.fresh(), 2)
    c.run(10 * T)
    expect(installs(), "nobody floods a follower that does not answer").toBeLessThan(40)
    expect(c.leader()).toBe(leader)
    c.heal()
    c.run(2 * T)
    c.one(c.fresh(), 3)
    // And when each answer may be lost, not all of them.
    c.cut(behind)
    for (let i = 0; i < 60; i++) c.one(c.fresh(), 2)
    c.network({ ...c.world.network, lossPermille: 300 })
    c.join(behind)
    expect(c.runUntil(() => c.state(behind).applied >= c.agreement.last, 60 * T)).toBe(true)
  })

  const executions = new Map<string, number[]>()
  scenario(
    "X3",
    {
      settings: everyTen,
      applied: (name, entries) =>
        executions.set(name, [...(executions.get(name) ?? []), ...entries.map(({ index }) => index)]),
    },
    (c) => {
      for (let i = 0; i < 27; i++) c.one(c.fresh(), 3)
      c.run(T)
      const executed = c.names.map((name) => c.state(name).applied)
      executions.clear()
      // A state machine that is durable by itself is ahead of the log's base: nothing is executed again …
      c.crashKeeping("all", ...c.names)
      c.restart(...c.names)
      expect(c.names.map((name) => c.state(name).applied)).toEqual(executed)
      c.one(c.fresh(), 3)
      for (const name of c.names) expect(Math.min(...(executions.get(name) ?? []))).toBe(c.agreement.last - 1)
      // … and one that fell back to its last snapshot executes what came after that.
      executions.clear()
      const trimmed = c.names.map((name) => c.state(name).log.base.index)
      c.crashKeeping("none", ...c.names)
      c.restart(...c.names)
      c.one(c.fresh(), 3)
      for (const [i, name] of c.names.entries())
        expect(Math.min(...(executions.get(name) ?? []))).toBeGreaterThan(trimmed[i] ?? 0)
    },
  )

  scenario("X11", { settings: everyTen, snapshots: { chunksMin: 30, chunksMax: 60 } }, (c) => {
    const [leader, behind, other] = three(c)
    c.one(c.fresh(), 3)
    c.cut(behind)
    for (let i = 0; i < 60; i++) c.one(c.fresh(), 2)
    c.join(behind)
    // The sender goes in the middle of the transfer, and the next one has another image.
    const sent = (): number => c.meter.count({ kind: "InstallSnapshot" }).sent
    expect(c.runUntil(() => sent() > 10, 5 * T)).toBe(true)
    c.crash(leader)
    expect(c.leader()).toBe(other)
    // Then chunks and answers are lost, and more commands come in than a log holds.
    c.restart(leader)
    c.network("unreliable")
    for (let i = 0; i < 40; i++) c.one(c.fresh(), 2)
    expect(c.runUntil(() => c.state(behind).applied >= c.agreement.last, 60 * T)).toBe(true)
    c.network("reliable")
    c.one(c.fresh(), 3)
  })
})

describe("disks", () => {
  scenario("X4", { servers: 3 }, (c) => {
    const acknowledged: number[] = []
    for (let i = 0; i < 60; i++) {
      const command = c.fresh()
      c.one(command, 2)
      acknowledged.push(command.checksum)
      // The last of the writes under way is half done when the power goes: for one server, or for all of them.
      for (const name of c.names) c.offer(name, c.fresh())
      c.run(c.random.below(4))
      const victims = i % 5 === 4 ? c.names : [c.any()]
      c.crashKeeping("torn", ...victims)
      c.restart(...victims)
    }
    c.one(c.fresh(), 3)
    expect(acknowledged.filter((value) => !valuesOf(c).includes(value))).toEqual([])
  })

  const stopped: string[] = []
  scenario("X5", { stopped: (name, why) => stopped.push(`${name} ${why}`) }, (c) => {
    for (const failure of ["failWrite", "failSync"] as const)
      for (const role of ["leader", "follower1"]) {
        c.one(c.fresh(), 3)
        const leader = c.leader()
        const victim = role === "leader" ? leader : c.other(leader)
        c.world.act({ type: failure, node: role })
        stopped.length = 0
        const command = c.fresh()
        c.one(command, 2)
        // It serves nothing from memory: it stops. What it had acknowledged is there when it is back.
        expect(stopped).toEqual([`${victim} ${failure === "failWrite" ? "writeFailed" : "syncFailed"}`])
        expect(c.isUp(victim)).toBe(false)
        c.one(c.fresh(), 2)
        c.restart(victim)
        c.one(c.fresh(), 3)
        expect(valuesOf(c)).toContain(command.checksum)
      }
  })

  scenario("X10", {}, (c) => {
    const [leader, slow] = three(c)
    const term = c.term()
    const timed = (count: number): number => {
      const began = c.now
      for (let i = 0; i < 10; i++) c.one(c.fresh(), count)
      return c.now - began
    }
    // A slow follower holds nobody up, nor does a slow leader: the others are a majority.
    c.world.act({ type: "disk", node: slow, min: 200, max: 400 })
    expect(timed(1)).toBeLessThanOrEqual(10 * 20)
    c.world.act({ type: "disk", node: slow, min: 1, max: 1 })
    c.world.act({ type: "disk", node: leader, min: 200, max: 400 })
    // Followers learn of it with the next heartbeat; the leader itself executes nothing that its own disk lacks.
    expect(timed(2)).toBeLessThanOrEqual(10 * 140)
    expect([c.leader(), c.term()]).toEqual([leader, term])
    c.world.act({ type: "disk", node: leader, min: 1, max: 1 })
    c.run(5 * T)
    c.one(c.fresh(), 3)
    // A leader whose disk hangs hands over while its heartbeats still go out.
    c.world.act({ type: "stallDisk", node: leader })
    c.offer(leader, c.fresh())
    c.run(2 * T)
    expect(c.leader()).not.toBe(leader)
    c.one(c.fresh(), 2)
    c.world.act({ type: "resumeDisk", node: leader })
    c.one(c.fresh(), 3)
  })

  scenario("X26", {}, (c) => {
    const [leader, a, b] = three(c)
    c.one(c.fresh(), 3)
    const refusal = (name: string): unknown => c.do(c.propose(name, c.fresh()))
    // A leader without room hands over to one that has some.
    c.world.act({ type: "fullDisk", node: leader })
    c.run(T)
    const next = c.leader()
    expect(next).not.toBe(leader)
    c.one(c.fresh(), 2)
    // With no room anywhere, writes are refused by name and reads go on.
    for (const name of [a, b]) c.world.act({ type: "fullDisk", node: name })
    const last = c.leader()
    expect(refusal(last)).toMatchObject({ type: "ProposalRefused", reason: "spaceLow" })
    const reads = c.together(c.names.map((name) => c.read(name, T)))
    expect(reads.map(({ type }) => type)).toEqual(["ready", "ready", "ready"])
    for (const name of c.names) c.world.act({ type: "freeDisk", node: name })
    c.one(c.fresh(), 3)
  })

  scenario("X27", { settings: everyTen }, (c) => {
    for (let i = 0; i < 25; i++) c.one(c.fresh(), 3)
    const [leader, follower] = three(c)
    c.world.damage(follower)
    c.one(c.fresh(), 2)
    expect(c.runUntil(() => c.state(follower).machine === "ready", 5 * T)).toBe(true)
    c.one(c.fresh(), 3)
    // A leader without a state machine can serve nobody: it hands over, and is rebuilt by its successor.
    c.world.damage(leader)
    expect(c.do(c.read(leader, T))).toMatchObject({ type: "refused", reason: "rebuilding" })
    expect(c.leader()).not.toBe(leader)
    expect(c.runUntil(() => c.state(leader).machine === "ready", 5 * T)).toBe(true)
    c.one(c.fresh(), 3)
  })
})

describe("links", () => {
  scenario("X6", { servers: 5 }, (c) => {
    c.one(c.fresh(), 5)
    const before = c.leader()
    const others = c.others(before)
    // A leader that is heard but hears nothing gives up, so that another one can do better …
    for (const name of others) c.world.cutOneWay(name, before)
    c.run(3 * T)
    expect(c.leads(before)).toBe(false)
    c.one(c.fresh(), 4)
    c.heal()
    c.one(c.fresh(), 5)
    // … and one that hears but is not heard is replaced.
    const deaf = c.leader()
    for (const name of c.others(deaf)) c.world.cutOneWay(deaf, name)
    c.run(3 * T)
    expect(c.leads(deaf)).toBe(false)
    c.one(c.fresh(), 4)
    c.heal()
    c.one(c.fresh(), 5)
    // A follower that only speaks, or only listens, disturbs nobody.
    const leader = c.leader()
    const term = c.term()
    const [speaks = "", listens = ""] = c.others(leader)
    for (const name of c.others(speaks)) c.world.cutOneWay(name, speaks)
    for (const name of c.others(listens)) c.world.cutOneWay(listens, name)
    for (let i = 0; i < 10; i++) {
      c.one(c.fresh(), 3)
      c.run(T)
    }
    expect([c.leader(), c.state(leader).currentTerm]).toEqual([leader, term])
    c.heal()
    c.one(c.fresh(), 5)
  })

  const twice: ScenarioOptions["network"] = {
    lossPermille: 0,
    duplicatePermille: 1000,
    delayMin: 1,
    delayMax: 30,
    longDelayPermille: 100,
    longDelayMax: 400,
  }
  scenario("X7", { servers: 3, settings: everyTen, network: twice, snapshots: { chunksMin: 1, chunksMax: 2 } }, (c) => {
    for (let round = 0; round < 15; round++) {
      const leader = c.leader()
      const taken = Array.from({ length: 20 }, () => c.offer(leader, c.fresh()))
      for (const offered of taken) if (offered !== null) c.wait(offered.index, 3)
      c.cut(round % 2 === 0 ? c.other(leader) : leader)
      offers(c, c.leader(), 20)
      c.run(T)
      c.heal()
      c.one(c.fresh(), 3)
    }
    expect(executedTwice(c)).toEqual([])
  })
})

describe("clocks", () => {
  const DAY = 86_400_000
  scenario("X8", {}, (c) => {
    c.one(c.fresh(), 3)
    const [leader, ahead, behind] = three(c)
    const term = c.term()
    // Wall clocks are for stamps only, and stamps never fall (that is checked at every step).
    c.world.act({ type: "skew", node: ahead, offset: DAY, driftPermille: 100 })
    c.world.act({ type: "skew", node: behind, offset: -DAY, driftPermille: -100 })
    for (let i = 0; i < 10; i++) {
      c.one(c.fresh(), 3)
      c.run(T)
    }
    expect([c.leader(), c.term()]).toEqual([leader, term])
    // The same when the one in the future has led.
    c.world.act({ type: "transfer", node: leader, to: ahead })
    c.run(T)
    expect(c.leader()).toBe(ahead)
    c.one(c.fresh(), 3)
    c.world.act({ type: "transfer", node: ahead, to: behind })
    c.run(T)
    expect(c.leader()).toBe(behind)
    const stamp = c.state(behind).log.last.time
    c.one(c.fresh(), 3)
    expect(stamp).toBeGreaterThanOrEqual(DAY)
    for (const name of c.names) c.world.act({ type: "skew", node: name, offset: 0, driftPermille: 0 })
    c.one(c.fresh(), 3)
  })

  scenario("X9", {}, (c) => {
    c.one(c.fresh(), 3)
    const [leader, follower] = three(c)
    c.world.pause(leader)
    const lost = c.fresh()
    c.offer(leader, lost)
    c.run(3 * T)
    const next = c.leader()
    expect(next).not.toBe(leader)
    c.one(c.fresh(), 2)
    // It wakes up as a leader of the past; what it was offered meanwhile it must not take for committed.
    c.world.resume(leader)
    c.one(c.fresh(), 3)
    expect(c.leads(leader)).toBe(false)
    expect(valuesOf(c)).not.toContain(lost.checksum)
    // A follower that slept disturbs nobody when it wakes up.
    const term = c.term()
    const sleeper = follower === c.leader() ? leader : follower
    c.world.pause(sleeper)
    c.run(5 * T)
    c.world.resume(sleeper)
    c.run(2 * T)
    expect(c.term()).toBe(term)
    c.one(c.fresh(), 3)
  })
})

describe("reads", () => {
  scenario("X12", {}, (c) => {
    c.one(c.fresh(), 3)
    const old = c.leader()
    expect(c.do(c.read(old, 50)).type).toBe("ready")
    // For a while it does not know that it is alone, and what it would answer is stale at any time.
    c.cut(old)
    const ask = (): StoryTask<ReadResult> => c.go(c.read(old, 60 * T))
    const reads = [ask()]
    while (c.now < 20 * T && c.committed(2).count < 2) {
      c.run(50)
      for (const name of c.others(old)) if (c.leads(name)) c.offer(name, c.fresh())
      reads.push(ask())
    }
    c.run(3 * T)
    c.join(old)
    c.run(2 * T)
    expect(
      reads.filter(({ done }) => !done),
      "reads without an answer",
    ).toEqual([])
    expect(c.finish(reads).filter(({ type }) => type !== "refused")).toEqual([])
    // A leader that slept through its own deposition answers from the past neither.
    c.one(c.fresh(), 3)
    const sleeper = c.leader()
    c.world.pause(sleeper)
    const asked = c.go(c.read(sleeper, 4 * T))
    c.run(2 * T)
    c.one(c.fresh(), 2)
    c.world.resume(sleeper)
    c.run(T)
    expect(asked.result().type).toBe("refused")
  })
})
