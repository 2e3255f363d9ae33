/**
 * The listener: accepts clients, passes their bytes to their connections, and answers what is outstanding when it
 * closes.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as net from "node:net"
import { limitedLog } from "../../interpreters/log.ts"
import type { Metric } from "../../interpreters/metrics/index.ts"
import { networkOf, Strangers } from "../../interpreters/strangers.ts"
import { Faults } from "../faults.ts"
import type { Reply, Service } from "../types.ts"
import { Admission } from "./limits/admission.ts"
import { Budget } from "./limits/budget.ts"
import { KeyspaceCounter } from "./keyspaceCounter.ts"
import { hostOf, keepWatchesOfAbsentKeys, newClient, type ClientState } from "./client.ts"
import { RespConnection } from "./connection.ts"
import type { Shared, Flushing } from "./shared.ts"
import { newStats, type Host, type Stats } from "./contract.ts"
import { makeListener, type ClientTls } from "./listener.ts"
import { encode } from "./wire/encode.ts"
import { defaultLimits, placesOfStrangers, type Limits } from "./limits/limits.ts"
import { serverMetrics } from "./metrics.ts"
import { Output } from "./wire/output.ts"
import { isLocal, Reserve, tooManyClients, tooManyFrom } from "./limits/reserve.ts"
import { LongReads } from "./limits/longreads.ts"
import { Table } from "./commands/table.ts"
import { Turns } from "./limits/turns.ts"
import { sampleMs, Usage } from "./usage.ts"
import type { Users } from "./users/index.ts"

/** The server cannot listen. `message` says what to do about it. */
export class ClientPortUnavailable extends Data.TaggedError("ClientPortUnavailable")<{
  readonly reason: "address in use" | "address not available" | "not permitted" | "other"
  readonly message: string
  readonly cause: unknown
}> {}

export interface ServerOptions {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  readonly service: Service
  /** If this node does not lead, answer MOVED to clients instead of forwarding. */
  readonly redirect?: boolean
  readonly limits?: Partial<Limits>
  readonly log?: (message: string) => void
  /** null: without TLS. */
  readonly tls?: ClientTls | null
  /** null: every client may do everything. */
  readonly users?: Users | null
  /** Monotonic milliseconds, for turns, the idle timeout and the reserve; a test supplies its own clock. */
  readonly now?: () => number
}

export interface RespServer {
  readonly host: string
  readonly port: number
  readonly connections: () => number
  readonly stats: () => Readonly<Stats>
  readonly metrics: () => readonly Metric[]
}

const stallLookMs = 5_000
/** The precision of the idle timeout, as a fraction of it. */
const idleShare = 10
const idleLookMs = 10
/** The shortest interval between two log lines that say that the server is full. */
const fullMs = 60_000

const reasons: Readonly<Record<string, ClientPortUnavailable["reason"]>> = {
  EADDRINUSE: "address in use",
  EADDRNOTAVAIL: "address not available",
  EACCES: "not permitted",
}

const explain = (cause: NodeJS.ErrnoException, host: string, port: number): ClientPortUnavailable => {
  const reason = reasons[cause.code ?? ""] ?? "other"
  const where = `${host}:${port}`
  const message = {
    "address in use": `another process listens on ${where}: stop it, or choose another port`,
    "address not available": `${host} is no address of this machine`,
    "not permitted": `this user may not listen on ${where}`,
    other: `cannot listen on ${where}: ${cause.message}`,
  }[reason]
  return new ClientPortUnavailable({ reason, message, cause })
}

/** All output of one turn is written together, at its end. */
const endOfTurn = (): ((connection: Flushing) => void) => {
  let dirty: Flushing[] = []
  const flush = (): void => {
    const now = dirty
    dirty = []
    for (const connection of now) {
      connection.marked = false
      connection.flush()
    }
  }
  return (connection) => {
    if (connection.marked) return
    connection.marked = true
    if (dirty.push(connection) === 1) queueMicrotask(flush)
  }
}

