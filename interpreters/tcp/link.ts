/**
 * The link with one peer: two sockets, the one that this node dialled for sending and the one that the peer dialled for
 * receiving. The link is up while both have shaken hands with the same incarnation. It goes down when either closes;
 * then the other is closed too.
 *
 * Why two sockets, and not one with a tie-break? Two connections that cross need no rule, so there is no moment in
 * which the ends disagree about which one counts, and a restarted node dials at once instead of waiting to be dialled.
 * Each node proves at start that it reaches every peer *at the address it has for it*, and not only on the day when it
 * first becomes leader. A link works in both directions or is down for both ends: the half-open state that breaks
 * consensus under partial partitions does not exist. Failure detection is as fast as with one socket: when a process
 * dies its kernel closes both sockets, and the first FIN or RST reports the loss (the second finds the link down
 * already). The cost is a second file descriptor, and TCP acknowledgements of 40 bytes that cannot piggyback on data.
 */
import {
  sameMember,
  recordClaim,
  lineage,
  type Member,
  type Message,
  type Sighting,
  type Start,
} from "../../core/index.ts"
import { MalformedBytes, ByteWriter } from "../bytes.ts"
import type { ServiceMessage, TransportHandlers } from "../contract.ts"
import { duplicateName, type Hello, type Refusal } from "../hello.ts"
import {
  Slab,
  readMessage,
  readService,
  writeAppendTail,
  worthSharing,
  writeMessage,
  writeService,
  type EncodedEntriesCache,
} from "./codec.ts"
import type { Connection } from "./connection.ts"
import {
  ConnectFailed,
  connectionLost,
  errorKey,
  errorText,
  needsAction,
  peerSilent,
  type LinkError,
} from "./errors.ts"
import { FRAME_HEADER, closeFrame, openFrame } from "./frame.ts"
import { aliveFrame, echoFrame, type Greeting, type PeerHello, type KeepAliveFrame } from "./handshake.ts"
import type { LimitedLogger } from "../log.ts"
import { Histogram } from "../metrics/index.ts"
import { addressText, type Address } from "./socket.ts"
import type { PeerLink } from "./peerLink.ts"

export interface LinkShared {
  readonly self: Member
  readonly greeting: (peer: Address) => Greeting
  readonly handlers: () => TransportHandlers | null
  readonly heard: (hello: Hello) => void
  readonly log: LimitedLogger
  readonly blocks: EncodedEntriesCache
  readonly unsentBytes: number
  readonly frameBytes: number
}

const KEEP = 1 << 20
const NOWHERE: Address = { host: "", port: 0 }
/** A refused process dials again within two seconds, so a refusal older than this is over. */
const REFUSED_MS = 5_000

/** Nodes that are started together take about this long to find each other. */
const EARLY_MS = 3000

export class Link {
  readonly name: string
  /** The peer's addresses, the likeliest first, dialled in turn until one answers. */
  private places: readonly Address[]
  private place = 0
  /** Failed dials since the link was last up. */
  attempts = 0
  /** Ends the pause before the next dial. */
  wake: (() => void) | null = null
  private readonly shared: LinkShared
  private outbound: Connection | null = null
  private inbound: Connection | null = null
  private live: Member | null = null
  /** The member that `connected` was called for, until `disconnected` is. */
  private announced: Member | null = null
  private hello: PeerHello | null = null
  /** The sighting of the connected incarnation. */
  private sighting: Sighting | null = null
  private refusal: { readonly text: string; readonly at: number; readonly tooLow: PeerHello | null } | null = null
  private problem: string | null = "being dialled for the first time"
  private readonly made = performance.now()
  private pending = new ByteWriter()
  private readonly slab = new Slab()
  private lastReceived = 0
  private bytesIn = 0
  private bytesOut = 0
  private quiet = true
  /** The keep-alive that has not been answered yet. */
  private probed: { readonly number: number; readonly at: number; readonly given: number } | null = null
  private probes = 0
  private readonly roundTrips = new Histogram()
  private transit: number | null = null
  /** Bytes handed to the connection, and how many of them were handed over before the last answered keep-alive. */
  private given = 0
  private arrived = 0
  private messagesIn = 0
  private messagesOut = 0
  private readonly dropped = { disconnected: 0, incarnation: 0, backpressure: 0, tooLarge: 0 }

  constructor(name: string, places: readonly Address[], shared: LinkShared) {
    this.name = name
    this.places = places
    this.shared = shared
  }

