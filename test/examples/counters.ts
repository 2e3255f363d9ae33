/**
 * One server of a replicated counter that keeps count of itself: `counters.ts ID DIRECTORY PEERS` with PEERS as JSON. It counts
 * as fast as it can, and tells each number that was acknowledged. On SIGTERM it tells its state and hands over.
 */
import { NotExecuted, OutcomeUnknown, replicate } from "stepraft"

interface Add {
  readonly by: string
  readonly number: number
}
interface State {
  readonly seen: Record<string, number[]>
  readonly doubled: number
}
const initial: State = { seen: {}, doubled: 0 }
const [id = "", data = "", peers = "{}"] = process.argv.slice(2)
const counters = await replicate({
  id,
  data,
  peers: JSON.parse(peers) as Record<string, string>,
  settings: { snapshotBytes: 100_000, tailBytes: 10_000 },
  compareEvery: 200,
  machine: {
    initial,
    apply: (state, { by, number }: Add): number => {
      const seen = (state.seen[by] ??= [])
      if (seen.includes(number)) state.doubled += 1
      return seen.push(number)
    },
  },
})
process.stdin.on("end", () => process.exit(0)).resume()
counters.failure.catch((error: unknown) => {
  process.stdout.write(`failed ${String(error)}\n`)
  process.exit(1)
})
await counters.ready()
process.stdout.write("ready\n")

const by = `${id}.${process.pid}`
const over = new AbortController()
const work = async (worker: number): Promise<void> => {
  for (let i = worker; !over.signal.aborted; i += 4) {
    try {
      await counters.execute({ by, number: i })
      process.stdout.write(`ack ${by} ${i}\n`)
    } catch (error) {
      if (error instanceof OutcomeUnknown || error instanceof NotExecuted) process.stdout.write(`${error.executed} ${by} ${i}\n`)
      else throw error
    }
  }
}
process.once("SIGUSR2", () => over.abort())
process.once("SIGTERM", () => {
  over.abort()
  void working.then(async () => {
    process.stdout.write(`state ${JSON.stringify(await counters.read((state) => state))}\n`)
    await counters.close()
    process.exit(0)
  })
})
const working = Promise.all([0, 1, 2, 3].map(work))
