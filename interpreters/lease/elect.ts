/**
 * Leader election and locks for a program that wants nothing else: leases of a replicated table, with fencing tokens.
 *
 * A holder can be paused (a long garbage collection, a suspended machine) and go on after its lease has ended and somebody else
 * has begun. No timer of its own can rule that out: it can be paused between looking at the timer and writing. So each lease
 * comes with a token, greater than that of every earlier holder. Send the token along with whatever the holder does to the
 * outside; the resource remembers the greatest token that it has seen and refuses smaller ones. Then the paused holder is
 * refused. Where the resource cannot compare tokens, a lease makes two holders at once unlikely, not impossible.
 */
import { realSurroundings, type Surroundings } from "../surroundings.ts"
import type { LeaseTable } from "./table.ts"

export interface LeaseOptions {
  /** How long a lease outlasts its holder, in milliseconds: the longest gap after a crash. Default 10,000. */
  readonly ttl?: number
  /** Who holds it. Default: the table's name and a random word. The same holder can take a lease again, so no two may share a name. */
  readonly holder?: string
  /** Ends the waiting, or the holding; the lease is released. */
  readonly signal?: AbortSignal
  readonly surroundings?: Surroundings
}
export interface Lock {
  /** Greater than that of every earlier holder. Send it along with every write that the lease protects. */
  readonly token: number
  /** Aborted as soon as the lease may have ended: stop what needs it. */
  readonly signal: AbortSignal
  /** Rejects with LeaseLost if the lease may have ended before: then what was done under it may have been done by two. */
  readonly release: () => Promise<void>
}
export interface Campaign {
  /**
   * Runs while this holder leads; `signal` is aborted when that may be over. A leader that was paused may run on without
   * knowing it: `token` grows from leader to leader, so send it along with every write, and let the resource refuse a smaller
   * one than it has seen. When `onLead` returns, leadership is given up and sought again. If it throws, leadership is given up
   * and `elect` rejects with that.
   */
  readonly onLead: (token: number, signal: AbortSignal) => Promise<void> | void
}

/** The holder's clock, the cluster's clock (0.9 to 1.1 of real time) and the way there: it counts on this part of its lease. */
const COUNTED_ON = 0.8
/** It is made to last longer after this part. */
const RENEWED_AFTER = 1 / 3
const FIRST_PAUSE_MS = 50
/** What a timer of JavaScript counts. */
const LONGEST_TIMER = 2 ** 31 - 1

/** The lease may have ended before it was released: what it protected may have been done by two. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost"
  constructor(lease: string, options?: ErrorOptions) {
    super(
      `the lease ${lease} could not be renewed in time: another holder may have it by now. Stop what needs it; what was done since then with its token is refused by every resource that compares tokens`,
      options,
    )
  }
}

const aborted = (signal: AbortSignal | undefined): signal is AbortSignal => signal?.aborted === true
const reasonOf = (signal: AbortSignal): Error =>
  signal.reason instanceof Error ? signal.reason : new Error("aborted", { cause: signal.reason })

type Taken =
  | { readonly type: "held"; readonly token: number; readonly until: number }
  | { readonly type: "wait"; readonly millis: number; readonly taken: boolean }

/** One holder's requests for one lease. */
class Claim {
  readonly table: LeaseTable
  readonly name: string
  readonly holder: string
  readonly ttl: number
  private readonly now: () => number
  /** A request has perhaps given this holder the lease, or may do so yet. */
  open = false
  constructor(table: LeaseTable, name: string, holder: string, ttl: number, now: () => number) {
    this.table = table
    this.name = name
    this.holder = holder
    this.ttl = ttl
    this.now = now
  }
  /** The token, and until when it may be counted on, on the own clock; or how long to wait. */
  async take(): Promise<Taken> {
    const { table, name, holder, ttl, open } = this
    // Counted from before it was asked for: the table counts from later.
    const asked = this.now()
    this.open = true
    try {
      const told = await table.lease({ type: "take", name, holder, ttl })
      if (told.type === "held") return { type: "held", token: told.token, until: asked + ttl * COUNTED_ON }
      // Executed after every earlier request of this holder, and none of them had got it.
      this.open = false
      return {
        type: "wait",
        taken: told.type === "taken",
        millis: told.type === "taken" ? Math.min(told.remaining, ttl / 4) : FIRST_PAUSE_MS,
      }
    } catch (error) {
      const rejection = table.unanswered(error)
      if (rejection === "final") throw error
      if (rejection === "notExecuted") this.open = open
      return { type: "wait", taken: false, millis: FIRST_PAUSE_MS }
    }
  }
  /** Stands behind every request before it, so whatever became of those, the lease is not this holder's afterwards. */
  async release(): Promise<void> {
    await this.table.lease({ type: "release", name: this.name, holder: this.holder })
  }
}

