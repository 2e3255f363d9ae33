/**
 * The link with one peer: the port in use, and a candidate to replace it. Ports are not dialled: the code that starts the
 * workers hands them out, so a new port leads to where the peer is now. It replaces the old one once the handshake on it is
 * complete.
 */
import { recordClaim, lineage, sameMember, type Member, type Message } from "../../core/index.ts"
import type { ServiceMessage, TransportHandlers } from "../contract.ts"
import {
  duplicateName,
  checkHello,
  checkStart,
  startedTwice,
  type Hello,
  type LocalHello,
  type Refusal,
} from "../hello.ts"
import type { LimitedLogger } from "../log.ts"
import type { Sightings } from "../starts.ts"
import { Connection, problem, type MessagePortLike, type PortProblem } from "./connection.ts"
import { sentOf, memoryOf, type Sent } from "./frames.ts"

export interface PortPeer {
  readonly name: string
  /** From the last hello; null before the first. */
  readonly member: Member | null
  readonly connected: boolean
  /** The last hello received, kept while disconnected; null before the first. */
  readonly hello: Hello | null
  readonly messagesIn: number
  readonly messagesOut: number
  /** What was handed over and not yet acknowledged by the other end. */
  readonly unsentBytes: number
  readonly dropped: { readonly disconnected: number; readonly incarnation: number; readonly backpressure: number }
  /** Why it is not connected, as text; null while it is. */
  readonly problem: string | null
}

export interface LinkShared {
  readonly self: Member
  readonly local: () => LocalHello
  readonly sightings: Sightings
  readonly handlers: () => TransportHandlers | null
  readonly heard: (hello: Hello) => void
  readonly refused: (by: string, refusal: Refusal) => void
  /** The link has lost its port. */
  readonly lost: (name: string) => void
  readonly log: LimitedLogger
  readonly unsentBytes: number
  readonly helloMs: number
}

export class Link {
  readonly name: string
  private readonly shared: LinkShared
  private current: Connection | null = null
  private candidate: Connection | null = null
  /**
   * Not null: the candidate is another start of the connected directory, and it must be decided which one is alive. The
   * number is how many frames the present connection had received when it was probed.
   */
  private doubt: number | null = null
  /** The member that `connected` was called for, until `disconnected` is. */
  private announced: Member | null = null
  private hello: Hello | null = null
  private problem: string | null = "no port yet"
  private pending: Sent[] = []
  private pendingBytes = 0
  private messagesIn = 0
  private messagesOut = 0
  private readonly dropped = { disconnected: 0, incarnation: 0, backpressure: 0 }

  constructor(name: string, shared: LinkShared) {
    this.name = name
    this.shared = shared
  }

  // ------------------------------------------------------------------------------------------- messages

  send(to: Member, message: Message, chunk: Uint8Array | null): void {
    const live = this.current?.accepted?.hello.member
    if (this.current === null || live === undefined) {
      this.dropped.disconnected += 1
      return
    }
    if (to.incarnation !== live.incarnation) {
      this.dropped.incarnation += 1
      return
    }
    const item = sentOf(message, chunk)
    const weight = memoryOf(item)
    const unsent = this.current.unsent + this.pendingBytes
    // A message that is larger than the whole limit is sent if nothing else waits; otherwise it could never be sent.
    if (unsent > 0 && unsent + weight > this.shared.unsentBytes) {
      this.dropped.backpressure += 1
      this.shared.log(
        `${this.name}|backpressure`,
        "warn",
        `${this.name} takes messages too slowly: ${this.shared.unsentBytes} bytes are waiting, dropping messages for it (they are sent again later). Look at its load.`,
      )
      return
    }
    this.pending.push(item)
    this.pendingBytes += weight
    this.messagesOut += 1
  }

  sendService(to: Member, message: ServiceMessage): void {
    const live = this.current?.accepted?.hello.member
    if (live === undefined) this.dropped.disconnected += 1
    else if (to.incarnation !== live.incarnation) this.dropped.incarnation += 1
    else this.current?.service(message)
  }

  flush(): void {
    const items = this.pending
    if (items.length === 0) return
    this.pending = []
    this.pendingBytes = 0
    this.current?.batch(items)
  }

  private received(connection: Connection, items: readonly Sent[]): void {
    const { accepted } = connection
    if (connection !== this.current || accepted === null) return
    for (const { message, chunk } of items) {
      if (connection.isClosed) return
      this.messagesIn += 1
      recordClaim(accepted.sighting, message)
      this.shared.handlers()?.received(accepted.hello.member, message, chunk)
    }
  }

  keepAlive(): void {
    this.current?.keepAlive()
    // The start that was probed has sent something: it is alive.
    if (this.doubt !== null && this.current !== null && this.current.heard > this.doubt) this.rejectDouble(this.current)
  }
  giveUpIfSilent(ms: number): void {
    const { current } = this
    if (current !== null && performance.now() - current.lastHeard > ms)
      current.fail(
        problem(
          "PeerSilent",
          `nothing from ${this.name} for ${ms} ms, not even a keep-alive: closed its port. Its worker is gone, or its event loop hangs.`,
        ),
      )
  }

  // --------------------------------------------------------------------------------------------- ports

