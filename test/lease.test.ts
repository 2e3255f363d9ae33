/** Leases in virtual time: holders that are paused, requests that are lost, late or of unknown outcome, clocks that disagree. */
import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { elect, lock, type LeaseTable } from "../interpreters/lease/index.ts"
import type { Surroundings } from "../interpreters/surroundings.ts"
import { leaseTable } from "../kv/client/leases.ts"
import { TimedOut, Unknown } from "../kv/client/errors.ts"
import type { CommandRequest } from "../kv/client/commands.ts"
import { MemoryMachine } from "../kv/machine/index.ts"
import { Log } from "./machine.kit.ts"
import { turn } from "./waiting.ts"

/** What becomes of one request. late: executed, and its answer comes after the caller has given up waiting. */
type Fate = "serve" | "never" | "lost" | "late"
const TIMEOUT = 300

class Time {
  now = 0
  private order = 0
  private readonly due: { readonly at: number; readonly order: number; readonly run: () => void }[] = []
  at(when: number, run: () => void): void {
    this.due.push({ at: Math.max(this.now, when), order: this.order++, run })
  }
  /** Lets time pass, event by event; what promises make of each is done before the next. */
  async pass(until: number, done: () => boolean = () => false): Promise<void> {
    for (;;) {
      await turn()
      this.due.sort((a, b) => a.at - b.at || a.order - b.order)
      const next = this.due[0]
      if (done()) return
      if (next === undefined || next.at > until) break
      this.due.shift()
      this.now = next.at
      next.run()
    }
    this.now = until
  }
}

/** The real state machine of the store; its clock goes at `rate` of real time. */
class Store {
  readonly machine = new MemoryMachine()
  readonly log = new Log()
  private readonly time: Time
  private readonly rate: number
  constructor(time: Time, rate = 1) {
    this.time = time
    this.rate = rate
  }
  execute(words: readonly string[]): Parameters<CommandRequest<unknown>["answer"]>[0] {
    this.log.time = 1_000_000 + Math.floor(this.time.now * this.rate)
    this.log.call(...words)
    const last = this.machine.applyNow(this.log.from(this.machine.position().index)).at(-1)
    if (last?.type !== "replied" || last.reply.type === "error")
      throw new Error(`${words.join(" ")} gave ${JSON.stringify(last)}`)
    return last.reply
  }
}

/** A process: paused, its clock goes on, and nothing else of it does. */
class Holder {
  readonly table: LeaseTable
  readonly surroundings: Surroundings
  private readonly time: Time
  /** All that was due by then is done only after it. */
  pausedUntil = 0
  /** Requests of one client are executed in their order. */
  private lastArrival = 0
  fate: () => Fate = () => "serve"
  delay: () => number = () => 1
  constructor(name: string, time: Time, store: Store) {
    this.time = time
    let luck = 1
    let secrets = 0
    this.surroundings = {
      now: () => time.now,
      after: (millis, run) => {
        let cancelled = false
        this.later(millis, () => cancelled || run())
        return { cancel: () => (cancelled = true) }
      },
      every: () => ({ cancel: () => undefined }),
      soon: (run) => this.later(0, run),
      random: () => (luck = (luck * 16_807) % 2_147_483_647) / 2_147_483_647,
      secret: () => String(++secrets),
    }
    const run = <A>(request: CommandRequest<A>): Promise<A> =>
      new Promise((resolve, reject) => {
        const words = request.task.type === "write" ? request.task.args.map(String) : []
        const fate = this.fate()
        const timeout = { command: words[0] ?? "", message: "no answer in time" }
        if (fate === "never") return this.later(TIMEOUT, () => reject(new TimedOut(timeout)))
        this.lastArrival = Math.max(this.lastArrival, time.now + this.delay() + (fate === "late" ? TIMEOUT : 0))
        const arrival = this.lastArrival
        time.at(arrival, () => {
          const answer = request.answer(store.execute(words))
          if (answer !== undefined && fate === "serve")
            time.at(time.now + this.delay(), () => this.later(0, () => resolve(answer)))
        })
        if (fate !== "serve") this.later(TIMEOUT, () => reject(new Unknown(timeout)))
      })
    this.table = leaseTable(name, run)
  }
  /** As soon as the process runs. */
  later(millis: number, run: () => unknown): void {
    this.time.at(this.time.now + millis, () => {
      if (this.time.now < this.pausedUntil) this.later(this.pausedUntil - this.time.now, run)
      else run()
    })
  }
  pause(millis: number): void {
    this.pausedUntil = Math.max(this.pausedUntil, this.time.now + millis)
  }
}

