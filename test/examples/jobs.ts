/**
 * A job scheduler: jobs.ts ID DIRECTORY PEERS, with PEERS as JSON, on three servers. Each line of standard input is a job. All
 * servers claim jobs and do them; the jobs of a server that dies are given to others.
 */
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { NotExecuted, replicate, ReplicaError } from "stepraft"

interface State {
  /** Not done yet; `until`: by then it is done, or somebody else may claim it. */
  readonly open: Record<string, { owner: string; until: number }>
  readonly done: Record<string, string>
}
type Command =
  | { readonly op: "add"; readonly job: string }
  | { readonly op: "claim"; readonly by: string }
  | { readonly op: "finish"; readonly job: string; readonly by: string }

const initial: State = { open: {}, done: {} }
const [id = "", data = "", peers = "{}"] = process.argv.slice(2)
const jobs = await replicate({
  id,
  data,
  peers: JSON.parse(peers) as Record<string, string>,
  machine: {
    initial,
    // The time is the cluster's, the same on all servers. The return value is the command's result.
    apply: (state, command: Command, { time }): string | null => {
      switch (command.op) {
        case "add":
          if (state.done[command.job] === undefined) state.open[command.job] ??= { owner: "", until: 0 }
          return command.job
        case "claim": {
          const [job, claim] = Object.entries(state.open).find(([, { until }]) => until <= time) ?? [null, null]
          if (claim !== null) Object.assign(claim, { owner: command.by, until: time + 1000 })
          return job
        }
        case "finish": {
          if (state.open[command.job]?.owner !== command.by) return null
          delete state.open[command.job]
          state.done[command.job] = command.by
          return command.job
        }
      }
    },
  },
})
await jobs.ready()
console.log("ready")

/** Again, until it is executed: none of these commands does harm when it is executed twice. */
const execute = async (command: Command): Promise<string | null> => {
  for (;;) {
    try {
      return await jobs.execute(command)
    } catch (error) {
      const over = error instanceof NotExecuted && (error.reason === "stopping" || error.reason === "failed")
      if (!(error instanceof ReplicaError) || error.executed === "yes" || over) throw error
      await sleep(50)
    }
  }
}
const by = `${id}.${process.pid}`
createInterface({ input: process.stdin }).on(
  "line",
  (job) =>
    void execute({ op: "add", job }).then(
      () => console.log(`added ${job}`),
      (error: unknown) => console.log(`not added ${job}: ${String(error)}`),
    ),
)
const over = new AbortController()
process.once("SIGTERM", () => over.abort())
while (!over.signal.aborted) {
  const job = await execute({ op: "claim", by })
  if (job === null) await sleep(50)
  else if ((await execute({ op: "finish", job, by })) !== null) console.log(`did ${job}`)
}
console.log(`state ${JSON.stringify(await jobs.read((state) => state))}`)
await jobs.close()
process.exit(0)
