/** What must never happen: shown by any message, it stops the node by name. And numbers that nobody could have said. */
import { describe, expect, test } from "vitest"
import {
  defaultSettings,
  initialState,
  inPlace,
  MAX_INDEX,
  MAX_TERM,
  SettingsInvalid,
  MAX_TERM_LEAP,
  type Event,
  type Message,
  type Settings,
  type State,
} from "../core/index.ts"
import { NodeHalted } from "../interpreters/index.ts"
import { World } from "../interpreters/simulation/index.ts"
import { makeInvariantChecker, makeRefinementChecker } from "../spec/index.ts"
import {
  accepted,
  append,
  everyMessageOf,
  follower,
  install,
  leader,
  member,
  requestVote,
  server,
  snapshotAt,
  voteReply,
  type Server,
} from "./server.ts"

/** It stopped: nothing came of the batch but the word of it, and nothing comes of anything later. */
const expectHalted = (it: Server, halted: object): void => {
  expect(it.state.halted).toMatchObject(halted)
  expect(it.effects.map(({ type }) => type).filter((type) => type !== "Note")).toEqual(["Halt"])
  for (const message of everyMessageOf(it.term + 1)) expect(it.receive("c", message).effects).toEqual([])
  for (const timer of ["election", "heartbeat", "quorum"] as const) expect(it.expire(timer).effects).toEqual([])
}

describe("a conflict at or below the commit index stops the node, whichever message shows it", () => {
  // Executed through 3; entry 2 and 3 of term 1 are committed.
  const executed = (): Server => server({ log: [1, 1, 1], applied: 3, term: 2 })
  const conflict = { reason: "committedConflict", term: 1, theirs: 2, leader: member("b") }
  const shown: readonly (readonly [string, Message, number])[] = [
    ["prevLogIndex at the commit index", append({ term: 2, prev: [3, 2] }), 3],
    ["prevLogIndex below it", append({ term: 2, prev: [2, 2] }), 2],
    ["prevLogIndex below it, with entries", append({ term: 2, prev: [2, 2], entries: [2, 2, 2] }), 3 - 1],
    ["an entry at the commit index", append({ term: 2, prev: [2, 1], entries: [2] }), 3],
    ["an entry below it, after one that agrees", append({ term: 2, prev: [0, 0], entries: [1, 2, 2, 2] }), 2],
    ["a snapshot at the commit index", install(snapshotAt(3, 2), 0, true, { term: 2 }), 3],
    ["a snapshot below it", install(snapshotAt(2, 2), 0, false, { term: 2 }), 2],
    ["a late chunk of one", install(snapshotAt(1, 2), 5, false, { term: 2 }), 1],
  ]
  for (const [what, message, index] of shown)
    test(what, () => {
      expectHalted(executed().receive("b", message), { ...conflict, index })
    })
  test("a full disk and a lost state machine are no excuse", () => {
    expectHalted(
      executed()
        .happens({ type: "SpaceChanged", low: true })
        .receive("b", append({ term: 2, prev: [2, 1], entries: [2] })),
      conflict,
    )
    const lost = executed()
      .happens({ type: "MachineDamaged" })
      .receive("b", append({ term: 2, prev: [3, 2] }))
    expect(lost.noted("halt.committedConflict")).toBe(true)
    expectHalted(lost, conflict)
  })
  test("the base of the log is compared too; what was trimmed before it is gone", () => {
    const trimmed = (): Server => server({ base: { index: 3, term: 1 }, term: 2 })
    expectHalted(trimmed().receive("b", append({ term: 2, prev: [3, 2] })), { ...conflict, index: 3 })
    expect(trimmed().receive("b", append({ term: 2, prev: [2, 2] })).state.halted).toBeNull()
  })
  test("above the commit index a conflict is none: the log is repaired", () => {
    const it = server({ log: [1, 1, 1], applied: 1, term: 2 }).receive(
      "b",
      append({ term: 2, prev: [1, 1], entries: [2] }),
    )
    expect([it.state.halted, it.log]).toEqual([null, [1, 2]])
  })
  test("a message of an earlier term shows nothing", () => {
    expect(executed().receive("b", append({ term: 1, prev: [3, 0] })).state.halted).toBeNull()
  })
  test("nothing else of that batch is done: no vote is told, nothing written, nobody answered", () => {
    const it = executed().happens(
      { type: "MessageReceived", from: member("c"), message: requestVote(5, [9, 4]) },
      { type: "MessageReceived", from: member("b"), message: append({ term: 5, prev: [3, 4] }) },
      { type: "ReadRequested", ref: 1 },
    )
    expectHalted(it, { ...conflict, theirs: 4 })
  })
  test("in words: what happened, what was kept, what to do", () => {
    const { halted } = executed().receive("b", append({ term: 2, prev: [3, 2] })).state
    if (halted === null) throw new Error("it goes on")
    const { message, reason } = new NodeHalted(halted)
    expect(reason).toBe("committedConflict")
    expect(message).toMatch(
      /entry 3 is committed here in term 1, but b, the leader, has a different entry there.*restored from an older copy.*stay on this disk.*its disk counts as lost/,
    )
  })
})

