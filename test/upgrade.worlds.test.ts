/**
 * Clusters of two versions in virtual time. Servers are upgraded and taken back at random, killed and cut off; whoever leads
 * raises the level by the rule that ships (members/level.ts), connections are judged by the handshake that ships (hello.ts), and
 * what only the newer version can read is written by the gate that ships (committedLevel). No server may ever hold what its
 * version cannot read; invariants are checked at every step, and what clients see is linearizable.
 */
import { describe, expect, test } from "vitest"
import { configurationOf, levelOf, type Entry } from "../core/index.ts"
import { committedLevel, type Features } from "../interpreters/features.ts"
import { checkHello, type Hello } from "../interpreters/hello.ts"
import { raise, type LeaderView } from "../interpreters/members/index.ts"
import { payloadOf } from "../interpreters/payload.ts"
import { seconds, type Cluster, type StoryWork, type WorldStep } from "../interpreters/simulation/index.ts"
import { longTest, many } from "./long.ts"
import { expectAppends, KvWorld, type KvUser } from "./scenario.k.kit.ts"

/** Nobody's command; servers of the first level could not read it. */
const NEWER = payloadOf(Uint8Array.of(0xee, 2))
const isNewer = (entry: Entry): boolean => entry.kind === "command" && entry.payload.bytes[0] === 0xee

class Unreadable extends Error {
  override readonly name = "Unreadable"
}

class Versions {
  readonly c: Cluster
  readonly runs = new Map<string, number>()
  /** Pairs whose connection the handshake refuses. */
  private readonly refused = new Set<string>()
  raised = 0
  constructor(c: Cluster) {
    this.c = c
    for (const name of c.names) this.runs.set(name, 1)
  }
  levelOf(name: string): number {
    return this.runs.get(name) ?? 1
  }
  private features(name: string): Features {
    const level = this.levelOf(name)
    return { version: `0.${level}`, level, clusterLevel: levelOf(configurationOf(this.c.state(name))) }
  }
  private hello(name: string, target: string): Hello {
    const { member } = this.c.world.node(name)
    const held = { term: 0, index: 0 }
    return {
      cluster: "c",
      clientAddress: "",
      empty: false,
      founding: null,
      start: { number: 1, words: [1] },
      recovered: held,
      refused: null,
      features: this.features(name),
      member,
      target,
    }
  }
  private judged(one: string, other: string): boolean {
    const { c } = this
    if (!c.isUp(one) || !c.isUp(other)) return true
    const local = this.hello(one, other)
    return checkHello(local.member, local, () => true, this.hello(other, one), null) === null
  }
  /** Whoever starts, and whoever's level has changed, shakes hands with all others. */
  shakeHands(): void {
    const { c } = this
    for (const [i, one] of c.names.entries())
      for (const other of c.names.slice(i + 1)) {
        const key = `${one} ${other}`
        const good = this.judged(one, other) && this.judged(other, one)
        if (good === !this.refused.has(key)) continue
        if (good) this.refused.delete(key)
        else this.refused.add(key)
        for (const [from, to] of [
          [one, other],
          [other, one],
        ] as const)
          c.world.act({ type: good ? "join" : "cut", from, to })
      }
  }
  /** All links are up again. */
  shakeHandsAnew(): void {
    this.refused.clear()
    this.shakeHands()
  }
  /** It starts with that version, unless its log says that it cannot (LevelTooHigh). */
  start(name: string, level: number): boolean {
    const { log } = this.c.world.node(name).state.disk
    const inLog =
      log.toArray().findLast((entry) => entry.kind === "configuration")?.configuration ?? log.base.configuration
    if (levelOf(inLog) > level) return false
    this.runs.set(name, level)
    this.c.world.act({ type: "start", node: name })
    this.shakeHands()
    return true
  }
  presence(by: string): LeaderView["presence"] {
    const { c } = this
    return (name) =>
      c.isUp(name) && c.isConnected(name) && c.isConnected(by) && !this.refused.has([by, name].toSorted().join(" "))
        ? { member: c.world.node(name).member, connected: true, address: null, features: this.features(name) }
        : null
  }
  /** What its leader does about the level, every second. */
  look(name: string): void {
    const { role, ...state } = this.c.state(name)
    if (role.type !== "leader") return
    const step = raise({ state: { ...state, role }, leader: role, presence: this.presence(name) })
    if (step?.type !== "change") return
    this.raised += 1
    this.c.world.inject(name, { type: "ConfigurationChangeProposed", ref: 1e9 + this.raised, ...step.configuration })
    this.shakeHands()
  }
  /** Somebody asks for what is new: it is written once every member can read it, and refused before. */
  writeNewer(name: string): boolean {
    if (!this.c.isUp(name) || this.levelOf(name) < 2 || committedLevel(this.c.state(name)) < 2) return false
    this.c.world.propose(name, [{ ...NEWER }])
    return true
  }
  check({ node, state }: WorldStep): void {
    const level = this.levelOf(node)
    if (level >= 2) return
    const found = levelOf(configurationOf(state))
    if (found > level) throw new Unreadable(`${node} does level ${level}, and its cluster is at ${found}`)
    const { log } = state
    for (let index = log.lastIndex; index > log.base.index && index > log.lastIndex - 20; index--) {
      const entry = log.entry(index)
      if (entry !== undefined && isNewer(entry))
        throw new Unreadable(`${node} holds entry ${index}, which it cannot read`)
    }
  }
}

