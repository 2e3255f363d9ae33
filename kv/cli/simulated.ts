/** The key-value service that `simulate --clients` runs in its worlds. */
import type { Simulated } from "../../spec/cli/index.ts"
import { kvLoad } from "../simulation/index.ts"

export const simulated: Simulated = {
  load: kvLoad,
  thread: new URL(import.meta.url.endsWith(".ts") ? "./simulate-thread.ts" : "./simulate-thread.js", import.meta.url),
}
