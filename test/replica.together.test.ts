/** Three replicas in one process: a user's machine behind the real core, driver, transport and service. */
import * as Effect from "effect/Effect"
import { afterEach, describe, expect, test } from "vitest"
import { LeaseLost, lock, type LeaseTable } from "../interpreters/lease/index.ts"
import { leasesEffect } from "../interpreters/replica/effect.ts"
import {
  CommandFailed,
  NotDeterministic,
  NotExecuted,
  OutcomeUnknown,
  replicateTogether,
  type Machine,
  type Replica,
  type ReplicaGroup,
} from "../interpreters/replica/index.ts"
import { turn, turns } from "./waiting.ts"

interface Jobs {
  readonly jobs: Record<string, { owner: string | null; done: boolean }>
  readonly log: readonly string[]
}
type Command =
  | { readonly op: "add"; readonly job: string }
  | { readonly op: "claim"; readonly by: string }
  | { readonly op: "note"; readonly text: string }
  | { readonly op: "break" }
const jobs: Machine<Jobs, Command, string | null> = {
  initial: { jobs: {}, log: [] },
  apply: (state, command) => {
    switch (command.op) {
      case "add":
        state.jobs[command.job] = { owner: null, done: false }
        return command.job
      case "claim": {
        const free = Object.entries(state.jobs).find(([, { owner }]) => owner === null)
        if (free === undefined) return null
        free[1].owner = command.by
        return free[0]
      }
      case "note":
        state.log.push(command.text)
        return command.text
      case "break":
        state.log.push("broken")
        throw new RangeError("no")
    }
  },
}

const open: { readonly close: () => Promise<void> }[] = []
afterEach(async () => {
  for (const cluster of open.splice(0)) await cluster.close()
})
const start = async <S, C, R>(
  machine: Machine<S, C, R> | ((id: string) => Machine<S, C, R>),
  more: object = {},
): Promise<ReplicaGroup<S, C, R>> => {
  const cluster = await replicateTogether({ machine, ...more })
  open.push(cluster)
  await cluster.replica("a").ready()
  return cluster
}
const until = async (what: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await what())) await turn()
}
const leaderOf = async (cluster: ReplicaGroup<Jobs, Command, string | null>): Promise<string> => {
  for await (const { leader } of cluster.replica("a").leadership()) if (leader !== null) return leader
  throw new Error("ended")
}

