/** One socket: preamble, hello, frames, and one clear reason when it ends. It knows nothing of links and peers. */
import type { Socket } from "node:net"
import type { Member } from "../../core/index.ts"
import { MalformedBytes, ByteWriter } from "../bytes.ts"
import type { Refusal } from "../hello.ts"
import {
  brokenStream,
  connectFailed,
  connectionLost,
  foreignPeer,
  handshakeRefused,
  helloTimeout,
  notSecured,
  type LinkError,
} from "./errors.ts"
import { FrameParser, type ArrivingFrame } from "./frame.ts"
import {
  agreedOn,
  HELLO_LIMIT,
  PREAMBLE,
  readHandshake,
  readPreamble,
  untrusted,
  wrongAnswer,
  writeHello,
  writePreamble,
  writeRefused,
  wrongVersion,
  type Greeting,
  type PeerHello,
  type KeepAliveFrame,
} from "./handshake.ts"
import type { DialledSocket } from "./socket.ts"

export interface ConnectionHandlers {
  /** The other end has sent its hello, or a new one. */
  readonly hello: (connection: Connection, hello: PeerHello) => void
  /** A keep-alive, or the echo of one. */
  readonly sign: (connection: Connection, sign: KeepAliveFrame) => void
  /** The body of a message, which must be read before returning. Throw MalformedBytes to close the connection. */
  readonly message: (connection: Connection, buffer: Buffer, from: number, to: number) => void
  /** Called once, whichever end closed it. */
  readonly closed: (connection: Connection, error: LinkError) => void
}
export interface ConnectionLimits {
  readonly frameBytes: number
  readonly connectMs: number
  readonly helloMs: number
}

/** How long a refused connection lingers so that the refusal arrives: a reset could overtake it. */
const LINGER_MS = 1000

export class Connection {
  readonly socket: Socket
  /** The name of the peer that was dialled; null if the other end dialled. */
  readonly expected: string | null
  readonly remote: string
  /** The name in the other end's certificate; null: TLS is not used. */
  certified: string | null = null
  hello: PeerHello | null = null
  /** The hello, once it was accepted. */
  accepted: PeerHello | null = null
  /** The version that both ends speak; 0 before the other's preamble. */
  protocol = 0
  /** Our preamble and hello were sent. */
  greeted = false
  lastReceived = 0
  private closed = false
  private connected: boolean
  private preamble: Buffer | null = Buffer.alloc(0)
  private readonly parser: FrameParser
  private timer: NodeJS.Timeout
  private readonly self: Member
  private readonly handlers: ConnectionHandlers
  private readonly limits: ConnectionLimits

  /** `local` is called for the hello once a dialled socket is connected. */
  constructor(
    wire: DialledSocket,
    expected: string | null,
    remote: string,
    self: Member,
    local: () => Greeting,
    limits: ConnectionLimits,
    handlers: ConnectionHandlers,
  ) {
    const { socket } = wire
    this.socket = socket
    this.expected = expected
    this.remote = remote
    this.self = self
    this.handlers = handlers
    this.limits = limits
    this.connected = expected === null
    this.parser = new FrameParser(HELLO_LIMIT, (buffer, from, to) => this.frame(buffer, from, to))
    let reached = false
    const helloTimer = (): NodeJS.Timeout =>
      setTimeout(() => this.fail(helloTimeout(remote, limits.helloMs)), limits.helloMs)
    if (expected === null) {
      this.timer = helloTimer()
      this.believe(wire)
    } else {
      this.timer = setTimeout(() => this.fail(connectFailed(remote, "no answer")), limits.connectMs)
      socket.once("connect", () => (reached = true))
      socket.once(wire.up, () => {
        if (this.closed) return
        this.connected = true
        clearTimeout(this.timer)
        this.timer = helloTimer()
        if (this.believe(wire)) this.greet(expected, local())
      })
    }
    socket.on("data", (chunk: Buffer) => this.data(chunk))
    // "end" as well as "close": while this side has unsent bytes, "close" would wait for a peer that is gone.
    socket.on("end", () =>
      this.fail(connectionLost(remote, this.hello === null ? "closed before a hello" : "closed by the other end")),
    )
    socket.on("error", (error: NodeJS.ErrnoException) => {
      const code = error.code ?? error.message
      if (expected === null || this.connected) this.fail(connectionLost(remote, code))
      else
        this.fail(reached && wire.up === "secureConnect" ? notSecured(remote, true, code) : connectFailed(remote, code))
    })
    socket.on("close", () => this.fail(connectionLost(remote, "closed")))
  }

