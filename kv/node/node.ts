/**
 * One node, from its directory to its clients: storage → peers → forming → state machine → core → driver → service.
 * Each part is a resource of the scope; closing the scope hands leadership over first and then takes them down in
 * reverse order.
 */
import { randomInt } from "node:crypto"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { initialState, inPlace } from "../../core/index.ts"
import { type Driver, type DriverOptions, makeClock, makeDriver, makeTimers } from "../../interpreters/driver/index.ts"
import { DirectoryLocked, nodeFiles, openFileStorage, takeLock, type Files, type FileStorage } from "../../interpreters/file/index.ts"
import { findPlace, recoveredPosition, refusedText, requireNoState, requireWholeLog, watchRefused, type Forming, type StateWithoutLog } from "../../interpreters/node/index.ts"
import { addressText, makeTcpTransport, type LocalHello, type TcpTransport } from "../../interpreters/tcp/index.ts"
import { MachineUnusable, NODE_OWNER, openMachine, type KvMachine, type MachineDamaged } from "../machine/index.ts"
import { defaultLimits, makeServer, type Limits, type ServerError } from "../server/index.ts"
import { makeService } from "../service/index.ts"
import type { NodeStatus } from "../types.ts"
import { watchClock } from "./clocks.ts"
import { parseAddress, strangeVariables, type NodeConfig } from "./config.ts"
import { descriptorLimit, placesFor } from "./descriptors.ts"
import { NodeFailed, type NodeError } from "./errors.ts"
import { makeGate, type Gate } from "./gate.ts"
import { healthOf, isAmnesiac, watchHealth } from "./health.ts"
import { threadAdvice } from "./launch.ts"
import { makeLog, type Log } from "./log.ts"
import { keepScrubbed } from "./scrubbing.ts"
import { advertised, factsOf, refusalOf, statusOf, type Alive } from "./status.ts"

const WATCH_MS = 100

export interface ServeOptions {
  readonly log?: Log
  readonly limits?: Partial<Limits>
  /** Gets every batch of events before the reducer does. */
  readonly journal?: DriverOptions["journal"]
  /** The file operations under the log. */
  readonly files?: Files
  /** Called once the node has opened what is its own: from then on there is something to be ended in order. */
  readonly started?: () => void
}
export interface RunningNode {
  /** Where clients are served: the configured port, or the one that was free if that is 0. */
  readonly client: NodeConfig["client"]
  readonly peer: NodeConfig["peer"]
  readonly status: () => NodeStatus
  /** Once the cluster is formed. */
  readonly driver: () => Driver | null
  readonly machine: () => KvMachine | null
  /** Fails when the node cannot go on. */
  readonly failure: Effect.Effect<never, NodeError>
}

/** Once, whenever it happens: before anybody asks, or while somebody waits. */
const makeFailure = (): { readonly fail: (error: NodeError) => void; readonly effect: Effect.Effect<never, NodeError> } => {
  let failed: NodeError | null = null
  const waiting = new Set<(error: NodeError) => void>()
  return {
    fail: (error) => {
      if (failed !== null) return
      failed = error
      for (const tell of waiting) tell(error)
    },
    effect: Effect.callback<never, NodeError>((resume) => {
      const tell = (error: NodeError): void => resume(Effect.fail(error))
      if (failed !== null) tell(failed)
      else waiting.add(tell)
      return Effect.sync(() => waiting.delete(tell))
    }),
  }
}

interface Building {
  readonly config: NodeConfig
  readonly options: ServeOptions
  readonly alive: Alive
  readonly gate: Gate
  readonly log: Log
  readonly fail: (error: NodeError) => void
}

const noState = (log: string, state: string): Effect.Effect<void, StateWithoutLog | MachineUnusable> =>
  Effect.tryPromise({ try: () => requireNoState(log, state), catch: (cause) => new MachineUnusable({ directory: state, action: "look", cause }) }).pipe(
    Effect.flatMap((error) => (error === null ? Effect.void : Effect.fail(error))),
  )

