/** `stepraft status`: the cluster in one table, or as JSON, once or again and again. */
import { setTimeout as sleep } from "node:timers/promises"
import type { Endpoint } from "../client/endpoints.ts"
import { gather, isHealthy, type Known } from "./gather.ts"
import { recordedClients } from "./layout.ts"
import { failure } from "./runtime.ts"
import { paintFor, statusTable } from "./table.ts"

export interface StatusOptions {
  readonly endpoints: readonly Endpoint[]
  readonly output: "table" | "json"
  readonly watch: boolean
  readonly intervalMs: number
  readonly timeoutMs: number
}

const clearScreen = "\x1b[H\x1b[J"

export const status = async (options: StatusOptions, signal: AbortSignal): Promise<void> => {
  // When the node that was asked is down, a data folder here may tell where the others are; so does what was heard before.
  const known: Known = new Map(options.endpoints.flatMap((endpoint) => recordedClients(".stepraft", endpoint)))
  const paint = paintFor(process.stdout)
  for (let before = ""; !signal.aborted; ) {
    const cluster = await gather(options.endpoints, known, options.timeoutMs)
    const text = options.output === "json" ? JSON.stringify(cluster) : statusTable(cluster, paint)
    if (!options.watch) {
      process.stdout.write(`${text}\n`)
      if (!isHealthy(cluster)) throw failure("", 1)
      return
    }
    if (options.output === "table" && process.stdout.isTTY) process.stdout.write(`${clearScreen}${text}\n\n${paint.dim(`${new Date().toLocaleTimeString()} · every ${options.intervalMs / 1_000} s · Ctrl-C ends`)}\n`)
    else if (text !== before) process.stdout.write(`${text}\n${options.output === "table" ? "\n" : ""}`)
    before = text
    await sleep(options.intervalMs, undefined, { signal }).catch(() => {})
  }
}
