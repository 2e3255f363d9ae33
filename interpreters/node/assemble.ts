/**
 * Assembles a server from its directory upwards: storage → peers → place in the cluster → state machine → driver. Each
 * part is a resource of the scope; closing the scope first transfers leadership and then closes the parts in reverse
 * order. The caller supplies the state machine and the service that runs on the driver.
 */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import {
  configurationOf,
  levelOf,
  type Configuration,
  type LogBase,
  type Member,
  type Settings,
} from "../../core/index.ts"
import type { Driver } from "../driver/index.ts"
import type { Features } from "../features.ts"
import { openFileStorage, type FileStorage, type FileStorageOptions, type StorageError } from "../file/index.ts"
import type { LocalHello } from "../hello.ts"
import type { Logger } from "../log.ts"
import type { RunningMembers } from "../members/index.ts"
import type { Metric } from "../metrics/index.ts"
import { addressText, makeTcpTransport, type Address, type TcpError, type TcpTransport } from "../tcp/index.ts"
import type { Tls } from "../tls/index.ts"
import { lastConfigurationIn, makeAddresses, startingPeers, type KnownAddresses } from "./addresses.ts"
import { watchClock } from "./clocks.ts"
import {
  NodeFailed,
  type BootstrapRefused,
  type HttpUnavailable,
  type LevelTooHigh,
  type LostTail,
  type StateUnusable,
  type StateWithoutLog,
} from "./errors.ts"
import { healthOf, isAmnesiac, watchHealth } from "./health.ts"
import { levelTooHigh } from "./level.ts"
import { findCluster, refusedText, watchRefused } from "./findCluster.ts"
import { repairItself, setAside, unfinishedRepair } from "./repair.ts"
import { recoveredPosition, requireNoState, requireWholeLog } from "./recovery.ts"
import type { RecoverableMachine, ServerParts } from "./parts.ts"
import { factsOf, version } from "./status.ts"

/** What the driver of a server is made from. */
export interface Foundation<M> {
  readonly storage: FileStorage
  readonly transport: TcpTransport & Pick<KnownAddresses, "reach">
  readonly machine: M
  readonly position: LogBase | null
  /** What this server says about itself. */
  readonly features: () => Features
}
/** The service that runs on the driver. */
export interface Built {
  readonly driver: Driver
  readonly counters: () => Readonly<Record<string, number>>
  readonly members: Pick<RunningMembers, "add" | "replace">
  /** Nothing that this server says may count any more: from now on the service answers no client. */
  readonly withdraw: (why: string) => void
  /** Transfers leadership, and answers the waiting requests. */
  readonly stop: () => Promise<void>
}

export interface Assembly<M extends RecoverableMachine, B extends Built, E> extends Pick<
  FileStorageOptions,
  "files" | "space" | "segmentBytes" | "locked"
> {
  /** The server's directory: its log is in `log`, its state machine in `state`. */
  readonly data: string
  /** The addresses of other servers, for those that the log does not name yet. */
  readonly peers: Readonly<Record<string, Address>>
  /** The address that other servers are told, as host:port; empty: they use their own lists. */
  readonly advertise: string
  readonly settings: Settings
  /** The server may found a cluster: then it is an error if it would have to wait as amnesiac. */
  readonly bootstrap: boolean
  /** This server's address for clients, which other servers pass on; empty: it serves no clients. */
  readonly clientAddress: string
  /** The address of the server's HTTP port. Default: none. */
  readonly http?: Address | null
  /** TLS with peers, and over HTTP; null: plaintext. */
  readonly tls: Tls | null
  /** Peers on other machines are dialled without TLS, too. */
  readonly plaintext: boolean
  readonly httpTls: Tls | null
  /** Metrics of the service that runs on the driver. */
  readonly metrics?: () => readonly Metric[]
  readonly log: Logger
  /** `whole`: the log holds every entry from the first one on, so a lost state can be rebuilt from it. */
  readonly openMachine: (at: {
    readonly self: Member
    readonly cluster: string
    readonly directory: string
    readonly whole: boolean
  }) => Effect.Effect<M, E, Scope.Scope>
  /** Creates the driver and starts it. */
  readonly build: (on: Foundation<M>) => B
  /** Called when the server cannot continue. */
  readonly failed: (error: NodeFailed) => void
  /**
   * Called when a peer has seen a later start of this directory: at once, even before this server has a place in the
   * cluster.
   */
  readonly refused?: (why: string) => void
}
export interface OpenedServer<B, E> {
  readonly storage: FileStorage
  readonly address: Address
  /** Takes this server's place in the cluster, however long that takes, and starts the rest. */
  readonly join: Effect.Effect<B, E | BootstrapRefused | LostTail | NodeFailed | StorageError, Scope.Scope>
}

