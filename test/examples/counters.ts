/**
 * One server of a replicated counter that also records which numbers were executed: counters.ts ID DIRECTORY PEERS,
 * with PEERS as JSON.
 */
import { replicate } from "stepraft"
import { count, type Add } from "./counting.ts"

const [id = "", data = "", peers = "{}"] = process.argv.slice(2)
interface State {
  readonly seen: Record<string, number[]>
  doubled: number
  total: number
}
const initial: State = { seen: {}, doubled: 0, total: 0 }
const counters = await replicate({
  id,
  data,
  peers: JSON.parse(peers) as Record<string, string>,
  settings: { snapshotBytes: 100_000, trailingLogBytes: 10_000 },
  compareEvery: 200,
  machine: {
    initial,
    apply: (state, { by, number }: Add): number => {
      const seen = (state.seen[by] ??= [])
      if (seen.includes(number)) state.doubled += 1
      seen.push(number)
      return (state.total += 1)
    },
  },
})
await count(
  counters,
  ({ total }) => total,
  (state) => state,
)