  /** The address that is dialled now. */
  get address(): Address {
    return this.places[this.place % this.places.length] ?? NOWHERE
  }
  /** Sets the addresses. An established connection is left alone: a peer that has moved has none. */
  find(places: readonly Address[]): void {
    const same =
      places.length === this.places.length &&
      places.every((at, i) => addressText(at) === addressText(this.places[i] ?? NOWHERE))
    if (same) return
    const standing =
      this.live === null && this.outbound?.accepted == null
        ? -1
        : places.findIndex((at) => addressText(at) === addressText(this.address))
    this.places = places
    if (standing >= 0) this.place = standing
    else this.startOver()
  }
  /** Dials at once, the likeliest address first. */
  private startOver(): void {
    if (this.live === null) this.outbound?.fail(connectionLost(this.name, "another address is dialled now"))
    this.place = 0
    this.attempts = 0
    this.wake?.()
  }

  // ------------------------------------------------------------------------------------------- messages

  send(to: Member, message: Message, chunk: Uint8Array | null): void {
    const { live, outbound } = this
    if (live === null || outbound === null) {
      this.dropped.disconnected += 1
      return
    }
    if (to.incarnation !== live.incarnation) {
      this.dropped.incarnation += 1
      return
    }
    const w = this.pending
    const unsent = w.length + outbound.socket.writableLength
    if (unsent >= this.shared.unsentBytes) {
      this.overflow()
      return
    }
    const at = openFrame(w)
    if (message.type === "AppendEntries" && worthSharing(message.entries)) {
      const block = this.shared.blocks.block(message.entries)
      w.raw(block.bytes)
      writeAppendTail(w, message)
      closeFrame(w, at, block.bytes.length, block.crc)
    } else {
      writeMessage(w, message, chunk)
      closeFrame(w, at)
    }
    const size = w.length - at
    if (size - FRAME_HEADER > this.shared.frameBytes) {
      w.length = at
      this.dropped.tooLarge += 1
      this.shared.log(
        `${this.name}|tooLarge`,
        "error",
        `did not send a ${message.type} of ${size} bytes to ${this.name}: frames end at ${this.shared.frameBytes}. Nodes must agree on the largest entry.`,
      )
    } else if (unsent > 0 && unsent + size > this.shared.unsentBytes) {
      // A frame that is larger than the whole limit is sent if nothing else waits; otherwise it could never be sent.
      w.length = at
      this.overflow()
    } else this.messagesOut += 1
  }

  sendService(to: Member, message: ServiceMessage): void {
    const { live, outbound, pending } = this
    if (live === null || outbound === null) this.dropped.disconnected += 1
    else if (to.incarnation !== live.incarnation) this.dropped.incarnation += 1
    else if (pending.length + outbound.socket.writableLength + message.bytes.length > this.shared.unsentBytes)
      this.overflow()
    else {
      const at = openFrame(pending)
      writeService(pending, message)
      closeFrame(pending, at)
      this.messagesOut += 1
    }
  }

  private overflow(): void {
    this.dropped.backpressure += 1
    this.shared.log(
      `${this.name}|backpressure`,
      "warn",
      `${this.name} takes bytes too slowly: ${this.shared.unsentBytes} are waiting, dropping messages for it (they are sent again later). Look at its load and the network.`,
    )
  }

  flush(): void {
    const w = this.pending
    if (w.length === 0) return
    const outbound = this.outbound
    if (this.live === null || outbound === null) {
      w.reset()
      return
    }
    const socket = outbound.socket
    this.quiet = false
    this.given += w.length
    socket.write(w.view())
    // If the socket has nothing buffered, the kernel has taken everything and the memory can be reused. That saves 2 µs
    // per batch.
    if (socket.writableLength === 0 && w.length <= KEEP) w.reset()
    else w.take()
  }

  received(connection: Connection, buffer: Buffer, from: number, to: number): void {
    if (connection !== this.inbound)
      throw new MalformedBytes("a message arrived on the connection that is only for sending")
    const member = connection.hello?.member
    const service = readService(buffer, from, to)
    this.messagesIn += 1
    if (service !== null) {
      if (member !== undefined) this.shared.handlers()?.serviceSaid?.(member, service)
      return
    }
    const { message, chunk } = readMessage(buffer, from, to, this.slab)
    if (this.sighting !== null) recordClaim(this.sighting, message)
    if (member !== undefined) this.shared.handlers()?.received(member, message, chunk)
  }

  /**
   * Called regularly: sends a keep-alive, whose echo measures the round trip. While one is unanswered, the next is sent
   * only if nothing else was sent.
   */
  keepAlive(): void {
    if (this.live !== null && this.probed === null) {
      this.probed = { number: ++this.probes, at: performance.now(), given: this.given }
      this.outbound?.socket.write(aliveFrame(this.probes))
    } else if (this.live !== null && this.quiet) this.outbound?.socket.write(aliveFrame(0))
    this.quiet = true
  }