interface Story {
  readonly seed: number
  /** Virtual milliseconds. */
  readonly lasts: number
  /** null: two versions all the time, and nobody finishes the upgrade. */
  readonly finish: boolean
}
const story = ({ seed, lasts, finish }: Story): Versions & { readonly newer: number } => {
  let versions: Versions | null = null
  const it = new KvWorld({
    servers: 3,
    seed,
    unreliable: seed % 2 === 0,
    most: 1500,
    observe: (step) => versions?.check(step),
  })
  const { cluster: c } = it
  const all = new Versions(c)
  versions = all
  const users = Array.from({ length: 2 }, () => it.client())
  const counts = users.map(() => 0)
  const so = { over: false, newer: 0 }
  const think = Math.max(50, Math.ceil(lasts / 400))
  function* load(user: KvUser, i: number): StoryWork<void> {
    while (!so.over) {
      yield* user.append(`k${i}`, `${user.name}.${counts[i]} `)
      counts[i] = (counts[i] ?? 0) + 1
      yield think
    }
  }
  function* leaders(): StoryWork<void> {
    while (!so.over) {
      yield 250
      for (const name of c.live) all.look(name)
      // A follower that has got the raise tells it from now on.
      all.shakeHands()
      for (const name of c.names) if (all.writeNewer(name)) so.newer += 1
    }
  }
  const restart = function* (name: string, level: number): StoryWork<void> {
    if (c.isUp(name)) c.world.act({ type: "crash", node: name, keep: "random" })
    yield 50 + c.random.below(500)
    if (!all.start(name, level)) all.start(name, 2)
    yield 500 + c.random.below(1500)
  }
  const [last = ""] = c.names
  function* operator(): StoryWork<void> {
    const until = c.now + lasts
    while (c.now < until) {
      const name = c.any(c.names)
      // n1 is never upgraded before the end: until then the level cannot rise.
      yield* restart(name, name === last ? 1 : 1 + c.random.below(2))
      if (c.random.chance(300)) {
        const away = c.any(c.names)
        c.cut(away)
        yield 200 + c.random.below(800)
        c.join(away)
        all.shakeHandsAnew()
      }
      yield Math.ceil(lasts / 60)
    }
    if (finish) {
      for (const name of c.names) yield* restart(name, 2)
      for (let i = 0; i < 6; i++) yield* restart(c.any(c.names), 1 + c.random.below(2))
      while (c.live.length < 3 || so.newer === 0) yield 200
    }
    so.over = true
  }
  const tasks = [c.go(operator()), c.go(leaders()), ...users.map((user, i) => c.go(load(user, i)))]
  c.finish(tasks, lasts * 4 + seconds(240))
  const reader = it.client()
  for (const [i, user] of users.entries()) expectAppends(it.do(reader.get(`k${i}`)), user.name, counts[i] ?? 0)
  it.expectLinearizable()
  return Object.assign(all, { newer: so.newer })
}

describe("servers of two versions", () => {
  test("upgraded and taken back at random, then all upgraded: the level rises once, and never before", () => {
    const { raised, newer } = story({ seed: 1, lasts: seconds(4), finish: true })
    expect([raised > 0, newer > 0]).toEqual([true, true])
  })
  longTest("the same over many seeds", () => {
    for (let seed = 1; seed <= many(100, 20); seed++) story({ seed, lasts: seconds(30), finish: seed % 3 > 0 })
    return Promise.resolve()
  })
  longTest("while one stays as it was, for an hour, the level stays", () => {
    expect(story({ seed: 5, lasts: seconds(3600), finish: false })).toMatchObject({ raised: 0, newer: 0 })
    return Promise.resolve()
  })
})
