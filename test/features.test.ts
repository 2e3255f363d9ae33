/** The feature level: in the configuration, raised once every member can, never lowered. kv/UPGRADES.md has the rules. */
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { configurationOf, levelOf, type Member } from "../core/index.ts"
import { committedLevel, HIGHEST_LEVEL, ownFeatures, type Features } from "../interpreters/features.ts"
import { inspectLog, createLog, nodeFiles } from "../interpreters/file/index.ts"
import { heldBy, nextStep, raise, type Presence, type LeaderView } from "../interpreters/members/index.ts"
import { LevelTooHigh, newServerParts } from "../interpreters/node/index.ts"
import { isLasting } from "../kv/node/errors.ts"
import { levelRefusal } from "../kv/service/gate.ts"
import { withLocalCluster } from "./node.help.ts"
import { accepted, append, leader, member, members, server, voting, type Server } from "./server.ts"

const runs = (level: number, version = `0.${level}.0`): Features => ({ ...ownFeatures, version, level })
type Told = Readonly<Record<string, Partial<Presence>>>
const everybody = (level: number): Told =>
  Object.fromEntries(Array.from("abcd", (name) => [name, { features: runs(level) }]))
const presenceIn =
  (told: Told) =>
  (name: string): Presence | null => {
    const one = told[name]
    return one === undefined
      ? null
      : { member: member(name), connected: true, address: null, features: runs(1), ...one }
  }
const viewOf = (it: Server, told: Told): LeaderView => {
  if (it.state.role.type !== "leader") throw new Error("it does not lead")
  return { state: it.state, leader: it.state.role, presence: presenceIn(told) }
}
/** a leads, and the no-op of its term is committed. */
const ready = (learners = ""): Server => {
  const it = leader({ configuration: { ...voting("abc"), learners: members(learners) } })
  return it.receive("b", accepted(1)).receive("c", accepted(1))
}
const change = (it: Server, over: { readonly level?: number; readonly learners?: readonly Member[] }): Server =>
  it.happens({
    type: "ConfigurationChangeProposed",
    ref: 9,
    voters: configurationOf(it.state).voters,
    learners: [],
    ...over,
  })
const level = ({ state }: Server): readonly [inForce: number, committed: number] => [
  levelOf(configurationOf(state)),
  committedLevel(state),
]

describe("in the configuration", () => {
  test("it rises with an entry, counts once that is committed, stays through other changes, and never falls", () => {
    const it = change(ready(), { level: 2 })
    expect(level(it)).toEqual([2, 1])
    it.receive("b", accepted(2))
    expect(level(it)).toEqual([2, 2])
    expect(change(it, { level: 1 }).outcome(9)).toMatchObject({ type: "ProposalRefused", reason: "invalidChange" })
    change(it, { learners: [member("d")] }).receive("b", accepted(3))
    expect(level(it)).toEqual([2, 2])
    // Through a joint configuration, and out of it.
    it.happens({ type: "ConfigurationChangeProposed", ref: 9, voters: members("ab"), learners: [] })
    it.receive("b", accepted(4)).receive("c", accepted(4)).receive("b", accepted(5))
    expect([configurationOf(it.state).outgoing, level(it)]).toEqual([[], [2, 2]])
  })
  test("logs that differ in it differ in their chain", () => {
    const chains = [undefined, 2, 3].map(
      (level) =>
        change(ready(), { learners: [member("d")], ...(level === undefined ? {} : { level }) }).state.log.last.chain,
    )
    expect(new Set(chains).size).toBe(3)
  })
})