const runCore = (building: Building, storage: FileStorage, transport: TcpTransport, cluster: string): Effect.Effect<void, NodeError, Scope.Scope> =>
  Effect.gen(function* () {
    const { config, options, alive, gate, log, fail } = building
    const { self } = storage.identity
    const machine = yield* openMachine({
      directory: join(config.dataDir, "state"),
      cluster,
      node: config.id,
      report: (text) => log("warn", text),
      checking: (bytes, of) => {
        alive.phase = { doing: "checking", bytes, of }
      },
      ...(config.sessionIdle === null ? {} : { sessionIdle: config.sessionIdle }),
      ...(storage.stored.base.index > 0
        ? {}
        : { startOver: (damage: MachineDamaged, kept: string) => log("warn", `${damage.found}: the data of this node are lost. Its log holds every entry from the first on, so the data are made anew from it, starting at 0; what was found is kept in ${kept} until that happens again. Check the disk.`) }),
    })
    yield* requireWholeLog(machine, storage.stored, join(config.dataDir, "log"))
    const state = initialState(config.settings, {
      self,
      life: randomInt(2 ** 32),
      hardState: storage.stored.hardState,
      base: storage.stored.base,
      entries: storage.stored.entries,
      position: recoveredPosition(machine.position(), machine.stats().damaged, storage.stored, log),
    })
    const clock = makeClock({
      onJump: (millis) => log("warn", `the wall clock was moved ${millis > 0 ? "forward" : "back"} by ${Math.abs(millis)} ms (or the machine slept): the cluster's time goes on undisturbed`),
    })
    const failed = (cause: Error): void => {
      alive.failed = cause.message
      gate.shut()
      fail(new NodeFailed({ node: config.id, cause }))
    }
    const driver = makeDriver({
      runner: inPlace(state), storage, transport, machine, timers: makeTimers(), clock, onFatal: failed,
      report: (text) => log("warn", text),
      ...(options.journal === undefined ? {} : { journal: options.journal }),
    })
    const service = makeService({
      driver, machine, owner: `${NODE_OWNER}${self.name}:${self.incarnation}`, settings: config.service,
      status: () => statusOf(alive), leader: gate.leader, log: (message) => log("error", message),
    })
    alive.running = { driver, machine, service, storage }
    watchLeadership(building, driver)
    const stopScrubbing = keepScrubbed(machine, log)
    const clocks = watchClock(driver, config.id, log)
    alive.clocks = clocks
    const unwatchHealth = watchHealth(() => healthOf(factsOf(alive)), log)

    // An amnesiac serves nothing until a configuration names it.
    const openGate = (): void => {
      if (isAmnesiac(state) || alive.refused !== null) return
      clearInterval(watching)
      gate.open(service)
    }
    const watching = setInterval(openGate, WATCH_MS)
    if (isAmnesiac(state)) log("warn", healthOf(factsOf(alive)).text)

    yield* Effect.addFinalizer(() =>
      Effect.promise(async () => {
        alive.stopping = true
        clearInterval(watching)
        stopScrubbing()
        clocks.stop()
        unwatchHealth()
        log("info", "stopping: handing leadership over, if it is here, and answering what waits")
        await driver.stop()
        service.stop()
        gate.shut()
      }),
    )
    openGate()
    if (alive.refused === null) driver.start()
    else driver.abandon()
  })

const watchLeadership = ({ alive, log }: Building, driver: Driver): void => {
  let leader: string | null = null
  let term = 0
  alive.leaderlessSince = performance.now()
  driver.onChange((now) => {
    alive.leaderlessSince = now.leader === null ? (alive.leaderlessSince ?? performance.now()) : null
    const name = now.leader?.name ?? null
    if (name !== leader || (name !== null && now.term !== term)) {
      if (now.role === "leader") log("info", `leading in term ${now.term}`)
      else log("info", name === null ? `no leader is known (term ${now.term})` : `following ${name} in term ${now.term}`)
    }
    leader = name
    term = now.term
  })
}

/** Who holds the port may hold the directory too: then that is the reason, for another port would not help. */
const lockedOr = (directory: string, files: Files, error: ServerError): Effect.Effect<never, ServerError | DirectoryLocked> =>
  Effect.tryPromise({
    try: () => takeLock(files, directory).then((lock) => lock.release()),
    catch: (cause) => (cause instanceof DirectoryLocked ? cause : error),
  }).pipe(Effect.andThen(Effect.fail(error)))

