/** `replicate` on real directories and sockets: three servers form, serve, stop, start again, and one comes back from a snapshot. */
import { cpSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { afterAll, describe, expect, test } from "vitest"
import {
  makeReplica,
  replicate,
  replicaService,
  type ReplicateError,
  type ReplicateOptions,
} from "../interpreters/node/index.ts"
import { elect, lock } from "../interpreters/lease/index.ts"
import type { Machine, Replica } from "../interpreters/replica/index.ts"
import { freePort } from "./cluster.ts"
import { inSqlite, type Database } from "./examples/sqlite.ts"
import { longTest } from "./long.ts"
import { turn } from "./waiting.ts"

interface State {
  readonly notes: readonly string[]
  readonly count: number
}
type Command = { readonly note: string } | { readonly add: number }
const machine: Machine<State, Command, number> = {
  initial: { notes: [], count: 0 },
  apply: (state, command) => {
    if ("note" in command) return state.notes.push(command.note)
    state.count += command.add
    return state.count
  },
}

const home = mkdtempSync(join(tmpdir(), "stepraft-replicate-"))
afterAll(() => rmSync(home, { recursive: true, force: true }))
const ids = ["a", "b", "c"]

describe("replicate", () => {
  test.concurrent("forms, executes, survives its own restart and that of all, and rebuilds one that lost its state", async () => {
    const ports = await Promise.all(ids.map(freePort))
    const peers = Object.fromEntries(ids.map((id, i) => [id, `127.0.0.1:${ports[i]}`]))
    const optionsOf = (id: string): ReplicateOptions<State, Command, number> => ({
      id,
      data: join(home, id),
      peers,
      machine,
      compareEvery: 50,
      log: () => undefined,
      settings: { heartbeat: 50, electionMin: 400, electionMax: 800, snapshotBytes: 20_000, trailingLogBytes: 1000 },
    })
    const start = (id: string): Promise<Replica<State, Command, number>> => replicate(optionsOf(id))
    let [a, b, c] = (await Promise.all(ids.map(start))) as [
      Replica<State, Command, number>,
      Replica<State, Command, number>,
      Replica<State, Command, number>,
    ]
    await Promise.all([a.ready(), b.ready(), c.ready()])
    await Promise.all(Array.from({ length: 300 }, (_, i) => ([a, b, c][i % 3] ?? a).execute({ add: 1 })))
    expect(await c.read((state) => state.count)).toBe(300)

    // One is away while the log is trimmed past what it holds.
    await c.close()
    await Promise.all(Array.from({ length: 400 }, (_, i) => a.execute({ note: `${"x".repeat(100)}${i}` })))
    c = await start("c")
    await c.ready()
    expect(await c.read((state) => [state.count, state.notes.length])).toEqual([300, 400])

    // One lost its state, not its log: it is executed anew, or comes from a peer.
    await b.close()
    rmSync(join(home, "b", "state"), { recursive: true })
    b = await start("b")
    while ((await b.read((state) => state.notes.length).catch(() => 0)) !== 400) await turn()

    const held = await lock(b, "one", { ttl: 5000 })
    await held.release()
    const over = new AbortController()
    const led: string[] = []
    await Promise.all(
      [a, b, c].map((at) =>
        elect(at, "cron", { ttl: 5000, signal: over.signal, onLead: () => (led.push(at.id), over.abort()) }),
      ),
    )
    expect(led).toHaveLength(1)

    await Promise.all([a.close(), b.close(), c.close()])
    await expect(a.execute({ add: 1 })).rejects.toMatchObject({ name: "NotExecuted", reason: "stopping" })
    ;[a, b, c] = (await Promise.all(ids.map(start))) as [typeof a, typeof b, typeof c]
    expect(await c.execute({ add: 1 })).toBe(301)
    expect(await a.read((state) => [state.count, state.notes.length])).toEqual([301, 400])
    await Promise.all([a.close(), b.close(), c.close()])
  }, 120_000)

  test.concurrent("alone, as an Effect: a service with a scope", async () => {
    const port = await freePort()
    const Counter = replicaService<State, Command, number>("Counter")
    const layer = Counter.layer({
      id: "a",
      data: join(home, "alone"),
      peers: { a: `127.0.0.1:${port}` },
      machine,
      log: () => undefined,
    })
    const program = Effect.gen(function* () {
      const counter = yield* Counter
      yield* Effect.promise(counter.ready)
      yield* Effect.promise(() => counter.execute({ add: 2 }))
      return yield* Effect.promise(() => counter.execute({ add: 3 }))
    })
    expect(await Effect.runPromise(program.pipe(Effect.provide(layer)))).toBe(5)
  }, 60_000)

  longTest(
    "with a state that keeps itself: one that was away, and one that lost its state, get it from a peer as one file",
    async () => {
      const notes = inSqlite({
        schema: "CREATE TABLE IF NOT EXISTS notes (note TEXT)",
        apply: (db, note: string): number => {
          db.prepare("INSERT INTO notes VALUES (?)").run(note)
          return Number(db.prepare("SELECT count(*) AS n FROM notes").all()[0]?.["n"])
        },
      })
      const count = (db: Database): number => Number(db.prepare("SELECT count(*) AS n FROM notes").all()[0]?.["n"])
      const ports = await Promise.all(ids.map(freePort))
      const peers = Object.fromEntries(ids.map((id, i) => [id, `127.0.0.1:${ports[i]}`]))
      const lines: string[] = []
      const start = (id: string): Promise<Replica<Database, string, number>> =>
        replicate({
          id,
          data: join(home, `sqlite-${id}`),
          peers,
          machine: notes,
          compareEvery: 50,
          log: (_, text) => lines.push(`${id}: ${text}`),
          settings: {
            heartbeat: 50,
            electionMin: 400,
            electionMax: 800,
            snapshotBytes: 20_000,
            trailingLogBytes: 1000,
          },
        })
      const first = await Promise.all(ids.map(start))
      const [a, b] = first
      let [, , c] = first
      if (a === undefined || b === undefined || c === undefined) throw new Error("three were started")
      await Promise.all(first.map(({ ready }) => ready()))
      await a.execute("one")
      await c.close()
      await Promise.all(Array.from({ length: 400 }, (_, i) => a.execute(`${"x".repeat(100)}${i}`)))
      // The log that c would need is gone.
      c = await start("c")
      while ((await c.read(count).catch(() => 0)) !== 401) await turn()
      await c.close()
      rmSync(join(home, "sqlite-c", "state"), { recursive: true })
      c = await start("c")
      while ((await c.read(count).catch(() => 0)) !== 401) await turn()
      expect(lines.filter((line) => line.startsWith("c: the data reach entry 0"))).toHaveLength(1)
      await Promise.all([a, b, c].map((at) => at.execute("more")))
      expect(await c.read(count)).toBe(404)
      await Promise.all([a.close(), b.close(), c.close()])
    },
  )

  test.concurrent("while it has no place yet, a directory that was put back is refused by its peers, at once and at every later start", async () => {
    const ports = await Promise.all(ids.map(freePort))
    // c never comes, so nobody forms a cluster.
    const peers = Object.fromEntries(ids.map((id, i) => [id, `127.0.0.1:${ports[i]}`]))
    const lines: string[] = []
    const begin = (id: string): Effect.Effect<unknown, ReplicateError, Scope.Scope> =>
      makeReplica({
        id,
        data: join(home, `forming-${id}`),
        peers,
        machine,
        log: (_, text) => lines.push(`${id}: ${text}`),
        settings: { heartbeat: 50, electionMin: 400, electionMax: 800 },
      })
    const running = (id: string): (() => Promise<unknown>) => {
      const fiber = Effect.runFork(Effect.scoped(begin(id)))
      return () => Effect.runPromise(Fiber.interrupt(fiber))
    }
    /** Whom b waits for, as it said last. */
    const waits = async (names: string): Promise<void> => {
      while (
        lines
          .findLast((line) => line.startsWith("b: this node's directory is empty"))
          ?.includes(`waiting for ${names} to form`) !== true
      )
        await turn()
    }
    const endA = async (end: () => Promise<unknown>): Promise<void> => {
      await waits("c")
      await end()
      await waits("a, c")
    }
    const endOfB = running("b")
    await endA(running("a"))
    cpSync(join(home, "forming-a"), join(home, "put-aside"), { recursive: true })
    await endA(running("a"))
    rmSync(join(home, "forming-a"), { recursive: true })
    cpSync(join(home, "put-aside"), join(home, "forming-a"), { recursive: true })
    const refused: unknown = await Effect.runPromise(Effect.scoped(Effect.flip(begin("a"))))
    expect(refused).toMatchObject({
      _tag: "NodeFailed",
      message: expect.stringMatching(
        /^a stopped: (RolledBack|Superseded): the directory of a is not to be trusted, says b/u,
      ) as string,
    })
    expect(await Effect.runPromise(Effect.scoped(Effect.flip(begin("a"))))).toMatchObject({ _tag: "NodeFailed" })
    await endOfB()
  }, 60_000)

  test.each([
    [{ id: "a b" }, "id"],
    [{ peers: { b: "127.0.0.1:1" } }, "listen"],
    [{ peers: { a: "127.0.0.1" } }, "peers.a"],
    [{ peers: { "a/b": "127.0.0.1:1", a: "127.0.0.1:1" } }, "peers"],
    [{ listen: "127.0.0.1:70000" }, "listen"],
    [{ listen: "0.0.0.0:1" }, "tls"],
    [{ peers: { a: "127.0.0.1:1", b: "db2:1" } }, "tls"],
    [{ autopilot: { voters: 3, after: 9999 } }, "autopilot.after"],
  ])("wrong options are told by name: %j", async (wrong, field) => {
    await expect(
      replicate({ id: "a", data: join(home, "none"), peers: { a: "127.0.0.1:1" }, machine, ...wrong }),
    ).rejects.toMatchObject({ _tag: "OptionsInvalid", field })
  })
})
