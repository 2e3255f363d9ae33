/**
 * A connection from a client to a node, in virtual time: bytes arrive in order but late, or the link breaks. Chance
 * decides which end notices that, and when. What was sent before the break may still have arrived, and been executed.
 */
import type { Random } from "../../interpreters/simulation/index.ts"
import type { NodeConnection as ClientConnection, ConnectionEvents } from "../client/connection.ts"
import type { Endpoint } from "../client/endpoints.ts"
import { makeDecoder } from "../client/resp.ts"
import type { RespConnection } from "../server/connection.ts"
import type { Alarm } from "../../interpreters/surroundings.ts"
import type { Reply } from "../types.ts"
import { client, type Loop } from "../../interpreters/replica/world/index.ts"
import type { Boot } from "./servers/boot.ts"
import type { ClientEnd } from "./servers/listener.ts"

/** The network between a client and the nodes. */
export interface ClientNetwork {
  /** One-way delay in milliseconds: least and most. */
  readonly hopMin: number
  readonly hopMax: number
  /** The chance that a message takes up to `slowMax` more, and all messages after it. */
  readonly slowPermille: number
  readonly slowMax: number
  /** The chance, for each request, that the link breaks. */
  readonly breakPermille: number
}
export const goodNetwork: ClientNetwork = { hopMin: 1, hopMax: 1, slowPermille: 0, slowMax: 0, breakPermille: 0 }

export interface LinkOptions {
  readonly loop: Loop
  readonly random: Random
  readonly network: () => ClientNetwork
  /** The running node, if it is up and this client can reach it. */
  readonly find: (name: string) => Boot | null
}

export class ClientLink implements ClientConnection {
  readonly endpoint: Endpoint
  private readonly options: LinkOptions
  private readonly events: ConnectionEvents
  private readonly limit: Alarm
  private readonly waiting: ((reply: Reply) => void)[] = []
  private readonly decoder = makeDecoder((reply) => {
    // Several replies come in one piece, and after any of them the client may have closed the connection.
    if (!this.over) this.waiting.shift()?.(reply)
  })
  /** Called once the node has been reached. */
  private boot: Boot | null = null
  private server: { readonly boot: Boot; readonly connection: RespConnection; readonly wire: ClientEnd } | null = null
  private lastByte: number
  /** Set if nothing more arrives in this direction. */
  private upCut = false
  private downCut = false
  private over = false
  /** When the last message of each direction arrives: no message overtakes another. */
  private upAt = 0
  private downAt = 0

  constructor(endpoint: Endpoint, connectTimeoutMs: number, events: ConnectionEvents, options: LinkOptions) {
    this.endpoint = endpoint
    this.events = events
    this.options = options
    this.lastByte = options.loop.now
    this.limit = options.loop.after(client, connectTimeoutMs, () => this.end("no connection in time"))
    this.up(() => this.arrive())
  }

  private delay(): number {
    const { random } = this.options
    const { hopMin, hopMax, slowPermille, slowMax } = this.options.network()
    return (
      random.between(hopMin, hopMax) + (slowPermille > 0 && random.chance(slowPermille) ? random.below(slowMax + 1) : 0)
    )
  }
  private up(run: () => void): void {
    const { loop } = this.options
    this.upAt = Math.max(this.upAt, loop.now + this.delay())
    loop.after(client, this.upAt - loop.now, () => {
      if (!this.upCut) run()
    })
  }
  private down(run: () => void): void {
    const { loop } = this.options
    this.downAt = Math.max(this.downAt, loop.now + this.delay())
    loop.after(client, this.downAt - loop.now, () => {
      if (!this.downCut) run()
    })
  }

  private arrive(): void {
    const { find, loop, random } = this.options
    const boot = find(this.endpoint.host)
    if (boot === null) {
      // A running host refuses the connection; a host that is down does not answer.
      if (random.chance(700)) this.down(() => this.end("refused"))
      return
    }
    // Even for a paused process, the kernel accepts the connection.
    this.down(() => {
      this.limit.cancel()
      this.lastByte = loop.now
      if (!this.over) this.events.up()
    })
    this.boot = boot
    loop.turn(boot, () => {
      const wire: ClientEnd = {
        replied: (bytes) => this.down(() => this.received(bytes)),
        closed: () => this.closing(),
      }
      this.server = { boot, connection: boot.door.accept(wire), wire }
    })
  }
  /**
   * The server's process has closed the connection, or has ended: a reset follows what was sent, unless the whole
   * machine is down.
   */
  private closing(): void {
    this.server = null
    if (this.options.random.chance(800)) this.down(() => this.end("closed"))
  }
  private received(bytes: Buffer): void {
    if (this.over) return
    const { loop, random } = this.options
    this.lastByte = loop.now
    this.decoder.feed(bytes)
    // This reply arrives, but none after it.
    if (random.chance(this.options.network().breakPermille >> 1)) {
      this.downCut = true
      loop.after(client, random.between(1, 20), () => this.end("reset"))
    }
  }
  private end(reason: string): void {
    if (this.over) return
    this.release()
    this.events.down(reason)
  }
  private release(): void {
    this.over = true
    this.downCut = true
    this.limit.cancel()
    this.up(() => this.hangUp())
  }
  private hangUp(): void {
    const { server } = this
    if (server === null) return
    this.server = null
    this.options.loop.turn(server.boot, () => server.boot.door.close(server.connection, server.wire))
  }

  private breaks(): void {
    const { loop, random } = this.options
    const how = random.below(4)
    // What is lost: the request; or its reply; or only what comes after it and the replies in transit.
    if (how < 2) this.upCut = true
    if (how === 1) this.downCut = true
    if (how === 2) this.downCut = true
    if (how === 3) {
      this.up(() => {
        this.upCut = true
      })
    }
    // Which end notices the break, and when; if neither does, only silence shows it.
    const later = random.between(1, 200)
    if (random.chance(600)) loop.after(client, later, () => this.end("reset"))
    if (random.chance(600)) loop.after(client, random.between(1, 400), () => this.hangUp())
  }

  readonly send = (request: Buffer, replied: (reply: Reply) => void): void => {
    const { loop, random } = this.options
    if (this.over) return
    if (this.waiting.length === 0) this.lastByte = loop.now
    this.waiting.push(replied)
    const breaks = random.chance(this.options.network().breakPermille)
    this.up(() => {
      if (this.boot !== null) loop.turn(this.boot, () => this.server?.connection.receive(request))
    })
    if (breaks) this.breaks()
  }
  readonly silentMs = (): number => (this.waiting.length === 0 ? 0 : this.options.loop.now - this.lastByte)
  readonly drop = (): void => {
    if (!this.over) this.release()
  }
}