/** What the holder changes outside: it refuses tokens that are smaller than one it has seen. */
class Resource {
  readonly written: { readonly token: number; readonly by: string }[] = []
  readonly refused: { readonly token: number; readonly by: string }[] = []
  private greatest = 0
  write(token: number, by: string): void {
    const to = token < this.greatest ? this.refused : this.written
    this.greatest = Math.max(this.greatest, token)
    to.push({ token, by })
  }
}

describe("a take of unknown outcome", () => {
  const free = (store: Store, time: Time): boolean => {
    const [token] = (
      store.execute(["LEASE", "lease:x", "other", "1"]) as unknown as {
        readonly items: readonly [{ readonly value: number }]
      }
    ).items
    return token.value === store.machine.position().index && time.now > 0
  }
  test.each(["lost", "late", "serve"] as const)("whose caller gives up does not keep the lease: %s", async (fate) => {
    const time = new Time()
    const store = new Store(time)
    const holder = new Holder("h", time, store)
    const over = new AbortController()
    // The take is executed, or will be, and its answer is not there yet.
    holder.delay = () => 50
    const fates: Fate[] = [fate]
    holder.fate = () => fates.shift() ?? "serve"
    let ended: unknown = null
    const locking = lock(holder.table, "x", {
      ttl: 60_000,
      signal: over.signal,
      surroundings: holder.surroundings,
    }).catch((error: unknown) => (ended = error))
    await time.pass(60)
    over.abort(new Error("enough"))
    await time.pass(2000, () => ended !== null)
    await locking
    expect(ended).toEqual(new Error("enough"))
    // It waits for the release, not for the answer to what it asked; and that is long before the lease would have ended.
    expect(time.now).toBeLessThan(fate === "late" ? 500 : 200)
    await time.pass(1000)
    expect(free(store, time)).toBe(true)
  })

  test("that was certainly not executed is not waited for, and a release that nobody can take is not waited for beyond the lease", async () => {
    for (const [fates, latest] of [
      [["never"], 400],
      [["lost", "never"], 800],
    ] as const) {
      const time = new Time()
      const store = new Store(time)
      const holder = new Holder("h", time, store)
      const over = new AbortController()
      const left: Fate[] = [...fates]
      let asked = 0
      holder.fate = () => {
        asked += 1
        return left.shift() ?? "never"
      }
      let ended = false
      const locking = lock(holder.table, "x", {
        ttl: 400,
        signal: over.signal,
        surroundings: holder.surroundings,
      }).catch(() => (ended = true))
      await time.pass(TIMEOUT + 10)
      over.abort()
      await time.pass(5000, () => ended)
      await locking
      expect(time.now).toBeLessThanOrEqual(latest)
      expect(asked).toBe(fates.length)
    }
  })
})

test("a leader is paused in the middle of its work: another leads, and the resource refuses what the first one still writes", async () => {
  const time = new Time()
  const store = new Store(time)
  const resource = new Resource()
  const over = new AbortController()
  const leading: string[] = []
  const holders = ["a", "b"].map((name) => new Holder(name, time, store))
  const elections = holders.map((holder) =>
    elect(holder.table, "cron", {
      ttl: 1000,
      signal: over.signal,
      surroundings: holder.surroundings,
      onLead: async (token, signal) => {
        leading.push(holder.table.id)
        const pause = (millis: number): Promise<void> => new Promise((resolve) => holder.later(millis, resolve))
        // It looks at its signal, and writes: between the two it can be paused.
        while (!signal.aborted && !over.signal.aborted) {
          await pause(5)
          resource.write(token, holder.table.id)
          await pause(10)
        }
      },
    }),
  )
  await time.pass(500)
  expect(leading).toEqual(["a"])
  holders[0]?.pause(3000)
  await time.pass(3300)
  expect(leading).toEqual(["a", "b"])
  expect(resource.refused).toEqual([])
  await time.pass(4000)
  // It went on with its old token before its signal had told it, once, and then it knew.
  expect(resource.refused.map(({ by }) => by)).toEqual(["a"])
  expect(resource.written.at(-1)?.by).toBe("b")
  over.abort()
  await time.pass(5000)
  await Promise.all(elections)
})