const plainAddress = (address: string | undefined, port: number | undefined): string =>
  address === undefined
    ? "?:0"
    : `${address.includes(":") && !address.startsWith("::ffff:") ? `[${address}]` : address.replace("::ffff:", "")}:${port ?? 0}`

class Listener {
  readonly open = new Map<net.Socket, RespConnection>()
  readonly stats = newStats()
  readonly server: net.Server
  private readonly usage = new Usage()
  private readonly shared: Shared
  private readonly limits: Limits
  private readonly now: () => number
  private readonly reserve: Reserve
  /** When each connection last sent or received something, or had a command outstanding. */
  private readonly heard = new Map<net.Socket, number>()
  /** The number of connections of each network. */
  private readonly networks = new Map<string, number>()
  /** Clients that are not logged in. */
  private readonly strangers: Strangers<net.Socket>
  private readonly sockets = new WeakMap<ClientState, net.Socket>()
  private readonly forget: () => void
  private reserved = 0
  /** Clients that had to make room and are still closing. */
  private readonly leaving = new Set<net.Socket>()
  private toldFull = -Infinity
  private stallLook: NodeJS.Timeout | undefined
  private idleLook: NodeJS.Timeout | undefined
  private sampling: NodeJS.Timeout | undefined
  /** Bytes sent to clients that are gone. */
  private sentBefore = 0
  private nextId = 1

  constructor(options: ServerOptions) {
    const { service, log = (): void => {} } = options
    const tell = limitedLog((_, text) => log(text))
    this.limits = { ...defaultLimits, ...options.limits }
    this.now = options.now ?? (() => performance.now())
    this.reserve = new Reserve(this.limits.reservedClients)
    this.strangers = new Strangers(placesOfStrangers(this.limits))
    const host: Host = {
      service,
      limits: this.limits,
      redirect: options.redirect ?? false,
      table: new Table(),
      stats: this.stats,
      usage: this.usage,
      census: new KeyspaceCounter(service.reader),
      faults: new Faults(log),
      budget: new Budget(this.limits.memoryBytes),
      self: service.status().id,
      users: options.users ?? null,
      port: () => this.port,
      clients: () => this.clients(),
      clientCount: () => this.open.size,
      netOutput: () => this.netOutput(),
      named: (client) => this.named(client),
      kill: (which) => this.kill(which),
    }
    service.reader.onFlush?.((fits, version) => keepWatchesOfAbsentKeys(this.clients(), fits, version))
    this.shared = {
      host,
      admission: new Admission(),
      turns: new Turns(options.now),
      longReads: new LongReads(),
      dirty: endOfTurn(),
      log,
      complain: ({ user, address }, message) =>
        user === null ? tell(networkOf(hostOf(address)), "warn", message) : log(message),
    }
    this.server = makeListener(options.tls ?? null, {
      accepted: (socket, certified) => this.accept(socket, certified),
      refused: (socket, refusal) => {
        this.stats.unproven++
        socket.on("error", () => {})
        this.refuse(socket, refusal)
      },
      unsecured: () => this.stats.unproven++,
      maxHandshakes: this.limits.maxHandshakes,
      log,
    })
    this.forget = options.users?.onChange(() => this.revise()) ?? (() => undefined)
  }

  listen(host: string, port: number, listening: () => void, failed: (cause: NodeJS.ErrnoException) => void): void {
    // This handler is never removed: an error while accepting (no more file descriptors) must not stop the node.
    this.server.on("error", (cause) => {
      if (!this.server.listening) return failed(cause)
      return this.shared.log(`accepting clients: ${cause.message}`)
    })
    this.server.listen({ host, port }, () => {
      const { users } = this.shared.host
      const lookMs = users === null ? stallLookMs : Math.min(stallLookMs, Math.max(idleLookMs, this.limits.loginMs))
      this.stallLook = setInterval(() => {
        const now = performance.now()
        for (const connection of this.open.values()) connection.watchStall(now)
        this.endNameless()
      }, lookMs).unref()
      this.sampling = setInterval(() => this.sample(), sampleMs).unref()
      const { idleMs } = this.limits
      if (idleMs > 0)
        this.idleLook = setInterval(
          () => this.endIdle(),
          Math.min(stallLookMs, Math.max(idleLookMs, idleMs / idleShare)),
        ).unref()
      listening()
    })
  }

