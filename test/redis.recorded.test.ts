/** Random commands are answered as a real Redis 7.0.15 answered them. `npx tsx test/redis-agrees.ts` asks one that is installed, and tells what differs. */
import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { withLocalCluster } from "./node.help.ts"
import { play, texts } from "./redis/play.ts"
import { digestOf, recordedFile, recordedScripts } from "./redis/recorded.ts"

test("2,000 random commands, in RESP2 and RESP3, have the replies that Redis gave", () =>
  withLocalCluster(1, async (cluster) => {
    await cluster.startAll()
    const { port } = (await cluster.leader()).config.client
    const found: string[] = []
    for (const one of recordedScripts()) found.push(digestOf(texts(one, await play(port, one), true)))
    expect(found).toEqual(JSON.parse(readFileSync(recordedFile, "utf8")))
  }))