  sign(connection: Connection, { type, number }: KeepAliveFrame): void {
    if (connection !== this.inbound) return
    if (type === "Alive") {
      if (number > 0 && this.live !== null) this.outbound?.socket.write(echoFrame(number))
    } else if (this.probed?.number === number) {
      this.transit = performance.now() - this.probed.at
      this.roundTrips.observe(this.transit / 1000)
      this.arrived = this.probed.given
      this.probed = null
    }
  }

  /**
   * A machine that lost power or was cut off sends no reset, and TCP retries for a quarter of an hour at growing intervals:
   * after a long partition the old sockets would receive nothing for up to two minutes. New sockets do.
   */
  giveUpIfSilent(ms: number): void {
    const inbound = this.inbound
    if (this.live !== null && inbound !== null && performance.now() - inbound.lastReceived > ms)
      inbound.fail(peerSilent(this.name, ms))
  }

  // ---------------------------------------------------------------------------------------- connections

  dialling(connection: Connection): void {
    this.outbound = connection
  }

  /** This node's hello has changed. */
  announce(): void {
    if (this.outbound?.greeted === true) this.outbound.greet(this.name, this.shared.greeting(this.address))
  }

  /** The connected start, if it is another start of the same directory. */
  otherStart(hello: Hello): Start | null {
    const live = this.live === null ? null : (this.inbound?.accepted ?? null)
    return live !== null &&
      live.member.incarnation === hello.member.incarnation &&
      lineage(live.start, hello.start) !== "same"
      ? live.start
      : null
  }
  /** Makes the kernel send something: if the other process is gone, its machine answers with a reset. */
  probe(): void {
    this.outbound?.socket.write(aliveFrame(0))
  }
  rejected(refusal: Refusal, hello: PeerHello): void {
    const tooLow = refusal.reason === "LevelTooLow" ? hello : null
    this.refusal = { text: `${refusal.reason}: ${refusal.detail}`, at: performance.now(), tooLow }
  }

  private refuseDouble(connection: Connection, hello: PeerHello): void {
    const refusal = duplicateName(this.shared.self, this.name, addressText(this.address))
    this.rejected(refusal, hello)
    connection.refuse(refusal)
  }

  /** A hello was accepted on this connection. */
  introduced(connection: Connection, hello: PeerHello, sighting: Sighting): void {
    connection.accepted = hello
    // One half of the link may belong to an earlier start, which must not be mixed with this one.
    const half = connection.expected === null ? this.outbound : this.inbound
    if (
      half !== null &&
      half.accepted !== null &&
      sameMember(half.accepted.member, hello.member) &&
      lineage(half.accepted.start, hello.start) !== "same"
    ) {
      half.fail(connectionLost(this.name, "another start of it has said hello"))
    }
    const { inbound, outbound } = this
    if (connection.expected === null) {
      const live = outbound?.accepted ?? null
      if (live !== null && live.member.incarnation !== hello.member.incarnation) {
        // The peer is the process at the configured address. A replaced peer's old sockets are closed first.
        this.refuseDouble(connection, hello)
        return
      }
      if (inbound !== connection) {
        inbound?.fail(connectionLost(this.name, "it dialled again"))
        this.inbound = connection
        connection.greet(this.name, this.shared.greeting(this.address))
      }
    } else if (inbound !== null && inbound.accepted?.member.incarnation !== hello.member.incarnation) {
      this.refuseDouble(inbound, hello)
    }
    this.sighting = sighting
    // The peer announces changes of its hello on the connection that it dialled. Its reply on our connection may be
    // older than those.
    if (connection.expected === null || this.inbound === null) {
      this.hello = hello
      this.shared.heard(hello)
    }
    this.update()
    // The peer is up, at the address that it has just announced: neither the pause nor the turn of another address counts.
    const waits = this.outbound === null || (this.outbound.accepted === null && this.place !== 0)
    if (connection.expected === null && waits) this.startOver()
  }

  private update(): void {
    const member = this.outbound?.accepted?.member
    if (this.live !== null || member === undefined || this.inbound === null) return
    this.live = member
    this.attempts = 0
    this.problem = null
    this.probed = null
    this.transit = null
    this.arrived = this.given
    this.shared.log(
      `${this.name}|up|${member.incarnation}`,
      "info",
      `${this.name} connected at ${addressText(this.address)}, incarnation ${member.incarnation}`,
    )
    this.tell()
  }

  /** The handlers were replaced, and the new ones have not been called yet for this link. */
  untold(): void {
    this.announced = null
  }
  /** Reports a link that is up, once. */
  tell(): void {
    const handlers = this.shared.handlers()
    if (handlers === null || this.live === null || this.announced !== null) return
    this.announced = this.live
    handlers.connected(this.live)
  }