describe("two leaders of one term stop whoever hears both", () => {
  const messages = (term: number): readonly Message[] => [
    append({ term }),
    append({ term, prev: [0, 0], entries: [1] }),
    install(snapshotAt(9, 1), 0, false, { term }),
  ]
  for (const [i, message] of messages(1).entries()) {
    test(`a follower, by ${message.type} ${i}`, () => {
      expectHalted(follower().receive("c", message), {
        reason: "twoLeaders",
        term: 1,
        leader: member("b"),
        other: member("c"),
      })
    })
    test(`also if it has lost the first one, by ${message.type} ${i}`, () => {
      expectHalted(
        follower()
          .happens({ type: "PeerDisconnected", peer: member("b") })
          .receive("c", message),
        { reason: "twoLeaders" },
      )
    })
    test(`and after asking for votes, by ${message.type} ${i}`, () => {
      const it = follower().expire("election").expire("election")
      expect(it.role).toBe("preCandidate")
      expectHalted(it.receive("c", message), { reason: "twoLeaders" })
    })
  }
  for (const [i, message] of messages(2).entries()) {
    test(`the leader itself, by ${message.type} ${i}`, () => {
      expectHalted(leader().receive("b", message), {
        reason: "twoLeaders",
        term: 2,
        leader: member("a"),
        other: member("b"),
      })
    })
    test(`one that has stepped down within its term, by ${message.type} ${i}`, () => {
      const it = leader().expire("quorum").expire("quorum")
      expect([it.role, it.term]).toEqual(["follower", 2])
      expectHalted(it.receive("b", message), { reason: "twoLeaders" })
    })
  }
  test("the next term has a leader of its own", () => {
    expect(follower().receive("c", append({ term: 2 })).leader).toBe("c")
  })
})

test("a world in which a directory went back in time: it stops by name, and whoever watches says so", () => {
  for (const halts of ["violations", "allowed"] as const) {
    const stopped: string[] = []
    const check = makeInvariantChecker({ halts })
    const refines = makeRefinementChecker()
    const world = new World({
      seed: 1,
      nodes: 3,
      stopped: (node, why) => stopped.push(`${node} ${why}`),
      observe: (step) => {
        check(step)
        refines(step)
      },
      started: (node, found) => {
        check.started(node, found)
        refines.started(node, found)
      },
    })
    world.run(3000)
    const leads = world.leader()
    const [one] = world.names.filter((name) => name !== leads?.name)
    if (leads === undefined || one === undefined) throw new Error("nobody leads")
    world.propose(leads.name, [{ bytes: new Uint8Array(1), checksum: 1 }])
    world.run(1000)
    const { commitIndex, currentTerm } = world.state(one) ?? { commitIndex: 0, currentTerm: 0 }
    expect(commitIndex).toBeGreaterThan(1)
    const conflicting = (): void => {
      world.inject(one, {
        type: "MessageReceived",
        from: leads.member,
        message: { ...append({ term: currentTerm + 1, prev: [commitIndex, currentTerm + 1] }), prevLogChain: 0 },
      })
      world.run(1000)
    }
    if (halts === "violations") expect(conflicting).toThrow(/LeaderCompleteness/)
    else {
      conflicting()
      expect(stopped).toEqual([`${one} committedConflict`])
      expect(world.state(one)).toBeUndefined()
    }
  }
})

