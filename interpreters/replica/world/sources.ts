/**
 * What a process could give a state machine that is not the same on every server: its clocks and its randomness. In a
 * world they are replaced by values that the world chooses. So a machine that uses them gets other values in a second
 * execution, and the same ones in a replay.
 */

export interface NondeterministicSources {
  /** Milliseconds since the epoch, and since the process started. */
  readonly wall: number
  readonly monotonic: number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

type Restore = () => void
const replace = (on: object, name: string, value: unknown): Restore => {
  const own = Object.getOwnPropertyDescriptor(on, name)
  Object.defineProperty(on, name, { value, configurable: true, writable: true, enumerable: own?.enumerable ?? false })
  return () => {
    if (own === undefined) Reflect.deleteProperty(on, name)
    else Object.defineProperty(on, name, own)
  }
}

/**
 * Runs `run` with these sources. `asked` is called with the name of each source that it uses, as a program calls it.
 * The sources are restored when the call ends.
 */
export const withSources = <A>(
  { wall, monotonic, random }: NondeterministicSources,
  asked: (name: string) => void,
  run: () => A,
): A => {
  const RealDate = Date
  let ticks = 0
  const byte = (): number => Math.floor(random() * 256)
  const clock = (name: string, from: number) => (): number => {
    asked(name)
    return from + ticks++
  }
  const now = clock("Date.now()", wall)
  const asToday = (args: readonly unknown[]): readonly unknown[] => {
    if (args.length > 0) return args
    asked("new Date()")
    return [wall + ticks++]
  }
  const SimulatedDate = new Proxy(RealDate, {
    construct: (target, args: unknown[], newTarget: Parameters<typeof Reflect.construct>[2]) =>
      Reflect.construct(target, [...asToday(args)], newTarget) as object,
    apply: () => {
      asked("Date()")
      return new RealDate(wall + ticks++).toString()
    },
    get: (target, name, receiver): unknown => (name === "now" ? now : Reflect.get(target, name, receiver)),
  })
  const restore = [
    replace(globalThis, "Date", SimulatedDate),
    replace(Math, "random", () => {
      asked("Math.random()")
      return random()
    }),
    replace(performance, "now", clock("performance.now()", monotonic)),
    replace(crypto, "getRandomValues", (into: ArrayBufferView) => {
      asked("crypto.getRandomValues()")
      const bytes = new Uint8Array(into.buffer, into.byteOffset, into.byteLength)
      for (let i = 0; i < bytes.length; i++) bytes[i] = byte()
      return into
    }),
    replace(crypto, "randomUUID", () => {
      asked("crypto.randomUUID()")
      const hex = Array.from({ length: 16 }, () => byte().toString(16).padStart(2, "0")).join("")
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
    }),
  ]
  try {
    return run()
  } finally {
    for (const undo of restore.reverse()) undo()
  }
}
