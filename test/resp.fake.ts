/** A Service in memory for tests of the server: one log, executed in order after delays that the test chooses. */
import { glob } from "../kv/machine/commands/glob.ts"
import { refusable } from "../kv/machine/cost.ts"
import { executeCall } from "../kv/machine/commands/execute.ts"
import type { Item, KeyspaceView } from "../kv/machine/commands/view.ts"
import type { Call, NodeStatus, Reply, Service, Watch } from "../kv/types.ts"

export interface FakeOptions {
  /**
   * Turns of the event loop until the next command is executed, one at a time; without it everything that waits is
   * executed in the next turn.
   */
  readonly delay?: () => number
  /** The answer to the nth write (from 0) instead of executing it; null: the real answer. */
  readonly verdict?: (write: number) => Reply | null
  /** The refusal of the nth barrier. */
  readonly refuse?: (barrier: number) => Reply | null
  /** Whether a long read answers later. */
  readonly slow?: (read: number) => boolean
  readonly id?: string
  readonly leader?: { readonly id: string; readonly host: string; readonly port: number } | null
}

export interface Fake extends Service {
  readonly counts: { writes: number; barriers: number; reads: number; readonly sessions: string[] }
  /** Every call executed, in order. */
  readonly executed: string[]
  readonly direct: (call: Call) => Reply
}

interface Forming {
  begun: boolean
  open: boolean
  refusal: Reply | null
  readonly opened: ((refusal: Reply | null) => void)[]
}

const text = (call: Call): string => call.map((word) => Buffer.from(word).toString("latin1")).join(" ")

