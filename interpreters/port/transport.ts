/**
 * The peer transport over MessagePorts: between worker threads of one process, or workers and frames of a browser. It
 * gives the same guarantees as TCP: clusters, incarnations and starts are checked before a message is passed on.
 */
import { defaultSettings, type Member } from "../../core/index.ts"
import type { Transport, TransportHandlers } from "../contract.ts"
import type { Hello, LocalHello, Refusal } from "../hello.ts"
import { limitedLog, type Logger } from "../log.ts"
import { memorySightings, type Sightings } from "../starts.ts"
import { nextTurn } from "../turns.ts"
import type { MessagePortLike } from "./connection.ts"
import { Link, type LinkShared, type PortPeer } from "./link.ts"

export interface PortLimits {
  /** Per peer: how much may be in transit before messages are dropped. Default 32 MB. */
  readonly unsentBytes?: number
  /** How long the other end of a port may take to say hello. Default 5,000. */
  readonly helloMs?: number
  /** How often an idle peer is sent a keep-alive. Default 1,000. */
  readonly aliveMs?: number
  /** A peer that has sent nothing for this long is disconnected. Default 5,000. */
  readonly silenceMs?: number
}
export interface PortOptions {
  readonly self: Member
  readonly hello: LocalHello
  /** The store of the starts of peers that this node has seen. Default: in memory only. */
  readonly sightings?: Sightings
  /** Called for each peer that has no usable port any more: the transport needs another one. */
  readonly lost?: (peer: string) => void
  readonly limits?: PortLimits
  readonly log?: Logger
}
export interface PortTransport extends Transport {
  /** Gives the transport a port whose other end is held by the member of that name. */
  readonly connect: (peer: string, port: MessagePortLike) => void
  /** Removes the peer and closes its ports, without a `disconnected`. */
  readonly forget: (peer: string) => void
  readonly peers: () => readonly PortPeer[]
  /** Called for each hello that passes the handshake. Returns a function that unsubscribes. */
  readonly onHello: (listener: (hello: Hello) => void) => () => void
  /** Called for each refusal by a peer. Returns a function that unsubscribes. */
  readonly onRefused: (listener: (by: string, refusal: Refusal) => void) => () => void
  /** This node's hello has changed (the cluster was formed): announces it to every peer. */
  readonly announce: (hello: LocalHello) => void
  /** Closes every port; nothing is reported any more. */
  readonly close: () => void
}

export const makePortTransport = (options: PortOptions): PortTransport => {
  const { self, lost, log = () => undefined } = options
  const { unsentBytes, helloMs, aliveMs, silenceMs } = {
    unsentBytes: 4 * defaultSettings.maxEntryBytes,
    helloMs: 5000,
    aliveMs: 1000,
    silenceMs: 5000,
    ...options.limits,
  }
  const links = new Map<string, Link>()
  const hellos = new Set<(hello: Hello) => void>()
  const refusals = new Set<(by: string, refusal: Refusal) => void>()
  let local = options.hello
  let handlers: TransportHandlers | null = null
  let stopped = false

  const shared: LinkShared = {
    self,
    local: () => local,
    sightings: options.sightings ?? memorySightings(),
    handlers: () => (stopped ? null : handlers),
    heard: (hello) => {
      if (!stopped) for (const listener of hellos) listener(hello)
    },
    refused: (by, refusal) => {
      if (!stopped) for (const listener of refusals) listener(by, refusal)
    },
    lost: (name) => {
      if (!stopped) lost?.(name)
    },
    log: limitedLog(log),
    unsentBytes,
    helloMs,
  }
  const ticker = setInterval(() => {
    for (const link of links.values()) link.keepAlive()
    // If this node itself was stalled, messages may be waiting at the port: decide after they have been received.
    nextTurn(() => {
      for (const link of links.values()) link.giveUpIfSilent(silenceMs)
    })
  }, aliveMs)
  const listen = <A>(all: Set<A>, listener: A): (() => void) => {
    all.add(listener)
    return () => {
      all.delete(listener)
    }
  }

  return {
    attach: (given) => {
      handlers = given
      nextTurn(() => {
        if (!stopped) for (const link of links.values()) link.tell()
      })
    },
    send: (to, message, chunk) => links.get(to.name)?.send(to, message, chunk),
    sendService: (to, message) => links.get(to.name)?.sendService(to, message),
    flush: () => {
      for (const link of links.values()) link.flush()
    },
    connect: (name, port) => {
      if (stopped) {
        port.close()
        return
      }
      const link = links.get(name) ?? new Link(name, shared)
      links.set(name, link)
      link.take(port)
    },
    forget: (name) => {
      links.get(name)?.end()
      links.delete(name)
    },
    peers: () => Array.from(links.values(), (link) => link.status()),
    onHello: (listener) => listen(hellos, listener),
    onRefused: (listener) => listen(refusals, listener),
    announce: (hello) => {
      local = hello
      for (const link of links.values()) link.announce()
    },
    close: () => {
      stopped = true
      clearInterval(ticker)
      for (const link of links.values()) link.end()
    },
  }
}