  get port(): number {
    const address = this.server.address()
    return address === null || typeof address === "string" ? 0 : address.port
  }

  metrics(): readonly Metric[] {
    return serverMetrics(this.shared.host)
  }

  private netOutput(): number {
    let sent = this.sentBefore
    for (const socket of this.open.keys()) sent += socket.bytesWritten
    return sent
  }

  private sample(): void {
    const now = performance.now()
    this.usage.operations.sample(now, this.stats.commands)
    this.usage.input.sample(now, this.stats.netInput)
  }

  private *clients(): Iterable<ClientState> {
    for (const { client } of this.open.values()) yield client
  }

  /**
   * The users have changed: clients whose user was removed are disconnected, and the others get their present
   * permissions.
   */
  private revise(): void {
    const { users } = this.shared.host
    for (const [socket, { client }] of this.open) {
      if (users === null || client.user === null) continue
      const { role } = client.user
      client.user = users.still(client.user)
      if (client.user === null) socket.destroy()
      // What it has queued was allowed by its former role.
      else if (client.user.role !== role && client.transaction !== null) client.transaction.aborted = true
    }
  }

  /** `certified`: the name in the client's certificate. */
  private accept(socket: net.Socket, certified: string | null): void {
    socket.on("error", () => {
      // A close event follows and does the cleanup.
    })
    const now = this.now()
    const address = plainAddress(socket.remoteAddress, socket.remotePort)
    const network = networkOf(socket.remoteAddress ?? "")
    const beside = this.networks.get(network) ?? 0
    const refusal = this.refusalOfPlace(beside, now)
    const isReserved = refusal !== null
    const giveBack = isReserved ? this.reserve.take(now, isLocal(address), () => socket.destroy()) : undefined
    if (isReserved && giveBack === null) {
      this.refuse(socket, refusal)
      return
    }
    this.stats.connections++
    const { users } = this.shared.host
    if (!isReserved) this.networks.set(network, beside + 1)
    const client = newClient(
      this.nextId++,
      address,
      plainAddress(socket.localAddress, socket.localPort),
      Date.now(),
      refusal,
      users === null ? undefined : users.arrives(certified),
      users === null ? null : certified,
    )
    const connection = new RespConnection(this.shared, client, socket)
    this.open.set(socket, connection)
    this.heard.set(socket, now)
    this.sockets.set(client, socket)
    if (isReserved) this.reserved++
    this.named(client)
    socket.on("data", (chunk: Buffer) => {
      this.stats.netInput += chunk.length
      if (this.limits.idleMs > 0) this.heard.set(socket, this.now())
      connection.receive(chunk)
    })
    socket.on("drain", () => connection.drained())
    socket.on("end", () => connection.finished())
    socket.on("close", () => {
      this.sentBefore += socket.bytesWritten
      this.open.delete(socket)
      this.heard.delete(socket)
      this.strangers.leave(socket)
      this.leaving.delete(socket)
      if (isReserved) this.reserved--
      else this.leaves(network)
      giveBack?.()
      connection.close()
    })
  }

  /** Why a client gets none of the ordinary places, or null. `beside`: the clients of its network. */
  private refusalOfPlace(beside: number, now: number): Reply | null {
    const { maxClients, maxClientsPerAddress } = this.limits
    if (beside >= maxClientsPerAddress) {
      this.stats.crowded++
      return tooManyFrom(maxClientsPerAddress)
    }
    if (this.isFull) this.endStranger(this.strangers.give())
    if (!this.isFull) return null
    this.tellFull(now)
    return tooManyClients(maxClients)
  }

