/**
 * Leader election and locks for a program that wants nothing else: leases of a replicated table, with fencing tokens.
 *
 * A holder can be paused (a long collection, a suspended machine) and go on after its lease has ended and somebody else has
 * begun. No timer of its own can rule that out: it can be paused between looking at the timer and writing. So each lease comes
 * with a token, greater than that of every earlier holder. Send the token along with whatever the holder does to the outside;
 * the resource remembers the greatest token that it has seen and refuses smaller ones. Then the paused holder is refused.
 * Where the resource cannot compare tokens, a lease makes two holders at once unlikely, not impossible.
 */
import type { LeaseTable } from "./replica.ts"
import { NotExecuted, OutcomeUnknown } from "./errors.ts"
import { realSurroundings, type Surroundings } from "../surroundings.ts"

export interface LeaseOptions {
  /** How long a lease outlasts its holder, in milliseconds: the longest gap after a crash. Default 10,000. */
  readonly ttl?: number
  /** Who holds it. Default: the replica's name and a random word. The same holder can take a lease again. */
  readonly holder?: string
  /** Ends the waiting, or the holding. */
  readonly signal?: AbortSignal
  readonly surroundings?: Surroundings
}
export interface Lock {
  /** Greater than that of every earlier holder. */
  readonly token: number
  /** Aborted as soon as the lease may have ended: stop what needs it. */
  readonly signal: AbortSignal
  readonly release: () => Promise<void>
}
export interface Campaign {
  /**
   * Runs while this holder leads; `signal` is aborted when that may be over. When it returns, leadership is given up and
   * sought again. If it throws, leadership is given up and `elect` rejects with that.
   */
  readonly onLead: (token: number, signal: AbortSignal) => Promise<void> | void
}

/** The holder's clock, the cluster's clock (0.9 to 1.1 of real time) and the way there: it counts on this part of its lease. */
const COUNTED_ON = 0.8
/** It is made to last longer after this part. */
const RENEWED_AFTER = 1 / 3
const FIRST_PAUSE_MS = 50

/** The lease may have ended before it was released: what it protected may have been done by two. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost"
  constructor(lease: string) {
    super(`the lease ${lease} could not be made to last longer in time: another holder may have it by now. Stop what needs it; what was done since with its token is refused by whoever compares tokens`)
  }
}

const aborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true
const reasonOf = (signal: AbortSignal): Error => (signal.reason instanceof Error ? signal.reason : new Error("aborted", { cause: signal.reason }))

/** Waits for the lease `name`, holds it and makes it last longer until it is released. Rejects only if `signal` aborts or the table refuses. */
export const lock = async (table: LeaseTable, name: string, options: LeaseOptions = {}): Promise<Lock> => {
  const { ttl = 10_000, surroundings = realSurroundings, signal } = options
  const holder = options.holder ?? `${table.id}:${surroundings.secret(8)}`
  const { now, after } = surroundings
  const pause = (millis: number): Promise<void> =>
    new Promise((resolve) => {
      const end = (): void => {
        alarm.cancel()
        signal?.removeEventListener("abort", end)
        resolve()
      }
      const alarm = after(millis, end)
      signal?.addEventListener("abort", end)
    })
  /** The token, and until when it may be counted on, on the own clock; or how long to wait. */
  const take = async (): Promise<{ readonly token: number; readonly until: number } | { readonly wait: number }> => {
    // Counted from before it was asked for: the table counts from later.
    const asked = now()
    try {
      const told = await table.lease({ type: "take", name, holder, ttl })
      if (told.type === "held") return { token: told.token, until: asked + ttl * COUNTED_ON }
      return { wait: told.type === "taken" ? Math.min(told.remaining, ttl / 4) : FIRST_PAUSE_MS }
    } catch (error) {
      // A copy of the request may still be executed: that only gives this holder its own lease.
      if ((error instanceof NotExecuted && error.reason !== "stopping" && error.reason !== "failed") || error instanceof OutcomeUnknown) return { wait: FIRST_PAUSE_MS }
      throw error
    }
  }
  const free = (): Promise<unknown> => table.lease({ type: "release", name, holder })

  for (;;) {
    if (signal !== undefined && signal.aborted) throw reasonOf(signal)
    const got = await take()
    if ("wait" in got) {
      await pause(Math.max(1, got.wait * (0.5 + surroundings.random() / 2)))
      continue
    }
    if (now() >= got.until) continue
    if (signal !== undefined && signal.aborted) {
      await free()
      throw reasonOf(signal)
    }
    const { token } = got
    const ending = new AbortController()
    let { until } = got
    let over = false
    let lapse = after(until - now(), () => end(new LeaseLost(name)))
    const end = (why: Error): void => {
      if (over) return
      over = true
      lapse.cancel()
      renewal.cancel()
      signal?.removeEventListener("abort", released)
      ending.abort(why)
    }
    // What cannot be released ends by itself; a rejection here would be nobody's, and end the process.
    const released = (): void => void release().catch(() => undefined)
    const release = async (): Promise<void> => {
      end(new Error(`the lease ${name} was released`))
      await free()
    }
    const renew = async (): Promise<void> => {
      if (over) return
      try {
        const again = await take()
        if (over) return
        // Another token: it had ended, and began anew. What was done under this one is over.
        if ("wait" in again || again.token !== token) {
          if ("token" in again) return end(new LeaseLost(name))
        } else {
          until = again.until
          lapse.cancel()
          lapse = after(until - now(), () => end(new LeaseLost(name)))
        }
      } catch (error) {
        return end(error instanceof Error ? error : new Error(String(error)))
      }
      renewal = after(ttl * RENEWED_AFTER, () => void renew())
    }
    let renewal = after(ttl * RENEWED_AFTER, () => void renew())
    signal?.addEventListener("abort", released, { once: true })
    return { token, signal: ending.signal, release }
  }
}

/** Takes part in the election called `name` until `signal` aborts: whoever holds the lease leads. */
export const elect = async (table: LeaseTable, name: string, { onLead, ...options }: LeaseOptions & Campaign): Promise<void> => {
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