/** Runs until its scope closes; `failure` tells when the node itself cannot go on. */
export const serveNode = (config: NodeConfig, options: ServeOptions = {}): Effect.Effect<RunningNode, NodeError, Scope.Scope> =>
  Effect.gen(function* () {
    const log = options.log ?? makeLog({ node: config.id, json: config.logJson, least: config.logLevel })
    const failure = makeFailure()
    const alive: Alive = {
      config, startedAt: performance.now(), phase: { doing: "reading", bytes: 0, file: 1, files: 1 }, storage: null, transport: null, running: null,
      clientPort: config.client.port, refused: null, leaderlessSince: null, clocks: null, stopping: false, failed: null,
    }
    const gate = makeGate({
      refusal: () => refusalOf(alive),
      status: () => statusOf(alive),
      leader: () => {
        const leader = alive.running?.driver.leadership().leader ?? null
        if (leader === null) return null
        if (leader.name === config.id) return { id: leader.name, ...advertised(alive) }
        const address = alive.transport?.peers().find(({ name }) => name === leader.name)?.clientAddress ?? null
        const at = address === null ? null : parseAddress(address)
        return at === null ? null : { id: leader.name, ...at }
      },
    })
    const directory = join(config.dataDir, "log")
    // Clients first: while the log is read, which may take long, the node says so.
    const places = placesFor(descriptorLimit(), Object.keys(config.peers).length, options.limits?.reservedClients ?? defaultLimits.reservedClients, config.maxClients ?? defaultLimits.maxClients)
    if (places.advice !== null) log("warn", places.advice)
    const server = yield* makeServer({
      host: config.client.host, port: config.client.port, service: gate, redirect: config.redirect,
      limits: { maxEntryBytes: config.settings.maxEntryBytes, maxClients: places.clients, idleMs: config.clientIdleTimeout ?? 0, ...(config.clientMemory === null ? {} : { memoryBytes: config.clientMemory }), ...options.limits },
      log: (message) => log("warn", message),
    }).pipe(Effect.catch((error) => lockedOr(directory, options.files ?? nodeFiles, error)))
    alive.clientPort = server.port
    const storage = yield* openFileStorage({
      directory,
      name: config.id,
      ...(options.files === undefined ? {} : { files: options.files }),
      ...(config.space === null ? {} : { space: config.space }),
      ...(config.segmentBytes === null ? {} : { segmentBytes: config.segmentBytes }),
      waiting: (text) => log("error", text),
      reading: (bytes, file, files) => {
        alive.phase = { doing: "reading", bytes, file, files }
      },
    })
    alive.storage = storage
    alive.phase = { doing: storage.identity.cluster === null ? "forming" : "opening" }
    const { self, cluster, founding } = storage.identity
    if (cluster === null) yield* noState(directory, join(config.dataDir, "state"))

    const hello: LocalHello = { cluster, clientAddress: addressText(advertised(alive)), empty: cluster === null, founding, start: storage.start, recovered: storage.recovered, refused: storage.refused === null ? null : refusedText(config.id, storage.refused) }
    const transport = yield* makeTcpTransport({
      self, listen: config.peer, peers: config.peers, hello, log, sightings: storage.sightings, limits: { maxEntryBytes: config.settings.maxEntryBytes },
    })
    alive.transport = transport
    log("info", `incarnation ${self.incarnation}, ${cluster === null ? "empty" : `cluster ${cluster}`}; clients at ${hello.clientAddress}, peers at ${addressText(transport.address)}, data in ${config.dataDir}`)

    const building: Building = { config, options, alive, gate, log, fail: failure.fail }
    const helloNow = (): LocalHello => ({ ...hello, cluster: storage.identity.cluster, founding: storage.identity.founding, empty: storage.identity.cluster === null, refused: alive.refused === null ? null : refusedText(config.id, alive.refused) })
    // What this node says must not count any more: at once, and for every later start.
    watchRefused(
      storage,
      transport,
      (refused) => {
        alive.refused = refused
        alive.running?.driver.abandon()
        alive.running?.service.stop()
        log("error", refusedText(config.id, refused))
        gate.shut()
        transport.announce(helloNow())
      },
      (cause) => failure.fail(new NodeFailed({ node: config.id, cause })),
    )
    let told = ""
    const met: Forming["met"] = (of) => {
      alive.phase = of === null ? { doing: "forming" } : { doing: "waiting", of: of.of, cluster: of.cluster }
      const text = of === null ? "" : healthOf(factsOf(alive)).text
      if (text !== "" && text !== told) log("error", text)
      told = text
    }
    const place = findPlace({ storage, transport, bootstrap: config.bootstrap, met, log, hello: helloNow }).pipe(
      Effect.tap(() => Effect.sync(() => (alive.phase = { doing: "opening" }))),
      Effect.flatMap((id) => runCore(building, storage, transport, id)),
    )
    if (cluster === null) {
      // Forming takes as long as it takes; meanwhile the node answers for itself.
      yield* place.pipe(
        Effect.catch((error) => Effect.sync(() => failure.fail(error))),
        Effect.catchDefect((defect) => Effect.sync(() => failure.fail(new NodeFailed({ node: config.id, cause: defect instanceof Error ? defect : new Error(String(defect)) })))),
        Effect.forkScoped({ startImmediately: true }),
      )
    } else if (storage.refused === null) yield* place

    return {
      client: { host: config.client.host, port: server.port },
      peer: transport.address,
      status: () => statusOf(alive),
      driver: () => alive.running?.driver ?? null,
      machine: () => alive.running?.machine ?? null,
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
    return Effect.scoped(
      serveNode(config, { ...options, log }).pipe(
        Effect.tap(() => Effect.sync(() => options.started?.())),
        Effect.flatMap((node) => node.failure),
        Effect.tapError((error) => Effect.sync(() => log("error", error.message))),
      ),
    )
  })