  private leaves(network: string): void {
    const left = (this.networks.get(network) ?? 1) - 1
    if (left > 0) this.networks.set(network, left)
    else this.networks.delete(network)
  }

  private get isFull(): boolean {
    return this.open.size - this.reserved - this.leaving.size >= this.limits.maxClients
  }
  /** The connection's place is free at once. */
  private endStranger(socket: net.Socket | null): void {
    if (socket === null) return
    this.stats.gaveWay++
    this.leaving.add(socket)
    socket.destroy()
  }
  private named(client: ClientState): void {
    const socket = this.sockets.get(client)
    if (socket === undefined) return
    if (client.user !== null) {
      client.namelessSince = null
      this.strangers.leave(socket)
    } else if (client.namelessSince === null) {
      client.namelessSince = this.now()
      // Connections of the reserve are closed soon anyway.
      if (client.reserved === null) this.endStranger(this.strangers.add(socket, socket.remoteAddress ?? ""))
    }
  }

  /**
   * The refusal is sent and the connection closed at once: nothing of it may remain, because there is no memory left
   * for it.
   */
  private refuse(socket: net.Socket, refusal: Reply): void {
    this.stats.refused++
    const output = new Output(socket)
    encode(refusal, 2, output)
    output.flush()
    socket.destroySoon()
  }

  private tellFull(now: number): void {
    if (now - this.toldFull < fullMs) return
    this.toldFull = now
    this.shared.log(
      `${this.limits.maxClients} clients are connected, the most that this node serves: further ones are refused (CLIENT LIST shows them, an idle timeout closes those that send nothing)`,
    )
  }

  /** Disconnects clients that have not logged in for too long. */
  private endNameless(): void {
    const since = this.now() - this.limits.loginMs
    for (const [socket, { client }] of this.open) {
      if (client.namelessSince === null || client.proving || client.namelessSince > since) continue
      this.stats.idle++
      socket.destroy()
    }
  }

  private endIdle(): void {
    const now = this.now()
    for (const [socket, connection] of this.open) {
      if (!connection.idle) this.heard.set(socket, now)
      else if (now - (this.heard.get(socket) ?? now) >= this.limits.idleMs) {
        this.stats.idle++
        socket.destroy()
      }
    }
  }

  private kill(which: (client: ClientState) => boolean): number {
    let killed = 0
    for (const [socket, connection] of this.open) {
      if (!which(connection.client)) continue
      killed++
      socket.destroy()
    }
    return killed
  }

  /** Accepts no more clients, answers outstanding commands for a short time, then closes. */
  close(closed: () => void): void {
    this.forget()
    clearInterval(this.stallLook)
    clearInterval(this.idleLook)
    clearInterval(this.sampling)
    const cut = setTimeout(() => {
      for (const socket of this.open.keys()) socket.destroy()
    }, this.limits.closeGraceMs)
    this.server.close(() => {
      clearTimeout(cut)
      closed()
    })
    for (const connection of this.open.values()) connection.leave()
  }
}

/** Serves clients for as long as the scope is open. */
export const makeServer = (options: ServerOptions): Effect.Effect<RespServer, ClientPortUnavailable, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Listener, ClientPortUnavailable>((resume) => {
      const listener = new Listener(options)
      listener.listen(
        options.host,
        options.port,
        () => resume(Effect.succeed(listener)),
        (cause) => resume(Effect.fail(explain(cause, options.host, options.port))),
      )
    }),
    (listener) =>
      Effect.callback<void>((resume) => {
        listener.close(() => resume(Effect.void))
      }),
  ).pipe(
    Effect.map((listener) => ({
      host: options.host,
      port: listener.port,
      connections: () => listener.open.size,
      stats: () => listener.stats,
      metrics: () => listener.metrics(),
    })),
  )
