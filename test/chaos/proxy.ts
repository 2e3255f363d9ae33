/**
 * A TCP proxy for one ordered pair of peers: `from` dials it, and it dials `to`. Conditions belong to flows, the
 * directions between two nodes, whichever node dialled: a delay keeps the order, a limited rate keeps all bytes, and a
 * cut flow holds the bytes (and the end of a connection) until it is healed, as TCP does. To lose bytes, reset.
 */
import { connect, createServer, type Server, type Socket } from "node:net"
import { seeded } from "../disk.ts"

const random = seeded(1)

/** The condition of the bytes from one node to another. */
export interface Condition {
  readonly cut: boolean
  /** Milliseconds; each chunk takes from `delay` to `delay + jitter`, in order. */
  readonly delay: number
  readonly jitter: number
  /** Bytes per millisecond. */
  readonly rate: number
}
export const clear: Condition = { cut: false, delay: 0, jitter: 0, rate: Number.POSITIVE_INFINITY }

/** Of several at once, the worst of each. */
export const worst = (conditions: readonly Partial<Condition>[]): Condition =>
  conditions.reduce<Condition>(
    (so, one) => ({
      cut: so.cut || one.cut === true,
      delay: so.delay + (one.delay ?? 0),
      jitter: so.jitter + (one.jitter ?? 0),
      rate: Math.min(so.rate, one.rate ?? so.rate),
    }),
    clear,
  )

/** One direction between two nodes, over all connections. */
export class Flow {
  condition: Condition = clear
  bytes = 0
  private readonly listeners = new Set<() => void>()
  set(condition: Condition): void {
    this.condition = condition
    // Listeners added meanwhile have already seen the new condition.
    for (const changed of Array.from(this.listeners)) changed()
  }
  /** The returned function removes the listener. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }
}

/** How much the proxy holds before it stops reading: then the kernel's buffers fill, and the sender notices. */
const HELD_BYTES = 256 * 1024

type Parcel = { due: number; readonly bytes: Buffer } | { due: number; readonly end: "closed" | "reset" }

const pump = (source: Socket, target: Socket, flow: Flow): void => {
  const parcels: Parcel[] = []
  let held = 0
  let last = 0
  let timer: NodeJS.Timeout | null = null
  let full = false
  let over = false

  /** The arrival time of a parcel that is sent now. */
  const post = (size: number): number => {
    const { delay, jitter, rate } = flow.condition
    last = Math.max(last, performance.now() + delay + random() * jitter) + size / rate
    return last
  }
  const end = (how: "closed" | "reset"): void => {
    over = true
    parcels.length = 0
    forget()
    if (timer !== null) clearTimeout(timer)
    if (how === "reset") target.resetAndDestroy()
    else target.end()
  }
  const deliver = (): void => {
    if (timer !== null) clearTimeout(timer)
    timer = null
    if (over) return
    for (let parcel = parcels[0]; parcel !== undefined && !flow.condition.cut && !full; parcel = parcels[0]) {
      const wait = parcel.due - performance.now()
      if (wait > 0) {
        timer = setTimeout(deliver, Math.ceil(wait))
        break
      }
      parcels.shift()
      if ("end" in parcel) return end(parcel.end)
      held -= parcel.bytes.length
      flow.bytes += parcel.bytes.length
      full = !target.write(parcel.bytes)
    }
    if (held < HELD_BYTES && source.isPaused()) source.resume()
  }
  const finish = (how: "closed" | "reset"): void => {
    if (over || parcels.some((parcel) => "end" in parcel)) return
    parcels.push({ due: post(0), end: how })
    deliver()
  }
  const forget = flow.onChange(() => {
    // Held bytes travel as if they had been sent now, unless they would have arrived earlier.
    last = 0
    for (const parcel of parcels) {
      parcel.due = Math.min(parcel.due, post("bytes" in parcel ? parcel.bytes.length : 0))
      last = parcel.due
    }
    deliver()
  })
  target.on("drain", () => {
    full = false
    deliver()
  })
  target.on("close", () => {
    over = true
    forget()
    if (timer !== null) clearTimeout(timer)
    parcels.length = 0
    // Nobody takes the rest; reading on shows the end of the source.
    source.resume()
  })
  source.on("data", (bytes: Buffer) => {
    if (over) return
    held += bytes.length
    parcels.push({ due: post(bytes.length), bytes })
    if (held >= HELD_BYTES) source.pause()
    deliver()
  })
  source.on("end", () => finish("closed"))
  source.on("error", () => finish("reset"))
  source.on("close", () => finish("closed"))
}

export interface Proxy {
  readonly connections: () => number
  /** Every connection ends with a reset, at both ends. Held bytes are lost. */
  readonly reset: () => void
  readonly close: () => Promise<void>
}

/** `target`: the port of the node that is dialled. */
export const openProxy = async (port: number, target: () => number, there: Flow, back: Flow): Promise<Proxy> => {
  const sockets = new Set<Socket>()
  const keep = (socket: Socket): void => {
    sockets.add(socket)
    socket.once("close", () => sockets.delete(socket))
    // Told by the pump, once there is one.
    socket.on("error", () => undefined)
  }
  const join = (dialler: Socket): void => {
    const onward = connect({ port: target(), host: "127.0.0.1", noDelay: true, allowHalfOpen: true })
    keep(onward)
    const refused = (): void => void dialler.resetAndDestroy()
    onward.once("error", refused)
    onward.once("connect", () => {
      onward.off("error", refused)
      pump(dialler, onward, there)
      pump(onward, dialler, back)
    })
    dialler.once("close", () => {
      if (onward.connecting) onward.destroy()
    })
  }
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true }, (dialler) => {
    keep(dialler)
    // A connection is made only while packets pass both ways.
    const open = (): boolean => !there.condition.cut && !back.condition.cut
    if (open()) return join(dialler)
    const look = (): void => {
      if (!open()) return
      stop()
      if (!dialler.destroyed) join(dialler)
    }
    const forgetting = [there.onChange(look), back.onChange(look)]
    const stop = (): void => forgetting.forEach((forget) => forget())
    dialler.once("close", stop)
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(port, "127.0.0.1", resolve)
  })
  const reset = (): void => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  return {
    connections: () => sockets.size,
    reset,
    close: () => {
      reset()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
