/** The scripts whose answers by a real Redis stand in recorded.json, as digests: a test needs no Redis for them. */
import { createHash } from "node:crypto"
import { join } from "node:path"
import * as fc from "fast-check"
import { root } from "../cluster.ts"
import { script, type Script } from "./commands.ts"

export const recordedFile = join(root, "test", "redis", "recorded.json")
/** The first that are generated: their deadlines count how many there were before. */
export const recordedScripts = (): readonly Script[] => fc.sample(script(100), { seed: 7, numRuns: 20 })
export const digestOf = (texts: readonly string[]): string =>
  createHash("sha256").update(texts.join("\n")).digest("hex").slice(0, 16)
