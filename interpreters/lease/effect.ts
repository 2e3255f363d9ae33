/** `elect` and `lock` with Effect: a lease is held for as long as a scope is open, or a leader leads. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { lock, LeaseLost, type LeaseOptions, type Lock } from "./elect.ts"
import type { LeaseTable } from "./table.ts"

export type LeaseEffectOptions = Omit<LeaseOptions, "signal">
export interface HeldLease {
  /** Greater than that of every earlier holder. Send it along with every write that the lease protects. */
  readonly token: number
  /** Fails as soon as the lease may have ended: race it with whatever needs the lease. */
  readonly lost: Effect.Effect<never, LeaseLost>
}
export interface LeasesEffect<E> {
  /**
   * Waits for the lease and holds it until the scope closes. If it is interrupted while it waits, it holds nothing
   * afterwards.
   */
  readonly lock: (name: string, options?: LeaseEffectOptions) => Effect.Effect<HeldLease, E, Scope.Scope>
  /**
   * Takes part in the election until it is interrupted. `onLead` is interrupted when its leadership may be over; when it ends,
   * leadership is given up and sought again. If it fails, leadership is given up and the election fails with that.
   */
  readonly elect: <E2, R>(
    name: string,
    options: LeaseEffectOptions & { readonly onLead: (token: number) => Effect.Effect<void, E2, R> },
  ) => Effect.Effect<never, E | E2, Exclude<R, Scope.Scope>>
}

const acquire = <E>(
  table: LeaseTable,
  name: string,
  options: LeaseEffectOptions,
  isError: (thrown: unknown) => thrown is E,
): Effect.Effect<Lock, E> =>
  Effect.callback((resume) => {
    const stop = new AbortController()
    const taking = lock(table, name, { ...options, signal: stop.signal })
    taking.then(
      (held) => resume(Effect.succeed(held)),
      (thrown: unknown) => resume(isError(thrown) ? Effect.fail(thrown) : Effect.die(thrown)),
    )
    // On interruption: wait until the lease is certainly not held.
    return Effect.promise(async () => {
      stop.abort()
      await taking.then((held) => held.release()).catch(() => undefined)
    })
  })

const lostOf = (name: string, { signal }: Lock): HeldLease["lost"] =>
  Effect.callback((resume) => {
    const over = (): void => {
      const { reason } = signal as { readonly reason: unknown }
      resume(Effect.fail(reason instanceof LeaseLost ? reason : new LeaseLost(name, { cause: reason })))
    }
    if (signal.aborted) return over()
    signal.addEventListener("abort", over, { once: true })
    return Effect.sync(() => signal.removeEventListener("abort", over))
  })

/** `isError`: the rejections of the table that are errors of the Effects; any other is a defect. */
export const scopedLeases = <E>(table: LeaseTable, isError: (thrown: unknown) => thrown is E): LeasesEffect<E> => {
  const held: LeasesEffect<E>["lock"] = (name, options = {}) =>
    Effect.acquireRelease(
      acquire(table, name, options, isError),
      // A lease that cannot be released ends by itself.
      (lease) => Effect.promise(() => lease.release().catch(() => undefined)),
      { interruptible: true },
    ).pipe(Effect.map((lease) => ({ token: lease.token, lost: lostOf(name, lease) })))
  return {
    lock: held,
    elect: (name, { onLead, ...options }) =>
      held(name, options).pipe(
        Effect.flatMap(({ token, lost }) => Effect.raceFirst(onLead(token), Effect.ignore(lost))),
        Effect.scoped,
        Effect.forever,
      ),
  }
}
