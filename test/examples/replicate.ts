/**
 * The README's own state machine: replicate.ts ID. The README has what stands in its regions; between them, load for the
 * test: each of three is killed (process.examples.long.test.ts).
 */
import { load } from "./load.ts"
// #region README
import { setTimeout as sleep } from "node:timers/promises"
import { elect, replicate } from "stepraft"

type Command = { op: "add"; job: string } | { op: "claim"; by: string }
const [id = "a"] = process.argv.slice(2) // run it three times: with a, b and c
const jobs = await replicate({
  id,
  data: `./${id}`,
  peers: { a: "127.0.0.1:8001", b: "127.0.0.1:8002", c: "127.0.0.1:8003" },
  machine: {
    initial: { jobs: {} as Record<string, { owner: string | null }> },
    // An immer draft; the return value is the command's result.
    apply: (state, command: Command): string | null => {
      if (command.op === "add") state.jobs[command.job] = { owner: null }
      const free = Object.entries(state.jobs).find(([, { owner }]) => owner === null)
      if (command.op === "add" || free === undefined) return null
      free[1].owner = command.by
      return free[0]
    },
  },
})
await jobs.ready()
const over = new AbortController()
const leading = elect(jobs, "cron", {
  signal: over.signal,
  // One server at a time. Whatever it does, it sends the token along.
  onLead: async (token, signal) => {
    console.log(`${id} leads with token ${token}`)
    while (!signal.aborted) await sleep(100)
  },
})
// #endregion
const claimed: string[] = []
await load({
  id,
  add: async (by, number) => void (await jobs.execute({ op: "add", job: `${by}/${number}` })),
  read: () => jobs.read((state) => Object.keys(state.jobs).length),
  then: async (by) => {
    const job = await jobs.execute({ op: "claim", by })
    if (job !== null) claimed.push(job)
    return `claimed ${by} ${job}`
  },
})
console.log(`state ${JSON.stringify(await jobs.read((state) => state.jobs))}`)
// #region README
await jobs.execute({ op: "add", job: "sweep" }) // executed exactly once, or a typed error
const mine = await jobs.execute({ op: "claim", by: id })
const all = await jobs.read((state) => Object.keys(state.jobs)) // linearizable; { consistency: "local" } if you ask
console.log(`${id} works on ${mine}, of ${all.length} jobs`)
over.abort()
await leading
await jobs.close() // hands leadership over first
// #endregion
