/**
 * Counts as fast as it can on a replica, and tells when each number was begun and what came of it; reads now and then. SIGUSR2
 * ends the counting; SIGTERM ends the process, which tells its state and hands over.
 */
import { NotExecuted, NotRead, OutcomeUnknown, type Replica } from "stepraft"

export interface Add {
  readonly by: string
  readonly number: number
}
export interface Counted {
  /** Whose numbers were executed. */
  readonly seen: Readonly<Record<string, readonly number[]>>
  /** Numbers that were executed once more. */
  readonly doubled: number
}

/** The result of an Add is the total. */
export const count = async <State>(counters: Replica<State, Add, number>, total: (state: State) => number, counted: (state: State) => Counted): Promise<void> => {
  const tell = (...words: readonly (string | number | bigint)[]): void => void process.stdout.write(`${words.join(" ")}\n`)
  const now = (): bigint => process.hrtime.bigint()
  process.stdin.on("end", () => process.exit(0)).resume()
  counters.failure.catch((error: unknown) => {
    tell("failed", String(error))
    process.exit(1)
  })
  await counters.ready()
  tell("ready")

  const by = `${counters.id}.${process.pid}`
  const over = new AbortController()
  const work = async (worker: number): Promise<void> => {
    for (let i = worker; !over.signal.aborted; i += 4) {
      tell("begin", by, i, now())
      try {
        const result = await counters.execute({ by, number: i })
        tell("ack", by, i, result, now())
        if (i % 5 !== 0) continue
        const began = now()
        const read = await counters.read(total)
        tell("read", by, read, began, now())
      } catch (error) {
        if (error instanceof NotRead) continue
        if (!(error instanceof OutcomeUnknown || error instanceof NotExecuted)) throw error
        tell(error.executed, by, i, now())
      }
    }
  }
  process.once("SIGUSR2", () => {
    over.abort()
    void working.then(() => tell("stopped"))
  })
  process.once("SIGTERM", () => {
    over.abort()
    void working.then(async () => {
      tell("state", JSON.stringify(await counters.read(counted)))
      await counters.close()
      process.exit(0)
    })
  })
  const working = Promise.all([0, 1, 2, 3].map(work))
}
