/** A cluster refuses writes by name before anybody ends: a leader knows when no quorum has room for them. */
import { describe, expect, test } from "vitest"
import type { Outcome } from "../core/index.ts"
import { World } from "../interpreters/simulation/index.ts"
import { makeInvariantChecker, makeRefinementChecker } from "../spec/index.ts"
import { accepted, append, follower, leader, members, payload, voting, type Server } from "./server.ts"

const refusedFor = (it: Server): string => {
  const outcome = it.outcome(it.propose())
  return outcome?.type === "ProposalRefused" ? outcome.reason : "taken"
}
const full = { condition: "full" } as const

describe("a leader whose followers tell that they are full", () => {
  test("goes on while a quorum has room, refuses when none has, and goes on by itself again", () => {
    const it = leader().receive("b", accepted(1)).receive("c", accepted(1))
    expect(refusedFor(it)).toBe("taken")
    it.receive("b", accepted(1, full))
    expect(refusedFor(it)).toBe("taken")
    it.receive("c", accepted(1, full))
    expect(refusedFor(it)).toBe("spaceLow")
    it.receive("c", accepted(1))
    expect(refusedFor(it)).toBe("taken")
  })
  test("counts voters, not learners", () => {
    const it = leader({ configuration: { voters: members("abc"), outgoing: [], learners: members("de") } })
    for (const name of "de") it.receive(name, accepted(1, full))
    expect(refusedFor(it)).toBe("taken")
  })
  test("asks both halves while the configuration is joint", () => {
    for (const [whose, expected] of [
      ["bc", "spaceLow"],
      ["de", "spaceLow"],
      ["bd", "taken"],
    ] as const) {
      const it = leader({ configuration: voting("abc", "ade") })
      for (const name of whose) it.receive(name, accepted(1, full))
      expect(refusedFor(it), whose).toBe(expected)
    }
  })
  test("refuses what was forwarded to it as well", () => {
    const it = leader().receive("b", accepted(1, full)).receive("c", accepted(1, full))
    it.receive("b", { type: "ForwardProposal", term: it.term, ref: 1, bootId: 7, payloads: [payload()] })
    expect(it.last("ForwardProposalReply", "b").outcome).toMatchObject({ type: "ProposalRefused", reason: "spaceLow" })
  })
})

test("a leader whose space ran low hands over again if the first voter did not take over, and never to one that is full", () => {
  const it = leader().receive("b", accepted(1)).receive("c", accepted(1))
  const asked = (): string => it.receivers("TimeoutNow")
  it.happens({ type: "SpaceChanged", low: true })
  expect(asked()).toBe("b")
  it.receive("b", accepted(1, full)).expire("transfer")
  expect([it.noted("transfer.spaceLow"), asked()]).toEqual([true, "c"])
  it.receive("c", accepted(1, full)).expire("transfer")
  expect(asked()).toBe("")
  it.happens({ type: "SpaceChanged", low: false }).receive("c", accepted(1))
  expect([asked(), refusedFor(it)]).toEqual(["", "taken"])
})

test("a follower tells at once that it is full, and that it has room again", () => {
  const it = follower({ log: [1] }).receive("b", append({ prev: [1, 1] }))
  expect(it.happens({ type: "SpaceChanged", low: true }).last("AppendAccepted", "b").condition).toBe("full")
  expect(it.happens({ type: "SpaceChanged", low: false }).last("AppendAccepted", "b").condition).toBe("ready")
})

test("two of three are full and the leader is not: clients are refused by name, and are served when there is room", () => {
  const answers = new Map<number, Outcome>()
  const check = makeInvariantChecker()
  const refines = makeRefinementChecker()
  const world = new World({
    seed: 3,
    nodes: 3,
    responded: (_, ref, outcome) => answers.set(ref, outcome),
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
  const leads = world.leader()?.name ?? ""
  const others = world.names.filter((name) => name !== leads)
  const outcomeOf = (): Outcome | undefined => {
    const ref = world.propose(leads, [payload(7)])
    world.run(1000)
    return answers.get(ref)
  }
  expect(outcomeOf()?.type).toBe("ProposalAppended")
  for (const node of others) world.act({ type: "fullDisk", node })
  world.run(20)
  const held = world.state(leads)?.log.lastIndex
  for (let i = 0; i < 20; i++) expect(outcomeOf()).toMatchObject({ type: "ProposalRefused", reason: "spaceLow" })
  expect([world.leader()?.name, world.state(leads)?.log.lastIndex]).toEqual([leads, held])
  // Reads go on.
  const read = world.read(leads)
  world.run(1000)
  expect(answers.get(read)?.type).toBe("ReadReady")
  world.act({ type: "freeDisk", node: others[0] ?? "" })
  world.run(20)
  expect(outcomeOf()?.type).toBe("ProposalAppended")
  expect(world.state(leads)?.commitIndex).toBe(world.state(leads)?.log.lastIndex)
})
