/** The verbs for members on replicas of one process: real core, driver, transport and service. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { afterEach, describe, expect, test } from "vitest"
import {
  MemberNoLeader,
  MemberRefused,
  membersEffect,
  MemberUnfinished,
  type VerbProgress,
} from "../interpreters/members/index.ts"
import {
  NotExecuted,
  OutcomeUnknown,
  replicateTogether,
  type Machine,
  type ReplicaGroup,
} from "../interpreters/replica/index.ts"
import { turn, turns } from "./waiting.ts"

type Notes = readonly string[]
const notes: Machine<Notes, string, number> = { initial: [], apply: (state, text) => state.push(text) }
type Cluster = ReplicaGroup<Notes, string, number>

const open: { readonly close: () => Promise<void> }[] = []
afterEach(async () => {
  for (const cluster of open.splice(0)) await cluster.close()
})
const start = async (more: object = {}): Promise<Cluster> => {
  const cluster = await replicateTogether({
    machine: notes,
    settings: { snapshotBytes: 3000, trailingLogBytes: 500 },
    ...more,
  })
  open.push(cluster)
  await cluster.replica("a").ready()
  return cluster
}
const until = async (what: () => boolean): Promise<void> => {
  while (!what()) await turn()
}
const leaderOf = async (cluster: Cluster, at = "a"): Promise<string> => {
  for await (const { leader } of cluster.replica(at).leadership()) if (leader !== null) return leader
  throw new Error("ended")
}
const rolesOf = async (cluster: Cluster, at = "a"): Promise<string> => {
  const { members, changing } = await cluster.replica(at).members.list()
  return `${members.map(({ name, role }) => `${name}:${role}`).join(" ")}${changing ? " changing" : ""}`
}
const followerOf = (cluster: Cluster, leader: string): string => cluster.ids.find((id) => id !== leader) ?? ""

describe("verbs for members", () => {
  test("a newcomer is added by a follower, caught up, promoted, and leads; each verb again changes nothing; a removed one is told", async () => {
    const cluster = await start()
    const leader = await leaderOf(cluster)
    const at = cluster.replica(followerOf(cluster, leader))
    for (let i = 0; i < 100; i++) await at.execute(`${"x".repeat(100)}${i}`)
    const waiting = cluster.wait("d")
    const seen: VerbProgress[] = []
    await at.members.add("d")
    expect(await rolesOf(cluster)).toBe("a:voter b:voter c:voter d:learner")
    await at.members.promote("d", { onProgress: (progress) => seen.push(progress) })
    const d = await waiting
    expect(await rolesOf(cluster)).toBe("a:voter b:voter c:voter d:voter")
    await d.ready()
    expect((await d.read((state) => state)).length).toBe(100)
    const { lastIndex } = cluster.replica(leader).status()
    await Promise.all([
      d.members.add("d"),
      at.members.promote("d"),
      cluster.replica(leader).members.remove("nobody"),
      d.members.replace("a"),
    ])
    expect(cluster.replica(leader).status().lastIndex).toBe(lastIndex)

    await at.transfer("d")
    expect(d.status()).toMatchObject({ leader: "d", isLeader: true })
    // The leader is removed, as asked by another; and one that leads removes itself.
    await cluster.replica("a").members.remove("d")
    await until(() => cluster.replica("a").status().leader !== null && cluster.replica("a").status().leader !== "d")
    expect(await rolesOf(cluster)).toBe("a:voter b:voter c:voter")
    await cluster.replica("c").transfer("c")
    expect(await cluster.replica("c").members.remove("c", { timeout: 20_000 })).toEqual({ text: "c is no member" })
    expect(await rolesOf(cluster)).toBe("a:voter b:voter")
  }, 60_000)

  test("a lost disk is replaced by one verb under load, and the next one after it; nothing acknowledged is lost or doubled", async () => {
    const cluster = await start()
    const over = new AbortController()
    const acknowledged: string[] = []
    const worker = async (n: number): Promise<void> => {
      for (let i = 0; !over.signal.aborted; i++) {
        const text = `${n}.${i}`
        try {
          await cluster.replica("a").execute(text)
          acknowledged.push(text)
        } catch (error) {
          if (!(error instanceof NotExecuted || error instanceof OutcomeUnknown)) throw error
          await turns(10)
        }
      }
    }
    const workers = [0, 1, 2].map(worker)
    const more = (): Promise<void> => {
      const before = acknowledged.length
      return until(() => acknowledged.length > before + 30)
    }
    for (const lost of ["b", "c"]) {
      await more()
      const before = (await cluster.replica("a").members.list()).members.find(({ name }) => name === lost)?.incarnation
      cluster.wipe(lost)
      const back = cluster.wait(lost)
      await more()
      expect((await cluster.replica("a").members.replace(lost)).text).toMatch(/votes|voter/)
      const { members } = await cluster.replica("a").members.list()
      expect(members.find(({ name }) => name === lost)).toMatchObject({ role: "voter" })
      expect(members.find(({ name }) => name === lost)?.incarnation).not.toBe(before)
      await (await back).ready()
    }
    await more()
    over.abort()
    await Promise.all(workers)
    // Those that were replaced hold all of it, and are a majority without the one that never was.
    cluster.crash("a")
    const log = await cluster.replica("c").read((state) => state)
    expect(new Set(log).size).toBe(log.length)
    const held = new Set(log)
    expect(acknowledged.filter((text) => !held.has(text))).toEqual([])
  }, 60_000)

  test("another machine takes the place of a lost one, which votes until it has caught up", async () => {
    const cluster = await start()
    await cluster.replica("a").execute("one")
    cluster.crash("c")
    const waiting = cluster.wait("d")
    const texts: string[] = []
    await cluster.replica("b").members.replace("c", { by: "d", onProgress: ({ text }) => texts.push(text) })
    expect(await rolesOf(cluster)).toBe("a:voter b:voter d:voter")
    expect(texts.some((text) => text.startsWith("d becomes a learner"))).toBe(true)
    expect(await (await waiting).read((state) => state)).toEqual(["one"])
  }, 60_000)

  test("what would lose the quorum is refused by name unless it is asked for twice; so is what cannot be", async () => {
    const cluster = await start()
    const leader = await leaderOf(cluster)
    const [up = "", down = ""] = cluster.ids.filter((id) => id !== leader)
    cluster.crash(down)
    const { members } = cluster.replica(up)
    while ((await members.list()).members.find(({ name }) => name === down)?.reachable !== false) await turn()
    await expect(members.remove(up, { timeout: 600 })).rejects.toMatchObject({
      name: "MemberRefused",
      reason: "wouldLoseQuorum",
      executed: "no",
      leader,
    } satisfies Partial<MemberRefused>)
    await expect(members.remove(up, { timeout: 200 })).rejects.toThrow(
      new RegExp(`of whom ${down} is silent: no majority .* Nothing was changed`),
    )
    await expect(members.promote("z")).rejects.toMatchObject({ reason: "unknownMember", executed: "no" })
    await expect(members.add("z", { timeout: 200 })).rejects.toMatchObject({
      name: "MemberUnfinished",
      executed: "no",
    } satisfies Partial<MemberUnfinished>)
    await expect(members.transfer("z")).rejects.toMatchObject({ reason: "notAVoter" })
    // One that is down can go.
    await members.remove(down)
    expect(await rolesOf(cluster, leader)).toBe(
      cluster.ids
        .filter((id) => id !== down)
        .map((id) => `${id}:voter`)
        .join(" "),
    )
    await cluster.replica(up).execute("goes on")
    await members.remove(up, { evenIfQuorumIsLost: true })
    await expect(cluster.replica(leader).members.remove(leader)).rejects.toMatchObject({ reason: "lastVoter" })
  }, 60_000)

  test("as Effects their errors are values, and an interrupted one begins nothing any more", async () => {
    const cluster = await start()
    const { add, list, promote } = membersEffect(cluster.replica("a").members)
    const program = Effect.gen(function* () {
      const refused = yield* promote("z").pipe(Effect.flip)
      let waits = false
      const fiber = yield* add("d", { onProgress: () => (waits = true) }).pipe(Effect.forkChild)
      yield* Effect.promise(() => until(() => waits))
      yield* Fiber.interrupt(fiber)
      return [refused.name, refused.executed, (yield* list()).members.length]
    })
    expect(await Effect.runPromise(program)).toEqual(["MemberRefused", "no", 3])
    void cluster.wait("d")
    await turns(50)
    expect(await rolesOf(cluster)).toBe("a:voter b:voter c:voter")
  }, 60_000)

  test("without a leader it says so, and that nothing was changed; the list is what this one knows", async () => {
    const cluster = await start()
    await cluster.replica("a").execute("one")
    cluster.crash("b")
    cluster.crash("c")
    await until(() => cluster.replica("a").status().leader === null)
    await expect(cluster.replica("a").members.remove("b", { timeout: 200 })).rejects.toMatchObject({
      name: "MemberNoLeader",
      executed: "no",
      leader: null,
    } satisfies Partial<MemberNoLeader>)
    expect(await cluster.replica("a").members.list({ timeout: 50 })).toMatchObject({
      leader: null,
      asSeenBy: "a",
      members: [
        { name: "a", reachable: true },
        { name: "b", reachable: false },
        { name: "c", reachable: false },
      ],
    })
  }, 60_000)
})
