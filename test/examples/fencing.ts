/**
 * Why a lease has a token, in one process and a few seconds. A leader is cut off and does not look: another one leads, and the
 * resource refuses what the first one still writes.
 */
import { elect, replicateTogether } from "stepraft"

/** The resource that the leader changes. It remembers the greatest token that it has seen. */
let greatest = 0
const write = (token: number, text: string): string => {
  if (token < greatest) return `refused ${text}`
  greatest = token
  return `wrote ${text}`
}

export const story: string[] = []
const cluster = await replicateTogether({ machine: { initial: null, apply: () => null } })
const over = new AbortController()
let wake: () => void = () => {}
const asleep = new Promise<void>((resolve) => (wake = resolve))
let first: AbortSignal | null = null

const elections = cluster.ids.map((id) =>
  elect(cluster.replica(id), "cron", {
    ttl: 1000,
    signal: over.signal,
    onLead: async (token, signal) => {
      if (first === null) {
        first = signal
        story.push(write(token, "by the first"))
        cluster.network({ type: "isolate", node: id })
        // It is paused here: it does not look at its signal, and cannot know how long it slept.
        await asleep
        story.push(write(token, "late, by the first"))
      } else {
        story.push(`the first one was told: ${first.aborted}`, write(token, "by the second"))
        wake()
      }
      over.abort()
    },
  }),
)
await asleep
cluster.network({ type: "heal" })
await Promise.all(elections)
await cluster.close()
