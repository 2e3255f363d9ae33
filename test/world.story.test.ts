/** The tester's hands: that a story says what happened, and fails when it did not. */
import { describe, expect, test } from "vitest"
import {
  cluster,
  ServersDisagree,
  AgreementChecker,
  seconds,
  StoryFailed,
  type Cluster,
  type StoryWork,
} from "../interpreters/simulation/index.ts"
import { tightSettings } from "./worlds.ts"

describe("a story", () => {
  test("indexes count commands: no-ops of elections stand between them", () => {
    const c = cluster(3)
    expect(c.one("x", 3)).toBe(1)
    const first = c.leader()
    c.cut(first)
    expect(c.one("y", 2)).toBe(2)
    expect(c.leader()).not.toBe(first)
    c.join(first)
    expect(c.one("z", 3)).toBe(3)
    c.run(100)
    expect(c.executed(first).map(({ payload }) => new TextDecoder().decode(payload.bytes))).toEqual([
      '"x"',
      '"y"',
      '"z"',
    ])
  })
  test("a command that cannot be agreed on is a failure, with its seed and time", () => {
    const c = cluster(3, { seed: 7 })
    const leader = c.leader()
    c.cut(...c.others(leader))
    expect(c.offer(leader, "lost")?.index).toBe(1)
    expect(() => c.one("never", 2)).toThrow(StoryFailed)
    expect(() => c.one("never", 2, false)).toThrow(/seed 7, at \d+ ms/)
    expect(c.committed(1).count).toBe(0)
  })
  test("a server that is not there is a mistake in the story, and time goes on by whole milliseconds to the moment", () => {
    const c = cluster(3, { seed: 4 })
    for (const slip of [
      () => c.cut("n9"),
      () => c.join("n9"),
      () => c.crash("n9"),
      () => c.start("n9"),
      () => c.restart("n9"),
      () => c.partition(["n9"]),
    ])
      expect(slip).toThrow(/no server n9 among n1, n2, n3/)
    for (const slip of [() => c.world.run(-1), () => c.world.run(0.5), () => cluster(0)])
      expect(slip).toThrow(RangeError)
    c.run(1500)
    for (let i = 1; i <= 50; i++) {
      expect(c.world.runUntil(() => false, 37)).toBe(false)
      expect(c.now).toBe(1500 + 37 * i)
    }
  })
  test("without a majority nobody leads, and one who joins only hears those who are on the network", () => {
    const c = cluster(3)
    c.cut(...c.names)
    c.run(seconds(2))
    c.nobodyLeads()
    expect(() => c.leader()).toThrow(/no leader/)
    c.join("n1")
    c.run(seconds(2))
    c.nobodyLeads()
    c.join("n3")
    expect(["n1", "n3"]).toContain(c.leader())
    expect(c.term()).toBeGreaterThan(0)
  })
  test("a server that was crashed starts with what its disk kept, and joins when it is told to", () => {
    const c = cluster(3)
    c.one("a", 3)
    c.crash(...c.names)
    expect(c.names.some((name) => c.isUp(name))).toBe(false)
    c.start(...c.names)
    c.run(seconds(2))
    c.nobodyLeads()
    c.join(...c.names)
    expect(c.one("b", 3)).toBe(2)
  })
  test("clients live in virtual time beside one another, and get the results of their commands", () => {
    const c = cluster(3, { settings: { forwardProposals: true } })
    c.leader()
    const client = function* (c: Cluster, name: string): StoryWork<number> {
      let done = 0
      for (let i = 0; i < 20; i++) {
        const submitted = yield* c.submit(name, `${name} ${i}`)
        if (submitted.type === "executed") done += 1
        expect((yield* c.read(name)).type).toBe("ready")
        yield 5
      }
      return done
    }
    const before = c.now
    expect(c.finish(c.names.map((name) => c.go(client(c, name))))).toEqual([20, 20, 20])
    expect(c.now - before).toBeLessThan(2000)
    expect(c.agreement.length).toBe(60)
  })
  test("a submission at a leader that loses its place is unknown, and is told so in time", () => {
    const c = cluster(3)
    const old = c.leader()
    c.cut(old)
    const task = c.go(c.submit(old, "mine", 5000))
    c.one("theirs", 2)
    c.join(old)
    const [submitted] = c.finish([task])
    expect(submitted).toMatchObject({ type: "unknown", reason: "replaced" })
    // Also one that stands past the end of what the others have.
    const next = c.leader()
    c.cut(next)
    const many = Array.from({ length: 20 }, (_, i) => c.go(c.submit(next, i, 20_000)))
    c.one("one", 2)
    c.join(next)
    const before = c.now
    expect(new Set(c.finish(many).map(({ type }) => type))).toEqual(new Set(["unknown"]))
    expect(c.now - before).toBeLessThan(1000)
  })
  test("what a follower forwarded is waited for, though its log does not hold it yet", () => {
    const c = cluster(3, { seed: 3, settings: { forwardProposals: true }, network: "unreliable" })
    const follower = c.other(c.leader())
    let executed = 0
    for (let i = 0; i < 60; i++) {
      const [submitted] = c.finish([c.go(c.submit(follower, i, 3000))])
      if (submitted?.type === "executed") executed += 1
      else expect(submitted).not.toMatchObject({ reason: "replaced" })
    }
    expect(executed).toBeGreaterThan(30)
  })
  test("requests, bytes and stored bytes are counted", () => {
    const c = cluster(3, { settings: { ...tightSettings, trailingLogBytes: 0 } })
    c.leader()
    const [rpcs, bytes] = [c.rpcs(), c.bytes()]
    for (let i = 0; i < 10; i++) c.one("x".repeat(500), 3)
    expect(c.rpcs() - rpcs).toBeLessThan(80)
    expect(c.bytes() - bytes).toBeGreaterThan(10 * 2 * 500)
    expect(c.bytes() - bytes).toBeLessThan(10 * 3 * 500 + 20_000)
    c.run(1000)
    for (const name of c.names) expect(c.stateBytes(name)).toBeLessThan(4000)
    expect(c.meter.count({ kind: "RequestVote" }).sent).toBeGreaterThan(0)
    expect(c.meter.count({ to: "n1" }).delivered).toBeLessThan(c.meter.count().delivered)
  })
  test("clients begin at once, and what one throws stops the story", () => {
    const c = cluster(3)
    const leader = c.leader()
    const task = c.go(c.propose(leader, c.fresh()))
    expect(task.result()).toMatchObject({ type: "ProposalAppended" })
    const broken = function* (after: number): StoryWork<void> {
      if (after > 0) yield after
      throw new Error("broken")
    }
    const hasty = function* (): StoryWork<void> {
      c.run(1)
      yield 1
    }
    const endless = function* (): StoryWork<void> {
      for (;;) yield 10
    }
    const before = c.now
    expect(() => c.together([endless(), broken(100)])).toThrow("broken")
    expect(c.now - before).toBe(100)
    expect(() => c.go(broken(0))).toThrow("broken")
    // Time goes on by yield only.
    expect(() => c.do(hasty())).toThrow(/yield/)
  })
  test("members come and go while clients go on; a command is waited for, or its term is over", () => {
    const c = cluster(3)
    const work = function* (): StoryWork<number> {
      let last = 0
      for (let i = 0; i < 20; i++) last = yield* c.agree(c.fresh(), 3)
      return last
    }
    const client = c.go(work())
    c.add("n4", "n5")
    c.change(["n1", "n2", "n3"], ["n4", "n5"])
    c.change(["n3", "n4", "n5"])
    const [last = 0] = c.finish([client])
    expect(last).toBe(20)
    c.crash("n1", "n2")
    expect(c.one("x", 3)).toBe(21)
    expect(c.wait(21, 3)?.kind).toBe("command")
    expect(() => c.wait(22, 1, undefined, 100)).toThrow(/0 servers executed command 22/)
    const old = c.leader()
    const offer = c.offer(old, "lost")
    c.cut(old)
    expect(c.wait(22, 3, offer?.term)).toBeNull()
    expect(() => c.change(["n1"])).toThrow(StoryFailed)
  })
})

