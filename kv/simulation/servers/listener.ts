/**
 * The server as its clients see it, without sockets: the real connections with all their commands, one at each
 * simulated link.
 */
import type { Socket } from "node:net"
import { Faults } from "../../faults.ts"
import { Admission } from "../../server/limits/admission.ts"
import { Budget } from "../../server/limits/budget.ts"
import { KeyspaceCounter } from "../../server/keyspaceCounter.ts"
import { newClient, type ClientState } from "../../server/client.ts"
import { RespConnection } from "../../server/connection.ts"
import type { Shared } from "../../server/shared.ts"
import { newStats, type Host } from "../../server/contract.ts"
import { defaultLimits } from "../../server/limits/limits.ts"
import { LongReads } from "../../server/limits/longreads.ts"
import { Table } from "../../server/commands/table.ts"
import { Turns } from "../../server/limits/turns.ts"
import { Usage } from "../../server/usage.ts"
import type { Service } from "../../types.ts"
import { PORT } from "../endpoint.ts"
import type { Loop, LoopProcess } from "../../../interpreters/replica/world/index.ts"

export interface SimulatedListenerOptions {
  readonly loop: Loop
  readonly process: LoopProcess
  readonly service: Service
  readonly redirect: boolean
  readonly self: string
}
/** The client's end of a link, with the calls that the server makes. */
export interface ClientEnd {
  readonly replied: (bytes: Buffer) => void
  /** The server closes the link. */
  readonly closed: () => void
}

const table = new Table()
/** The memory that every simulated machine has. */
const memory = 1 << 30

/** The part of a socket that a connection uses. The simulated kernel accepts everything at once. */
class WireSocket {
  readonly writableLength = 0
  private readonly wire: ClientEnd
  constructor(wire: ClientEnd) {
    this.wire = wire
  }
  write(data: string | Uint8Array): boolean {
    this.wire.replied(typeof data === "string" ? Buffer.from(data, "latin1") : Buffer.from(data))
    return true
  }
  end(): void {
    this.wire.closed()
  }
  destroy(): void {
    this.wire.closed()
  }
  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}
}

export class SimulatedListener {
  private readonly shared: Shared
  private readonly open = new Set<RespConnection>()
  private readonly wires = new Set<ClientEnd>()
  private accepted = 0

  constructor({ loop, process, service, redirect, self }: SimulatedListenerOptions) {
    const stats = newStats()
    const { open } = this
    // Thrown in a later turn, so that no caller catches it on its way out of the world.
    const complain = (message: string): void =>
      loop.turn(process, () => {
        throw new Error(`the server of ${self} complains: ${message}`)
      })
    const faults = new Faults(complain)
    const host: Host = {
      service,
      limits: defaultLimits,
      redirect,
      table,
      stats,
      self,
      users: null,
      faults,
      budget: new Budget(memory),
      usage: new Usage(),
      census: new KeyspaceCounter(service.reader),
      port: () => PORT,
      *clients(): Iterable<ClientState> {
        for (const { client } of open) yield client
      },
      clientCount: () => open.size,
      netOutput: () => 0,
      named: () => {},
      kill: () => 0,
    }
    this.shared = {
      host,
      admission: new Admission(),
      // Work takes no time in these worlds.
      turns: new Turns(
        () => 0,
        (round) => loop.turn(process, round),
      ),
      longReads: new LongReads((begin) => loop.turn(process, begin)),
      dirty: (connection) => {
        if (connection.marked) return
        connection.marked = true
        loop.turn(process, () => {
          connection.marked = false
          connection.flush()
        })
      },
      log: complain,
      complain: (_, message) => complain(message),
    }
  }

  accept(wire: ClientEnd): RespConnection {
    const socket = new WireSocket(wire) as unknown as Socket
    const connection = new RespConnection(this.shared, newClient(++this.accepted, "client:1", "node:1", 0), socket)
    this.open.add(connection)
    this.wires.add(wire)
    return connection
  }
  close(connection: RespConnection, wire: ClientEnd): void {
    this.open.delete(connection)
    this.wires.delete(wire)
    connection.close()
  }
  /** The process has ended. */
  end(): void {
    for (const wire of this.wires) wire.closed()
    this.wires.clear()
    this.open.clear()
  }
}