const errorOf = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)))

/** Opens the directory and the port for peers. `alive` is filled in step by step. */
export const openServer = <M extends RecoverableMachine, B extends Built, E>(
  alive: ServerParts,
  assembly: Assembly<M, B, E>,
): Effect.Effect<
  OpenedServer<B, E>,
  StateWithoutLog | StateUnusable | StorageError | TcpError | HttpUnavailable | LevelTooHigh,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const { id } = alive
    alive.advertises = assembly.advertise
    const { data, log, clientAddress } = assembly
    // HTTP comes first: it answers while the log is read, which may take long. It is loaded only if it is wanted.
    if (assembly.http != null) {
      const { openHttpEndpoints } = yield* Effect.promise(() => import("./httpEndpoints.ts"))
      yield* openHttpEndpoints(alive, {
        listen: assembly.http,
        tls: assembly.httpTls,
        log,
        ...(assembly.metrics === undefined ? {} : { metrics: assembly.metrics }),
      })
    }
    const [directory, state] = [join(data, "log"), join(data, "state")]
    const storage = yield* openFileStorage({
      directory,
      name: id,
      ...(assembly.files === undefined ? {} : { files: assembly.files }),
      ...(assembly.space === undefined ? {} : { space: assembly.space }),
      ...(assembly.segmentBytes === undefined ? {} : { segmentBytes: assembly.segmentBytes }),
      ...(assembly.locked === undefined ? {} : { locked: assembly.locked }),
      waiting: (text) => log("error", text),
      reading: (bytes, file, files) => {
        alive.phase = { doing: "reading", bytes, file, files }
      },
      setAsideDamaged: setAside(data, () => Object.keys(assembly.peers).length, log),
    })
    const { self, cluster, founding } = storage.identity
    alive.storage = storage
    alive.phase = { doing: cluster === null ? "forming" : "opening" }
    if (cluster === null) yield* requireNoState(directory, state)

    const configuration = lastConfigurationIn(storage.stored)
    const features = (): Features => ({
      version,
      level: alive.highestLevel,
      clusterLevel: levelOf(built === null ? configuration : configurationOf(built.driver.state())),
    })
    let built: Built | null = null
    const unreadable = levelTooHigh(data, configuration, features())
    if (unreadable !== null) return yield* Effect.fail(unreadable)

    const hello: LocalHello = {
      cluster,
      clientAddress,
      empty: cluster === null,
      founding,
      start: storage.start,
      recovered: storage.recovered,
      refused: storage.refused === null ? null : refusedText(id, storage.refused),
      features: features(),
    }
    const { peers, advertise } = assembly
    const addresses = makeAddresses({
      self,
      listed: peers,
      advertise,
      cluster: () => storage.identity.cluster,
      configuration,
    })
    const transport = yield* makeTcpTransport({
      self,
      listen: alive.listen,
      peers: startingPeers(id, peers, configuration),
      advertise,
      welcome: addresses.welcome,
      hello,
      log,
      sightings: storage.sightings,
      ...(assembly.tls === null ? {} : { tls: assembly.tls }),
      plaintext: assembly.plaintext,
      limits: { maxEntryBytes: assembly.settings.maxEntryBytes },
    })
    alive.transport = transport
    const unfollow = addresses.follow(transport)
    yield* Effect.addFinalizer(() => Effect.sync(unfollow))
    log(
      "info",
      `incarnation ${self.incarnation}, ${cluster === null ? "empty" : `cluster ${cluster}`};${clientAddress === "" ? "" : ` clients at ${clientAddress},`} peers at ${addressText(transport.address)}, data in ${data}`,
    )

    const fail = (cause: Error): void => {
      alive.failed = cause.message
      assembly.failed(new NodeFailed({ node: id, cause }))
    }
    const helloNow = (): LocalHello => ({
      ...hello,
      cluster: storage.identity.cluster,
      founding: storage.identity.founding,
      empty: storage.identity.cluster === null,
      refused: alive.refused === null ? null : refusedText(id, alive.refused),
      features: features(),
    })
    const withdraw = (): void => {
      if (alive.refused !== null) built?.withdraw(refusedText(id, alive.refused))
    }
    // If a peer has seen a later start, nothing that this server says may count any more: now, and after every later
    // start.
    watchRefused(
      storage,
      transport,
      (refused) => {
        alive.refused = refused
        assembly.refused?.(refusedText(id, refused))
        withdraw()
        log("error", refusedText(id, refused))
        transport.announce(helloNow())
      },
      fail,
    )
    let told = ""
    const run = (cluster: string): Effect.Effect<B, E | LostTail | NodeFailed, Scope.Scope> =>
      Effect.gen(function* () {
        alive.phase = { doing: "opening" }
        const machine = yield* assembly.openMachine({
          self: storage.identity.self,
          cluster,
          directory: state,
          whole: storage.stored.base.index === 0,
        })
        yield* requireWholeLog(machine, storage.stored, directory)
        // Known before anybody asks how the node is: its directory would only be an empty one.
        const aside = yield* Effect.promise(() => unfinishedRepair(data, log))
        alive.repairing = aside
        const position = recoveredPosition(machine.position(), machine.stats?.().damaged ?? null, storage.stored, log)
        const standing = yield* Effect.try({
          try: () =>
            assembly.build({
              storage,
              transport: { ...transport, reach: addresses.reach },
              machine,
              position,
              features,
            }),
          catch: (cause) => new NodeFailed({ node: id, cause: errorOf(cause) }),
        })
        built = standing
        alive.running = { driver: standing.driver, machine, counters: standing.counters }
        watchLevel(standing.driver, (now) => {
          const found = levelTooHigh(data, now, features())
          if (found !== null) fail(found)
          else transport.announce(helloNow())
        })
        const stopKeeping = addresses.keep(standing.driver)
        yield* Effect.addFinalizer(() => Effect.sync(stopKeeping))
        const stopRepairing =
          aside === null
            ? () => {}
            : repairItself(aside, id, standing.members, log, () => {
                alive.repairing = null
              })
        const end = watch(alive, standing, log)
        yield* Effect.addFinalizer(() => Effect.promise(end))
        // Runs first: the repair must stop asking before the member service stops answering.
        yield* Effect.addFinalizer(() => Effect.sync(stopRepairing))
        withdraw()
        return standing
      })
    return {
      storage,
      address: transport.address,
      join: findCluster({
        storage,
        transport,
        listed: Object.keys(peers),
        address: advertise,
        bootstrap: assembly.bootstrap,
        log,
        hello: helloNow,
        met: (of) => {
          alive.phase = of === null ? { doing: "forming" } : { doing: "waiting", of: of.of, cluster: of.cluster }
          const text = of === null ? "" : healthOf(factsOf(alive)).text
          if (text !== "" && text !== told) log("error", text)
          told = text
        },
      }).pipe(Effect.flatMap(run)),
    }
  })

