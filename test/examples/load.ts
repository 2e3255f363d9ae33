/**
 * Load on a program under test: counts as fast as it can, and prints when each number was begun and what its outcome
 * was; it reads now and then. SIGUSR2 ends the counting; so does SIGTERM, and then the program goes on to its end.
 */

/** Whether the command was executed: a replica's errors say so in a field, the client's errors by their class. */
const executedOf = (error: unknown): string => {
  if (typeof error !== "object" || error === null) return ""
  if ("executed" in error) return String(error.executed)
  const name = error instanceof Error ? error.name : ""
  return name === "Unknown" ? "unknown" : name === "NoLeader" || name === "TimedOut" ? "no" : ""
}

export interface Loaded {
  readonly id: string
  /**
   * Returns the total after the addition, if the program knows it. Rejects with an error that says whether the command
   * was executed.
   */
  readonly add: (by: string, number: number) => Promise<number | void>
  readonly read: () => Promise<number>
  /** Another operation after each addition: it may take away again what was added. Returns a line to print. */
  readonly also?: (by: string) => Promise<string>
}

export const load = async ({ id, add, read, also }: Loaded): Promise<void> => {
  const tell = (...words: readonly (string | number | bigint)[]): void =>
    void process.stdout.write(`${words.join(" ")}\n`)
  const now = (): bigint => process.hrtime.bigint()
  // The process that started this one is gone.
  const orphaned = (): never => process.exit(0)
  process.stdin.on("end", orphaned).resume()
  tell("ready")

  const by = `${id}.${process.pid}`
  const over = new AbortController()
  const work = async (worker: number): Promise<void> => {
    for (let i = worker; !over.signal.aborted; i += 4) {
      tell("begin", by, i, now())
      try {
        const result = await add(by, i)
        tell("ack", by, i, result ?? "-", now())
      } catch (error) {
        const executed = executedOf(error)
        if (executed !== "no" && executed !== "unknown") throw error
        tell(executed, by, i, now())
        continue
      }
      try {
        if (also !== undefined) tell(await also(by))
        if (i % 5 !== 0) continue
        const began = now()
        const found = await read()
        tell("read", by, found, began, now())
      } catch {
        // Then nothing is known about the outcome.
      }
    }
  }
  const ended = new Promise<void>((resolve) => {
    process.once("SIGUSR2", () => {
      over.abort()
      void working.then(() => tell("stopped"))
    })
    process.once("SIGTERM", () => {
      over.abort()
      void working.then(() => resolve())
    })
  })
  const working = Promise.all([0, 1, 2, 3].map(work))
  await Promise.race([ended, working.then(() => ended)])
  process.stdin.off("end", orphaned).destroy()
}
