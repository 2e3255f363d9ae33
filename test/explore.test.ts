/** The explorer itself: its counts, its shortcuts (none may lose a state of the servers), and that it sees what is wrong. */
import { execFileSync } from "node:child_process"
import { describe, expect, test } from "vitest"
import { Log, type Entry, type Message, type State } from "../core/index.ts"
import {
  describeSteps,
  explore,
  replay,
  spaces,
  toScript,
  type ServerAction,
  type Explored,
  type ExploreOptions,
  type ServerState,
  type Space,
  type ExploredStep,
} from "../spec/explore/index.ts"
import { isViolation, judge, noHistory, type LeaderHistory, type ServerSummary } from "../spec/explore/judge.ts"
import { staleRepresentative } from "../spec/explore/fate.ts"
import { withSentMessages } from "../spec/explore/replay.ts"
import { actOnServer, freshServer, innerActions, outside } from "../spec/explore/server.ts"
import { firstBase, memberOf } from "../spec/explore/space.ts"
import { makeRandom, runScript } from "../interpreters/simulation/index.ts"
import { permutationsOf } from "../spec/explore/search/symmetry.ts"
import { makeInvariantChecker } from "../spec/index.ts"
import { full } from "./cluster.ts"
import { longTest } from "./long.ts"
import { seeded } from "./mutants/all.ts"
import { applies } from "./mutants/mutant.ts"
import { makeSandbox } from "./mutants/sandbox.ts"

const countsOf = ({
  closed,
  combinations,
  states,
  expanded,
  transitions,
  serverStates,
  messages,
  counterexample,
}: Explored): object => ({
  closed,
  combinations,
  states,
  expanded,
  transitions,
  serverStates,
  messages,
  counterexample,
})
const counts = (space: Space): object => countsOf(explore(space))

describe("a closed space", () => {
  test("two servers, one term, one command, any number of crashes, loss, duplication and reordering", () => {
    expect(counts(spaces.tiny)).toMatchInlineSnapshot(`
      {
        "closed": true,
        "combinations": 975,
        "counterexample": null,
        "expanded": 2544,
        "messages": 52,
        "serverStates": 204,
        "states": 4680,
        "transitions": 47177,
      }
    `)
  })
  const joint = explore(spaces.joint)
  test("one of two voters replaced through a joint configuration", () => {
    expect(countsOf(joint)).toMatchInlineSnapshot(`
      {
        "closed": true,
        "combinations": 5122,
        "counterexample": null,
        "expanded": 5216,
        "messages": 70,
        "serverStates": 288,
        "states": 6717,
        "transitions": 114744,
      }
    `)
  })
  test("is not called closed when it was not searched whole", () => {
    expect(explore(spaces.tiny, { maxStates: 100 }).closed).toBe(false)
  })
  test("tells the rules that it used and those it did not", () => {
    const { reached, notReached } = joint
    expect(reached).toContain("member.jointLeft")
    expect(notReached).toContain("append.truncated")
    expect(new Set([...reached, ...notReached]).size).toBe(reached.length + notReached.length)
  })

  longTest("two servers, two terms", () =>
    Promise.resolve(
      expect(counts(spaces.two)).toMatchInlineSnapshot(`
    {
      "closed": true,
      "combinations": 9407,
      "counterexample": null,
      "expanded": 49204,
      "messages": 250,
      "serverStates": 1324,
      "states": 92487,
      "transitions": 1094075,
    }
  `),
    ),
  )
  longTest("PreVote and CheckQuorum", () =>
    Promise.resolve(
      expect(counts(spaces.preVote)).toMatchInlineSnapshot(`
    {
      "closed": true,
      "combinations": 8617,
      "counterexample": null,
      "expanded": 22930,
      "messages": 128,
      "serverStates": 952,
      "states": 41897,
      "transitions": 721249,
    }
  `),
    ),
  )
  longTest("three servers, two terms, writes done at once", () =>
    Promise.resolve(
      expect(counts({ ...spaces.figure8Calm, bounds: { ...spaces.figure8Calm.bounds, term: 2, crashes: null } }))
        .toMatchInlineSnapshot(`
    {
      "closed": true,
      "combinations": 11060,
      "counterexample": null,
      "expanded": 32642,
      "messages": 150,
      "serverStates": 606,
      "states": 52443,
      "transitions": 884081,
    }
  `),
    ),
  )
  test("may have its candidates named: nobody else leads, and servers with the same terms are alike", () => {
    const whole = {
      ...spaces.threeOnce,
      slowDisk: false,
      bounds: { ...spaces.threeOnce.bounds, commands: 0, crashes: 0 },
    }
    const named = explore({ ...whole, candidates: { A: [1] } })
    expect(named.closed).toBe(true)
    expect(named.combinations).toBeLessThan(explore(whole).combinations)
    expect(permutationsOf({ ...whole, candidates: { A: [1] } }, true)).toEqual([
      [0, 1, 2],
      [0, 2, 1],
    ])
  })
  longTest("three servers, one term", () =>
    Promise.resolve(
      expect(counts(spaces.threeOnce)).toMatchInlineSnapshot(`
    {
      "closed": true,
      "combinations": 30516,
      "counterexample": null,
      "expanded": 35843,
      "messages": 96,
      "serverStates": 768,
      "states": 74694,
      "transitions": 1034233,
    }
  `),
    ),
  )
})

