/**
 * Scenarios X that break disks, clocks, links and state machines in ways that the course's tests do not. Whether alerts
 * are right is judged where alerts are.
 */
import { describe, expect } from "vitest"
import { Harness, scenario, T, type HarnessOptions } from "./scenario.kit.ts"

/** The leader and two followers. */
const three = (it: Harness): readonly [string, string, string] => {
  const leader = it.leader()
  const [a = "", b = ""] = it.after(leader)
  return [leader, a, b]
}
const executedTwice = (it: Harness): readonly number[] => it.history.values.filter((value, i, all) => all.indexOf(value) !== i)

describe("sizes", () => {
  scenario("X1", {}, () => {
    for (const servers of [2, 4, 6]) {
      const it = new Harness({ servers })
      it.one(servers)
      const leader = it.leader()
      // Half of an even number is no majority: neither half may decide.
      it.world.partition([leader, ...it.after(leader).slice(0, servers / 2 - 1)])
      const command = it.offer(leader)?.command ?? 0
      it.run(5 * T)
      it.noLeader()
      expect(it.executed(command).count).toBe(0)
      it.world.heal()
      it.one(servers)
      // One more than half is.
      it.disconnect(...it.after(it.leader()).slice(0, servers / 2 - 1))
      it.one(servers / 2 + 1)
    }
  })
})

describe("snapshots", () => {
  scenario("X2", { snapshots: true }, (it) => {
    const [leader, behind] = three(it)
    it.one(3)
    it.disconnect(behind)
    for (let i = 0; i < 60; i++) it.one(2)
    // It hears its leader; what it says is lost as soon as the transfer has begun, and while the leader trims on.
    it.connect(behind)
    const installs = (): number => it.traffic.sent.get("InstallSnapshot") ?? 0
    expect(it.world.runUntil(() => installs() > 0, T)).toBe(true)
    it.world.cutOneWay(behind, leader)
    for (let i = 0; i < 60; i++) it.one(2)
    it.run(10 * T)
    expect(installs(), "nobody floods a follower that does not answer").toBeLessThan(40)
    expect(it.leader()).toBe(leader)
    it.connectAll()
    it.run(2 * T)
    it.one(3)
    // And when each answer may be lost, not all of them.
    it.disconnect(behind)
    for (let i = 0; i < 60; i++) it.one(2)
    it.world.network = { ...it.world.network, lossPermille: 300 }
    it.connect(behind)
    expect(it.world.runUntil(() => it.state(behind).applied >= it.history.last, 60 * T)).toBe(true)
  })

  const executions = new Map<string, number[]>()
  scenario("X3", { snapshots: true, hooks: { applied: (name, entries) => executions.set(name, [...(executions.get(name) ?? []), ...entries.map(({ index }) => index)]) } }, (it) => {
    for (let i = 0; i < 27; i++) it.one(3)
    it.run(T)
    const executed = it.servers.map((name) => it.state(name).applied)
    executions.clear()
    // A state machine that is durable by itself is ahead of the log's base: nothing is executed again …
    for (const name of it.servers) it.crash(name, "all")
    it.restart(...it.servers)
    expect(it.servers.map((name) => it.state(name).applied)).toEqual(executed)
    it.one(3)
    for (const name of it.servers) expect(Math.min(...(executions.get(name) ?? []))).toBe(it.history.last - 1)
    // … and one that fell back to its last snapshot executes what came after that.
    executions.clear()
    const trimmed = it.servers.map((name) => it.state(name).log.base.index)
    for (const name of it.servers) it.crash(name, "none")
    it.restart(...it.servers)
    it.one(3)
    for (const [i, name] of it.servers.entries()) expect(Math.min(...(executions.get(name) ?? []))).toBeGreaterThan(trimmed[i] ?? 0)
  })

  scenario("X11", { snapshots: true, world: { snapshots: { chunksMin: 30, chunksMax: 60 } } }, (it) => {
    const [leader, behind, other] = three(it)
    it.one(3)
    it.disconnect(behind)
    for (let i = 0; i < 60; i++) it.one(2)
    it.connect(behind)
    // The sender goes in the middle of the transfer, and the next one has another image.
    const sent = (): number => it.traffic.sent.get("InstallSnapshot") ?? 0
    expect(it.world.runUntil(() => sent() > 10, 5 * T)).toBe(true)
    it.crash(leader)
    expect(it.leader()).toBe(other)
    // Then chunks and answers are lost, and more commands come in than a log holds.
    it.restart(leader)
    it.world.network = "unreliable"
    for (let i = 0; i < 40; i++) it.one(2)
    expect(it.world.runUntil(() => it.state(behind).applied >= it.history.last, 60 * T)).toBe(true)
    it.world.network = "reliable"
    it.one(3)
  })
})