  /** Returns false if the connection was not, or no longer, part of this link. */
  lost(connection: Connection, error: LinkError): boolean {
    if (connection !== this.outbound && connection !== this.inbound) return false
    this.count(connection)
    if (this.live !== null) {
      this.down(this.live, connection, error)
      return true
    }
    if (connection === this.inbound) this.inbound = null
    else {
      this.outbound = null
      this.attempts += 1
      this.place = (this.place + 1) % this.places.length
    }
    this.problem = error.message
    // Nodes that are started together fail to reach each other at first: that is not worth a log line.
    const early = error instanceof ConnectFailed && performance.now() - this.made < EARLY_MS
    this.shared.log(
      `${this.name}|${errorKey(error)}`,
      early ? "debug" : needsAction(error) ? "error" : "warn",
      errorText(error),
    )
    return true
  }

  private down(member: Member, lost: Connection, error: LinkError): void {
    const other = lost === this.outbound ? this.inbound : this.outbound
    const announced = this.announced
    this.live = null
    this.announced = null
    this.outbound = null
    this.inbound = null
    this.problem = error.message
    this.pending.reset()
    if (other !== null) {
      this.count(other)
      other.fail(connectionLost(this.name, "the other direction was lost"))
    }
    this.shared.log(
      `${this.name}|down|${errorKey(error)}`,
      needsAction(error) ? "error" : "warn",
      `${member.name} disconnected. ${errorText(error)}`,
    )
    if (announced !== null) this.shared.handlers()?.disconnected(announced)
  }

  /** The peer was removed, or the node stops: nothing is reported. */
  end(): void {
    const { outbound, inbound } = this
    this.live = null
    this.announced = null
    this.outbound = null
    this.inbound = null
    outbound?.end()
    inbound?.end()
  }

  // --------------------------------------------------------------------------------------------- status

  private count(connection: Connection): void {
    this.bytesIn += connection.socket.bytesRead
    this.bytesOut += connection.socket.bytesWritten
    this.lastReceived = Math.max(this.lastReceived, connection.lastReceived)
  }

  /** Only one direction is up: why the other is not, as far as both ends know. */
  private halfway(): string | null {
    const { name, shared } = this
    const dialled = this.outbound?.accepted ?? null
    const dialling = this.inbound?.accepted ?? null
    const address = addressText(this.address)
    const { listens } = shared.greeting(this.address)
    if (dialled !== null && dialling === null) {
      const told =
        dialled.dials === listens
          ? ""
          : `: it dials ${shared.self.name} at ${dialled.dials}, and ${shared.self.name} listens at ${listens}. If it has moved, correct its address in the peer list of ${name}`
      return `${name} was reached at ${address}, but has not dialled back${told}`
    }
    if (dialling !== null && dialled === null && dialling.listens !== address)
      return `${this.problem ?? ""} It has connected from its side and says that it listens at ${dialling.listens}: if it has moved, correct its address in the peer list of ${shared.self.name}.`.trim()
    return this.problem
  }

  status(): PeerLink {
    const { outbound, inbound, hello } = this
    const refusal = this.refusal !== null && performance.now() - this.refusal.at < REFUSED_MS ? this.refusal : null
    const last = Math.max(this.lastReceived, outbound?.lastReceived ?? 0, inbound?.lastReceived ?? 0)
    return {
      name: this.name,
      address: addressText(this.address),
      member: hello?.member ?? null,
      connected: this.live !== null,
      clientAddress: hello?.clientAddress ?? null,
      hello,
      lastReceivedMs: last === 0 ? null : Math.round(performance.now() - last),
      bytesIn: this.bytesIn + (outbound?.socket.bytesRead ?? 0) + (inbound?.socket.bytesRead ?? 0),
      bytesOut: this.bytesOut + (outbound?.socket.bytesWritten ?? 0) + (inbound?.socket.bytesWritten ?? 0),
      messagesIn: this.messagesIn,
      messagesOut: this.messagesOut,
      unsentBytes: this.pending.length + (outbound?.socket.writableLength ?? 0),
      dropped: { ...this.dropped },
      transitMs: this.probed === null ? this.transit : Math.max(this.transit ?? 0, performance.now() - this.probed.at),
      roundTrips: this.roundTrips,
      behindBytes: this.given - this.arrived + this.pending.length,
      arriving: inbound?.arriving ?? null,
      problem: this.live === null ? this.halfway() : null,
      refused: refusal?.text ?? null,
      tooLow: refusal?.tooLow ?? null,
    }
  }
}
