/**
 * The HTTP port of a node, for monitoring. It reads nothing from a request but the path. A client that is slow, sends
 * too much or comes too often loses its connection, and never costs the node much time or memory.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { createServer as createSecureServer } from "node:https"
import type { Socket } from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Logger } from "../log.ts"
import { networkOf, Strangers } from "../strangers.ts"
import type { Address } from "../tcp/index.ts"
import { contextOf, type Tls } from "../tls/index.ts"
import { httpUnavailable, type HttpUnavailable } from "./errors.ts"

export interface HttpPage {
  readonly status: number
  readonly type: string
  readonly body: string
}
export interface HttpLimits {
  /**
   * The limit of connections; beyond it the oldest of the network that has most of them is closed, so that a new one is
   * always served.
   */
  readonly connections: number
  /** A request must arrive within this time, and its answer must be read within the same time again. */
  readonly patienceMs: number
  /** How long a connection may stay idle. Prometheus asks at least every minute. */
  readonly idleMs: number
  readonly headerBytes: number
  /** Answers per second, over all connections; for networks that ask seldom there are as many again. */
  readonly answers: number
}
export const httpLimits: HttpLimits = {
  connections: 64,
  patienceMs: 5000,
  idleMs: 75_000,
  headerBytes: 8192,
  answers: 100,
}

export interface HttpOptions {
  readonly listen: Address
  /** Makes the answer to a GET. `query`: what follows the question mark. */
  readonly page: (path: string, query: string) => HttpPage | Promise<HttpPage>
  readonly log: Logger
  /** null: plaintext. Clients need no certificate: they can only read figures. */
  readonly tls?: Tls | null
  readonly limits?: Partial<HttpLimits>
}

const plain = (status: number, body: string): HttpPage => ({ status, type: "text/plain; charset=utf-8", body })
const SECOND = 1000
/** A network that asks no more often than this in a second asks seldom. */
const SELDOM = 5
/** The monitoring system may be older than the node, so TLS 1.2 is allowed. */
const VERSION = "TLSv1.2"
/** Under TLS a connection has two socket objects with the same remote address and port. */
const keyOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress ?? ""} ${remotePort ?? ""}`

class HttpServer {
  readonly server: Server
  private readonly options: HttpOptions
  private readonly limits: HttpLimits
  private readonly open = new Map<string, Socket>()
  private readonly callers: Strangers<Socket>
  private readonly asking = new Set<string>()
  private second = 0
  private answered = 0
  /** By network: how often it has asked in this second. */
  private readonly askedBy = new Map<string, number>()

  constructor(options: HttpOptions) {
    this.options = options
    this.limits = { ...httpLimits, ...options.limits }
    this.callers = new Strangers(this.limits.connections)
    const { patienceMs, idleMs, headerBytes } = this.limits
    const settings = {
      maxHeaderSize: headerBytes,
      headersTimeout: patienceMs,
      requestTimeout: patienceMs,
      keepAliveTimeout: idleMs,
      connectionsCheckingInterval: Math.min(SECOND, patienceMs),
      noDelay: true,
    }
    const asked = (request: IncomingMessage, response: ServerResponse): void => void this.answer(request, response)
    const { tls = null } = options
    if (tls === null) this.server = createServer(settings, asked)
    else {
      const server = createSecureServer(
        { ...settings, ...contextOf(tls.material(), VERSION), handshakeTimeout: patienceMs },
        asked,
      )
      server.once(
        "close",
        tls.onChange(() => server.setSecureContext(contextOf(tls.material(), VERSION))),
      )
      this.server = server
    }
    this.server.on("connection", (socket: Socket) => {
      const key = keyOf(socket)
      this.open.set(key, socket)
      socket.on("close", () => {
        this.open.delete(key)
        this.asking.delete(key)
        this.callers.leave(socket)
      })
      this.callers.add(socket, socket.remoteAddress ?? "")?.destroy()
    })
  }

  /** Whoever asks too often must not keep the others from hearing whether this node lives. */
  private isTooMuch({ remoteAddress = "" }: Socket): boolean {
    const second = Math.floor(performance.now() / SECOND)
    if (second !== this.second) {
      this.answered = 0
      this.askedBy.clear()
    }
    this.second = second
    const network = networkOf(remoteAddress)
    const asked = (this.askedBy.get(network) ?? 0) + 1
    this.askedBy.set(network, asked)
    const { answers } = this.limits
    if (this.answered >= (asked > SELDOM ? answers : 2 * answers)) return true
    this.answered++
    return false
  }

  private async pageOf({ method, url = "/", socket }: IncomingMessage): Promise<HttpPage> {
    if (this.isTooMuch(socket))
      return plain(429, `more than ${this.limits.answers} requests came within a second: ask again later\n`)
    if (method !== "GET" && method !== "HEAD") return plain(405, "only GET and HEAD are answered here\n")
    const at = url.indexOf("?")
    try {
      return await this.options.page(at < 0 ? url : url.slice(0, at), at < 0 ? "" : url.slice(at + 1))
    } catch (error) {
      this.options.log(
        "error",
        `a page of the HTTP port ${this.options.listen.port} could not be made: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      )
      return plain(500, "this page could not be made; the log of the node says why\n")
    }
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket, headers } = request
    // A second request before the first is answered: no monitoring system does that.
    const key = keyOf(socket)
    if (this.asking.has(key)) {
      socket.destroy()
      return
    }
    this.asking.add(key)
    const late = setTimeout(() => socket.destroy(), this.limits.patienceMs)
    response.on("error", () => socket.destroy())
    response.on("close", () => {
      clearTimeout(late)
      this.asking.delete(key)
    })
    const { status, type, body } = await this.pageOf(request)
    // Further input is never read: the connection ends with the answer. The same holds for a connection that a stop
    // waits for.
    const ends =
      !this.server.listening ||
      status === 405 ||
      status === 429 ||
      headers["transfer-encoding"] !== undefined ||
      (headers["content-length"] ?? "0") !== "0"
    response.writeHead(status, {
      "content-type": type,
      "content-length": Buffer.byteLength(body),
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...(status === 405 ? { allow: "GET, HEAD" } : {}),
      ...(ends ? { connection: "close" } : {}),
    })
    response.end(request.method === "HEAD" ? undefined : body)
  }

  close(closed: () => void): void {
    this.server.close(() => closed())
    for (const [key, socket] of this.open) if (!this.asking.has(key)) socket.destroy()
    this.server.closeIdleConnections()
  }
}

/** Answers for as long as the scope is open. Succeeds with the address of the port. */
export const openHttp = (options: HttpOptions): Effect.Effect<Address, HttpUnavailable, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Server & { readonly leave: (closed: () => void) => void }, HttpUnavailable>((resume) => {
      const door = new HttpServer(options)
      const { host, port } = options.listen
      const { server } = door
      server.on("error", (cause: NodeJS.ErrnoException) => {
        if (server.listening) options.log("warn", `accepting on the HTTP port: ${cause.message}`)
        else resume(Effect.fail(httpUnavailable(host, port, cause)))
      })
      server.listen({ host, port }, () =>
        resume(Effect.succeed(Object.assign(server, { leave: (closed: () => void) => door.close(closed) }))),
      )
    }),
    (server) => Effect.callback<void>((resume) => server.leave(() => resume(Effect.void))),
  ).pipe(
    Effect.map((server) => {
      const address = server.address()
      return {
        host: options.listen.host,
        port: address === null || typeof address === "string" ? options.listen.port : address.port,
      }
    }),
  )