describe("disks", () => {
  scenario("X4", { servers: 3 }, (it) => {
    const acknowledged: number[] = []
    for (let i = 0; i < 60; i++) {
      const value = it.fresh()
      it.one(2, value)
      acknowledged.push(value)
      // The last of the writes under way is half done when the power goes: for one server, or for all of them.
      for (const name of it.servers) it.offer(name)
      it.run(it.random.below(4))
      const victims = i % 5 === 4 ? it.servers : [it.pick()]
      for (const name of victims) it.crash(name, "torn")
      it.restart(...victims)
    }
    it.one(3)
    expect(acknowledged.filter((value) => !it.history.values.includes(value))).toEqual([])
  })

  const stopped: string[] = []
  scenario("X5", { hooks: { stopped: (name, why) => stopped.push(`${name} ${why}`) } }, (it) => {
    for (const failure of ["failWrite", "failSync"] as const)
      for (const role of ["leader", "follower1"]) {
        it.one(3)
        const leader = it.leader()
        const victim = role === "leader" ? leader : (it.others(leader)[0] ?? "")
        it.world.act({ type: failure, node: role })
        stopped.length = 0
        const value = it.fresh()
        it.one(2, value)
        // It serves nothing from memory: it stops. What it had acknowledged is there when it is back.
        expect(stopped).toEqual([`${victim} ${failure === "failWrite" ? "writeFailed" : "syncFailed"}`])
        expect(it.isUp(victim)).toBe(false)
        it.one(2)
        it.restart(victim)
        it.one(3)
        expect(it.history.values).toContain(value)
      }
  })

  scenario("X10", {}, (it) => {
    const [leader, slow] = three(it)
    const term = it.term()
    const timed = (count: number): number => {
      const began = it.now
      for (let i = 0; i < 10; i++) it.one(count)
      return it.now - began
    }
    // A slow follower holds nobody up, nor does a slow leader: the others are a majority.
    it.world.act({ type: "disk", node: slow, min: 200, max: 400 })
    expect(timed(1)).toBeLessThanOrEqual(10 * 20)
    it.world.act({ type: "disk", node: slow, min: 1, max: 1 })
    it.world.act({ type: "disk", node: leader, min: 200, max: 400 })
    // Followers learn of it with the next heartbeat; the leader itself executes nothing that its own disk lacks.
    expect(timed(2)).toBeLessThanOrEqual(10 * 140)
    expect([it.leader(), it.term()]).toEqual([leader, term])
    it.world.act({ type: "disk", node: leader, min: 1, max: 1 })
    it.run(5 * T)
    it.one(3)
    // A leader whose disk hangs hands over while its heartbeats still go out.
    it.world.act({ type: "stallDisk", node: leader })
    it.offer(leader)
    it.run(2 * T)
    expect(it.leader()).not.toBe(leader)
    it.one(2)
    it.world.act({ type: "resumeDisk", node: leader })
    it.one(3)
  })

  scenario("X26", {}, (it) => {
    const [leader, a, b] = three(it)
    it.one(3)
    const refusal = (name: string): unknown => it.world.outcomes.get(it.world.propose(name, [it.command(it.fresh())]))
    // A leader without room hands over to one that has some.
    it.world.act({ type: "fullDisk", node: leader })
    it.run(T)
    const next = it.leader()
    expect(next).not.toBe(leader)
    it.one(2)
    // Where nobody has any, writes are refused by name and reads go on.
    for (const name of [a, b]) it.world.act({ type: "fullDisk", node: name })
    const last = it.leader()
    expect(refusal(last)).toMatchObject({ type: "ProposalRefused", reason: "spaceLow" })
    const reads = it.servers.map((name) => it.read(name))
    it.run(T)
    expect(reads.map((answer) => answer()?.type)).toEqual(["ReadReady", "ReadReady", "ReadReady"])
    for (const name of it.servers) it.world.act({ type: "freeDisk", node: name })
    it.one(3)
  })

  scenario("X27", { snapshots: true }, (it) => {
    for (let i = 0; i < 25; i++) it.one(3)
    const [leader, follower] = three(it)
    it.world.damage(follower)
    it.one(2)
    expect(it.world.runUntil(() => it.state(follower).machine === "ready", 5 * T)).toBe(true)
    it.one(3)
    // A leader without a state machine can serve nobody: it hands over, and is rebuilt by its successor.
    it.world.damage(leader)
    const read = it.read(leader)
    it.run(T)
    expect(read()).toMatchObject({ type: "ReadRefused", reason: "rebuilding" })
    expect(it.leader()).not.toBe(leader)
    expect(it.world.runUntil(() => it.state(leader).machine === "ready", 5 * T)).toBe(true)
    it.one(3)
  })
})