describe("a replicated state", () => {
  test("commands are executed on all, in order, with their results; reads are current everywhere; a throw undoes its command", async () => {
    const cluster = await start(jobs)
    const [a, b, c] = ["a", "b", "c"].map((id) => cluster.replica(id)) as [
      Replica<Jobs, Command, string | null>,
      Replica<Jobs, Command, string | null>,
      Replica<Jobs, Command, string | null>,
    ]
    await Promise.all(Array.from({ length: 20 }, (_, i) => a.execute({ op: "add", job: `j${i}` })))
    const claimed = await Promise.all(
      [a, b, c].flatMap((at) => Array.from({ length: 8 }, () => at.execute({ op: "claim", by: at.id }))),
    )
    expect(claimed.filter((job) => job !== null).toSorted()).toEqual(
      Array.from({ length: 20 }, (_, i) => `j${i}`).toSorted(),
    )
    for (const at of [a, b, c])
      expect(await at.read((state) => Object.values(state.jobs).filter(({ owner }) => owner === null).length)).toBe(0)
    await expect(b.execute({ op: "break" })).rejects.toMatchObject({
      name: "CommandFailed",
      executed: "no",
      thrown: "RangeError: no",
    } satisfies Partial<CommandFailed>)
    expect(await c.read((state) => state.log)).toEqual([])
    // The state that readers get is shared: nobody can change it.
    await expect(
      a.read((state) => void (state.jobs["x"] = { owner: null, done: true }), { consistency: "local" }),
    ).rejects.toThrow(TypeError)
    expect(a.status()).toMatchObject({ voters: ["a", "b", "c"], learners: [] })
  })

  test("nothing acknowledged is lost and nothing is doubled while each replica crashes in turn, and all at once", async () => {
    const cluster = await start(jobs, { settings: { snapshotBytes: 4000, trailingLogBytes: 500 } })
    const acknowledged: string[] = []
    const unknown: string[] = []
    const over = new AbortController()
    const worker = async (name: string, i: number): Promise<void> => {
      for (let n = 0; !over.signal.aborted; n++) {
        const text = `${name}${i}.${n}`
        try {
          acknowledged.push((await cluster.replica(name).execute({ op: "note", text })) ?? "")
        } catch (error) {
          if (error instanceof OutcomeUnknown) unknown.push(text)
          else if (!(error instanceof NotExecuted || error instanceof RangeError)) throw error
          await turns(10)
        }
      }
    }
    const workers = cluster.ids.flatMap((name) => [0, 1, 2, 3].map((i) => worker(name, i)))
    const more = (): Promise<void> => {
      const before = acknowledged.length
      return until(() => acknowledged.length > before + 60)
    }
    for (const id of cluster.ids) {
      await more()
      cluster.crash(id)
      await more()
      await cluster.start(id)
    }
    await more()
    for (const id of cluster.ids) cluster.crash(id)
    await Promise.all(cluster.ids.map(cluster.start))
    await more()
    over.abort()
    await Promise.all(workers)
    for (const id of cluster.ids) {
      const log = await cluster.replica(id).read((state) => state.log)
      expect(new Set(log).size).toBe(log.length)
      const seen = new Set(log)
      expect(acknowledged.filter((text) => !seen.has(text))).toEqual([])
      expect(log.every((text) => acknowledged.includes(text) || unknown.includes(text))).toBe(true)
    }
    expect(cluster.replica("a").status().lastIndex).toBeGreaterThan(400)
  }, 120_000)

  test("a replica cut off answers that it was not executed, or that nobody knows; and takes part again", async () => {
    const cluster = await start(jobs, { service: { writeTimeout: 400, readTimeout: 300 } })
    const leader = await leaderOf(cluster)
    cluster.network({ type: "isolate", node: leader })
    const stale = cluster.replica(leader)
    await expect(stale.execute({ op: "note", text: "cut" })).rejects.toMatchObject({
      executed: expect.stringMatching(/unknown|no/u) as string,
    })
    await expect(stale.read(() => 1)).rejects.toMatchObject({ name: "NotRead", reason: "noLeader" })
    expect(await stale.read((state) => state.log, { consistency: "local" })).toEqual([])
    const other = cluster.ids.find((id) => id !== leader) ?? ""
    await cluster.replica(other).execute({ op: "note", text: "on" })
    cluster.network({ type: "heal" })
    await until(async () => (await stale.read((state) => state.log).catch((): string[] => [])).includes("on"))
    expect(await stale.read((state) => state.log.filter((text) => text !== "cut"))).toEqual(["on"])
  }, 60_000)

  test("leadership is told as it changes, and handed over before an end", async () => {
    const cluster = await start(jobs)
    const leader = await leaderOf(cluster)
    const other = cluster.ids.find((id) => id !== leader) ?? ""
    const seen: (string | null)[] = []
    const watching = (async () => {
      for await (const { leader: now } of cluster.replica(other).leadership())
        if (seen.push(now) > 0 && now !== null && now !== leader) return now
      return null
    })()
    await cluster.replica(leader).close()
    expect(cluster.ids).toContain(await watching)
    expect(seen[0]).toBe(leader)
  }, 60_000)

  test("a machine that executes otherwise on one replica is told by name, and stops", async () => {
    const cluster = await start<{ n: number }, { add: number }, number>((id: string) => ({
      initial: { n: 0 },
      apply: (state, { add }) => (state.n += id === "b" ? add * 1.0001 : add),
    }))
    // Whoever leads: the majority is right.
    const failed = cluster.replica("b").failure.catch((error: unknown) => error)
    let told: unknown = null
    void failed.then((error) => (told = error))
    await until(async () => {
      await cluster.replica("a").execute({ add: 1 })
      return told !== null
    })
    expect(told).toBeInstanceOf(NotDeterministic)
    await expect(cluster.replica("b").execute({ add: 1 })).rejects.toBeInstanceOf(NotDeterministic)
    expect(Number.isInteger(await cluster.replica("c").execute({ add: 1 }))).toBe(true)
  }, 60_000)
})

