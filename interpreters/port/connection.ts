/** One port: hello, welcome, frames, and one clear reason when it ends. It knows nothing of peers and their links. */
import { nextTurn } from "../turns.ts"
import type { ServiceMessage } from "../contract.ts"
import { ownFeatures } from "../features.ts"
import type { Hello, LocalHello, Refusal } from "../hello.ts"
import type { Member, Sighting } from "../../core/index.ts"
import { PORT_PROTOCOL, readFrame, UnreadableFrame, memoryOf, type PortFrame, type Sent } from "./frames.ts"

/** The part of a MessagePort that is needed: the web's, Node's, or one in memory. */
export interface MessagePortLike {
  readonly postMessage: (frame: unknown) => void
  readonly addEventListener: (type: "message" | "messageerror" | "close", listener: (event: object) => void) => void
  readonly start: () => void
  readonly close: () => void
}

/** Why a port can no longer be used. */
export interface PortProblem {
  readonly name: "PortClosed" | "PortReplaced" | "HelloTimeout" | "PeerSilent" | "BrokenStream" | "HandshakeRefused"
  readonly message: string
  /** Not null: the peer refused this node. */
  readonly refusal: Refusal | null
}
export const problem = (name: PortProblem["name"], message: string, refusal: Refusal | null = null): PortProblem => ({
  name,
  message,
  refusal,
})

export interface ConnectionHandlers {
  /** The other end has sent its hello, or a new one. */
  readonly hello: (connection: Connection, hello: Hello) => void
  readonly welcome: (connection: Connection) => void
  readonly items: (connection: Connection, items: readonly Sent[]) => void
  readonly service: (connection: Connection, message: ServiceMessage) => void
  /** Called once, whichever end closed it. */
  readonly closed: (connection: Connection, why: PortProblem) => void
}

/** An acknowledgement is sent at once when this much was received; otherwise with whatever is sent next. */
const TELL_BYTES = 1 << 20

export class Connection {
  readonly peer: string
  hello: Hello | null = null
  /** The accepted hello, and the sighting of its sender. */
  accepted: { readonly hello: Hello; readonly sighting: Sighting } | null = null
  /** The other end has accepted ours. */
  welcomed = false
  lastHeard = performance.now()
  /** The number of frames received since the port was opened. */
  heard = 0
  private readonly port: MessagePortLike
  private readonly handlers: ConnectionHandlers
  private closed = false
  private readonly timer: ReturnType<typeof setTimeout>
  /** Weights of all batches: sent, acknowledged by the other end, received, and acknowledged to it. */
  private sent = 0
  private takenThere = 0
  private taken = 0
  private told = 0
  private quiet = true

  constructor(port: MessagePortLike, peer: string, helloMs: number, handlers: ConnectionHandlers) {
    this.port = port
    this.peer = peer
    this.handlers = handlers
    this.timer = setTimeout(
      () =>
        this.fail(
          problem(
            "HelloTimeout",
            `${peer} has not shaken hands on its port for ${helloMs} ms: closed the port. Its worker has not started, hangs, or was given no port.`,
          ),
        ),
      helloMs,
    )
    port.addEventListener("message", (event) => this.message("data" in event ? event.data : null))
    port.addEventListener("messageerror", () =>
      this.fail(
        problem(
          "BrokenStream",
          `what came from ${peer} could not be read: closed the port; what arrived before it counts.`,
        ),
      ),
    )
    port.addEventListener("close", () =>
      this.fail(
        problem("PortClosed", `the port of ${peer} was closed: its worker has ended, or it was given another port.`),
      ),
    )
    port.start()
  }

  get isClosed(): boolean {
    return this.closed
  }
  /** What was handed to the port and not yet acknowledged by the other end. */
  get unsent(): number {
    return this.sent - this.takenThere
  }

  /** Both ends have accepted each other. */
  established(): void {
    clearTimeout(this.timer)
  }
  greet(self: Member, local: LocalHello): void {
    this.post({
      kind: "hello",
      protocol: PORT_PROTOCOL,
      hello: { features: ownFeatures, ...local, member: self, target: this.peer },
    })
  }
  welcome(): void {
    this.post({ kind: "welcome" })
  }
  batch(items: readonly Sent[]): void {
    for (const item of items) this.sent += memoryOf(item)
    this.tell({ kind: "batch", items, sent: this.sent, taken: this.taken })
  }
  service(message: ServiceMessage): void {
    this.post({ kind: "service", message: { ...message, bytes: new Uint8Array(message.bytes) } })
  }
  alive(): void {
    this.tell({ kind: "alive", taken: this.taken })
  }
  /** Called regularly: sends a keep-alive if nothing else was sent since the last call. */
  keepAlive(): void {
    if (this.quiet) this.alive()
    this.quiet = true
  }

  /** Ends the connection at once. */
  fail(why: PortProblem): void {
    if (this.closed) return
    this.end()
    this.handlers.closed(this, why)
  }
  /** Tells the other end why, then closes it. */
  refuse(refusal: Refusal): void {
    if (this.closed) return
    this.post({ kind: "refused", refusal })
    this.fail(problem("HandshakeRefused", `${refusal.reason}: refused ${this.peer}: ${refusal.detail}`))
  }
  /** The node stops: the connection ends, and nothing is reported any more. */
  end(): void {
    if (this.closed) return
    this.closed = true
    clearTimeout(this.timer)
    // The frame that was posted last must arrive first.
    nextTurn(() => this.port.close())
  }

  private tell(frame: PortFrame & { readonly taken: number }): void {
    this.told = frame.taken
    this.post(frame)
  }
  private post(frame: PortFrame): void {
    if (this.closed) return
    this.quiet = false
    this.port.postMessage(frame)
  }

  private message(data: unknown): void {
    if (this.closed) return
    this.lastHeard = performance.now()
    this.heard += 1
    try {
      this.frame(readFrame(data))
    } catch (error) {
      if (!(error instanceof UnreadableFrame)) throw error
      this.fail(
        problem(
          "BrokenStream",
          `unreadable data from ${this.peer}: ${error.message}. Closed the port; what arrived before it counts, the rest will be sent again.`,
        ),
      )
    }
  }

  private frame(frame: PortFrame): void {
    switch (frame.kind) {
      case "hello": {
        const known = this.hello
        const { hello } = frame
        if (
          known !== null &&
          (known.member.name !== hello.member.name || known.member.incarnation !== hello.member.incarnation)
        )
          throw new UnreadableFrame(`${known.member.name} became ${hello.member.name} on an open port`)
        this.hello = hello
        this.handlers.hello(this, hello)
        return
      }
      case "welcome":
        this.welcomed = true
        this.handlers.welcome(this)
        return
      case "refused":
        this.fail(
          problem(
            "HandshakeRefused",
            `${frame.refusal.reason}: ${this.peer} refused this node: ${frame.refusal.detail}`,
            frame.refusal,
          ),
        )
        return
      case "service":
        if (this.accepted === null || !this.welcomed)
          throw new UnreadableFrame("a service message came before the handshake was complete")
        this.handlers.service(this, frame.message)
        return
      case "alive":
        this.takenThere = Math.max(this.takenThere, frame.taken)
        return
      case "batch":
        if (this.accepted === null || !this.welcomed)
          throw new UnreadableFrame("messages came before the handshake was complete")
        this.takenThere = Math.max(this.takenThere, frame.taken)
        this.taken = Math.max(this.taken, frame.sent)
        this.handlers.items(this, frame.items)
        if (this.taken - this.told >= TELL_BYTES) this.alive()
    }
  }
}
