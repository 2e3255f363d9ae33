/** The scripts whose replies by a real Redis are in recorded.json, as digests: the test needs no Redis. */
import { createHash } from "node:crypto"
import { join } from "node:path"
import * as fc from "fast-check"
import { root } from "../cluster.ts"
import { script, type Script } from "./commands.ts"

export const recordedFile = join(root, "test", "redis", "recorded.json")
/** These are generated first, because their deadlines depend on how many scripts were generated before. */
export const recordedScripts = (): readonly Script[] => fc.sample(script(100), { seed: 7, numRuns: 20 })
export const digestOf = (texts: readonly string[]): string =>
  createHash("sha256").update(texts.join("\n")).digest("hex").slice(0, 16)
