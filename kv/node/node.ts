/**
 * One node. It starts to answer clients first; then it assembles a server (interpreters/node) with the key-value store
 * as its state machine and the service on its driver. Each part is a resource of the scope.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Driver, DriverOptions } from "../../interpreters/driver/index.ts"
import { DirectoryLocked, nodeFiles, takeLock, type Files } from "../../interpreters/file/index.ts"
import type { Logger } from "../../interpreters/log.ts"
import type { RunningMembers } from "../../interpreters/members/index.ts"
import { newServerParts, makeLog, NodeFailed, openServer, StateUnusable } from "../../interpreters/node/index.ts"
import { addressText, parseAddress } from "../../interpreters/tcp/index.ts"
import { openTls, type Tls } from "../../interpreters/tls/index.ts"
import { requireOwner } from "../backup/directory.ts"
import { OwnedByAnother, RecoveryUnfinished } from "../backup/errors.ts"
import { requireFinished } from "../backup/switch.ts"
import { loadLevel, openMachine, type KvMachine, type MachineDamaged } from "../machine/index.ts"
import { defaultLimits, makeServer, type Limits, type ClientPortUnavailable } from "../server/index.ts"
import { openUsers, type Users } from "../server/users/index.ts"
import type { Backups, NodeStatus } from "../types.ts"
import { build } from "./build.ts"
import { clientVariables, strangeVariables, type NodeConfig } from "./config.ts"
import { descriptorLimit, placesFor } from "./descriptors.ts"
import type { NodeError } from "./errors.ts"
import { makeFailure } from "./failure.ts"
import { makeGate } from "./gate.ts"
import { makeStoreMetrics } from "./metrics.ts"
import { threadAdvice } from "./launch.ts"
import { clientDoor, type PortName } from "./security.ts"
import { clientAccessOf, advertised, nodeStatusOf, refusalOf } from "./status.ts"
import { openTrace } from "./trace.ts"

export interface ServeOptions {
  readonly log?: Logger
  readonly limits?: Partial<Limits>
  /** Receives every batch of events just before the reducer. */
  readonly journal?: DriverOptions["journal"]
  /** The file operations of the log; tests replace them. */
  readonly files?: Files
  /** How often the files of certificates and users are checked. Default 5,000 ms. */
  readonly filesEveryMs?: number
  /** Called once the node has opened its first resources: from then on it must be stopped in order. */
  readonly started?: () => void
}
export interface RunningNode {
  /** The address for clients: with the configured port, or the free port that was chosen if that is 0. */
  readonly client: NodeConfig["client"]
  readonly peer: NodeConfig["peer"]
  readonly status: () => NodeStatus
  /** Not null once the cluster is formed. */
  readonly driver: () => Driver | null
  readonly machine: () => KvMachine | null
  /** Fails when the node cannot continue. */
  readonly failure: Effect.Effect<never, NodeError>
}

/**
 * The process that holds the port may hold the directory too: then that is the error to report, because another port
 * would not help.
 */
const lockedOr = (
  directory: string,
  files: Files,
  error: ClientPortUnavailable,
): Effect.Effect<never, ClientPortUnavailable | DirectoryLocked> =>
  Effect.tryPromise({
    try: () => takeLock(files, directory).then((lock) => lock.release()),
    catch: (cause) => (cause instanceof DirectoryLocked ? cause : error),
  }).pipe(Effect.andThen(Effect.fail(error)))

/** A node with an unfinished recovery must not serve anything. */
const requireRecovered = (directory: string): Effect.Effect<void, RecoveryUnfinished | StateUnusable> =>
  Effect.tryPromise({
    try: () => requireFinished(directory),
    catch: (cause) => (cause instanceof RecoveryUnfinished ? cause : new StateUnusable({ directory, cause })),
  })

/** A directory that is not there yet will be its maker's. */
const requireOwned = (directory: string): Effect.Effect<void, OwnedByAnother | StateUnusable> =>
  Effect.tryPromise({
    try: async () => (existsSync(directory) ? requireOwner(directory) : undefined),
    catch: (cause) => (cause instanceof OwnedByAnother ? cause : new StateUnusable({ directory, cause })),
  })

