/**
 * The peer transport: listens, dials every peer, and passes messages between links and the driver through plain
 * callbacks.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import type * as Scope from "effect/Scope"
import type { Server } from "node:net"
import { defaultSettings, lineage, type Member, type Sighting } from "../../core/index.ts"
import type { TransportHandlers } from "../contract.ts"
import { EncodedEntriesCache } from "./codec.ts"
import { Connection, type ConnectionHandlers } from "./connection.ts"
import {
  checkHello,
  checkStart,
  startedTwice,
  untrustedName,
  type Hello,
  type LocalHello,
  type Refusal,
} from "../hello.ts"
import { memorySightings, type Sightings } from "../starts.ts"
import { networkOf, Strangers } from "../strangers.ts"
import {
  ConnectionLost,
  errorKey,
  errorText,
  HandshakeRefused,
  needsAction,
  listenFailed,
  notSecured,
  type LinkError,
  type TcpError,
} from "./errors.ts"
import { frameLimit } from "./frame.ts"
import type { Greeting, PeerHello } from "./handshake.ts"
import { Link, type LinkShared } from "./link.ts"
import type { TcpLimits, TcpOptions, TcpTransport, UnlistedPeer } from "./options.ts"
import { limitedLog, type LimitedLogger } from "../log.ts"
import { exposed, PEERS_EXPOSED } from "./exposure.ts"
import { addressText, dialSocket, listenSocket, parseAddress, type Address, type DialledSocket } from "./socket.ts"
import { remoteOf, type Remote, type Tls } from "../tls/index.ts"

/** A refused node dials again within two seconds, so a refusal older than this is over. */
const LATELY_MS = 5_000

const MOST_PEERS = 256
/** The limit of accepted connections that have not sent a hello, or were refused; beyond it one of them is closed. */
const STRANGERS = 64
/** After this time the sockets of a process that has ended are closed; a second live process can wait that long. */
const SECOND_LOOK_MS = 100

const remoteText = ({ host, port }: Remote): string => (port === undefined ? host : addressText({ host, port }))

const placesOf = (at: Address | readonly Address[]): readonly Address[] => ("host" in at ? [at] : at)

class Node {
  readonly links = new Map<string, Link>()
  readonly blocks = new EncodedEntriesCache()
  readonly listeners = new Set<(hello: Hello) => void>()
  readonly refusals = new Set<(by: string, refusal: Refusal) => void>()
  readonly log: LimitedLogger
  handlers: TransportHandlers | null = null
  stopped = false
  local: LocalHello
  /** Where this node listens, once it listens. */
  address: Address
  private readonly strangers = new Strangers<Connection>(STRANGERS)
  readonly turned = new Map<string, number>()
  private readonly unknown = new Map<string, UnlistedPeer & { readonly at: number }>()
  private readonly self: Member
  readonly tls: Tls | null
  private readonly plaintext: boolean
  private readonly advertise: string | undefined
  private readonly welcome: (hello: PeerHello) => boolean
  /** Creates a link and starts to dial. */
  dial: (name: string, places: readonly Address[]) => void = () => undefined
  private readonly sightings: Sightings
  readonly limits: Required<TcpLimits>
  private readonly shared: LinkShared
  private ticker: NodeJS.Timeout | undefined

  constructor(options: TcpOptions) {
    const limits = {
      maxEntryBytes: defaultSettings.maxEntryBytes,
      unsentBytes: 32 << 20,
      connectMs: 2000,
      helloMs: 5000,
      aliveMs: 1000,
      silenceMs: 5000,
      backoffMinMs: 50,
      backoffMaxMs: 1000,
      ...options.limits,
    }
    this.self = options.self
    this.tls = options.tls ?? null
    this.plaintext = options.plaintext ?? false
    this.advertise = options.advertise
    this.welcome = options.welcome ?? (() => false)
    this.sightings = options.sightings ?? memorySightings()
    this.local = options.hello
    this.address = options.listen
    this.limits = limits
    this.log = limitedLog(options.log)
    this.shared = {
      self: options.self,
      greeting: (peer) => this.greeting(peer),
      handlers: () => (this.stopped ? null : this.handlers),
      heard: (hello) => {
        if (!this.stopped) for (const listener of this.listeners) listener(hello)
      },
      log: this.log,
      blocks: this.blocks,
      unsentBytes: limits.unsentBytes,
      frameBytes: frameLimit(limits.maxEntryBytes),
    }
  }