/**
 * Waits for the lease `name`, holds it and makes it last longer until it is released. Rejects only if `signal` aborts or the
 * table refuses. Aborted while a request is under way, it first releases what that may have taken.
 */
export const lock = async (table: LeaseTable, name: string, options: LeaseOptions = {}): Promise<Lock> => {
  const { ttl = 10_000, surroundings = realSurroundings, signal } = options
  const { now, after } = surroundings
  const claim = new Claim(table, name, options.holder ?? `${table.id}:${surroundings.secret(8)}`, ttl, now)
  /** Until `what` is over, so many milliseconds have passed, or `end` aborts. */
  const wait = async <A>(
    what: Promise<A> | null,
    millis: number | null,
    end: AbortSignal | undefined,
  ): Promise<A | null> => {
    let stop = (): void => {}
    const other = new Promise<null>((resolve) => {
      const alarm = millis === null ? null : after(millis, () => resolve(null))
      const over = (): void => resolve(null)
      end?.addEventListener("abort", over)
      stop = () => {
        alarm?.cancel()
        end?.removeEventListener("abort", over)
      }
    })
    try {
      return await (what === null ? other : Promise.race([what, other]))
    } finally {
      stop()
    }
  }

  for (;;) {
    if (aborted(signal)) {
      // No longer than the lease would last: then it has ended by itself.
      if (claim.open)
        await wait(
          claim.release().catch(() => undefined),
          ttl,
          undefined,
        )
      throw reasonOf(signal)
    }
    const taking = claim.take()
    // Nobody looks at it any more once `signal` has aborted.
    taking.catch(() => undefined)
    const got = await wait(taking, null, signal)
    if (got === null || aborted(signal)) continue
    if (got.type === "wait") {
      await wait(null, Math.max(1, got.millis * (0.5 + surroundings.random() / 2)), signal)
      continue
    }
    if (now() < got.until) return hold(claim, got, signal, surroundings)
  }
}

const hold = (
  claim: Claim,
  { token, ...first }: Extract<Taken, { type: "held" }>,
  signal: AbortSignal | undefined,
  { now, after }: Surroundings,
): Lock => {
  const { name, ttl } = claim
  const ending = new AbortController()
  let { until } = first
  let over = false
  let freeing: Promise<void> | null = null
  const end = (why: Error): void => {
    if (over) return
    over = true
    lapse.cancel()
    renewal.cancel()
    signal?.removeEventListener("abort", released)
    ending.abort(why)
  }
  const release = (): Promise<void> => {
    end(new Error(`the lease ${name} was released`))
    freeing ??= claim.release().then(
      () => {
        if (ending.signal.reason instanceof LeaseLost) throw ending.signal.reason
      },
      (error: unknown) => {
        freeing = null
        throw error
      },
    )
    return freeing
  }
  // What cannot be released ends by itself; a rejection here would be nobody's, and end the process.
  const released = (): void => void release().catch(() => undefined)
  const watch = (): ReturnType<Surroundings["after"]> =>
    after(Math.min(until - now(), LONGEST_TIMER), () =>
      now() < until ? void (lapse = watch()) : end(new LeaseLost(name)),
    )
  const renew = async (): Promise<void> => {
    if (over) return
    try {
      const again = await claim.take()
      if (over) return
      if (again.type === "held") {
        if (again.token !== token) {
          // It had ended, and began anew: what was done under the first token is over.
          end(new LeaseLost(name))
          return released()
        }
        until = again.until
        lapse.cancel()
        lapse = watch()
      } else if (again.taken) return end(new LeaseLost(name))
    } catch (error) {
      return end(error instanceof Error ? error : new Error(String(error)))
    }
    renewal = after(ttl * RENEWED_AFTER, () => void renew())
  }
  let lapse = watch()
  let renewal = after(ttl * RENEWED_AFTER, () => void renew())
  signal?.addEventListener("abort", released, { once: true })
  return { token, signal: ending.signal, release }
}

/** Takes part in the election called `name` until `signal` aborts: whoever holds the lease leads. Of one name, one leads at a time. */
export const elect = async (
  table: LeaseTable,
  name: string,
  { onLead, ...options }: LeaseOptions & Campaign,
): Promise<void> => {
  while (!aborted(options.signal)) {
    let held: Lock
    try {
      held = await lock(table, name, options)
    } catch (error) {
      if (aborted(options.signal)) return
      throw error
    }
    try {
      await onLead(held.token, held.signal)
    } catch (error) {
      // What it throws because it was told to stop is no failure of its own.
      if (!held.signal.aborted) throw error
    } finally {
      await held.release().catch(() => undefined)
    }
  }
}
