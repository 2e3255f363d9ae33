/** `replicate` in three processes: kill -9 of each in turn under load, and of all at once. Nothing acknowledged is lost, nothing is doubled. */
import { join } from "node:path"
import { test } from "vitest"
import { root } from "./cluster.ts"
import { countAndKill, judgeCounting } from "./counting.ts"
import { longTest } from "./long.ts"

const kill = async (program: string): Promise<void> => {
  judgeCounting(await countAndKill(["node", "--import", "tsx", join(root, "test/examples", program)]))
}
test(
  "each of three is killed under load, and all at once: what was acknowledged is there, once",
  () => kill("counters.ts"),
  300_000,
)
longTest("the same with a state that keeps itself, in SQLite", () => kill("counters.sqlite.ts"))
