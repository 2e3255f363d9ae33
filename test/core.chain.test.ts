/** The chained checksum: logs that agree in index and term, but not in content, are noticed by the next append. */
import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { chainBreaksAt, initialState, Log, stepAll, type Entry, type Member } from "../core/index.ts"
import { DigestMachine, World } from "../interpreters/simulation/index.ts"
import { makeInvariantChecker } from "../spec/index.ts"
import * as arb from "./arbitraries.ts"
import { chained } from "./chained.ts"
import {
  accepted,
  append,
  entries,
  follower,
  install,
  leader,
  member,
  payload,
  server,
  snapshotAt,
  type Server,
} from "./server.ts"

const last = (log: readonly Entry[]): number => log.at(-1)?.chain ?? 0
/** The same index and term throughout, another payload at `index`. */
const altered = (log: readonly Entry[], index: number): readonly Entry[] =>
  chained(
    log.map((entry) =>
      entry.index === index && entry.kind === "command"
        ? { ...entry, payload: { ...entry.payload, checksum: entry.payload.checksum + 1 } }
        : entry,
    ),
  )

describe("the chain", () => {
  test("tells apart whatever differs in any entry, and everything after it", () => {
    const changes: Partial<Record<string, (entry: Entry) => Entry>> = {
      term: (entry) => ({ ...entry, term: entry.term + 1 }),
      "term, high": (entry) => ({ ...entry, term: entry.term + 2 ** 33 }),
      time: (entry) => ({ ...entry, time: entry.time + 1 }),
      "time, high": (entry) => ({ ...entry, time: entry.time + 2 ** 40 }),
      kind: (entry) =>
        entry.kind === "noop" ? { ...entry, kind: "command", payload: payload(0, 0) } : { ...entry, kind: "noop" },
      content: (entry) =>
        entry.kind === "command"
          ? { ...entry, payload: { ...entry.payload, checksum: entry.payload.checksum ^ 1 } }
          : entry.kind === "configuration"
            ? {
                ...entry,
                configuration: { ...entry.configuration, voters: [...entry.configuration.voters, member("z")] },
              }
            : { ...entry, time: entry.time + 2 },
      length: (entry) =>
        entry.kind === "command"
          ? { ...entry, payload: { ...entry.payload, bytes: new Uint8Array(entry.payload.bytes.length + 1) } }
          : { ...entry, time: entry.time + 3 },
    }
    fc.assert(
      fc.property(
        arb.entries.filter((log) => log.length > 0),
        fc.nat(),
        fc.constantFrom(...Object.keys(changes)),
        (run, pick, what) => {
          const log = chained(run)
          const at = pick % log.length
          const other = chained(log.map((entry, i) => (i === at ? (changes[what]?.(entry) ?? entry) : entry)))
          for (let i = 0; i < log.length; i++) expect(log[i]?.chain === other[i]?.chain).toBe(i < at)
          expect(chainBreaksAt(0, log)).toBeNull()
          expect(chainBreaksAt(1, log)).toBe(log[0]?.index)
        },
      ),
      { numRuns: 500 },
    )
  })
  test("names of members are not run together", () => {
    const one = (voters: readonly Member[], learners: readonly Member[] = []): number =>
      last(
        chained([
          { kind: "configuration", index: 1, term: 1, time: 0, configuration: { voters, outgoing: [], learners } },
        ]),
      )
    const [a, b] = [member("a"), member("b")]
    const all = [
      one([a, b]),
      one([b, a]),
      one([a], [b]),
      one([{ name: "a1", incarnation: "" }, b]),
      one([{ name: "ab", incarnation: "1" }]),
      one([a]),
    ]
    expect(new Set(all).size).toBe(all.length)
  })
  test("is made by whoever makes the entry, and goes on over a trimmed log", () => {
    const it = leader({ log: [1, 1], settings: { trailingLogBytes: 0 } })
    it.propose(payload(7), payload(8))
    const log = it.state.log.toArray()
    expect([log.length, chainBreaksAt(0, log)]).toEqual([5, null])
    it.receive("b", accepted(5))
      .receive("c", accepted(5))
      .happens({ type: "SnapshotTaken", base: snapshotAt(4, it.term) })
    it.propose()
    const { base } = it.state.log
    expect([base.index > 0, chainBreaksAt(base.chain, it.state.log.toArray())]).toEqual([true, null])
  })
})

