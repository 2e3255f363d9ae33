/**
 * A network in memory: the replicas of one process use the transport over ports, with ports that pass references
 * instead of copies. A cut link loses messages silently, as a real network does; the link goes down when nothing was
 * received for too long.
 */
import type { Ends, MessagePortLike, PortOptions, PortTransport } from "../port/index.ts"
import { makeExchange, makePortTransport } from "../port/index.ts"
import { nextTurn } from "../turns.ts"

export type NetworkAction =
  /** Cuts one direction, including messages in transit; the other direction stays as it is. */
  | { readonly type: "cut"; readonly from: string; readonly to: string }
  | { readonly type: "join"; readonly from: string; readonly to: string }
  /** Cuts the node off from all others. */
  | { readonly type: "isolate"; readonly node: string }
  /** Cuts the nodes of `side` off from all others. */
  | { readonly type: "partition"; readonly side: readonly string[] }
  /** Restores all links. */
  | { readonly type: "heal" }

export interface MemoryNetwork {
  /**
   * The transport of the node `self`, connected to all others in this network. Closing it removes the node, as the end
   * of its process would.
   */
  readonly join: (options: Omit<PortOptions, "lost">) => PortTransport
  readonly act: (action: NetworkAction) => void
}

class End implements MessagePortLike {
  private readonly passes: () => boolean
  private readonly listeners: { readonly type: string; readonly listener: (event: object) => void }[] = []
  /** Messages that arrived before `start`. */
  private waiting: object[] | null = []
  private closed = false
  private other: End | null = null

  constructor(passes: () => boolean) {
    this.passes = passes
  }
  link(other: End): void {
    this.other = other
  }
  postMessage(frame: unknown): void {
    this.toOther((other) => other.arrive("message", { data: frame }))
  }
  addEventListener(type: string, listener: (event: object) => void): void {
    this.listeners.push({ type, listener })
  }
  start(): void {
    const { waiting } = this
    this.waiting = null
    for (const event of waiting ?? []) nextTurn(() => this.arrive("message", event))
  }
  close(): void {
    if (this.closed) return
    this.closed = true
    this.toOther((other) => other.arrive("close", {}))
  }
  private toOther(what: (other: End) => void): void {
    const { other } = this
    if (other === null || !this.passes()) return
    nextTurn(() => {
      if (this.passes()) what(other)
    })
  }
  private arrive(type: string, event: object): void {
    if (this.closed) return
    if (this.waiting !== null && type === "message") this.waiting.push(event)
    else for (const each of this.listeners) if (each.type === type) each.listener(event)
    if (type === "close") this.closed = true
  }
}

export const makeMemoryNetwork = (): MemoryNetwork => {
  /** Every node that has ever joined. */
  const names = new Set<string>()
  /** The directions that are cut. */
  const cuts = new Set<string>()
  const way = (from: string, to: string): string => JSON.stringify([from, to])
  const isCut = (from: string, to: string): boolean => cuts.size > 0 && cuts.has(way(from, to))
  const exchange = makeExchange<MessagePortLike>((a, b): Ends<MessagePortLike> => {
    const port1 = new End(() => !isCut(a, b))
    const port2 = new End(() => !isCut(b, a))
    port1.link(port2)
    port2.link(port1)
    return { port1, port2 }
  })
  const cutWhere = (between: (from: string, to: string) => boolean): void => {
    for (const from of names) for (const to of names) if (from !== to && between(from, to)) cuts.add(way(from, to))
  }
  return {
    join: (options) => {
      const { name } = options.self
      const transport = makePortTransport({ ...options, lost: (peer) => exchange.renew(name, peer) })
      names.add(name)
      exchange.join(name, transport.connect)
      return {
        ...transport,
        close: () => {
          exchange.leave(name)
          transport.close()
        },
      }
    },
    act: (action) => {
      switch (action.type) {
        case "cut":
          cuts.add(way(action.from, action.to))
          return
        case "join":
          cuts.delete(way(action.from, action.to))
          return
        case "isolate":
          return cutWhere((from, to) => from === action.node || to === action.node)
        case "partition":
          return cutWhere((from, to) => action.side.includes(from) !== action.side.includes(to))
        case "heal":
          cuts.clear()
      }
    },
  }
}
