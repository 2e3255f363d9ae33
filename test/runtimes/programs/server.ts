/**
 * One server of a replicated store of words. Requests are lines on standard input: `{"id", "f", "key", "value"}`; each
 * is answered by `{"id", "ok"}` or `{"id", "executed", "error"}`. `server ID DIRECTORY PEERS` with PEERS as JSON.
 */
import { createInterface } from "node:readline"
import { NotExecuted, NotRead, replicate } from "stepraft"

export interface Asked {
  readonly id: number
  readonly f: "read" | "write" | "append" | "incr"
  readonly key: string
  readonly value: string | null
}
interface State {
  readonly values: Record<string, string>
}
const [id = "", data = "", peers = "{}"] = process.argv.slice(2)
const tell = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)

const initial: State = { values: {} }
const store = await replicate({
  id,
  data,
  peers: JSON.parse(peers) as Record<string, string>,
  settings: { snapshotBytes: 100_000, trailingLogBytes: 10_000 },
  compareEvery: 200,
  machine: {
    initial,
    apply: ({ values }, { f, key, value }: Asked): string | number | null => {
      const before = values[key] ?? ""
      if (f === "incr") return Number((values[key] = String(Number(before) + 1)))
      values[key] = f === "append" ? before + value : (value ?? "")
      return value
    },
  },
})
store.failure.catch((error: unknown) => {
  tell({ failed: String(error) })
  process.exit(1)
})
await store.ready()
tell({ ready: true })

const answer = async (asked: Asked): Promise<void> => {
  try {
    tell({
      id: asked.id,
      ok: asked.f === "read" ? await store.read(({ values }) => values[asked.key] ?? null) : await store.execute(asked),
    })
  } catch (error) {
    tell({
      id: asked.id,
      executed: error instanceof NotExecuted || error instanceof NotRead ? "no" : "unknown",
      error: String(error),
    })
  }
}
createInterface({ input: process.stdin })
  .on("line", (line) => void answer(JSON.parse(line) as Asked))
  .on("close", () => process.exit(0))
