/**
 * Something that must run in one place at a time: cron.ts ENDPOINTS RESOURCE, as often as you like. Whoever leads writes to the
 * resource, and sends its token along: the resource refuses a smaller one than it has seen. A leader that was paused finds out.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { connect, elect } from "stepraft/kv/client"

const [endpoints = "", resource = ""] = process.argv.slice(2)
const client = await connect({ endpoints })
const over = new AbortController()
process.once("SIGTERM", () => over.abort())

await elect(client, "cron", {
  ttl: 1000,
  signal: over.signal,
  onLead: async (token, signal) => {
    console.log(`leads ${token}`)
    while (!signal.aborted) {
      await sleep(20)
      // Between the look at the signal and here anything can happen: this process may have been paused for a minute.
      const { status } = await fetch(resource, { method: "POST", body: JSON.stringify({ token, by: process.pid }) })
      if (status === 409) return console.log(`refused ${token}`)
    }
    console.log(`over ${token}`)
  },
})
await client.close()
