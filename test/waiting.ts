import { availableParallelism, loadavg } from "node:os"

/** Whether the machine was too busy for measured times to mean anything: why, or null. */
export const startWitness = (): { readonly busy: () => string | null } => {
  const EVERY = 20
  const [before = 0] = loadavg()
  let stall = 0
  let tick = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    stall = Math.max(stall, now - tick - EVERY)
    tick = now
  }, EVERY)
  timer.unref()
  return {
    busy: () => {
      clearInterval(timer)
      if (stall > MOST_STALLED) return `this process was held up for ${Math.round(stall)} ms`
      return before > MOST_LOADED * availableParallelism() ? `a load of ${before} before it began` : null
    },
  }
}
/** As `npm run hostile` has it. */
const MOST_STALLED = 400
const MOST_LOADED = 3

/**
 * How a test sees that nothing happens: it lets so many turns of the event loop pass that it would have happened, and
 * no time. (If something must happen, the test waits for it: `until` of cluster.ts and tcp.nodes.ts.)
 */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
export const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await turn()
}

/** Each polls every socket of this process, on both sides. */
const ROUNDS = 50
/**
 * Everything that any client has sent was read by now, if it is read at all, and its immediate effects have happened.
 */
export const quiet = async (client: { readonly send: (word: string) => Promise<unknown> }): Promise<void> => {
  for (let i = 0; i < ROUNDS; i++) await client.send("PING")
}
