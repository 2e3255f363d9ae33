/** Random commands are answered as a real Redis 7.0.15 answered them. `npx tsx test/redis-agrees.ts` asks one that is installed, and tells what differs. */
import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { connect } from "../kv/client/index.ts"
import { withLocalCluster } from "./node.help.ts"
import { play, texts } from "./redis/play.ts"
import { digestOf, recordedFile, recordedScripts } from "./redis/recorded.ts"

test("2,000 random commands, in RESP2 and RESP3, have the replies that Redis gave", () =>
  withLocalCluster(1, async (cluster) => {
    await cluster.startAll()
    const { port } = (await cluster.leader()).config.client
    const found: string[] = []
    for (const one of recordedScripts()) found.push(digestOf(texts(one, await play(port, one), "someday")))
    expect(found).toEqual(JSON.parse(readFileSync(recordedFile, "utf8")))
    const client = await connect({ endpoints: `127.0.0.1:${port}` })
    await client.set("a", "hello", { ex: 100 })
    expect(await client.getRange("a", -3, -1)).toEqual(Buffer.from("llo"))
    expect([
      await client.setRange("a", 0, "J"),
      await client.copy("a", "b"),
      await client.copy("a", "b"),
      await client.copy("a", "b", true),
      await client.get("b"),
    ]).toEqual([5, true, false, true, "Jello"])
    expect([
      await client.incrByFloat("n", "0.1"),
      await client.incrByFloat("n", 0.2),
      await client.call("TOUCH", "n", "b"),
    ]).toEqual(["0.1", "0.3", 2])
    await client.close()
  }))
