/** The promise API. Rejections are the named errors of errors.ts. */
import type { LeaseTable } from "../../interpreters/lease/index.ts"
import { realSurroundings } from "../../interpreters/surroundings.ts"
import {
  type Answers,
  type Commands,
  commands,
  conclude,
  makeTransaction,
  type CommandRequest,
  type Result,
  type ScanOptions,
  scanPage,
  type Transaction,
} from "./commands.ts"
import { accessOf, type AccessOptions, usablePair } from "./access.ts"
import { dialAs } from "./connection.ts"
import { type Core, type CoreSettings, makeCore } from "./core.ts"
import { type Endpoint, requireEndpoint } from "./endpoints.ts"
import { leaseTable } from "./leases.ts"

export interface ConnectOptions extends AccessOptions {
  /**
   * Any nodes of the cluster, as `host:port`, or with TLS and a user `rediss://name:password@host:port`; the client
   * learns the others from them.
   */
  readonly endpoints: string | Endpoint | readonly (string | Endpoint)[]
  /** The limit for one command with all its retries. Default 10,000. */
  readonly timeoutMs?: number
  /** The limit for establishing a connection. Default 2,000. */
  readonly connectTimeoutMs?: number
  /** If a node owes an answer and sends nothing for this long, the client moves to another one. Default 5,000. */
  readonly stallTimeoutMs?: number
  /**
   * `leader` (default): ask who leads and connect there. `any`: stay with the endpoint that was reached first, which
   * forwards.
   */
  readonly route?: "leader" | "any"
  /** Commands in progress at once; more wait in the client. Default 512. */
  readonly window?: number
  /** Pauses between attempts, growing from the first to the second. Default [20, 1000]. */
  readonly backoffMs?: readonly [least: number, most: number]
}

type Face = { readonly [K in keyof Commands]: (...args: Parameters<Commands[K]>) => Promise<Answers<K>> }

/** `elect(client, …)` and `lock(client, …)` use it as a table of leases. */
export interface Client extends Face, LeaseTable {
  /** `client.multi().set("a", "1").incr("n").exec()` */
  readonly multi: () => Transaction<Promise<readonly Result[] | null>>
  /** All keys, page by page. Keys written or deleted meanwhile may or may not be seen. */
  readonly scan: (options?: ScanOptions) => AsyncGenerator<string, void, undefined>
  /** A command with a deadline of its own: `client.run(commands.get("a"), { timeoutMs: 500 })`. */
  readonly run: <A>(request: CommandRequest<A>, options?: { readonly timeoutMs?: number }) => Promise<A>
  /** The node in use, or the one that is tried next. */
  readonly endpoint: () => Endpoint
  /** Waits for commands in progress, then ends the session and the connection. */
  readonly close: () => Promise<void>
}

const listed = ({ endpoints }: ConnectOptions): readonly (string | Endpoint)[] =>
  (typeof endpoints === "string" || "port" in endpoints ? [endpoints] : endpoints).flatMap(
    (each): readonly (string | Endpoint)[] => (typeof each === "string" ? each.split(",") : [each]),
  )

/** The engine of a client, with the TLS files and the login of the options. */
export const coreOf = (options: ConnectOptions): Core => {
  const settings = settingsOf(options)
  const access = accessOf(
    listed(options).filter((each) => typeof each === "string"),
    options,
  )
  if (access.tls !== null) usablePair(access.tls)
  return makeCore(settings, realSurroundings, dialAs(access))
}

const settingsOf = (options: ConnectOptions): CoreSettings => {
  const { endpoints: _, tls: __, username: ___, password: ____, ...rest } = options
  const parsed = listed(options).map((each) => requireEndpoint(each))
  if (parsed.length === 0) throw new TypeError("a client needs at least one endpoint")
  return {
    route: "leader",
    timeoutMs: 10_000,
    connectTimeoutMs: 2_000,
    stallTimeoutMs: 5_000,
    window: 512,
    backoffMs: [20, 1_000],
    ...rest,
    endpoints: parsed,
  }
}

/** Runs commands for the promise API. */
export const runOn =
  (core: Core) =>
  <A>(request: CommandRequest<A>, options: { readonly timeoutMs?: number } = {}): Promise<A> =>
    new Promise((resolve, reject) => {
      core.submit(request.task, options.timeoutMs ?? request.timeoutMs, (outcome) => {
        const end = conclude(request, outcome)
        if ("answer" in end) resolve(end.answer)
        else reject(end.error)
      })
    })

/** One promise-returning method for each command. The types cannot follow a mapped object through `fromEntries`. */
const faceOf = (run: ReturnType<typeof runOn>): Face =>
  Object.fromEntries(
    Object.entries(commands).map(([name, make]) => [
      name,
      (...args: readonly unknown[]) => run((make as (...args: readonly unknown[]) => CommandRequest<unknown>)(...args)),
    ]),
  ) as unknown as Face

/** Resolves when a node has answered; rejects with TimedOut or NoLeader if none does in time, at once if none can. */
export const connect = async (options: ConnectOptions): Promise<Client> => {
  const core = coreOf(options)
  const run = runOn(core)
  const face = faceOf(run)
  const client: Client = {
    ...face,
    ...leaseTable(`client-${realSurroundings.secret(4)}`, run),
    run,
    multi: () => makeTransaction(face.exec),
    scan: async function* (scanOptions) {
      let cursor = "0"
      do {
        const page = await run(scanPage(cursor, scanOptions))
        cursor = page.cursor
        yield* page.keys
      } while (cursor !== "0")
    },
    endpoint: core.endpoint,
    close: core.close,
  }
  try {
    await face.call("PING")
  } catch (error) {
    await core.close()
    throw error
  }
  return client
}