  get isClosed(): boolean {
    return this.closed
  }
  /** Of a partly received message: the bytes received, and its size. */
  get arriving(): ArrivingFrame | null {
    return this.parser.arriving
  }

  /** Whether the other end may be heard at all; if not, it has been told why. */
  private believe(wire: DialledSocket): boolean {
    const flaw = wire.flaw()
    if (flaw === null) this.certified = wire.certified()
    // Whoever answers in the place of a member is told nothing, and its refusals are nobody's.
    if (flaw !== null) this.refuse(untrusted(this.self, flaw))
    else if (this.expected !== null && this.certified !== null && this.certified !== this.expected)
      this.refuse(wrongAnswer(this.self, this.expected, this.certified))
    return !this.closed
  }

  /** Sends preamble and hello the first time, a new hello afterwards. */
  greet(target: string, local: Greeting): void {
    if (this.closed) return
    const w = new ByteWriter(512)
    if (!this.greeted) writePreamble(w)
    this.greeted = true
    writeHello(w, this.self, target, local)
    this.socket.write(w.take())
  }

  /** Ends the connection at once. */
  fail(error: LinkError): void {
    if (this.closed) return
    this.shut()
    this.socket.destroy()
    this.handlers.closed(this, error)
  }

  /** Tells the other end why, then closes it. */
  refuse(refusal: Refusal): void {
    if (this.closed) return
    this.shut()
    const w = new ByteWriter(512)
    if (!this.greeted) writePreamble(w)
    writeRefused(w, refusal)
    this.socket.end(w.take())
    // Further input is read and discarded until the other end closes: closing with unread bytes would send a reset.
    this.timer = setTimeout(() => this.socket.destroy(), LINGER_MS)
    this.socket.once("end", () => this.socket.destroy())
    this.socket.once("close", () => clearTimeout(this.timer))
    this.handlers.closed(this, handshakeRefused(this.remote, refusal, "self"))
  }

  /** The node stops: bytes handed to `send` before may still be sent; nothing is reported any more. */
  end(): void {
    if (!this.closed) this.shut()
    if (this.socket.writableLength === 0) this.socket.destroy()
    else {
      this.socket.destroySoon()
      this.timer = setTimeout(() => this.socket.destroy(), LINGER_MS)
      this.socket.once("close", () => clearTimeout(this.timer))
    }
  }

  private shut(): void {
    this.closed = true
    clearTimeout(this.timer)
    this.parser.stop()
  }

  private data(chunk: Buffer): void {
    if (this.closed) return
    this.lastReceived = performance.now()
    try {
      const rest = this.preamble === null ? chunk : this.begin(this.preamble, chunk)
      if (rest !== null) this.parser.push(rest)
    } catch (error) {
      if (!(error instanceof MalformedBytes)) throw error
      this.fail(brokenStream(this.remote, error.message))
    }
  }

  /** Checks the preamble as it arrives, byte by byte if necessary; returns what follows it, or null. */
  private begin(before: Buffer, chunk: Buffer): Buffer | null {
    const all = Buffer.concat([before, chunk])
    const read = readPreamble(all)
    if (read === null) this.preamble = all
    else if (read === "foreign") this.fail(foreignPeer(this.remote, this.expected !== null, all))
    else {
      const protocol = agreedOn(read)
      if (protocol === null) {
        this.refuse(wrongVersion(this.self, read))
        return null
      }
      this.protocol = protocol
      this.preamble = null
      return all.subarray(PREAMBLE)
    }
    return null
  }

  private frame(buffer: Buffer, from: number, to: number): void {
    const handshake = readHandshake(buffer, from, to)
    if (handshake === null || handshake.type === "Alive" || handshake.type === "Echo") {
      if (this.hello === null) throw new MalformedBytes("a message arrived before the hello")
      if (handshake === null) this.handlers.message(this, buffer, from, to)
      else this.handlers.sign(this, handshake)
      return
    }
    if (handshake.type === "Refused") {
      this.fail(handshakeRefused(this.remote, handshake.refusal, "peer"))
      return
    }
    const hello = handshake.hello
    const known = this.hello
    if (
      known !== null &&
      (known.member.name !== hello.member.name || known.member.incarnation !== hello.member.incarnation)
    )
      throw new MalformedBytes(`${known.member.name} became ${hello.member.name} on an open connection`)
    this.hello = hello
    this.parser.limit = this.limits.frameBytes
    clearTimeout(this.timer)
    this.handlers.hello(this, hello)
  }
}