describe("numbers at the edge", () => {
  const edges = [
    0,
    1,
    2 ** 31 - 1,
    2 ** 31 + 1,
    2 ** 32 - 1,
    2 ** 32 + 1,
    2 ** 48 - 2,
    2 ** 48 - 1,
    2 ** 48,
    2 ** 53 - 1,
    2 ** 53 + 1,
    -1,
    Number.NaN,
    0.5,
    Number.POSITIVE_INFINITY,
  ]
  test("a term that nobody could have reached is not taken, and the next one can always be written", () => {
    for (const term of edges)
      for (const message of everyMessageOf(term))
        for (const it of [server({ log: [1] }), follower({ log: [1] }), leader({ log: [1] })]) {
          const { term: before } = it
          it.receive("b", message)
          const credible = Number.isInteger(term) && term >= 0 && term <= before + MAX_TERM_LEAP
          expect([before, ...(credible ? [term, ...(message.type === "TimeoutNow" ? [term + 1] : [])] : [])]).toContain(
            it.term,
          )
          if (!credible) expect(it.noted("term.outOfDomain")).toBe(true)
        }
  })
  test("at the last term there is no further election, by name", () => {
    for (const settings of [{ preVote: true }, { preVote: false }]) {
      const it = server({ term: MAX_TERM, log: [1], settings })
        .expire("election")
        .expire("election")
      expect([it.role, it.term, it.noted("election.exhausted")]).toEqual(["follower", MAX_TERM, true])
      it.receive("b", append({ term: MAX_TERM, prev: [1, 1] })).receive("b", { type: "TimeoutNow", term: MAX_TERM })
      expect([it.role, it.term]).toEqual(["follower", MAX_TERM])
    }
  })
  test("at the last index a leader takes nothing more, and nobody else campaigns", () => {
    const full = server({ base: { index: MAX_INDEX, term: 1 } })
      .expire("election")
      .expire("election")
    expect([full.role, full.noted("election.exhausted")]).toEqual(["follower", true])
    const last = leader({ base: { index: MAX_INDEX - 2, term: 1 } }).receive("b", accepted(MAX_INDEX - 1))
    expect(last.outcome(last.propose())).toMatchObject({ type: "ProposalAppended", first: MAX_INDEX })
    expect(last.outcome(last.propose())).toMatchObject({ type: "ProposalRefused", reason: "exhausted" })
    const two = leader({ base: { index: MAX_INDEX - 2, term: 1 } })
    two.happens({
      type: "Proposed",
      ref: 9,
      payloads: [
        { bytes: new Uint8Array(1), checksum: 1 },
        { bytes: new Uint8Array(1), checksum: 2 },
      ],
    })
    expect(two.outcome(9)).toMatchObject({ type: "ProposalRefused", reason: "exhausted" })
  })
  test("entries out of order, of a later term than their leader's, or of falling terms are not taken", () => {
    const [one] = append({ entries: [1] }).entries
    if (one === undefined) throw new Error("no entry")
    const bad: readonly Message[] = [
      { ...append({ entries: [1] }), entries: [{ ...one, index: 2 }] },
      { ...append({ entries: [1, 1] }), entries: [one, one] },
      append({ term: 1, entries: [2] }),
      append({ term: 3, prev: [1, 2], entries: [1] }),
      append({ term: 3, entries: [2, 1] }),
      append({ term: 1, prev: [1, 2] }),
      { ...append({ entries: [1] }), entries: [{ ...one, time: -1 }] },
      { ...append({ entries: [1] }), entries: [{ ...one, time: 2 ** 48 }] },
    ]
    for (const message of bad) {
      const it = server({ log: [1] }).receive("b", message)
      expect([it.noted("term.outOfDomain"), it.log, it.term]).toEqual([true, [1], 1])
    }
  })
  test("a round that was never started confirms nothing", () => {
    const it = leader().receive("b", accepted(1)).receive("c", accepted(1))
    const ref = it.read()
    it.receive("b", accepted(1, { round: 2 ** 48 - 1 }))
    expect(it.progress("b").round).toBeLessThan(3)
    const later = it.read()
    expect([it.outcome(ref), it.outcome(later)]).toEqual([undefined, undefined])
  })
  test("every number of every message × edge values: nobody throws, and nobody steps to what cannot be written", () => {
    const messages = (term: number): readonly Message[] => [
      ...everyMessageOf(term),
      voteReply(term, true),
      append({ term, prev: [1, 1], entries: [1, 1], commit: 1 }),
      { type: "ForwardProposal", term, ref: 1, bootId: 7, payloads: [{ bytes: new Uint8Array(1), checksum: 5 }] },
      { type: "ForwardProposalReply", term, ref: 1, bootId: 7, outcome: { type: "ProposalAppended", first: 2, term } },
    ]
    const numbersOf = (value: object, path: readonly string[] = []): readonly (readonly string[])[] =>
      Object.entries(value).flatMap(([key, inner]: [string, unknown]) =>
        typeof inner === "number"
          ? [[...path, key]]
          : typeof inner === "object" && inner !== null && !(inner instanceof Uint8Array)
            ? numbersOf(inner, [...path, key])
            : [],
      )
    const withAt = (value: object, [key = "", ...rest]: readonly string[], number: number): object => {
      const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...value }) as Record<string, unknown>
      copy[key] = rest.length === 0 ? number : withAt(copy[key] as object, rest, number)
      return copy
    }
    const roles: readonly (() => State)[] = [
      () => server({ log: [1] }).state,
      () => follower({ log: [1] }).state,
      () => leader({ log: [1] }).state,
      () =>
        server({ log: [1] })
          .expire("election")
          .expire("election").state,
    ]
    let tried = 0
    for (const role of roles.map((make) => make()))
      for (const message of messages(role.currentTerm))
        for (const path of numbersOf(message))
          for (const edge of edges) {
            const { state, run } = inPlace(structuredCloneOf(role))
            const events: readonly Event[] = [
              { type: "MessageReceived", from: member("b"), message: withAt(message, path, edge) as Message },
            ]
            for (const effect of run(events))
              if (effect.type === "Persist") expect(effect.hardState?.term ?? 0).toBeLessThanOrEqual(MAX_TERM)
            run([
              { type: "TimerExpired", timer: "election" },
              { type: "TimerExpired", timer: "heartbeat" },
            ])
            if (!(state.currentTerm <= MAX_TERM) || !(state.log.lastIndex <= MAX_INDEX))
              throw new Error(`${path.join(".")} = ${edge} led to term ${state.currentTerm}`)
            tried += 1
          }
    expect(tried).toBeGreaterThan(3000)
  })
})