describe("no shortcut loses a state of the servers", () => {
  const whole = { symmetry: false, prune: false, cover: false }
  const combinations = (space: Space, options: ExploreOptions): number => {
    const explored = explore(space, options)
    expect(explored.closed).toBe(true)
    return explored.combinations
  }
  test("forgetting messages that can never matter, and following only the most capable states", () => {
    const all = combinations(spaces.smallest, whole)
    expect(combinations(spaces.smallest, { ...whole, prune: true })).toBe(all)
    expect(combinations(spaces.smallest, { ...whole, cover: true })).toBe(all)
    expect(combinations(spaces.smallest, { ...whole, cover: true, shortest: true })).toBe(all)
    expect(combinations(spaces.smallest, { symmetry: false })).toBe(all)
  })
  test("taking servers for equal that differ in name only", () => {
    const named = explore(spaces.smallest, whole)
    const { states, namedStates } = explore(spaces.smallest, { ...whole, symmetry: true })
    expect(namedStates).toBe(named.states)
    expect(states).toBeLessThan(named.states)
  })
  const larger: readonly Space[] = [
    spaces.tiny,
    { ...spaces.two, bounds: { ...spaces.two.bounds, rounds: 1, commands: 0 } },
    { ...spaces.tiny, duplication: false },
  ]
  longTest("in larger spaces too", () => {
    for (const space of larger) {
      const all = combinations(space, { symmetry: true })
      expect(combinations(space, { prune: false })).toBe(all)
      expect(combinations(space, { cover: false })).toBe(all)
    }
    return Promise.resolve()
  })
})

describe("a history", () => {
  const steps: readonly ExploredStep[] = [
    { server: "A", action: { type: "timeout", timer: "election" } },
    { server: "A", action: { type: "persist" } },
  ]
  test("is replayed with nothing but the reducer, and told", () => {
    const { frames, violation, servers } = replay(spaces.smallest, steps)
    expect(violation).toBeNull()
    expect(servers["A"]?.state.role.type).toBe("candidate")
    expect(frames[1]?.sends.map(({ to, message }) => `${message.type} to ${to.name}`)).toEqual(["RequestVote to B"])
    expect(describeSteps(spaces.smallest, steps)).toEqual([
      "  1  A election timer fires  {election.campaign}",
      "  2  A completes its oldest write",
    ])
  })
  test("can be the one of Figure 8: what stands on a majority is overwritten, and nothing was committed", () => {
    const space = spaces.figure8
    const told: ExploredStep[] = []
    const fire = (server: string): unknown => told.push({ server, action: { type: "timeout", timer: "election" } })
    /** The last message of this kind that `from` sent to `to`. */
    const deliver = (from: string, to: string, type: Message["type"]): void => {
      const sent = replay(space, told).frames.flatMap(({ step, sends }) => (step.server === from ? sends : []))
      const found = sent.findLast((one) => one.to.name === to && one.message.type === type)
      if (found === undefined) throw new Error(`${from} has sent no ${type} to ${to}`)
      told.push({ server: to, action: { type: "deliver", from: memberOf(from), message: found.message } })
    }
    const elect = (leader: string, voter: string): void => {
      deliver(leader, voter, "RequestVote")
      deliver(voter, leader, "RequestVoteReply")
    }
    // A leads term 1, and its entry gets nowhere; C leads term 2 with the vote of B, and neither does its own.
    fire("A")
    elect("A", "B")
    deliver("A", "C", "RequestVote")
    fire("C")
    elect("C", "B")
    // A hears of that from C, leads term 3 and gives B the entry of term 1: that is a majority.
    deliver("A", "C", "RequestVote")
    deliver("C", "A", "RequestVoteReply")
    fire("A")
    elect("A", "B")
    deliver("A", "B", "AppendEntries")
    deliver("B", "A", "AppendRejected")
    deliver("A", "B", "AppendEntries")
    deliver("B", "A", "AppendAccepted")
    const before = replay(space, told)
    expect(["A", "B"].map((name) => before.servers[name]?.state.log.termAt(1))).toEqual([1, 1])
    expect(before.frames.at(-1)?.notes).toContain("commit.earlierTerm")
    // C hears of that from B, leads term 4 with its vote once B has not heard A for a while, and overwrites it.
    deliver("C", "B", "AppendEntries")
    deliver("B", "C", "AppendRejected")
    fire("B")
    fire("C")
    elect("C", "B")
    deliver("C", "B", "AppendEntries")
    deliver("B", "C", "AppendRejected")
    deliver("C", "B", "AppendEntries")
    const { frames, servers, violation } = replay(space, told)
    expect(violation).toBeNull()
    expect(frames.at(-1)?.notes).toContain("append.truncated")
    expect(servers["B"]?.state.log.termAt(1)).toBe(2)
    // The search delivers one message for all stale ones that are answered alike: in a history it is one that was sent.
    const standIns = told.map(({ server, action }, i): ExploredStep => {
      const isStale = action.type === "deliver" && frames[i]?.notes.includes("term.staleRequestAnswered") === true
      return { server, action: isStale ? { ...action, message: staleRepresentative(action.message) } : action }
    })
    expect(standIns).not.toEqual(told)
    expect(withSentMessages(space, standIns)).toEqual(told)
  })
  test("cannot deliver what was never sent", () => {
    const message = { type: "RequestVoteReply", term: 1, granted: true, wall: 0, time: 0 } as const
    const early: ExploredStep = { server: "A", action: { type: "deliver", from: memberOf("B"), message } }
    expect(() => replay(spaces.smallest, [...steps, early])).toThrow("never sent")
  })
})