describe("the same index and term, another content", () => {
  const log = entries(1, [1, 1, 1])
  const diverged = (it: Server, more: object): void => {
    expect(it.state.halted).toMatchObject({ reason: "logsDiverged", term: 1, ...more })
    expect(it.noted("halt.logsDiverged")).toBe(true)
    expect(it.effects.map(({ type }) => type).filter((type) => type !== "Note")).toEqual(["Halt"])
  }
  for (const [applied, committed] of [
    [3, true],
    [0, false],
  ] as const) {
    const here = (): Server => server({ log: [1, 1, 1], applied })
    test(`at prevLogIndex of a heartbeat, committed ${committed}`, () => {
      diverged(here().receive("b", { ...append({ prev: [3, 1] }), prevLogChain: last(altered(log, 2)) }), {
        index: 3,
        committed,
        leader: member("b"),
      })
    })
    test(`in an entry that is sent again, committed ${committed}`, () => {
      diverged(here().receive("b", { ...append(), prevLogChain: 0, entries: altered(log, 2) }), { index: 2, committed })
    })
    test(`at the end of a snapshot, committed ${committed}`, () => {
      diverged(
        here().receive("b", install({ ...snapshotAt(2, 1), chain: last(altered(log.slice(0, 2), 1)) }, 0, true)),
        { index: 2, committed },
      )
    })
  }
  test("of the own state machine: at a snapshot that it took, and at the start", () => {
    const wrong = { ...snapshotAt(2, 1), chain: last(altered(log.slice(0, 2), 1)) }
    diverged(server({ log: [1, 1, 1], applied: 3 }).happens({ type: "SnapshotTaken", base: wrong }), {
      index: 2,
      leader: null,
      committed: true,
    })
    const { settings, self } = server().state
    const found = (position: typeof wrong) =>
      initialState(settings, {
        self,
        bootId: 1,
        hardState: { term: 1, vote: null },
        base: { ...snapshotAt(0, 0), chain: 0 },
        entries: log,
        position,
      })
    const [state, effects] = stepAll(found(wrong), [{ type: "Started" }])
    expect(state.halted).toMatchObject({ reason: "logsDiverged", index: 2, leader: null })
    expect(effects.map(({ type }) => type)).toEqual(["Note", "Halt"].slice(1))
    expect(stepAll(state, [{ type: "TimerExpired", timer: "election" }])[1]).toEqual([])
    expect(found({ ...wrong, chain: last(log.slice(0, 2)) }).halted).toBeNull()
  })
  test("entries that do not follow from one another are not taken, and not found on a disk", () => {
    const [one, two, three] = log
    if (one === undefined || two === undefined || three === undefined) throw new Error("no entries")
    for (const broken of [
      [one, { ...two, chain: two.chain ^ 1 }],
      [one, two, { ...three, payload: payload(1) } as Entry],
      altered(log, 1).map((entry, i) => ({ ...entry, chain: log[i]?.chain ?? 0 })),
    ]) {
      const it = follower().receive("b", { ...append(), prevLogChain: 0, entries: broken })
      expect([it.log, it.noted("append.chainBroken"), it.sent("AppendAccepted")]).toEqual([[], true, []])
      const { settings, self } = it.state
      expect(() =>
        initialState(settings, {
          self,
          bootId: 1,
          hardState: { term: 1, vote: null },
          base: { ...snapshotAt(0, 0), chain: 0 },
          entries: broken,
          position: null,
        }),
      ).toThrow(/a broken chain at entry/)
    }
  })
  test("an acknowledgement of something else does not count, and its sender is asked right there", () => {
    const it = leader({ log: [1, 1] }).receive("b", accepted(2, { verifiedChain: 77 }))
    expect([it.progress("b").matchIndex, it.commit, it.noted("progress.diverged")]).toEqual([0, 0, true])
    const asked = it.last("AppendEntries", "b")
    expect(asked).toMatchObject({ prevLogIndex: 2, prevLogTerm: 1, prevLogChain: it.state.log.chainAt(2) })
    // What it asks is what stops a follower that holds something else.
    const other = server({ name: "b", log: [1, 1], applied: 2, term: 2 })
    other.state = { ...other.state, log: Log.of(other.state.log.base, altered(entries(1, [1, 1]), 1)) }
    expect(other.receive("a", asked).state.halted).toMatchObject({ reason: "logsDiverged", index: 2, committed: true })
  })
})