/** States of the pure face are frozen; this one may be changed. The log is a value. */
const structuredCloneOf = (value: State): State => {
  const copy = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(copy)
    if (typeof part !== "object" || part === null || Object.getPrototypeOf(part) !== Object.prototype) return part
    return Object.fromEntries(Object.entries(part).map(([key, inner]) => [key, copy(inner)]))
  }
  return copy(value) as State
}

describe("settings are looked at by name", () => {
  const start = (settings: Partial<Settings>): State =>
    initialState(
      { ...defaultSettings, ...settings },
      {
        self: member("a"),
        bootId: 1,
        hardState: { term: 0, vote: null },
        base: { ...snapshotAt(0, 0), chain: 0 },
        entries: [],
        position: null,
      },
    )
  const numbers = Object.entries(defaultSettings).flatMap(([name, value]) => (typeof value === "number" ? [name] : []))
  for (const setting of numbers)
    test(setting, () => {
      for (const found of [-5, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 48, "7"]) {
        const attempt = (): unknown => start({ [setting]: found })
        expect(attempt).toThrow(SettingsInvalid)
        expect(attempt).toThrow(new RegExp(`setting ${setting} is`))
        // A world of such settings is not made either.
        expect(() => new World({ seed: 1, settings: { [setting]: found } })).toThrow(SettingsInvalid)
      }
    })
  test("sizes and times of nothing, switches that are none, and times that contradict each other", () => {
    for (const setting of [
      "heartbeat",
      "electionMin",
      "electionMax",
      "diskStallTimeout",
      "maxEntryBytes",
      "maxBatchBytes",
      "maxInflight",
      "maxInflightBytes",
      "maxUncommittedBytes",
      "maxApplyBytes",
      "maxPendingReads",
      "snapshotBytes",
    ])
      expect(() => start({ [setting]: 0 }), setting).toThrow(new RegExp(`setting ${setting} is 0`))
    for (const setting of ["preVote", "checkQuorum", "forwardProposals", "leaseReads"])
      expect(() => start({ [setting]: 1 })).toThrow(/true or false/)
    expect(() => start({ heartbeat: 500 })).toThrow(/setting heartbeat is 500, expected less than electionMin/)
    expect(() => start({ electionMax: 499 })).toThrow(/setting electionMax is 499, expected at least electionMin/)
    expect(() => start({ electionMin: 1001 })).toThrow(/setting electionMax is 1000, expected at least electionMin/)
    expect(start({}).settings).toEqual(defaultSettings)
  })
})