describe("links", () => {
  scenario("X6", { servers: 5 }, (it) => {
    it.one(5)
    const before = it.leader()
    const others = it.others(before)
    // A leader that is heard but hears nothing gives up, so that another one can do better …
    for (const name of others) it.world.cutOneWay(name, before)
    it.run(3 * T)
    expect(it.leads(before)).toBe(false)
    it.one(4)
    it.connectAll()
    it.one(5)
    // … and one that hears but is not heard is replaced.
    const deaf = it.leader()
    for (const name of it.others(deaf)) it.world.cutOneWay(deaf, name)
    it.run(3 * T)
    expect(it.leads(deaf)).toBe(false)
    it.one(4)
    it.connectAll()
    it.one(5)
    // A follower that only speaks, or only listens, disturbs nobody.
    const leader = it.leader()
    const term = it.term()
    const [speaks = "", listens = ""] = it.after(leader)
    for (const name of it.others(speaks)) it.world.cutOneWay(name, speaks)
    for (const name of it.others(listens)) it.world.cutOneWay(listens, name)
    for (let i = 0; i < 10; i++) {
      it.one(3)
      it.run(T)
    }
    expect([it.leader(), it.state(leader).currentTerm]).toEqual([leader, term])
    it.connectAll()
    it.one(5)
  })

  const twice: HarnessOptions["network"] = { lossPermille: 0, duplicatePermille: 1000, delayMin: 1, delayMax: 30, longDelayPermille: 100, longDelayMax: 400 }
  scenario("X7", { servers: 3, snapshots: true, network: twice, world: { snapshots: { chunksMin: 1, chunksMax: 2 } } }, (it) => {
    for (let round = 0; round < 15; round++) {
      const leader = it.leader()
      const values = Array.from({ length: 20 }, () => it.fresh())
      const taken = values.map((value) => it.offer(leader, value))
      for (const offered of taken) if (offered !== null) it.wait(offered.command, 3)
      const [first = ""] = it.after(leader)
      it.disconnect(round % 2 === 0 ? first : leader)
      it.offers(it.leader(), 20)
      it.run(T)
      it.connectAll()
      it.one(3)
    }
    expect(executedTwice(it)).toEqual([])
  })
})

describe("clocks", () => {
  const DAY = 86_400_000
  scenario("X8", {}, (it) => {
    it.one(3)
    const [leader, ahead, behind] = three(it)
    const term = it.term()
    // Wall clocks are for stamps only, and stamps never fall (that is checked at every step).
    it.world.act({ type: "skew", node: ahead, offset: DAY, driftPermille: 100 })
    it.world.act({ type: "skew", node: behind, offset: -DAY, driftPermille: -100 })
    for (let i = 0; i < 10; i++) {
      it.one(3)
      it.run(T)
    }
    expect([it.leader(), it.term()]).toEqual([leader, term])
    // The same when the one in the future has led.
    it.world.act({ type: "transfer", node: leader, to: ahead })
    it.run(T)
    expect(it.leader()).toBe(ahead)
    it.one(3)
    it.world.act({ type: "transfer", node: ahead, to: behind })
    it.run(T)
    expect(it.leader()).toBe(behind)
    const stamp = it.state(behind).log.lastTime
    it.one(3)
    expect(stamp).toBeGreaterThanOrEqual(DAY)
    for (const name of it.servers) it.world.act({ type: "skew", node: name, offset: 0, driftPermille: 0 })
    it.one(3)
  })

  scenario("X9", {}, (it) => {
    it.one(3)
    const [leader, follower] = three(it)
    it.world.pause(leader)
    const lost = it.fresh()
    it.offer(leader, lost)
    it.run(3 * T)
    const next = it.leader()
    expect(next).not.toBe(leader)
    it.one(2)
    // It wakes up as a leader of the past; what it was offered meanwhile it must not take for committed.
    it.world.resume(leader)
    it.one(3)
    expect(it.leads(leader)).toBe(false)
    expect(it.history.values).not.toContain(lost)
    // A follower that slept disturbs nobody when it wakes up.
    const term = it.term()
    const sleeper = follower === it.leader() ? leader : follower
    it.world.pause(sleeper)
    it.run(5 * T)
    it.world.resume(sleeper)
    it.run(2 * T)
    expect(it.term()).toBe(term)
    it.one(3)
  })
})

describe("reads", () => {
  scenario("X12", {}, (it) => {
    it.one(3)
    const old = it.leader()
    const current = it.read(old)
    it.run(50)
    expect(current()?.type).toBe("ReadReady")
    // For a while it does not know that it is alone, and what it would answer is stale at any time.
    it.disconnect(old)
    const reads = [it.read(old)]
    while (it.now < 20 * T && it.executed(2).count < 2) {
      it.run(50)
      for (const name of it.others(old)) if (it.leads(name)) it.offer(name)
      reads.push(it.read(old))
    }
    it.run(3 * T)
    it.connect(old)
    it.run(2 * T)
    expect(reads.map((answer) => answer()?.type).filter((type) => type !== "ReadRefused")).toEqual([])
    // A leader that slept through its own deposition answers from the past neither.
    it.one(3)
    const sleeper = it.leader()
    it.world.pause(sleeper)
    const asked = it.read(sleeper)
    it.run(2 * T)
    it.one(2)
    it.world.resume(sleeper)
    it.run(T)
    expect(asked()?.type).toBe("ReadRefused")
  })
})
