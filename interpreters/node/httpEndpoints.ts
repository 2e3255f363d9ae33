/** What a node answers over HTTP: /metrics, /livez and /readyz, each check at a path of its own. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Logger } from "../log.ts"
import { CONTENT_TYPE, metricsText, type Metric } from "../metrics/index.ts"
import type { Address } from "../tcp/index.ts"
import { addressText } from "../tcp/index.ts"
import type { Tls } from "../tls/index.ts"
import { livez, readyz, runChecks, type Check } from "./checks.ts"
import { openHttp, type HttpLimits, type HttpPage } from "./http.ts"
import type { HttpUnavailable } from "./errors.ts"
import { metricsOf, watchLoad } from "./metrics.ts"
import type { ServerParts } from "./parts.ts"
import { factsOf } from "./status.ts"

export interface HttpEndpointsOptions {
  readonly listen: Address
  readonly log: Logger
  /** Metrics of the service that runs on the server. */
  readonly metrics?: () => readonly Metric[]
  readonly limits?: Partial<HttpLimits>
  /** null: plaintext. */
  readonly tls: Tls | null
}

const PLAIN = "text/plain; charset=utf-8"
const plain = (status: number, body: string): HttpPage => ({ status, type: PLAIN, body })

const checkPage = async (
  what: string,
  checks: Readonly<Record<string, Check>>,
  alive: ServerParts,
  path: string,
  query: string,
): Promise<HttpPage> => {
  const asked = new URLSearchParams(query)
  const name = path.slice(what.length + 2)
  if (name !== "" && !Object.hasOwn(checks, name))
    return plain(404, `the checks of /${what} are ${Object.keys(checks).join(", ")}\n`)
  const chosen = name === "" ? checks : Object.fromEntries(Object.entries(checks).filter(([one]) => one === name))
  const { passed, text } = await runChecks(
    what,
    chosen,
    { facts: factsOf(alive), driver: alive.running?.driver ?? null },
    { verbose: asked.has("verbose"), exclude: new Set(asked.getAll("exclude")) },
  )
  return plain(passed ? 200 : 503, text)
}

/** Answers for as long as the scope is open: from before the log is read until everything else is closed. */
export const openHttpEndpoints = (
  alive: ServerParts,
  { listen, log, metrics, limits, tls }: HttpEndpointsOptions,
): Effect.Effect<void, HttpUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const load = watchLoad()
    yield* Effect.addFinalizer(() => Effect.sync(load.stop))
    const ready = readyz()
    const page = (path: string, query: string): HttpPage | Promise<HttpPage> => {
      if (path === "/metrics")
        return {
          status: 200,
          type: CONTENT_TYPE,
          body: metricsText([...metricsOf(alive, load.saturation()), ...(metrics?.() ?? [])]),
        }
      if (path === "/livez" || path.startsWith("/livez/")) return checkPage("livez", livez, alive, path, query)
      if (path === "/readyz" || path.startsWith("/readyz/")) return checkPage("readyz", ready, alive, path, query)
      return plain(
        path === "/" ? 200 : 404,
        "/metrics  for Prometheus\n/livez    does this node live? (local only)\n/readyz   can it serve? ?verbose shows every check, /readyz/leader asks one, ?exclude=read leaves one out\n",
      )
    }
    alive.http = yield* openHttp({ listen, page, log, tls, ...(limits === undefined ? {} : { limits }) })
    log("info", `metrics and checks at ${tls === null ? "http" : "https"}://${addressText(alive.http)}`)
  })