  take(port: MessagePortLike): void {
    const connection = new Connection(port, this.name, this.shared.helloMs, {
      hello: (it, hello) => this.judged(it, hello),
      welcome: (it) => this.update(it),
      items: (it, items) => this.received(it, items),
      service: (it, message) => {
        if (it === this.current && it.accepted !== null)
          this.shared.handlers()?.serviceSaid?.(it.accepted.hello.member, message)
      },
      closed: (it, why) => this.closed(it, why),
    })
    const before = this.candidate
    this.candidate = connection
    this.doubt = null
    before?.fail(problem("PortReplaced", `${this.name} was given another port`))
    connection.greet(this.shared.self, this.shared.local())
  }
  /** This node's hello has changed. */
  announce(): void {
    for (const connection of [this.current, this.candidate]) connection?.greet(this.shared.self, this.shared.local())
  }

  private judged(connection: Connection, hello: Hello): void {
    if (connection.isClosed || connection.hello !== hello) return
    const { self, local, sightings } = this.shared
    const met = sightings.of(hello.member)
    const refusal = checkHello(self, local(), () => true, hello, this.name) ?? checkStart(self, met, hello)
    if (refusal !== null) {
      this.reject(connection, refusal)
      return
    }
    const live = this.current === connection ? null : (this.current?.accepted?.hello ?? null)
    if (
      live !== null &&
      live.member.incarnation === hello.member.incarnation &&
      lineage(live.start, hello.start) !== "same"
    ) {
      // Decided by whether the connected start sends anything, or stays silent.
      this.doubt ??= this.current?.heard ?? 0
      this.current?.alive()
      return
    }
    if (met === null || lineage(met.start, hello.start) !== "same") {
      sightings.record(hello.member, hello.start, () => this.judged(connection, hello))
      return
    }
    const first = connection.accepted === null
    connection.accepted = { hello, sighting: met }
    if (first) connection.welcome()
    this.hello = hello
    this.shared.heard(hello)
    this.update(connection)
  }
  private rejectDouble(current: Connection): void {
    const { candidate } = this
    const live = current.accepted?.hello
    this.doubt = null
    if (candidate?.hello == null || live === undefined) return
    this.reject(candidate, startedTwice(this.shared.self, candidate.hello, live.start))
  }
  private reject(connection: Connection, refusal: Refusal): void {
    this.shared.log(
      `${this.name}|refused|${refusal.reason}`,
      "error",
      `${refusal.reason}: refused ${this.name}: ${refusal.detail}`,
    )
    connection.refuse(refusal)
  }

  /** A port on which both ends have accepted each other becomes the link's port. */
  private update(connection: Connection): void {
    if (connection !== this.candidate || connection.accepted === null || !connection.welcomed) return
    const { member } = connection.accepted.hello
    const before = this.current
    const live = before?.accepted?.hello
    this.doubt = null
    // The same process has got another port: the link moves to it.
    if (
      before !== null &&
      live !== undefined &&
      sameMember(live.member, member) &&
      lineage(live.start, connection.accepted.hello.start) === "same"
    )
      before.end()
    else before?.refuse(duplicateName(this.shared.self, this.name, "a port that it was given later"))
    this.candidate = null
    this.current = connection
    this.problem = null
    connection.established()
    this.shared.log(
      `${this.name}|up|${member.incarnation}`,
      "info",
      `${this.name} connected, incarnation ${member.incarnation}`,
    )
    this.tell()
  }
  /** Reports a link that is up, once. */
  tell(): void {
    const handlers = this.shared.handlers()
    const member = this.current?.accepted?.hello.member
    if (handlers === null || member === undefined || this.announced !== null) return
    this.announced = member
    handlers.connected(member)
  }

  private closed(connection: Connection, why: PortProblem): void {
    if (connection !== this.current && connection !== this.candidate) return
    if (why.refusal !== null) this.shared.refused(this.name, why.refusal)
    this.problem = why.message
    if (connection === this.candidate) this.candidate = null
    else {
      const { announced } = this
      this.current = null
      this.announced = null
      this.pending = []
      this.pendingBytes = 0
      this.shared.log(
        `${this.name}|down|${why.name}`,
        why.name === "HandshakeRefused" || why.name === "BrokenStream" ? "error" : "warn",
        `${this.name} disconnected. ${why.name}: ${why.message}`,
      )
      if (announced !== null) this.shared.handlers()?.disconnected(announced)
      // The candidate was waiting for this port to close.
      if (this.doubt !== null) {
        this.doubt = null
        if (this.candidate?.hello != null) this.judged(this.candidate, this.candidate.hello)
      }
    }
    if (this.current === null && this.candidate === null) this.shared.lost(this.name)
  }

  /** The peer was removed, or the node stops: nothing is reported. */
  end(): void {
    const { current, candidate } = this
    this.current = null
    this.candidate = null
    this.announced = null
    current?.end()
    candidate?.end()
  }

  status(): PortPeer {
    const { name, hello, current, messagesIn, messagesOut } = this
    return {
      name,
      member: hello?.member ?? null,
      connected: current !== null,
      hello,
      messagesIn,
      messagesOut,
      unsentBytes: (current?.unsent ?? 0) + this.pendingBytes,
      dropped: { ...this.dropped },
      problem: this.problem,
    }
  }
}
