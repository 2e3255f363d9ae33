/**
 * A replicated state machine on Node: its directory, its peers over TCP, its place in the cluster, and the replica on top.
 * Each part is a resource of the scope; closing it hands leadership over first and takes them down in reverse order.
 */
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { Settings } from "../../core/index.ts"
import { openFileStorage, type StorageError } from "../file/index.ts"
import type { LocalHello } from "../hello.ts"
import type { Log } from "../log.ts"
import { openReplicaMachine, runReplica, type Machine, type Replica, type ReplicaSettings } from "../replica/index.ts"
import { makeTcpTransport, parseAddress, type Address, type TcpError } from "../tcp/index.ts"
import { OptionsInvalid, ReplicaFailed, StateUnusable, type BootstrapRefused, type LostTail, type StateWithoutLog } from "./errors.ts"
import { findPlace, refusedText, watchRefused } from "./place.ts"
import { recoveredPosition, requireNoState, requireWholeLog } from "./recovery.ts"
import { directoryStore } from "./store.ts"

export interface ReplicateOptions<State, Command, Result> {
  /** Name of this server, and its own for ever: letters, digits, dots, dashes, underscores. */
  readonly id: string
  /** Its directory, of its own. Made if it is not there. */
  readonly data: string
  /** Where it listens to its peers, as host:port. Default: its own entry among `peers`. */
  readonly listen?: string
  /** All servers of the cluster with their addresses, as host:port; this one may be among them. */
  readonly peers: Readonly<Record<string, string>>
  readonly machine: Machine<State, Command, Result>
  readonly settings?: Partial<Settings>
  /** Time-outs and limits of what callers ask. */
  readonly service?: Partial<ReplicaSettings>
  /** Compare the results of all servers every so many milliseconds (NotDeterministic). Default: never. */
  readonly compareEvery?: number
  /** Lines for people. Default: warnings and errors to stderr. */
  readonly log?: Log
}
export type ReplicateError = OptionsInvalid | BootstrapRefused | StateWithoutLog | LostTail | StateUnusable | ReplicaFailed | StorageError | TcpError

const NAME = /^[A-Za-z0-9._-]{1,64}$/u
const addressOf = (field: string, text: string): Address => {
  const address = parseAddress(text)
  if (address === null) throw new OptionsInvalid({ field, found: JSON.stringify(text), expected: "an address as host:port" })
  return address
}

interface Addresses {
  readonly listen: Address
  readonly peers: Readonly<Record<string, Address>>
}
const checked = (id: string, listen: string | undefined, given: Readonly<Record<string, string>>): Addresses => {
  const peers: Record<string, Address> = {}
  for (const [name, at] of Object.entries(given)) {
    if (!NAME.test(name)) throw new OptionsInvalid({ field: "peers", found: JSON.stringify(name), expected: "names of 1 to 64 letters, digits, dots, dashes and underscores" })
    peers[name] = addressOf(`peers.${name}`, at)
  }
  if (!NAME.test(id)) throw new OptionsInvalid({ field: "id", found: JSON.stringify(id), expected: "a name of 1 to 64 letters, digits, dots, dashes and underscores" })
  const own = listen ?? given[id]
  if (own === undefined) throw new OptionsInvalid({ field: "listen", found: "missing", expected: `host:port, here or as ${id} among the peers` })
  const { [id]: _, ...others } = peers
  return { listen: addressOf("listen", own), peers: others }
}

const stderrLog = (id: string): Log => (level, text) => {
  if (level === "warn" || level === "error") process.stderr.write(`${new Date().toISOString()} ${level.padEnd(5)} ${id} ${text}\n`)
}