/** One step of a script: time passes, a holder is paused, or its requests begin to fare otherwise. */
const step = fc.record({
  after: fc.integer({ min: 1, max: 900 }),
  holder: fc.nat({ max: 2 }),
  what: fc.oneof(
    fc.record({ pause: fc.integer({ min: 1, max: 3000 }) }),
    fc.record({
      fates: fc.array(fc.constantFrom<Fate>("serve", "never", "lost", "late"), { minLength: 1, maxLength: 6 }),
    }),
    fc.record({ delay: fc.integer({ min: 1, max: 400 }) }),
  ),
})
test("property: whoever was not paused was alone, tokens grow, and the resource keeps their order, whatever becomes of requests", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 14 }), fc.constantFrom(0.9, 1, 1.1), async (steps, rate) => {
      const time = new Time()
      const store = new Store(time, rate)
      const resource = new Resource()
      const over = new AbortController()
      const together: string[] = []
      const led: { readonly token: number; readonly by: string }[] = []
      const inside = new Map<Holder, AbortSignal>()
      const holders = ["a", "b", "c"].map((name) => new Holder(name, time, store))
      const elections = holders.map((holder) =>
        elect(holder.table, "one", {
          ttl: 1000,
          signal: over.signal,
          surroundings: holder.surroundings,
          onLead: async (token, signal) => {
            const by = holder.table.id
            led.push({ token, by })
            inside.set(holder, signal)
            while (!signal.aborted) {
              // Whoever was paused may not know yet that its time is over; all others must be alone.
              const sure = Array.from(inside).filter(
                ([{ pausedUntil }, { aborted }]) => !aborted && time.now > pausedUntil,
              )
              if (sure.length > 1) together.push(sure.map(([{ table }]) => table.id).join(" and "))
              resource.write(token, by)
              await new Promise<void>((resolve) => holder.later(20, () => resolve()))
            }
            inside.delete(holder)
          },
        }),
      )
      const failures: unknown[] = []
      for (const election of elections) election.catch((error: unknown) => failures.push(error))
      for (const { after, holder: at, what } of steps) {
        await time.pass(time.now + after)
        const holder = holders[at]
        if (holder === undefined) continue
        if ("pause" in what) holder.pause(what.pause)
        else if ("delay" in what) holder.delay = () => what.delay
        else {
          const left = [...what.fates]
          holder.fate = () => left.shift() ?? "serve"
        }
      }
      for (const holder of holders) {
        holder.fate = () => "serve"
        holder.delay = () => 1
      }
      const before = led.length
      await time.pass(time.now + 20_000, () => led.length > before)
      over.abort()
      let ended = false
      const all = Promise.all(elections).then(() => (ended = true))
      await time.pass(time.now + 20_000, () => ended || failures.length > 0)
      expect(failures).toEqual([])
      expect(together).toEqual([])
      await all
      // In the order in which they were granted, and nobody wrote after a later holder had.
      expect(led.map(({ token }) => token)).toEqual(led.map(({ token }) => token).toSorted((x, y) => x - y))
      const tokens = resource.written.map(({ token }) => token)
      expect(tokens).toEqual(tokens.toSorted((x, y) => x - y))
      expect(new Set(led.map(({ token }) => token)).size).toBe(led.length)
      // All were released: the table is free at once.
      expect(led.length).toBeGreaterThan(0)
      const [taken] = (
        store.execute(["LEASE", "lease:one", "next", "1000"]) as unknown as {
          readonly items: readonly [{ readonly value: number }]
        }
      ).items
      expect(taken.value).toBe(store.machine.position().index)
    }),
    { numRuns: 60 },
  )
})
