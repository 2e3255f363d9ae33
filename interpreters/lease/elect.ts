/**
 * Leader election and locks for a program that wants nothing else: leases of a replicated table, with fencing tokens.
 *
 * A holder can be paused (by a long garbage collection, or on a suspended machine) and continue after its lease has
 * ended and another holder has taken over. No timer of its own can rule that out, because it can be paused between
 * checking the timer and writing. So each lease comes with a token that is greater than that of every earlier holder.
 * Send the token along with everything that the holder does outside; the resource remembers the greatest token that it
 * has seen and refuses smaller ones. Then it refuses the paused holder. If the resource cannot compare tokens, a lease
 * makes two holders at once unlikely, not impossible.
 */
import { realSurroundings, type Surroundings } from "../surroundings.ts"
import type { LeaseTable } from "./table.ts"

export interface LeaseOptions {
  /**
   * How long a lease lasts after its holder has crashed, in milliseconds: the longest time without a holder. Default
   * 10,000.
   */
  readonly ttl?: number
  /**
   * The name of the holder. Default: the table's name and a random word. The same holder can take a lease again, so no
   * two may share a name.
   */
  readonly holder?: string
  /** Aborting it ends the waiting or the holding, and releases the lease. */
  readonly signal?: AbortSignal
  readonly surroundings?: Surroundings
}
export interface Lock {
  /** Greater than that of every earlier holder. Send it along with every write that the lease protects. */
  readonly token: number
  /** Aborted as soon as the lease may have ended: stop what needs it. */
  readonly signal: AbortSignal
  /**
   * Releases the lease. Rejects with LeaseLost if the lease may have ended earlier: then two holders may have acted at
   * once.
   */
  readonly release: () => Promise<void>
}
export interface Campaign {
  /**
   * Runs while this holder leads; `signal` is aborted when that may be over. A leader that was paused may continue
   * without knowing that it no longer leads: `token` grows from leader to leader, so send it along with every write,
   * and let the resource refuse a token smaller than the greatest it has seen. When `onLead` returns, leadership is
   * given up and sought again. If it throws, leadership is given up and `elect` rejects with that error.
   */
  readonly onLead: (token: number, signal: AbortSignal) => Promise<void> | void
}

/**
 * The holder relies on this part of the lease. The rest covers its own clock, the cluster's clock (0.9 to 1.1 of real
 * time) and the time until the answer arrives.
 */
const COUNTED_ON = 0.8
/** The lease is renewed after this part of it. */
const RENEWED_AFTER = 1 / 3
const FIRST_PAUSE_MS = 50
/** The longest time that a JavaScript timer supports. */
const LONGEST_TIMER = 2 ** 31 - 1

/** The lease may have ended before it was released: two holders may have acted at once. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost"
  constructor(lease: string, options?: ErrorOptions) {
    super(
      `the lease ${lease} could not be renewed in time: another holder may have it by now. Stop what needs it; every resource that compares tokens refuses what is still done with the old one`,
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
  /** A request may have given this holder the lease, or may still do so. */
  open = false
  constructor(table: LeaseTable, name: string, holder: string, ttl: number, now: () => number) {
    this.table = table
    this.name = name
    this.holder = holder
    this.ttl = ttl
    this.now = now
  }
  /** Returns the token and, by the holder's own clock, until when the lease may be relied on; or how long to wait. */
  async take(): Promise<Taken> {
    const { table, name, holder, ttl, open } = this
    // Counted from before the request was sent: the table counts from a later moment.
    const asked = this.now()
    this.open = true
    try {
      const told = await table.lease({ type: "take", name, holder, ttl })
      if (told.type === "held") return { type: "held", token: told.token, until: asked + ttl * COUNTED_ON }
      // This request was executed after every earlier one of this holder, and none of them had acquired the lease.
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
  /**
   * Is executed after every earlier request, so whatever happened to those, this holder does not have the lease
   * afterwards.
   */
  async release(): Promise<void> {
    await this.table.lease({ type: "release", name: this.name, holder: this.holder })
  }
}

/**
 * Waits for the lease `name`, holds it and renews it until it is released. Rejects only if `signal` aborts or the table
 * refuses. If it is aborted while a request is outstanding, it first releases what that request may have acquired.
 */
export const lock = async (table: LeaseTable, name: string, options: LeaseOptions = {}): Promise<Lock> => {
  const { ttl = 10_000, surroundings = realSurroundings, signal } = options
  const { now, after } = surroundings
  const claim = new Claim(table, name, options.holder ?? `${table.id}:${surroundings.secret(8)}`, ttl, now)
  /** Waits until `what` settles, this many milliseconds have passed, or `end` aborts. */
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
      // Wait no longer than the lease lasts: then it has ended by itself.
      if (claim.open)
        await wait(
          claim.release().catch(() => undefined),
          ttl,
          undefined,
        )
      throw reasonOf(signal)
    }
    const taking = claim.take()
    // Nobody handles this promise any more once `signal` has aborted.
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
  // A lease that cannot be released ends by itself. An unhandled rejection here would end the process.
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
          // The lease had ended and was acquired again: what was done under the first token is over.
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

/**
 * Takes part in the election called `name` until `signal` aborts: whoever holds the lease leads. Each name has at most
 * one leader at a time.
 */
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
      // An error that it throws because it was told to stop is not a failure.
      if (!held.signal.aborted) throw error
    } finally {
      await held.release().catch(() => undefined)
    }
  }
}
