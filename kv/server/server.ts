/** The listener: accepts clients, hands their bytes to their connections, and closes so that nobody waits in vain. */
import { Data, Effect, type Scope } from "effect"
import * as net from "node:net"
import { Faults } from "../faults.ts"
import type { Service } from "../types.ts"
import { Barriers } from "./barriers.ts"
import { newClient, type Client } from "./client.ts"
import { Connection, type Shared } from "./connection.ts"
import type { Host, Stats } from "./contract.ts"
import { defaultLimits, type Limits } from "./limits.ts"
import { Table } from "./table.ts"

/** The server cannot listen. `message` says what to do about it. */
export class ServerError extends Data.TaggedError("ServerError")<{
  readonly reason: "address in use" | "address not available" | "not permitted" | "other"
  readonly message: string
  readonly cause: unknown
}> {}

export interface ServerOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  readonly service: Service
  /** Answer MOVED to clients of a node that does not lead, instead of forwarding for them. */
  readonly redirect?: boolean
  readonly limits?: Partial<Limits>
  readonly log?: (message: string) => void
}

export interface Server {
  readonly host: string
  readonly port: number
  readonly connections: () => number
  readonly stats: () => Readonly<Stats>
}

const stallLookMs = 5_000
const tooManyClients = "-ERR max number of clients reached\r\n"

const reasons: Readonly<Record<string, ServerError["reason"]>> = {
  EADDRINUSE: "address in use",
  EADDRNOTAVAIL: "address not available",
  EACCES: "not permitted",
}

const explain = (cause: NodeJS.ErrnoException, host: string, port: number): ServerError => {
  const reason = reasons[cause.code ?? ""] ?? "other"
  const where = `${host}:${port}`
  const message = {
    "address in use": `another process listens on ${where}: stop it, or choose another port`,
    "address not available": `${host} is no address of this machine`,
    "not permitted": `this user may not listen on ${where}`,
    other: `cannot listen on ${where}: ${cause.message}`,
  }[reason]
  return new ServerError({ reason, message, cause })
}

/** Writes of one turn go out together, at its end. */
const endOfTurn = (): ((connection: Connection) => void) => {
  let dirty: Connection[] = []
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
  address === undefined ? "?:0" : `${address.includes(":") && !address.startsWith("::ffff:") ? `[${address}]` : address.replace("::ffff:", "")}:${port ?? 0}`

class Listener {
  readonly open = new Map<net.Socket, Connection>()
  readonly stats: Stats = { connections: 0, refused: 0, commands: 0, protocolErrors: 0, cutOff: 0, netInput: 0 }
  readonly server: net.Server
  private readonly shared: Shared
  private readonly limits: Limits
  private stallLook: NodeJS.Timeout | undefined
  private nextId = 1

  constructor(options: ServerOptions) {
    const { service, log = (): void => {} } = options
    this.limits = { ...defaultLimits, ...options.limits }
    const host: Host = {
      service,
      limits: this.limits,
      redirect: options.redirect ?? false,
      table: new Table(),
      stats: this.stats,
      faults: new Faults(log),
      self: service.status().id,
      port: () => this.port,
      clients: () => this.clients(),
      clientCount: () => this.open.size,
    }
    this.shared = { host, barriers: new Barriers(service), dirty: endOfTurn(), log }
    this.server = net.createServer({ noDelay: true, allowHalfOpen: true, keepAlive: true, keepAliveInitialDelay: 300_000 }, (socket) => this.accept(socket))
  }

  listen(host: string, port: number, listening: () => void, failed: (cause: NodeJS.ErrnoException) => void): void {
    // Stays for good: an error while accepting (no more file descriptors) must not bring the node down.
    this.server.on("error", (cause) => {
      if (!this.server.listening) return failed(cause)
      return this.shared.log(`accepting clients: ${cause.message}`)
    })
    this.server.listen({ host, port }, () => {
      this.stallLook = setInterval(() => {
        const now = performance.now()
        for (const connection of this.open.values()) connection.watchStall(now)
      }, stallLookMs).unref()
      listening()
    })
  }

  get port(): number {
    const address = this.server.address()
    return address === null || typeof address === "string" ? 0 : address.port
  }

  private *clients(): Iterable<Client> {
    for (const { client } of this.open.values()) yield client
  }

  private accept(socket: net.Socket): void {
    socket.on("error", () => {
      // A close follows, and that is all there is to do.
    })
    if (this.open.size >= this.limits.maxClients) {
      this.stats.refused++
      socket.end(tooManyClients)
      socket.destroySoon()
      return
    }
    this.stats.connections++
    const client = newClient(this.nextId++, plainAddress(socket.remoteAddress, socket.remotePort), plainAddress(socket.localAddress, socket.localPort), Date.now())
    const connection = new Connection(this.shared, client, socket)
    this.open.set(socket, connection)
    socket.on("data", (chunk: Buffer) => {
      this.stats.netInput += chunk.length
      connection.receive(chunk)
    })
    socket.on("drain", () => connection.drained())
    socket.on("end", () => connection.finished())
    socket.on("close", () => {
      this.open.delete(socket)
      connection.close()
    })
  }

  /** Accepts no more, answers for a short while what is under way, then cuts. */
  close(closed: () => void): void {
    clearInterval(this.stallLook)
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

/** Serves clients for as long as the scope lives. */
export const makeServer = (options: ServerOptions): Effect.Effect<Server, ServerError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Listener, ServerError>((resume) => {
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
    })),
  )
