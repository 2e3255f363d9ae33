/**
 * The counter of counters.ts in SQLite: counters.sqlite.ts ID DIRECTORY PEERS. If a number is executed twice, it is
 * counted twice, so the test notices it.
 */
import { replicate } from "stepraft"
import { count, type Add, type Counted } from "./counting.ts"
import { inSqlite, type Database } from "./sqlite.ts"

const [id = "", data = "", peers = "{}"] = process.argv.slice(2)
const total = (db: Database): number =>
  Number(db.prepare("SELECT coalesce(sum(times), 0) AS n FROM numbers").all()[0]?.["n"])
const counted = (db: Database): Counted => {
  const rows = db
    .prepare("SELECT by, number, times FROM numbers")
    .all()
    .map(({ by, number, times }) => ({ by: String(by), number: Number(number), times: Number(times) }))
  const seen: Record<string, number[]> = {}
  for (const { by, number } of rows) (seen[by] ??= []).push(number)
  return { seen, doubled: rows.filter(({ times }) => times > 1).length }
}
const counters = await replicate({
  id,
  data,
  peers: JSON.parse(peers) as Record<string, string>,
  settings: { snapshotBytes: 100_000, trailingLogBytes: 10_000 },
  compareEvery: 200,
  machine: inSqlite({
    schema: "CREATE TABLE IF NOT EXISTS numbers (by TEXT, number INTEGER, times INTEGER, PRIMARY KEY (by, number))",
    apply: (db, { by, number }: Add): number => {
      db.prepare("INSERT INTO numbers VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1").run(by, number)
      return total(db)
    },
  }),
})
await count(counters, total, counted)