describe("a history in the simulated world", () => {
  /** Any of what can happen, one thing after the other. */
  const walk = (space: Space, seed: number, length: number): readonly ExploredStep[] => {
    const random = makeRandom(seed)
    const servers = new Map(space.servers.map((name) => [name, freshServer(space, name)]))
    const steps: ExploredStep[] = []
    const sent: ExploredStep[] = []
    let [crashes, committed] = [0, 0]
    const isLikely = ({ type }: ServerAction): boolean =>
      type !== "tick" && (type !== "crash" || (crashes < (space.bounds.crashes ?? 3) && random.chance(100)))
    for (let i = 0; i < length; i++) {
      const inner = [...servers].flatMap(([server, is]) =>
        innerActions(space, is).map((action): ExploredStep => ({ server, action })),
      )
      // What is new is likelier: an old message mostly changes nothing.
      const fresh = sent.slice(-3)
      const next = random.pick([
        ...inner.filter(({ action }) => isLikely(action) && (action.type !== "read" || action.committed === committed)),
        ...sent,
        ...fresh,
        ...fresh,
        ...fresh,
      ])
      const server = next === undefined ? undefined : servers.get(next.server)
      if (next === undefined || server === undefined) continue
      const { server: after, sends } = actOnServer(space, server, next.action)
      if (outside(space, after)) continue
      steps.push(next)
      servers.set(next.server, after)
      sent.push(
        ...sends.map(({ to, message }): ExploredStep => ({
          server: to.name,
          action: { type: "deliver", from: after.state.self, message },
        })),
      )
      if (next.action.type === "crash") crashes++
      committed = Math.max(committed, after.state.commitIndex)
    }
    return steps
  }
  const outlined = (
    { role, currentTerm, votedFor, log, commitIndex, applied }: State,
    terms: number,
    entries: number,
  ): object => ({
    role: role.type,
    term: currentTerm - terms,
    vote: currentTerm > terms ? votedFor?.name : undefined,
    log: log
      .toArray()
      .map(({ term }) => term - terms)
      .filter((term) => term > 0),
    commitIndex: Math.max(commitIndex - entries, 0),
    applied: Math.max(applied - entries, 0),
  })
  test.for(["tiny", "two", "three", "preVote", "reads", "figure8", "threeTwice", "joint", "jointTwice"] as const)(
    "comes out as it did: %s",
    (name) => {
      const space: Space = spaces[name]
      // Learners are taken in first: that takes a term, its no-op and the change.
      const [terms, entries] = name === "joint" || name === "jointTwice" ? [1, 2] : [0, 0]
      for (let seed = 1; seed <= (full ? 50 : 5); seed++) {
        const walked = walk(space, seed, 40)
        // The configuration that a space begins with is older than its log: a learner has caught up with it from the start.
        const change = walked.findIndex(({ action }) => action.type === "change")
        const steps = change < 0 ? walked : walked.slice(0, change)
        const world = runScript(toScript(space, steps), { observe: makeInvariantChecker() })
        const { servers } = replay(space, steps)
        for (const server of space.servers) {
          const there = world.state(server)
          expect(there === undefined ? null : outlined(there, terms, entries), `seed ${seed}, ${server}`).toEqual(
            outlined((servers[server] as ServerState).state, 0, 0),
          )
        }
      }
    },
  )
})

