/** One at a time, with a lock: lock.ts ID DIRECTORY PEERS FILE. Each of the three servers adds to the number in FILE, again and again. */
// #region README
import { readFile, rename, writeFile } from "node:fs/promises"
import { lock, LeaseLost, replicate } from "stepraft"

const [id = "", data = "", peers = "{}", file = ""] = process.argv.slice(2)
// A lease is kept beside the state, whatever that is: here there is none.
const node = await replicate({
  id,
  data,
  peers: JSON.parse(peers) as Record<string, string>,
  machine: { initial: null, apply: () => null },
})
const over = new AbortController()
process.once("SIGTERM", () => over.abort())

while (!over.signal.aborted) {
  const held = await lock(node, "number", { ttl: 3000, signal: over.signal }).catch(() => null)
  if (held === null) break
  const number = Number(await readFile(file, "utf8")) + 1
  // Moved into its place: whoever is killed meanwhile leaves the number before, and not half of this one.
  await writeFile(`${file}.${id}`, String(number))
  // A file cannot compare tokens, so this is as good as clocks are. Let what you protect compare them, where it can.
  if (!held.signal.aborted) {
    await rename(`${file}.${id}`, file)
    console.log(`wrote ${number} with token ${held.token}`)
  }
  await held.release().catch((error: unknown) => console.log(error instanceof LeaseLost ? "lost" : String(error)))
}
await node.close()
process.exit(0)
// #endregion