describe("leases", () => {
  test("a lock is held by one at a time, with greater tokens for later holders", async () => {
    const cluster = await start(jobs)
    let inside = 0
    const tokens: number[] = []
    await Promise.all(
      cluster.ids.flatMap((id) =>
        [0, 1].map(async () => {
          const held = await lock(cluster.replica(id), "one", { ttl: 5000 })
          inside += 1
          expect(inside).toBe(1)
          tokens.push(held.token)
          await turns(10)
          inside -= 1
          await held.release()
          expect(held.signal.aborted).toBe(true)
        }),
      ),
    )
    expect(tokens).toHaveLength(6)
    expect(tokens).toEqual(tokens.toSorted((x, y) => x - y))
    expect(new Set(tokens).size).toBe(6)
  }, 60_000)

  test("with Effect, a lock is held as long as its scope is open; whoever loses it is told, and errors are typed", async () => {
    const cluster = await start(jobs)
    const [a, b] = [leasesEffect(cluster.replica("a")), leasesEffect(cluster.replica("b"))]
    const holder = "the same"
    const program = Effect.gen(function* () {
      const asked = Effect.promise(() =>
        cluster.replica("b").lease({ type: "take", name: "one", holder: "b", ttl: 5000 }),
      )
      const inScope = yield* a.lock("one").pipe(Effect.andThen(asked), Effect.scoped)
      const afterwards = yield* asked
      // Released by the same holder elsewhere, and taken by another one: the next renewal finds that.
      const lost = yield* a.lock("two", { ttl: 300, holder }).pipe(
        Effect.tap(() => Effect.promise(() => cluster.replica("b").lease({ type: "release", name: "two", holder }))),
        Effect.flatMap((held) => Effect.andThen(b.lock("two", { ttl: 5000 }), held.lost)),
        Effect.scoped,
        Effect.flip,
      )
      const resigned = yield* Effect.flip(b.elect("cron", { onLead: (token) => Effect.fail({ resigns: token }) }))
      yield* Effect.promise(() => cluster.close())
      const refused = yield* a.lock("one").pipe(Effect.scoped, Effect.flip)
      return { inScope: inScope.type, afterwards: afterwards.type, lost, resigned, refused }
    })
    expect(await Effect.runPromise(program)).toEqual({
      inScope: "taken",
      afterwards: "held",
      lost: expect.any(LeaseLost),
      resigned: { resigns: expect.any(Number) },
      refused: expect.any(NotExecuted),
    })
  }, 60_000)

  test("a lock whose holder is aborted while nothing can be released ends nobody's process", async () => {
    const refusing: LeaseTable = {
      id: "a",
      unanswered: () => "final",
      lease: ({ type }) =>
        type === "take" ? Promise.resolve({ type: "held", token: 1 }) : Promise.reject(new NotExecuted("noLeader")),
    }
    const over = new AbortController()
    const held = await lock(refusing, "one", { signal: over.signal })
    over.abort()
    // A rejection that nobody handles fails this test.
    await turns(10)
    expect(held.signal.aborted).toBe(true)
    await expect(held.release()).rejects.toBeInstanceOf(NotExecuted)
  })

  test("a leader that is cut off is told in time, another leads, and what the first one still writes is fenced", async () => {
    const { story } = await import("./examples/fencing.ts")
    expect(story).toEqual([
      "wrote by the first",
      "the first one was told: true",
      "wrote by the second",
      "refused late, by the first",
    ])
  }, 60_000)
})
