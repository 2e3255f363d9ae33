/** Transports on loopback for tests, with everything they report, and a raw peer that can misbehave. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { connect, type Socket } from "node:net"
import type { Member, Message } from "../core/index.ts"
import { ByteWriter } from "../interpreters/bytes.ts"
import type { TransportHandlers } from "../interpreters/contract.ts"
import { ownFeatures } from "../interpreters/features.ts"
import type { Hello } from "../interpreters/hello.ts"
import type { Tls } from "../interpreters/tls/index.ts"
import type { Sightings } from "../interpreters/starts.ts"
import { writeHello, writePreamble, type Greeting } from "../interpreters/tcp/handshake.ts"
import {
  makeTcpTransport,
  type LocalHello,
  type PeerLink,
  type TcpLimits,
  type TcpTransport,
} from "../interpreters/tcp/index.ts"

/** Of a first start of an empty directory. */
export const fresh: LocalHello & Pick<Hello, "features"> = {
  cluster: null,
  clientAddress: "127.0.0.1:0",
  empty: true,
  founding: null,
  start: { number: 1, words: [1] },
  recovered: { term: 0, index: 0 },
  refused: null,
  features: ownFeatures,
}
export const memberOf = (name: string, incarnation = `${name}-1`): Member => ({ name, incarnation })

export interface Node {
  readonly self: Member
  readonly transport: TcpTransport
  readonly port: number
  readonly received: { readonly from: Member; readonly message: Message; readonly chunk: Uint8Array | null }[]
  /** "+n2/n2-1" connected, "-n2/n2-1" disconnected. */
  readonly links: string[]
  readonly logs: string[]
  readonly peer: (name: string) => PeerLink
  readonly close: () => Promise<void>
}
export interface NodeOptions {
  readonly port?: number
  readonly hello?: Partial<LocalHello>
  readonly limits?: TcpLimits
  readonly sightings?: Sightings
  readonly incarnation?: string
  readonly tls?: Tls
  readonly plaintext?: boolean
  readonly welcome?: () => boolean
  /** false: the test attaches its own handlers. */
  readonly attach?: boolean
}
export const open = async (name: string, options: NodeOptions = {}): Promise<Node> => {
  const self = memberOf(name, options.incarnation)
  const scope = Scope.makeUnsafe()
  const received: Node["received"] = []
  const links: string[] = []
  const logs: string[] = []
  const transport = await Effect.runPromise(
    makeTcpTransport({
      self,
      listen: { host: "127.0.0.1", port: options.port ?? 0 },
      peers: {},
      hello: { ...fresh, clientAddress: `client-of-${name}:1`, ...options.hello },
      limits: options.limits ?? {},
      ...(options.tls === undefined ? {} : { tls: options.tls }),
      ...(options.plaintext === undefined ? {} : { plaintext: options.plaintext }),
      ...(options.welcome === undefined ? {} : { welcome: options.welcome }),
      ...(options.sightings === undefined ? {} : { sightings: options.sightings }),
      log: (level, text) => logs.push(`${level} ${text}`),
    }).pipe(Scope.provide(scope)),
  )
  const handlers: TransportHandlers = {
    received: (from, message, chunk) => received.push({ from, message, chunk }),
    connected: (peer) => links.push(`+${peer.name}/${peer.incarnation}`),
    disconnected: (peer) => links.push(`-${peer.name}/${peer.incarnation}`),
  }
  if (options.attach !== false) transport.attach(handlers)
  const peer = (wanted: string): PeerLink => {
    const link = transport.peers().find((link) => link.name === wanted)
    if (link === undefined) throw new Error(`${name} has no peer ${wanted}`)
    return link
  }
  return {
    self,
    transport,
    port: transport.address.port,
    received,
    links,
    logs,
    peer,
    close: () => Effect.runPromise(Scope.close(scope, Exit.void)),
  }
}

export const introduce = (...nodes: readonly Node[]): void => {
  for (const node of nodes)
    for (const other of nodes)
      if (node !== other) node.transport.setPeer(other.self.name, { host: "127.0.0.1", port: other.port })
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))
/** Waits for a condition, never for a time; the limit is only there to end a test that hangs. */
export const until = async (what: string, condition: () => boolean, limitMs = 20_000): Promise<void> => {
  const end = performance.now() + limitMs
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain: ${what}`)
    await sleep(5)
  }
}
export const allConnected = (...nodes: readonly Node[]): Promise<void> =>
  until("every link is up", () => nodes.every((node) => node.transport.peers().every((link) => link.connected)))

export const preambleAndHello = (self: Member, target: string, local: Partial<Greeting> = {}): Buffer => {
  const w = new ByteWriter()
  writePreamble(w)
  writeHello(w, self, target, { ...fresh, listens: "", advertises: "", dials: "", ...local })
  return w.take()
}
/** A client that writes `bytes` and records what comes back and whether the connection was closed. */
export const raw = (
  port: number,
  bytes: Uint8Array,
): { readonly socket: Socket; readonly got: () => Buffer; readonly closed: () => boolean } => {
  const chunks: Buffer[] = []
  let closed = false
  const socket = connect(port, "127.0.0.1", () => socket.write(bytes))
  socket.on("data", (chunk: Buffer) => chunks.push(chunk))
  socket.on("error", () => {})
  socket.on("close", () => {
    closed = true
  })
  return { socket, got: () => Buffer.concat(chunks), closed: () => closed }
}

/** Whether a line of its log holds all of these. */
export const says = (made: Node, ...words: readonly string[]): boolean =>
  made.logs.some((line) => words.every((word) => line.includes(word)))
export const heartbeat = (round: number): Message => ({
  type: "AppendEntries",
  term: 1,
  prevLogIndex: 0,
  prevLogTerm: 0,
  prevLogChain: 0,
  entries: [],
  leaderCommit: 0,
  round,
  time: 0,
  settled: false,
})