/** Others are told as soon as a log holds a higher level, before it is committed. */
const watchLevel = (driver: Driver, changed: (now: Configuration) => void): void => {
  let level = levelOf(configurationOf(driver.state()))
  driver.onConfiguration((now) => {
    if (levelOf(now) !== level) changed(now)
    level = levelOf(now)
  })
}

/** Logs what happens to the server while it runs. Returns the function that ends it. */
const watch = (alive: ServerParts, { driver, stop }: Built, log: Logger): (() => Promise<void>) => {
  watchLeadership(alive, driver, log)
  const clocks = watchClock(driver, alive.id, log)
  alive.clocks = clocks
  const unwatchHealth = watchHealth(() => healthOf(factsOf(alive)), log)
  if (isAmnesiac(driver.state())) log("warn", healthOf(factsOf(alive)).text)
  return async () => {
    alive.stopping = true
    clocks.stop()
    unwatchHealth()
    log("info", "stopping: transferring leadership, if this server leads, and answering the waiting requests")
    await stop()
  }
}

const watchLeadership = (alive: ServerParts, driver: Driver, log: Logger): void => {
  let leader: string | null = null
  let term = 0
  let last = ""
  alive.leaderlessSince = performance.now()
  driver.onChange((now) => {
    alive.leaderlessSince = now.leader === null ? (alive.leaderlessSince ?? performance.now()) : null
    const name = now.leader?.name ?? null
    if (name !== leader || (name !== null && now.term !== term)) {
      const seen = `${name ?? ""} ${now.term}`
      if (name !== null && seen !== last) alive.leaderChanges += 1
      if (name !== null) last = seen
      if (now.role === "leader") log("info", `leading in term ${now.term}`)
      else
        log("info", name === null ? `no leader is known (term ${now.term})` : `following ${name} in term ${now.term}`)
    }
    leader = name
    term = now.term
  })
}
