/**
 * The README's own state machine: replicate.ts ID. The README shows the code in the regions; the code between them is
 * load for the test, which kills each of three servers (process.examples.long.test.ts).
 */
import { load } from "./load.ts"
// #region README
import { setTimeout as sleep } from "node:timers/promises"
import { elect, replicate } from "stepraft"

type Command = { op: "add"; job: string } | { op: "claim"; by: string }
const initial: { open: string[]; owners: Record<string, string> } = { open: [], owners: {} }
const [id = "a"] = process.argv.slice(2) // run it three times: with a, b and c
const jobs = await replicate({
  id,
  data: `./${id}`,
  peers: { a: "127.0.0.1:8001", b: "127.0.0.1:8002", c: "127.0.0.1:8003" },
  machine: {
    initial,
    // An immer draft; the return value is the command's result.
    apply: (state, command: Command): string | null => {
      if (command.op === "add") {
        state.open.push(command.job)
        return null
      }
      const job = state.open.shift() ?? null
      if (job !== null) state.owners[job] = command.by
      return job
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
  read: () => jobs.read(({ open, owners }) => open.length + Object.keys(owners).length),
  also: async (by) => {
    const job = await jobs.execute({ op: "claim", by })
    if (job !== null) claimed.push(job)
    // Each claim costs as much as there are jobs: a load without a pause slows itself down, until nobody catches up.
    await sleep(50)
    return `claimed ${by} ${job}`
  },
})
console.log(`state ${JSON.stringify(await jobs.read((state) => state))}`)
// #region README
await jobs.execute({ op: "add", job: "sweep" }) // executed exactly once, or a typed error
const mine = await jobs.execute({ op: "claim", by: id })
const open = await jobs.read((state) => state.open) // linearizable; { consistency: "local" } if you ask
console.log(`${id} works on ${mine}; ${open.length} jobs are open`)
over.abort()
await leading
await jobs.close() // hands leadership over first
// #endregion