export const makeFake = (options: FakeOptions = {}): Fake => {
  const items = new Map<string, Item>()
  const keyed = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1")
  let index = 0
  const view: KeyspaceView = {
    now: 1,
    get index() {
      return index
    },
    get: (key) => items.get(keyed(key)),
    value: (_, item) => item.value ?? Buffer.alloc(0),
    answering: () => undefined,
    charge: () => undefined,
    put: (key, value, expiry) =>
      void items.set(keyed(key), { value: Buffer.from(value), length: value.length, crc: 0, version: index, expiry }),
    touch: (key, item, expiry) => void items.set(keyed(key), { ...item, version: index, expiry }),
    delete: (key) => void items.delete(keyed(key)),
    clear: () => items.clear(),
  }
  const counts = { writes: 0, barriers: 0, reads: 0, sessions: new Array<string>() }
  const executed: string[] = []
  const keep = options.delay !== undefined
  const direct = (call: Call): Reply => {
    const name = keyed(call[0] ?? Buffer.alloc(0)).toUpperCase()
    if (name === "DBSIZE") return { type: "integer", value: items.size }
    if (name === "KEYS") {
      const matches = glob(call[1] ?? Buffer.alloc(0))
      return {
        type: "array",
        items: [...items.keys()]
          .filter((key) => matches(Buffer.from(key, "latin1")))
          .sort()
          .map((key) => ({ type: "bulk", bytes: Buffer.from(key, "latin1") })),
      }
    }
    return refusable(() => executeCall(view, call))
  }
  /** Executes one task after the other, later. */
  const lane = (): ((task: () => void) => void) => {
    const waiting: (() => void)[] = []
    let running = false
    const schedule = (): void => {
      running = waiting.length > 0
      if (!running) return
      let left = options.delay?.() ?? 0
      const turn = (): void => {
        if (left-- > 0) setImmediate(turn)
        else {
          for (const task of waiting.splice(0, options.delay === undefined ? waiting.length : 1)) task()
          schedule()
        }
      }
      setImmediate(turn)
    }
    return (task) => {
      waiting.push(task)
      if (!running) schedule()
    }
  }
  const later = lane()
  // Barriers do not wait for outstanding writes: the connection must do that.
  const atBarrier = lane()
  let forming: Forming | null = null
  const apply = (calls: readonly Call[], exec: boolean, watches: readonly Watch[]): Reply => {
    index++
    if (watches.some(({ key, version }) => (items.get(keyed(key))?.version ?? 0) !== version)) return { type: "null" }
    if (keep) executed.push(...calls.map(text))
    if (!exec) return direct(calls[0] ?? [])
    return { type: "array", items: calls.map(direct) }
  }
  const read = (call: Call): Reply => {
    counts.reads++
    if (keep) executed.push(text(call))
    return direct(call)
  }
  const write: Service["write"] = (calls, exec, watches, done, before) => {
    const verdict = options.verdict?.(counts.writes) ?? null
    counts.writes++
    later(() => {
      if (verdict === null) before?.(read)
      done(verdict ?? apply(calls, exec, watches))
    })
  }
  const leader = options.leader === undefined ? { id: "n1", host: "127.0.0.1", port: 7001 } : options.leader
  const id = options.id ?? "n1"
  return {
    counts,
    executed,
    direct,
    write,
    writeInSession: (session, sequence, lowest, calls, exec, watches, done) => {
      counts.sessions.push(`${session.id}/${sequence}/${lowest}`)
      if (session.id !== 7) later(() => done({ type: "error", code: "SESSIONEXPIRED", text: "open another" }))
      else write(calls, exec, watches, done)
    },
    openSession: (_, done) => later(() => done({ type: "bulk", bytes: Buffer.from(`7-${"ab".repeat(16)}`) })),
    closeSession: (_, done) => later(() => done({ type: "simple", text: "OK" })),
    // As in the service: reads of one turn share a barrier.
    barrier: (opened) => {
      if (forming === null) {
        const barrier: Forming = { begun: false, open: false, refusal: null, opened: [] }
        forming = barrier
        setImmediate(() => {
          forming = null
          barrier.begun = true
          barrier.refusal = options.refuse?.(counts.barriers) ?? null
          counts.barriers++
          atBarrier(() => {
            barrier.open = true
            for (const one of barrier.opened) one(barrier.refusal)
          })
        })
      }
      forming.opened.push(opened)
      return forming
    },
    reader: {
      read: (call) => {
        const long = ["KEYS", "DBSIZE"].includes(keyed(call[0] ?? Buffer.alloc(0)).toUpperCase())
        if (!long || options.slow?.(counts.reads + 1) !== true) return read(call)
        counts.reads++
        if (keep) executed.push(text(call))
        return new Promise((resolve) => {
          setImmediate(() => resolve(direct(call)))
        })
      },
      keyspace: () =>
        Promise.resolve({
          keys: items.size,
          expires: [...items.values()].filter(({ expiry }) => expiry !== 0).length,
          averageTtl: 0,
        }),
      version: (key) => items.get(keyed(key))?.version ?? 0,
      now: () => 1,
    },
    status: (): NodeStatus => ({
      id,
      incarnation: "a1",
      cluster: "c1",
      pid: process.pid,
      version: "0.1.0",
      features: { level: 1, highest: 1, heldBy: null },
      role: id === leader?.id ? "leader" : "follower",
      term: 3,
      leader: leader?.id ?? null,
      lastIndex: index,
      commitIndex: index,
      applied: index,
      snapshotIndex: 0,
      logBytes: 0,
      client: "127.0.0.1:7001",
      peer: "127.0.0.1:8001",
      http: null,
      health: "ok",
      loading: false,
      uptimeMs: 1000,
      lastContactMs: null,
      clockOffsetMs: 3,
      counters: {},
      details: null,
      peers: [
        {
          id: "n2",
          peer: "127.0.0.1:8002",
          client: "127.0.0.1:7002",
          connected: true,
          matchIndex: 1,
          lag: 0,
          lastContactMs: 1,
          clockOffsetMs: -5,
          version: "0.1.0",
          highestLevel: 1,
          problem: null,
        },
      ],
    }),
    leader: () => leader,
  }
}
