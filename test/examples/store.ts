/**
 * The README's store: store.ts. The README shows the code in the regions; the code between them is load for the test.
 */
import { load } from "./load.ts"
// #region README
import { connect } from "stepraft/kv/client"

const client = await connect({ endpoints: ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"] })
await client.set("greeting", "hello")
await client.append("greeting", " world") // retried across leaders and connections, executed once
// #endregion
await load({
  id: "store",
  add: async () => Number(await client.incr("n")),
  read: async () => Number(await client.get("n")),
})
// #region README
console.log(await client.get("greeting"))
await client.close()
// #endregion