  private greeting(peer: Address): Greeting {
    return {
      ...this.local,
      listens: addressText(this.address),
      advertises: this.advertise ?? addressText(this.address),
      dials: addressText(peer),
    }
  }

  private note({ member, empty, listens, advertises, features }: PeerHello): void {
    const { name } = member
    const at = performance.now()
    for (const [known, one] of this.unknown) if (at - one.at > LATELY_MS) this.unknown.delete(known)
    if (this.unknown.size < STRANGERS || this.unknown.has(name))
      this.unknown.set(name, { name, member, empty, address: advertises === "" ? listens : advertises, features, at })
  }
  unlisted(): readonly UnlistedPeer[] {
    const now = performance.now()
    return [...this.unknown.values()]
      .filter(({ name, at }) => now - at < LATELY_MS && !this.links.has(name))
      .map(({ name, member, empty, address, features }) => ({ name, member, empty, address, features }))
  }

  /** The addresses that may be dialled: other members tell some of them, and they know nothing of this node's consent. */
  allowed(name: string, places: readonly Address[]): readonly Address[] {
    const far = this.tls !== null || this.plaintext ? null : exposed(places)
    if (far === null) return places
    this.log(
      `${name}|exposed`,
      "error",
      `${name} is said to be at ${far}, on another machine, and is not dialled there: without TLS ${PEERS_EXPOSED}. Give certificates (stepraft cert makes them), or allow plaintext between nodes if you accept that.`,
    )
    return places.filter((at) => exposed([at]) === null)
  }

  link(name: string, places: readonly Address[]): Link {
    const link = new Link(name, places, this.shared)
    this.links.set(name, link)
    return link
  }

  private connection(wire: DialledSocket, link: Link | null, remote: string, handlers: ConnectionHandlers): Connection {
    const limits = {
      frameBytes: this.shared.frameBytes,
      connectMs: this.limits.connectMs,
      helloMs: this.limits.helloMs,
    }
    return new Connection(
      wire,
      link?.name ?? null,
      remote,
      this.self,
      () => this.greeting(link?.address ?? this.address),
      limits,
      handlers,
    )
  }

  /**
   * A node that is not on the list, but may be a member that is unknown here, is dialled at the address that it
   * announces.
   */
  private takeIn(hello: PeerHello): void {
    const { name } = hello.member
    const at = parseAddress(hello.advertises)
    if (
      at === null ||
      name === this.self.name ||
      this.links.has(name) ||
      this.links.size >= MOST_PEERS ||
      !this.welcome(hello)
    )
      return
    this.dial(name, [at])
  }

  /** `good` is called once the hello is accepted and its start is durably recorded. */
  private judged(connection: Connection, hello: PeerHello, good: (sighting: Sighting) => void, looked = false): void {
    if (connection.isClosed || this.stopped) return
    const { certified } = connection
    if (certified !== null && certified !== hello.member.name) {
      connection.refuse(untrustedName(this.self, hello, certified))
      return
    }
    this.takeIn(hello)
    const link = this.links.get(hello.member.name)
    const met = this.sightings.of(hello.member)
    let refusal =
      checkHello(this.self, this.local, (name) => this.links.has(name), hello, connection.expected) ??
      checkStart(this.self, met, hello)
    const live = link?.otherStart(hello) ?? null
    if (refusal === null && live !== null) {
      if (!looked) {
        link?.probe()
        setTimeout(() => this.judged(connection, hello, good, true), SECOND_LOOK_MS)
        return
      }
      refusal = startedTwice(this.self, hello, live)
    }
    if (refusal !== null) {
      if (link === undefined && (refusal.reason === "UnknownPeer" || refusal.reason === "LevelTooLow")) this.note(hello)
      link?.rejected(refusal, hello)
      connection.refuse(refusal)
    } else if (met !== null && lineage(met.start, hello.start) === "same") good(met)
    else this.sightings.record(hello.member, hello.start, () => this.judged(connection, hello, good, looked))
  }

