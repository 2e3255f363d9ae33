/** `stepraft status`: the cluster in one table, or as JSON, once or repeatedly. */
import { setTimeout as sleep } from "node:timers/promises"
import type { Endpoint } from "../../client/endpoints.ts"
import { gatherStatus, isHealthy, type KnownNodes } from "./gather.ts"
import { recordedClients } from "../cluster/layout.ts"
import { paintFor } from "../../../interpreters/cli/paint.ts"
import { exitCodes, failure } from "../../../interpreters/cli/runtime.ts"
import { changeOf, statusTable, summary } from "./table.ts"

export interface StatusOptions {
  readonly endpoints: readonly Endpoint[]
  readonly output: "table" | "json"
  readonly watch: boolean
  readonly intervalMs: number
  readonly timeoutMs: number
}

const clearScreen = "\x1b[H\x1b[J"

export const status = async (options: StatusOptions, signal: AbortSignal): Promise<void> => {
  // If the node that was asked is down, a data folder here may tell where the others are, and so may earlier answers.
  const known: KnownNodes = new Map(options.endpoints.flatMap((endpoint) => recordedClients(".stepraft", endpoint)))
  const out = process.stdout
  const paint = paintFor(out)
  for (let before = ""; !signal.aborted;) {
    const cluster = await gatherStatus(options.endpoints, known, options.timeoutMs)
    if (options.output === "json") out.write(`${JSON.stringify(cluster)}\n`)
    else if (!options.watch) out.write(`${statusTable(cluster, paint)}\n`)
    else if (out.isTTY)
      out.write(
        `${clearScreen}${statusTable(cluster, paint)}\n\n${paint.dim(`${new Date().toLocaleTimeString()} · every ${options.intervalMs / 1_000} s · Ctrl-C ends`)}\n`,
      )
    else {
      const change = changeOf(cluster)
      if (change !== before) out.write(`${new Date().toISOString()} ${summary(cluster, paint)}\n`)
      before = change
    }
    if (!options.watch) {
      if (!isHealthy(cluster)) throw failure("", exitCodes.failed)
      return
    }
    await sleep(options.intervalMs, undefined, { signal }).catch(() => {})
  }
}