/** Runs until its scope closes; `failure` fails when the node itself cannot continue. */
export const serveNode = (
  config: NodeConfig,
  options: ServeOptions = {},
): Effect.Effect<RunningNode, NodeError, Scope.Scope> =>
  Effect.gen(function* () {
    const log = options.log ?? makeLog({ node: config.id, json: config.logJson, least: config.logLevel })
    yield* requireOwned(config.dataDir)
    const failure = makeFailure()
    const alive = newServerParts(config.id, config.peer, config.featureLevelMax)
    const advertise = config.advertisePeer ?? addressText(config.peer)
    let members: RunningMembers | null = null
    let backups: Backups | null = null
    let port = config.client.port
    let users: Users | null = null
    const status = (): NodeStatus =>
      nodeStatusOf(alive, advertised(config, port), clientAccessOf(config.security, users))
    const gate = makeGate({
      refusal: () => refusalOf(alive),
      status,
      members: () => members,
      backups: () => backups,
      leader: () => {
        const leader = alive.running?.driver.leadership().leader ?? null
        if (leader === null) return null
        if (leader.name === config.id) return { id: leader.name, ...advertised(config, port) }
        const address = alive.transport?.peers().find(({ name }) => name === leader.name)?.clientAddress ?? null
        const at = address === null ? null : parseAddress(address)
        return at === null ? null : { id: leader.name, ...at }
      },
    })
    const failed = (error: NodeFailed): void => {
      gate.shut()
      failure.fail(error)
    }
    const { security } = config
    const every = options.filesEveryMs === undefined ? {} : { everyMs: options.filesEveryMs }
    const tls = security.tls === null ? null : yield* openTls({ name: config.id, files: security.tls, log, ...every })
    const covered = (port: PortName): Tls | null => (security.plaintext.includes(port) ? null : tls)
    const clientTls = covered("clients")
    if (security.users !== null)
      users = yield* openUsers({
        file: security.users,
        log,
        ...every,
        limits: config.maxFailedLogins === null ? {} : { maxFailedLogins: config.maxFailedLogins },
      })
    log("info", clientDoor(security, users?.counts().users ?? null))
    alive.tls = tls
    alive.files = [
      ...(tls === null ? [] : [{ kind: "tls" as const, unusable: tls.unusable }]),
      ...(users === null ? [] : [{ kind: "users" as const, unusable: users.unusable }]),
    ]
    // Clients are answered first: while the log is read, which may take long, they are told so.
    const places = placesFor(
      descriptorLimit(),
      {
        peers: Object.keys(config.peers).length,
        peersTls: covered("peers") !== null,
        http: config.http !== null,
        handshakes: clientTls === null ? 0 : (config.limits.maxHandshakes ?? defaultLimits.maxHandshakes),
        reserved: options.limits?.reservedClients ?? defaultLimits.reservedClients,
      },
      config.maxClients ?? defaultLimits.maxClients,
    )
    if (places.advice !== null) log("warn", places.advice)
    const server = yield* makeServer({
      host: config.client.host,
      port,
      service: gate,
      redirect: config.redirect,
      tls: clientTls === null ? null : { keeper: clientTls, authClients: security.authClients },
      users,
      limits: {
        ...config.limits,
        maxEntryBytes: config.settings.maxEntryBytes,
        maxClients: places.clients,
        maxHandshakes: places.handshakes,
        idleMs: config.clientIdleTimeout ?? 0,
        ...(config.clientMemory === null ? {} : { memoryBytes: config.clientMemory }),
        ...options.limits,
      },
      log: (message) => log("warn", message),
    }).pipe(Effect.catch((error) => lockedOr(join(config.dataDir, "log"), options.files ?? nodeFiles, error)))
    port = server.port

    yield* requireRecovered(config.dataDir)
    const trace = config.trace === null ? null : yield* openTrace(config.trace, config.id, log)
    let machine: KvMachine | null = null
    const storeMetrics = makeStoreMetrics(() => machine)
    // If it cannot be loaded, opening the data says so.
    void loadLevel().catch(() => undefined)
    const {
      storage,
      address,
      join: joined,
    } = yield* openServer(alive, {
      data: config.dataDir,
      // Checked again now that the log is locked: a recovery may have begun meanwhile, and it needs this lock.
      locked: () => requireFinished(config.dataDir),
      peers: config.peers,
      advertise,
      settings: config.settings,
      bootstrap: config.bootstrap,
      clientAddress: addressText(advertised(config, port)),
      log,
      failed,
      http: config.http,
      tls: covered("peers"),
      plaintext: security.plaintext.includes("peers"),
      httpTls: covered("http"),
      metrics: () => [...server.metrics(), ...storeMetrics()],
      ...(options.files === undefined ? {} : { files: options.files }),
      ...(config.space === null ? {} : { space: config.space }),
      ...(config.segmentBytes === null ? {} : { segmentBytes: config.segmentBytes }),
      openMachine: ({ cluster, directory, whole }) =>
        openMachine({
          directory,
          cluster,
          node: config.id,
          report: (text) => log("warn", text),
          checking: (bytes, of) => {
            alive.phase = { doing: "checking", bytes, of }
          },
          ...(config.sessionIdle === null ? {} : { sessionIdle: config.sessionIdle }),
          ...(whole
            ? {
                startOver: (damage: MachineDamaged, kept: string) =>
                  log(
                    "warn",
                    `${damage.found}: the data of this node are lost. Its log holds every entry from the first on, so the data are rebuilt from it, starting at 0; the damaged data are kept in ${kept} until the next such repair. Check the disk.`,
                  ),
              }
            : {}),
        }),
      build: (on) =>
        build(
          {
            config,
            advertise,
            journal: options.journal,
            trace,
            alive,
            gate,
            log,
            status,
            setMembers: (now) => (members = now),
            setBackups: (now) => (backups = now),
            failed,
          },
          on,
        ),
    }).pipe(
      Effect.catchTag("DirectoryUnusable", (error) =>
        Effect.fail(error.cause instanceof RecoveryUnfinished ? error.cause : error),
      ),
    )
    const place = joined.pipe(Effect.tap((built) => Effect.sync(() => (machine = built.machine))))
    if (storage.identity.cluster === null) {
      // Forming a cluster takes as long as it takes; meanwhile the node answers its clients.
      yield* place.pipe(
        Effect.catch((error) => Effect.sync(() => failure.fail(error))),
        Effect.catchDefect((defect) =>
          Effect.sync(() =>
            failure.fail(
              new NodeFailed({ node: config.id, cause: defect instanceof Error ? defect : new Error(String(defect)) }),
            ),
          ),
        ),
        Effect.forkScoped({ startImmediately: true }),
      )
    } else if (storage.refused === null) yield* place

    return {
      client: { host: config.client.host, port },
      peer: address,
      status,
      driver: () => alive.running?.driver ?? null,
      machine: () => machine,
      failure: failure.effect,
    }
  })

/** A node as a program: runs until it is interrupted or fails. Its log says why it failed. */
export const runNode = (config: NodeConfig, options: ServeOptions = {}): Effect.Effect<never, NodeError> =>
  Effect.suspend(() => {
    const log = options.log ?? makeLog({ node: config.id, json: config.logJson, least: config.logLevel })
    const advice = threadAdvice()
    if (advice !== null) log("info", advice)
    const strange = strangeVariables()
    if (strange !== null) log("warn", strange)
    const clients = clientVariables()
    if (clients !== null) log(config.security.users === null ? "warn" : "info", clients)
    return Effect.scoped(
      serveNode(config, { ...options, log }).pipe(
        Effect.tap(() => Effect.sync(() => options.started?.())),
        Effect.flatMap((node) => node.failure),
        Effect.tapError((error) => Effect.sync(() => log("error", error.message))),
      ),
    )
  })