  /** An accepted connection. Until it says hello it belongs to no link. */
  accept(wire: DialledSocket): void {
    if (this.stopped) {
      wire.socket.destroy()
      return
    }
    const remote = remoteOf(wire.socket)
    let owner: Link | null = null
    const connection = this.connection(wire, null, remoteText(remote), {
      hello: (connection, hello) => {
        this.judged(connection, hello, (sighting) => {
          owner ??= this.links.get(hello.member.name) ?? null
          this.strangers.leave(connection)
          owner?.introduced(connection, hello, sighting)
        })
      },
      sign: (connection, sign) => owner?.sign(connection, sign),
      message: (connection, buffer, from, to) => owner?.received(connection, buffer, from, to),
      closed: (_, error) => {
        this.count(error)
        if (owner?.lost(connection, error) !== true) this.turnedAway(remote.host, error)
      },
    })
    // One that was refused lingers, and must not cost more than another.
    wire.socket.once("close", () => this.strangers.leave(connection))
    this.strangers.add(connection, remote.host)?.end()
  }

  private count(error: LinkError): void {
    if (!needsAction(error)) return
    const reason = error instanceof HandshakeRefused ? error.reason : error.name
    this.turned.set(reason, (this.turned.get(reason) ?? 0) + 1)
  }

  /** The TLS handshake of an incoming connection failed. */
  unsecured(remote: Remote, code: string): void {
    const error = notSecured(remoteText(remote), false, code)
    this.count(error)
    // As with a plain connection that is closed before a hello: probably a port scan or a health check.
    if (code === "ECONNRESET") this.log(`${networkOf(remote.host)}|unsecured`, "debug", errorText(error))
    else this.turnedAway(remote.host, error)
  }

  private turnedAway(host: string, error: LinkError): void {
    // A stranger that disconnects without sending anything is a port scan or a health check.
    this.log(
      `${networkOf(host)}|${errorKey(error)}`,
      error instanceof ConnectionLost ? "debug" : "error",
      errorText(error),
    )
  }

  /** Dials once; resolves when that connection has ended, whether or not it was established. */
  session(link: Link): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const connection = this.connection(
        dialSocket(link.address, this.tls),
        link,
        `${link.name} at ${addressText(link.address)}`,
        {
          hello: (connection, hello) => {
            this.judged(connection, hello, (sighting) => link.introduced(connection, hello, sighting))
          },
          sign: (connection, sign) => link.sign(connection, sign),
          message: (connection, buffer, from, to) => link.received(connection, buffer, from, to),
          closed: (connection, error) => {
            link.lost(connection, error)
            if (error instanceof HandshakeRefused && error.by === "peer")
              for (const listener of this.refusals) listener(link.name, error.refusal)
            resume(Effect.void)
          },
        },
      )
      link.dialling(connection)
      return Effect.sync(() => connection.end())
    })
  }

  /** The pause between two dials; a hello from that peer on its own connection ends it. */
  pause(link: Link): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const longest = Math.min(this.limits.backoffMaxMs, this.limits.backoffMinMs * 2 ** Math.min(link.attempts, 16))
      const wake = (): void => {
        clearTimeout(timer)
        link.wake = null
        resume(Effect.void)
      }
      const timer = setTimeout(wake, longest * (0.5 + Math.random() / 2))
      link.wake = wake
      return Effect.sync(() => {
        clearTimeout(timer)
        link.wake = null
      })
    })
  }

  /** Dials for ever. A fiber that dies is silent in Effect: a defect is logged, and the loop starts again. */
  dialLoop(link: Link): Effect.Effect<void> {
    const round = this.session(link).pipe(Effect.andThen(Effect.suspend(() => this.pause(link))))
    const supervised = round.pipe(
      Effect.catchCause((cause) =>
        Cause.hasInterruptsOnly(cause)
          ? Effect.failCause(cause)
          : Effect.sync(() =>
              this.log(
                `${link.name}|defect`,
                "error",
                `dialling ${link.name} failed unexpectedly, trying again in a second: ${Cause.pretty(cause)}`,
              ),
            ).pipe(Effect.andThen(Effect.sleep("1 second"))),
      ),
    )
    return Effect.forever(supervised)
  }

  start(): void {
    this.ticker = setInterval(() => {
      for (const link of this.links.values()) link.keepAlive()
      // If this node itself was stalled, bytes may be waiting in the socket: decide after they have been read.
      setImmediate(() => {
        for (const link of this.links.values()) link.giveUpIfSilent(this.limits.silenceMs)
      })
    }, this.limits.aliveMs)
  }

  attach(handlers: TransportHandlers): void {
    this.handlers = handlers
    for (const link of this.links.values()) link.untold()
    // Links that are already up are reported asynchronously, as the contract demands.
    setImmediate(() => {
      if (!this.stopped) for (const link of this.links.values()) link.tell()
    })
  }

  stop(): void {
    this.stopped = true
    clearInterval(this.ticker)
    for (let left = this.strangers.give(); left !== null; left = this.strangers.give()) left.end()
    for (const link of this.links.values()) link.end()
  }
}