test("an agreement checker notices servers that execute different entries at one index, leave one out, or come to something else by them", () => {
  const entry = (index: number, checksum: number, term = 1) => ({
    kind: "command" as const,
    index,
    term,
    time: 0,
    chain: 0,
    payload: { bytes: new Uint8Array(), checksum },
  })
  const noop = (index: number, term: number) => ({ kind: "noop" as const, index, term, time: 0, chain: 0 })
  const agreement = new AgreementChecker()
  agreement.applied("a", [entry(1, 5), noop(2, 1), entry(3, 6)])
  agreement.compare("a", 77)
  expect(agreement.executedBy("a")).toBe(2)
  agreement.applied("b", [entry(1, 5)])
  for (const wrong of [[entry(2, 5)], [noop(2, 2)], [entry(1, 5)], [entry(3, 6)]])
    expect(() => agreement.applied("b", wrong)).toThrow(ServersDisagree)
  expect(() => agreement.applied("c", [entry(1, 6)])).toThrow(ServersDisagree)
  expect(() => agreement.placed("c", { index: 3, term: 2 })).toThrow(ServersDisagree)
  expect(() => agreement.placed("c", { index: 4, term: 1 })).toThrow(ServersDisagree)
  agreement.placed("c", { index: 3, term: 1 })
  expect(() => agreement.compare("c", 78)).toThrow(ServersDisagree)
})
