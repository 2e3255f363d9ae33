/**
 * The simplest state machine: any immutable value in memory. Its disk outlives it: a crash returns it to the state that
 * was last made durable, and the log executes the rest again.
 */
import { emptyConfiguration, type Index, type LogBase, type SnapshotRef, type Stamp, type Term } from "../core/index.ts"
import type { StateMachine, StateMachineHandlers } from "../interpreters/contract.ts"
import { crc32 } from "../interpreters/payload.ts"

/** The index of a command in the log. `time` is the replicated clock: the same on every replica. */
export interface Placed {
  readonly index: Index
  readonly term: Term
  readonly time: Stamp
}
export interface MemoryMachineOptions<S> {
  readonly initial: S
  /**
   * The state after a command: a new value, or the same one; the given state is not changed. It depends on the
   * arguments only.
   */
  readonly apply: (state: S, command: Uint8Array, at: Placed) => S
  /** A snapshot holds the whole state at once: meant for small states. */
  readonly encode: (state: S) => Uint8Array
  readonly decode: (bytes: Uint8Array) => S
  /** What one message carries of a snapshot. Default 64 kB. */
  readonly chunkBytes?: number
}
export interface MemoryMachine<S> extends StateMachine {
  readonly state: () => S
}
export interface MachineDisk<S> {
  /** A start of the node. */
  readonly open: () => MemoryMachine<S>
  /** The process dies now: what was executed since the state was last made durable is lost ("none"), or kept. */
  readonly crash: (keep?: "none" | "all") => void
  /** As it is now. */
  readonly state: () => S
}

/** The received bytes are not a whole snapshot of such a machine. The earlier state stays. */
export class SnapshotUnusable extends Error {
  override readonly name = "SnapshotUnusable"
  constructor(id: string, found: string) {
    super(`snapshot ${id} cannot be used: ${found}. The earlier state stays; ask for a new snapshot`)
  }
}

interface At<S> {
  readonly base: LogBase
  readonly state: S
}
interface Incoming {
  readonly id: string
  readonly chunks: Uint8Array[]
  length: number
  complete: boolean
}

const joined = (chunks: readonly Uint8Array[], length: number): Uint8Array => {
  const out = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    out.set(chunk, at)
    at += chunk.length
  }
  return out
}
const HEAD = 4
const sealed = (bytes: Uint8Array): Uint8Array => {
  const out = new Uint8Array(HEAD + bytes.length)
  new DataView(out.buffer).setUint32(0, crc32(bytes))
  out.set(bytes, HEAD)
  return out
}
const unsealed = (bytes: Uint8Array): Uint8Array | null => {
  if (bytes.length < HEAD) return null
  const body = bytes.subarray(HEAD)
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) === crc32(body) ? body : null
}

let disks = 0
export const makeMachineDisk = <S>(options: MemoryMachineOptions<S>): MachineDisk<S> => {
  const { apply, encode, decode, chunkBytes = 65_536 } = options
  let durable: At<S> = {
    base: { index: 0, term: 0, time: 0, chain: 0, configuration: emptyConfiguration },
    state: options.initial,
  }
  let now = durable
  let life = 0
  /** No other machine of this kind uses this in its ids. */
  const own = ++disks
  let images = 0

  const open = (): MemoryMachine<S> => {
    const mine = ++life
    let handlers: StateMachineHandlers | null = null
    let incoming: Incoming | null = null
    return {
      state: () => now.state,
      position: () => now.base,
      attach: (given) => {
        handlers = given
      },
      apply: (entries) =>
        queueMicrotask(() => {
          if (life !== mine) return
          try {
            for (const entry of entries) {
              const { index, term, time, chain } = entry
              if (index !== now.base.index + 1)
                throw new RangeError(`entry ${index} was handed over where ${now.base.index + 1} is next`)
              const state =
                entry.kind === "command" ? apply(now.state, entry.payload.bytes, { index, term, time }) : now.state
              now = {
                base: {
                  index,
                  term,
                  time,
                  chain,
                  configuration: entry.kind === "configuration" ? entry.configuration : now.base.configuration,
                },
                state,
              }
            }
          } catch (error) {
            handlers?.failed(error instanceof Error ? error : new Error(String(error)))
            return
          }
          handlers?.applied(now.base.index)
        }),
      takeSnapshot: () => {
        durable = now
        return Promise.resolve(durable.base)
      },
      openSnapshot: () => {
        const { base, state } = now
        const bytes = sealed(encode(state))
        const snapshot: SnapshotRef = { ...base, id: `${own}.${++images}` }
        return Promise.resolve({
          snapshot,
          read: (offset: number) =>
            Promise.resolve({
              bytes: bytes.slice(offset, offset + chunkBytes),
              last: offset + chunkBytes >= bytes.length,
            }),
          close: () => Promise.resolve(),
        })
      },
      storeChunk: ({ id }, offset, bytes, last) => {
        if (offset === 0) incoming = { id, chunks: [], length: 0, complete: false }
        if (incoming === null || incoming.id !== id) return Promise.resolve(0)
        if (offset === incoming.length && !incoming.complete) {
          incoming.chunks.push(bytes)
          incoming.length += bytes.length
          incoming.complete = last
        }
        return Promise.resolve(incoming.length)
      },
      restore: ({ id, ...base }) => {
        const held = incoming
        incoming = null
        if (held === null || held.id !== id || !held.complete)
          return Promise.reject(new SnapshotUnusable(id, "it is not all here"))
        const body = unsealed(joined(held.chunks, held.length))
        if (body === null) return Promise.reject(new SnapshotUnusable(id, "its checksum does not fit its bytes"))
        try {
          now = { base, state: decode(body) }
        } catch (error) {
          return Promise.reject(new SnapshotUnusable(id, error instanceof Error ? error.message : String(error)))
        }
        durable = now
        return Promise.resolve()
      },
    }
  }
  return {
    open,
    state: () => now.state,
    crash: (keep = "none") => {
      life += 1
      if (keep === "none") now = durable
      else durable = now
    },
  }
}