const listening = (node: Node, at: Address): Effect.Effect<Server, TcpError> =>
  Effect.callback<Server, TcpError>((resume) => {
    const server = listenSocket(node.tls, {
      accepted: (wire) => node.accept(wire),
      failed: (remote, code) => node.unsecured(remote, code),
      patienceMs: node.limits.helloMs,
    })
    const failed = (cause: NodeJS.ErrnoException): void => resume(Effect.fail(listenFailed(at.host, at.port, cause)))
    server.once("error", failed)
    server.listen({ host: at.host, port: at.port }, () => {
      server.off("error", failed)
      node.start()
      server.on("error", (error: NodeJS.ErrnoException) =>
        node.log(
          `accept|${error.code ?? ""}`,
          "error",
          `cannot accept a connection (${error.code ?? error.message}): the open ones go on. With EMFILE, raise the limit of open files.`,
        ),
      )
      resume(Effect.succeed(server))
    })
  })

export const makeTcpTransport = (options: TcpOptions): Effect.Effect<TcpTransport, TcpError, Scope.Scope> =>
  Effect.gen(function* () {
    const node = new Node(options)
    const server = yield* Effect.acquireRelease(listening(node, options.listen), (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        node.stop()
      }),
    )
    const bound = server.address()
    if (bound !== null && typeof bound === "object") node.address = { host: options.listen.host, port: bound.port }
    const run = yield* FiberMap.makeRuntime<never, string, never, void>()
    node.dial = (name, places) => {
      const allowed = node.allowed(name, places)
      if (allowed.length > 0) run(name, node.dialLoop(node.link(name, allowed)))
    }
    for (const [name, at] of Object.entries(options.peers))
      if (name !== options.self.name) node.dial(name, placesOf(at))
    // First when the scope closes: nothing is reported during a shutdown.
    yield* Effect.addFinalizer(() => Effect.sync(() => node.stop()))
    return {
      address: node.address,
      attach: (handlers) => node.attach(handlers),
      send: (to, message, chunk) => {
        node.links.get(to.name)?.send(to, message, chunk)
      },
      flush: () => {
        for (const link of node.links.values()) link.flush()
        node.blocks.clear()
      },
      peers: () => [...node.links.values()].map((link) => link.status()),
      unlisted: () => node.unlisted(),
      turnedAway: () => node.turned,
      onHello: (listener) => {
        node.listeners.add(listener)
        return () => {
          node.listeners.delete(listener)
        }
      },
      onRefused: (listener) => {
        node.refusals.add(listener)
        return () => {
          node.refusals.delete(listener)
        }
      },
      announce: (hello) => {
        node.local = hello
        for (const link of node.links.values()) link.announce()
      },
      sendService: (to, message) => {
        node.links.get(to.name)?.sendService(to, message)
      },
      setPeer: (name, at) => {
        const link = node.links.get(name)
        if (at === null) {
          link?.end()
          node.links.delete(name)
          run(name, Effect.void)
        } else if (link === undefined) node.dial(name, placesOf(at))
        else {
          const allowed = node.allowed(name, placesOf(at))
          if (allowed.length > 0) link.find(allowed)
        }
      },
    }
  })
