/**
 * A replicated state machine on Node: its directory, its peers over TCP, its place in the cluster, and the replica on
 * top. Each part is a resource of the scope; closing the scope first transfers leadership and then closes the parts in
 * reverse order.
 */
import { randomBytes } from "node:crypto"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { defaultSettings, type Settings } from "../../core/index.ts"
import type { StorageError } from "../file/index.ts"
import type { Logger } from "../log.ts"
import {
  openReplicaMachine,
  runReplica,
  type DurableMachine,
  type Machine,
  type Replica,
  type ReplicaSettings,
  type RunnableMachine,
} from "../replica/index.ts"
import { leastAfter, type Autopilot } from "../members/index.ts"
import { exposed, PEERS_EXPOSED, parseAddress, type Address, type TcpError } from "../tcp/index.ts"
import { openTls, type TlsFiles, type TlsUnusable } from "../tls/index.ts"
import { isMemberName } from "../text.ts"
import { openServer } from "./assemble.ts"
import { openDurableMachine } from "./durable.ts"
import {
  NodeFailed,
  OptionsInvalid,
  StateUnusable,
  type BootstrapRefused,
  type LevelTooHigh,
  type HttpUnavailable,
  type LostTail,
  type StateWithoutLog,
} from "./errors.ts"
import { makeLog } from "./log.ts"
import { refusedText } from "./findCluster.ts"
import { newServerParts } from "./parts.ts"
import { directorySnapshotStore } from "./snapshotStore.ts"

export interface ReplicateOptions<State, Command, Result> {
  /** The name of this server, never used by another one: letters, digits, dots, dashes, underscores. */
  readonly id: string
  /** This server's own directory, created if necessary. */
  readonly data: string
  /** The address at which it listens to its peers, as host:port. Default: its own entry in `peers`. */
  readonly listen?: string
  /**
   * The servers that found the cluster, with their addresses as host:port; this one may be among them. A server that
   * joins later needs some of the members here. Servers that join or move afterwards are found without this list.
   */
  readonly peers: Readonly<Record<string, string>>
  /**
   * Where the others find this server, as host:port. Default: its own entry in `peers`, otherwise the address at which
   * it listens. "": they use their own lists only.
   */
  readonly advertise?: string
  /** A state in memory with a function that changes it, or a state that is durable itself, such as a database. */
  readonly machine: Machine<State, Command, Result> | DurableMachine<State, Command, Result>
  /** Where the server answers /metrics (for Prometheus), /livez and /readyz, as host:port. Default: nowhere. */
  readonly http?: string
  /**
   * Files (PEM) with this server's certificate, its key, and the cluster's certificate authority: servers then prove to
   * each other who they are, and nobody else can read or change their messages. HTTP becomes HTTPS. Files that change
   * are read again, without a restart. `stepraft cert` makes them.
   */
  readonly tls?: TlsFiles
  /**
   * What may go without TLS at addresses that other machines can reach. "peers": whoever reaches the port for peers, or
   * the line between two servers, can read and change everything and destroy the cluster. "http": whoever reaches the
   * port can read figures. Default: nothing; without `tls`, peers are refused at addresses other than those of this
   * machine (127.0.0.1).
   */
  readonly plaintext?: readonly ("peers" | "http")[]
  readonly settings?: Partial<Settings>
  /** Timeouts and limits for the requests of callers. */
  readonly service?: Partial<ReplicaSettings>
  /**
   * Whoever leads replaces dead servers by waiting learners, and readmits servers that have lost their disk. Default:
   * off.
   */
  readonly autopilot?: Autopilot
  /**
   * The cluster does not rise above this feature level while this server is set to it. Default: the level that every
   * member supports.
   */
  readonly featureLevelMax?: number
  /** Compares the results of all servers at this interval, in milliseconds (NotDeterministic). Default: never. */
  readonly compareEvery?: number
  /** Receives log lines for people. Default: warnings and errors go to stderr. */
  readonly log?: Logger
}
export type ReplicateError =
  | OptionsInvalid
  | TlsUnusable
  | HttpUnavailable
  | BootstrapRefused
  | LevelTooHigh
  | StateWithoutLog
  | LostTail
  | StateUnusable
  | NodeFailed
  | StorageError
  | TcpError