/** Runs until its scope closes. Succeeds once this server has its place in the cluster; `ready` tells when it can serve. */
export const makeReplica = <State, Command, Result>(options: ReplicateOptions<State, Command, Result>): Effect.Effect<Replica<State, Command, Result>, ReplicateError, Scope.Scope> =>
  Effect.gen(function* () {
    const { id, data } = options
    const log = options.log ?? stderrLog(id)
    const { listen, peers } = yield* Effect.try({
      try: () => checked(id, options.listen, options.peers),
      catch: (cause) => (cause instanceof OptionsInvalid ? cause : new OptionsInvalid({ field: "options", found: String(cause), expected: "see ReplicateOptions" })),
    })
    const logDirectory = join(data, "log")
    const stateDirectory = join(data, "state")
    const storage = yield* openFileStorage({ directory: logDirectory, name: id, waiting: (text) => log("error", text) })
    const { self, cluster, founding } = storage.identity
    const unusable = (cause: unknown): StateUnusable => new StateUnusable({ directory: stateDirectory, cause })
    if (cluster === null) {
      const stray = yield* Effect.tryPromise({ try: () => requireNoState(logDirectory, stateDirectory), catch: unusable })
      if (stray !== null) yield* Effect.fail(stray)
    }
    if (storage.refused !== null) yield* Effect.fail(new ReplicaFailed({ id, cause: new Error(refusedText(id, storage.refused)) }))

    const hello: LocalHello = { cluster, clientAddress: "", empty: cluster === null, founding, start: storage.start, recovered: storage.recovered, refused: null }
    const transport = yield* makeTcpTransport({
      self, listen, peers, hello, log, sightings: storage.sightings,
      ...(options.settings?.maxEntryBytes === undefined ? {} : { limits: { maxEntryBytes: options.settings.maxEntryBytes } }),
    })
    // Peers may say so at any time from here on, also before there is a replica.
    let lost: Error | null = null
    let running: { readonly fail: (error: Error) => void } | null = null
    const withdraw = (error: Error): void => {
      lost ??= error
      running?.fail(lost)
    }
    watchRefused(
      storage,
      transport,
      (refused) => {
        const text = refusedText(id, refused)
        transport.announce({ ...hello, cluster: storage.identity.cluster, founding: storage.identity.founding, empty: storage.identity.cluster === null, refused: text })
        withdraw(new ReplicaFailed({ id, cause: new Error(text) }))
      },
      withdraw,
    )
    yield* findPlace({ storage, transport, bootstrap: false, met: () => undefined, log, hello: () => hello })

    const machine = yield* Effect.tryPromise({
      try: () => openReplicaMachine({ machine: options.machine, store: directoryStore(stateDirectory), newId: () => randomBytes(12).toString("hex"), report: (text) => log("warn", text) }),
      catch: unusable,
    })
    yield* requireWholeLog(machine, storage.stored, logDirectory)
    const replica = yield* Effect.try({
      try: () =>
        runReplica({
          self, storage, transport, definition: options.machine, machine,
          position: recoveredPosition(machine.position(), null, storage.stored, log),
          report: (text) => log("warn", text),
          compareEvery: options.compareEvery ?? null,
          ...(options.settings === undefined ? {} : { settings: options.settings }),
          ...(options.service === undefined ? {} : { service: options.service }),
        }),
      catch: (cause) => new ReplicaFailed({ id, cause: cause instanceof Error ? cause : new Error(String(cause)) }),
    })
    running = replica
    if (lost !== null) replica.fail(lost)
    yield* Effect.addFinalizer(() => Effect.promise(replica.close))
    return replica
  })

/**
 * The same as a promise: opens the server in its directory and takes its place in the cluster. All servers start alike; empty
 * ones form the cluster together once all of them are up. Rejects with a ReplicateError.
 */
export const replicate = async <State, Command, Result>(options: ReplicateOptions<State, Command, Result>): Promise<Replica<State, Command, Result>> => {
  const scope = Effect.runSync(Scope.make())
  const exit = await Effect.runPromiseExit(makeReplica(options).pipe(Scope.provide(scope)))
  const close = (): Promise<void> => Effect.runPromise(Scope.close(scope, Exit.void))
  if (Exit.isFailure(exit)) {
    await close()
    throw Cause.squash(exit.cause)
  }
  // What is under the replica goes with it, and with its failure.
  exit.value.failure.catch(close)
  return { ...exit.value, close }
}

/** As a service of Effect: `const Jobs = replicaService<State, Command, Result>("Jobs")`, then `Jobs.layer(options)`. */
export const replicaService = <State, Command, Result>(id: string) => {
  const service = Context.Service<Replica<State, Command, Result>>(id)
  return Object.assign(service, { layer: (options: ReplicateOptions<State, Command, Result>) => Layer.effect(service, makeReplica(options)) })
}
