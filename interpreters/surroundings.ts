/**
 * What the service and the client take from their process besides the network: time, event-loop turns and randomness.
 * By default the real ones; a simulated world supplies virtual time and seeded randomness.
 */

/** A scheduled call; `cancel` prevents it, and may be called at any time. */
export interface Alarm {
  readonly cancel: () => void
}

export interface Surroundings {
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Runs once after this many milliseconds. */
  readonly after: (millis: number, run: () => void) => Alarm
  readonly every: (millis: number, run: () => void) => Alarm
  /** Calls back once the present call stack has returned, before time advances. */
  readonly soon: (run: () => void) => void
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** This many unguessable random bytes, as hexadecimal digits. */
  readonly secret: (bytes: number) => string
}

export const realSurroundings: Surroundings = {
  now: () => performance.now(),
  after: (millis, run) => {
    const timer = setTimeout(run, millis)
    return { cancel: () => clearTimeout(timer) }
  },
  every: (millis, run) => {
    const timer = setInterval(run, millis)
    return { cancel: () => clearInterval(timer) }
  },
  soon: (run) => queueMicrotask(run),
  random: () => Math.random(),
  secret: (bytes) =>
    Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join(""),
}