const addressOf = (field: string, text: string): Address => {
  const address = parseAddress(text)
  if (address === null)
    throw new OptionsInvalid({ field, found: JSON.stringify(text), expected: "an address as host:port" })
  return address
}

interface Addresses {
  readonly listen: Address
  readonly advertise: string
  readonly peers: Readonly<Record<string, Address>>
}
/** Servers that other machines can reach need TLS. */
const requireCover = (
  { listen, peers }: Addresses,
  { tls, plaintext = [] }: Pick<ReplicateOptions<unknown, unknown, unknown>, "tls" | "plaintext">,
): void => {
  const found = exposed([listen, ...Object.values(peers)])
  if (found === null || plaintext.includes("peers") || tls !== undefined) return
  throw new OptionsInvalid({
    field: "tls",
    found: `missing, although other machines can reach ${found}`,
    expected: `certificates (tls: { cert, key, ca }; stepraft cert makes them), or plaintext: ["peers"] if you accept that ${PEERS_EXPOSED}`,
  })
}
const requirePatience = ({
  autopilot,
  settings,
}: Pick<ReplicateOptions<unknown, unknown, unknown>, "autopilot" | "settings">): void => {
  const least = leastAfter({ ...defaultSettings, ...settings })
  if (autopilot?.after === undefined || autopilot.after >= least) return
  throw new OptionsInvalid({
    field: "autopilot.after",
    found: String(autopilot.after),
    expected: `at least ten times electionMax (${least}): members that a few elections keep silent are not dead`,
  })
}
const WILDCARD: ReadonlySet<string> = new Set(["0.0.0.0", "::"])
const checked = (
  id: string,
  listen: string | undefined,
  advertise: string | undefined,
  given: Readonly<Record<string, string>>,
): Addresses => {
  const peers: Record<string, Address> = {}
  for (const [name, at] of Object.entries(given)) {
    if (!isMemberName(name))
      throw new OptionsInvalid({
        field: "peers",
        found: JSON.stringify(name),
        expected: "names of 1 to 64 letters, digits, dots, dashes and underscores",
      })
    peers[name] = addressOf(`peers.${name}`, at)
  }
  if (!isMemberName(id))
    throw new OptionsInvalid({
      field: "id",
      found: JSON.stringify(id),
      expected: "a name of 1 to 64 letters, digits, dots, dashes and underscores",
    })
  const own = listen ?? given[id]
  if (own === undefined)
    throw new OptionsInvalid({
      field: "listen",
      found: "missing",
      expected: `host:port, here or as ${id} among the peers`,
    })
  const { [id]: _, ...others } = peers
  const at = addressOf("listen", own)
  if (advertise !== undefined && advertise !== "") addressOf("advertise", advertise)
  return { listen: at, advertise: advertise ?? given[id] ?? (WILDCARD.has(at.host) ? "" : own), peers: others }
}

/**
 * Runs until its scope closes. Succeeds once this server has its place in the cluster; `ready` tells when it can serve.
 */