describe("directories that went back in time, in a world", () => {
  /** Three servers have executed much; then all stop, and `others` find their disks as they were before the last `lost` commands. */
  const rolledBack = (
    lost: number,
    after: number,
  ): { readonly stopped: readonly string[]; readonly world: World; readonly third: string } => {
    const stopped: string[] = []
    const check = makeInvariantChecker({ halts: "allowed" })
    const world = new World({
      seed: 5,
      nodes: 3,
      stopped: (node, why) => (why === "crash" ? 0 : stopped.push(`${node} ${why}`)),
    })
    const propose = (count: number, id: number): void => {
      const leads = world.leader()
      if (leads === undefined) throw new Error("nobody leads")
      for (let i = 0; i < count; i++) world.propose(leads.name, [payload(id + i)])
      world.run(2000)
    }
    world.run(3000)
    propose(10, 100)
    const kept = new Map(
      world.names.map((name) => [
        name,
        {
          log: world.node(name).disk.log,
          hardState: world.node(name).disk.hardState,
          machine: world.node(name).machine.clone(),
        },
      ]),
    )
    propose(lost, 200)
    const third = world.names.find((name) => name !== world.leader()?.name) ?? "n1"
    for (const name of world.names) world.crash(name, "all")
    for (const name of world.names) {
      const was = kept.get(name)
      if (name === third || was === undefined) continue
      const { disk, state } = world.node(name)
      disk.log = was.log
      disk.hardState = was.hardState
      state.machine = was.machine
      state.durable = was.machine.clone()
    }
    for (const name of world.names) if (name !== third) world.start(name)
    world.run(3000)
    propose(after, 300)
    world.start(third)
    world.run(10_000)
    check.sweep()
    return { stopped, world, third }
  }
  for (const [lost, after] of [
    [3, 10],
    [3, 3],
    [3, 2],
    [10, 1],
    [1, 0],
  ] as const)
    test(`${lost} writes are gone at a majority, ${after} others came: the third says so and stops`, () => {
      const { stopped, world, third } = rolledBack(lost, after)
      expect(stopped).toHaveLength(1)
      expect(stopped[0]).toMatch(new RegExp(`^${third} (committedConflict|logsDiverged)$`))
      // The others go on.
      expect(world.leader()).toBeDefined()
    })
  test("nothing of the kind: nobody stops", () => {
    expect(rolledBack(0, 5).stopped).toEqual([])
  })
  test("another content on one disk is noticed at once", () => {
    const stopped: string[] = []
    const world = new World({
      seed: 9,
      nodes: 3,
      stopped: (node, why) => (why === "crash" ? 0 : stopped.push(`${node} ${why}`)),
    })
    world.run(3000)
    for (let i = 0; i < 5; i++) world.propose(world.leader()?.name ?? "", [payload(i + 1)])
    world.run(2000)
    const wrong = world.names.find((name) => name !== world.leader()?.name) ?? "n1"
    world.crash(wrong, "all")
    const { disk, state } = world.node(wrong)
    disk.log = Log.of(disk.log.base, altered(disk.log.toArray(), 3))
    state.machine = new DigestMachine(disk.log.base)
    state.durable = state.machine.clone()
    world.start(wrong)
    world.run(2000)
    expect(stopped).toEqual([`${wrong} logsDiverged`])
  })
})