describe("what is wrong is seen", () => {
  const base = firstBase(spaces.tiny)
  const noop = (index: number, term: number): Entry => ({ kind: "noop", index, term, time: 0, chain: 0 })
  const server = (name: string, leads: number, commitIndex: number, ...terms: readonly number[]): ServerSummary => ({
    name,
    leads,
    commitIndex,
    log: Log.of(
      base,
      terms.map((term, i) => noop(i + 1, term)),
    ),
  })
  const verdict = (history: LeaderHistory, changed: ServerSummary, ...others: readonly ServerSummary[]): string => {
    const judged = judge(history, changed, others)
    return isViolation(judged) ? judged.name : "fine"
  }
  const after = (changed: ServerSummary): LeaderHistory => {
    const judged = judge(noHistory, changed, [])
    if (isViolation(judged)) throw new Error(judged.detail)
    return judged
  }
  test("two leaders of one term, even if the first is gone", () => {
    expect(verdict(after(server("A", 1, 0, 1)), server("B", 1, 0, 1))).toBe("ElectionSafety")
    expect(verdict(after(server("A", 1, 0, 1)), server("B", 2, 0, 1, 2))).toBe("fine")
  })
  test("a leader without what was committed before its term; one of an earlier term may be elected late", () => {
    expect(verdict(after(server("A", 2, 1, 2)), server("B", 3, 0, 3))).toBe("LeaderCompleteness")
    expect(verdict(after(server("A", 2, 1, 2)), server("B", 1, 0, 1))).toBe("fine")
    expect(verdict(noHistory, server("A", 2, 1, 2), server("B", 3, 0, 3))).toBe("LeaderCompleteness")
  })
  test("two entries committed at one index, and logs that agree after they differ", () => {
    expect(verdict(after(server("A", 1, 1, 1)), server("B", 0, 1, 2))).toBe("StateMachineSafety")
    expect(verdict(noHistory, server("A", 0, 0, 1, 3), server("B", 0, 0, 2, 3))).toBe("LogMatching")
  })

  /** What is told of a bug in the shipped code, and what the debugger says once the command that was named opened it. */
  const seed = (id: string, space: string): { readonly told: string; readonly opened: string } => {
    const mutant = seeded.filter(applies).find((one) => one.id === id)
    if (mutant === undefined) throw new Error(`no mutant ${id}`)
    const sandbox = makeSandbox(process.cwd(), null)
    const run = (args: readonly string[]): string =>
      execFileSync("node_modules/.bin/tsx", args, {
        cwd: sandbox.root,
        encoding: "utf8",
        stdio: ["pipe", "pipe", "ignore"],
        input: "back\n",
      })
    try {
      sandbox.seed(mutant)
      run(["test/explore.ts", space, "--seconds", "120"])
      return { told: "nothing found", opened: "" }
    } catch (error) {
      const told = String((error as { readonly stdout?: unknown }).stdout ?? error)
      const [, command = ""] = /^npx tsx (.*debug .*)$/m.exec(told) ?? []
      return { told, opened: run(command.split(" ")) }
    } finally {
      sandbox.remove()
    }
  }
  longTest("a vote forgotten within a term: five steps, and as many in the world, which fails by the same rule", () => {
    const { told, opened } = seed("bug-E1", "two")
    expect(told).toContain('"failed":"VoteOnce","detail":"two, 5 steps')
    expect(opened).toContain("VoteOnce is violated here")
    return Promise.resolve()
  })
  longTest("Figure 8 with an entry of an earlier term committed by counting", () => {
    const { told, opened } = seed("bug-C1", "figure8")
    expect(told).toContain('"failed":"LeaderCompleteness","detail":"figure8, ')
    expect(told).toContain("NoCommitByCounting is broken first, on the way to LeaderCompleteness")
    expect(opened).toContain("NoCommitByCounting is violated here")
    return Promise.resolve()
  })
  longTest("a quorum that is one short: the world has a name for what comes before two leaders", () => {
    const { told, opened } = seed("bug-C7", "two")
    expect(told).toContain('"failed":"ElectionSafety","detail":"two, 4 steps')
    expect(told).toContain("ElectedByQuorum is broken first, on the way to ElectionSafety")
    expect(opened).toContain("ElectedByQuorum is violated here")
    return Promise.resolve()
  })
})
