/** Golden traces: what the algorithm does in its best-known situations, as texts. STEPRAFT_GOLDEN=1 writes them anew. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { sessions } from "./traces/sessions.ts"
import { retold } from "./traces/trace.ts"

const folder = join(import.meta.dirname, "traces")
const files = readdirSync(folder).filter((file) => file.endsWith(".txt"))

test.each(files)("%s", (file) => {
  const path = join(folder, file)
  const text = readFileSync(path, "utf8")
  const now = file.startsWith("session") ? retold(text, sessions) : retold(text)
  if (process.env["STEPRAFT_GOLDEN"] !== undefined) writeFileSync(path, now)
  else expect(now).toBe(text)
})

test("twelve of them", () => {
  // What the mission asks to be drawn.
  expect(files).toEqual(expect.arrayContaining(["election.txt", "commit.txt", "snapshot.txt", "session.txt"]))
  expect(files.length).toBeGreaterThanOrEqual(12)
})