describe("raised", () => {
  const rises = (told: Told, it = ready()): number | null => {
    const step = raise(viewOf(it, told))
    return step?.type === "change" ? (step.configuration.level ?? null) : null
  }
  test("to what all can do, by an entry that changes nothing else", () => {
    expect(raise(viewOf(ready("d"), everybody(2)))).toMatchObject({
      type: "change",
      configuration: { voters: members("abc"), learners: members("d"), level: 2 },
    })
    expect(rises({ ...everybody(3), b: { features: runs(2) } })).toBe(2)
    expect(rises(everybody(1))).toBeNull()
  })
  test("never while one member, voter or learner, cannot, is away, or came back with another directory", () => {
    const all = everybody(2)
    expect(rises({ ...all, c: { features: runs(1) } })).toBeNull()
    expect(rises({ ...all, d: { features: runs(1) } }, ready("d"))).toBeNull()
    expect(rises({ ...all, c: { features: runs(2), connected: false } })).toBeNull()
    expect(rises({ ...all, c: { features: runs(2), member: member("c", "2") } })).toBeNull()
    const { c: _, ...without } = all
    expect(rises(without)).toBeNull()
  })
  test("not while a change is under way, nor before the leader knows what is committed", () => {
    const young = leader({ configuration: voting("abc") })
    expect(rises(everybody(2), young)).toBeNull()
    expect(rises(everybody(2), change(ready("d"), {}))).toBeNull()
  })
  test("who keeps it down is named, with the version that it runs", () => {
    const told = { ...everybody(2), b: { features: runs(1, "0.1.7") }, c: { connected: false } }
    expect(heldBy(voting("abc"), 2, presenceIn(told))).toBe(
      "b runs version 0.1.7, which supports levels up to 1, c is not connected",
    )
    expect(heldBy({ ...voting("abc"), level: 2 }, 2, presenceIn(told))).toBeNull()
  })
})

test("who cannot do the level is not taken in: neither added, nor in anybody's place", () => {
  const it = change(ready(), { level: 2 }).receive("b", accepted(2))
  const told = { ...everybody(2), d: { features: runs(1, "0.1.7") }, c: { member: member("c", "2") } }
  const refused = { type: "refuse", reason: "levelTooLow" }
  expect(nextStep(viewOf(it, told), { type: "add", name: "d", address: null })).toMatchObject({
    ...refused,
    text: expect.stringContaining(
      "d runs version 0.1.7 and supports feature levels up to 1, but the cluster is at level 2",
    ),
  })
  for (const by of ["d", "c"])
    expect(
      nextStep(viewOf(it, told), { type: "replace", name: "c", by, address: null, evenIfQuorumIsLost: false }),
    ).toMatchObject(refused)
  expect(
    nextStep(viewOf(it, { ...told, d: { features: runs(2) } }), { type: "add", name: "d", address: null }),
  ).toMatchObject({ type: "change" })
})

test("a command of a level is refused by name until the level is committed", () => {
  const it = server({}).receive("b", append())
  const gated = new Map([["TALLY", 2]])
  const features = { level: 1, highest: 2, heldBy: "n3 runs version 0.1.0, which supports levels up to 1" }
  const asked = (...names: readonly string[]): string | undefined => {
    const calls = names.map((name) => [Buffer.from(name), Buffer.from("k")])
    const found = levelRefusal(calls, gated, it.state, () => ({ features }))
    return found?.type === "error" ? `${found.code} ${found.text}` : undefined
  }
  expect(asked("set", "tally")).toBe(
    "ERR TALLY needs feature level 2; the cluster is at 1 because n3 runs version 0.1.0, which supports levels up to 1. Nothing was executed.",
  )
  expect(asked("set", "get")).toBeUndefined()
  const risen = { ...it.state, configurations: [{ index: 0, configuration: { ...voting("abc"), level: 2 } }] }
  expect(levelRefusal([[Buffer.from("tally")]], gated, risen, () => ({ features }))).toBeNull()
})

test("a directory that is made of data keeps their level, and a version that cannot do it does not start there, by name", () =>
  withLocalCluster(1, async ({ nodes: [node] }) => {
    if (node === undefined) throw new Error("no node")
    const log = join(node.config.dataDir, "log")
    const configuration = { ...voting("abc"), level: 2 }
    await createLog(log, "n1", "c", 3, { index: 5, term: 2, time: 0, chain: 0, configuration })
    const found = await inspectLog(nodeFiles, log)
    expect([found?.format.identity.founding?.level, found?.stored?.base.configuration.level]).toEqual([2, 2])
    const refused = await node.start().catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(LevelTooHigh)
    expect(isLasting(refused as LevelTooHigh)).toBe(true)
    expect(String(refused)).toMatch(/is at feature level 2, .*which supports levels up to 1\. Nothing was changed/)
    await node.stop()
    expect(await inspectLog(nodeFiles, log)).toMatchObject({ stored: found?.stored })
  }))

test("a node that is told to do no more than a level says so", () => {
  const at = { host: "127.0.0.1", port: 1 }
  expect(
    [newServerParts("n1", at, 1), newServerParts("n1", at, 9), newServerParts("n1", at)].map((one) => one.highestLevel),
  ).toEqual([1, HIGHEST_LEVEL, HIGHEST_LEVEL])
})