export const makeReplica = <State, Command, Result>(
  options: ReplicateOptions<State, Command, Result>,
): Effect.Effect<Replica<State, Command, Result>, ReplicateError, Scope.Scope> =>
  Effect.gen(function* () {
    const { id } = options
    const log = options.log ?? makeLog({ node: id, json: false, least: "warn" })
    const { plaintext = [] } = options
    const { listen, advertise, peers } = yield* Effect.try({
      try: () => {
        const addresses = checked(id, options.listen, options.advertise, options.peers)
        requireCover(addresses, options)
        requirePatience(options)
        return addresses
      },
      catch: (cause) =>
        cause instanceof OptionsInvalid
          ? cause
          : new OptionsInvalid({ field: "options", found: String(cause), expected: "see ReplicateOptions" }),
    })
    const tls = options.tls === undefined ? null : yield* openTls({ name: id, files: options.tls, log })
    let running: { readonly fail: (error: Error) => void } | null = null
    // May be called at any time, even before there is a replica.
    let lost: NodeFailed | null = null
    const fail = (error: NodeFailed): void => {
      lost ??= error
      running?.fail(lost)
    }
    let refuse: (why: string) => void = () => {}
    const alive = newServerParts(id, listen, options.featureLevelMax)
    alive.tls = tls
    if (tls !== null) alive.files = [{ kind: "tls", unusable: tls.unusable }]
    const { storage, join } = yield* openServer(alive, {
      data: options.data,
      peers,
      advertise,
      settings: { ...defaultSettings, ...options.settings },
      bootstrap: false,
      clientAddress: "",
      log,
      tls: plaintext.includes("peers") ? null : tls,
      plaintext: plaintext.includes("peers"),
      httpTls: plaintext.includes("http") ? null : tls,
      failed: fail,
      ...(options.http === undefined ? {} : { http: addressOf("http", options.http) }),
      refused: (why) => refuse(why),
      openMachine: ({ directory, self }) =>
        Effect.tryPromise({
          try: (): Promise<RunnableMachine<State>> => {
            const { machine } = options
            const newId = (): string => randomBytes(12).toString("hex")
            if ("open" in machine) return openDurableMachine({ machine, directory, self, newId })
            return openReplicaMachine({
              machine,
              store: directorySnapshotStore(directory),
              newId,
              report: (text) => log("warn", text),
            })
          },
          catch: (cause) => new StateUnusable({ directory, cause }),
        }),
      build: ({ storage, transport, machine, position, features }) => {
        const replica = runReplica({
          self: storage.identity.self,
          storage,
          transport,
          definition: options.machine,
          machine,
          position,
          address: advertise === "" ? null : advertise,
          cluster: () => storage.identity.cluster,
          report: (text) => log("warn", text),
          compareEvery: options.compareEvery ?? null,
          features,
          ...(options.settings === undefined ? {} : { settings: options.settings }),
          ...(options.autopilot === undefined ? {} : { autopilot: options.autopilot }),
          ...(options.service === undefined ? {} : { service: options.service }),
        })
        replica.failure.catch((error: Error) => (alive.failed = error.message))
        running = replica
        if (lost !== null) replica.fail(lost)
        return {
          replica,
          driver: replica.driver,
          counters: replica.counters,
          members: replica.members,
          withdraw: (why: string) => fail(new NodeFailed({ node: id, cause: new Error(why) })),
          stop: replica.close,
        }
      },
    })
    if (storage.refused !== null)
      yield* Effect.fail(new NodeFailed({ node: id, cause: new Error(refusedText(id, storage.refused)) }))
    // A server without a place would otherwise wait for ever, because the others would never form a cluster with it.
    const refusal = Effect.callback<never, NodeFailed>((resume) => {
      refuse = (why) => resume(Effect.fail(new NodeFailed({ node: id, cause: new Error(why) })))
    })
    return (yield* Effect.raceFirst(join, refusal)).replica
  })

/**
 * The same as a promise: opens the server in its directory and takes its place in the cluster. All servers are started
 * in the same way; empty ones form the cluster once all of them are up. Rejects with a ReplicateError.
 */
export const replicate = async <State, Command, Result>(
  options: ReplicateOptions<State, Command, Result>,
): Promise<Replica<State, Command, Result>> => {
  const scope = Effect.runSync(Scope.make())
  const exit = await Effect.runPromiseExit(makeReplica(options).pipe(Scope.provide(scope)))
  const close = (): Promise<void> => Effect.runPromise(Scope.close(scope, Exit.void))
  if (Exit.isFailure(exit)) {
    await close()
    throw Cause.squash(exit.cause)
  }
  // The layers below the replica are closed with it, and also when it fails.
  exit.value.failure.catch(close)
  return { ...exit.value, close }
}

/**
 * The same as a service of Effect: `const Jobs = replicaService<State, Command, Result>("Jobs")`, then
 * `Jobs.layer(options)`.
 */
export const replicaService = <State, Command, Result>(id: string) => {
  const service = Context.Service<Replica<State, Command, Result>>(id)
  return Object.assign(service, {
    layer: (options: ReplicateOptions<State, Command, Result>) => Layer.effect(service, makeReplica(options)),
  })
}
