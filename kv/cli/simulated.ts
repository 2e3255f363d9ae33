/** The key-value service as `simulate --clients` has it in its worlds. */
import type { Simulated } from "../../spec/cli/index.ts"
import { kvLoad } from "../simulation/index.ts"

export const simulated: Simulated = {
  load: kvLoad,
  thread: new URL(import.meta.url.endsWith(".ts") ? "./simulate-thread.ts" : "./simulate-thread.js", import.meta.url),
}
