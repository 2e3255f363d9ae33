/**
 * The same state machine without a disk, for simulations and models: the same execution on a Map. Every step can be
 * called synchronously (`applyNow`, `imageNow`, `restoreNow`) or through the contract, where it completes a microtask
 * later.
 */
import { origin, type Entry, type LogBase, type SnapshotRef } from "../../core/index.ts"
import type { SnapshotImage, StateMachine, StateMachineHandlers } from "../../interpreters/contract.ts"
import { imageDigest, ImageReader, ImageWriter, sessionsForImage } from "./image.ts"
import { MAX_REPLY, refusable } from "./cost.ts"
import { encodeRecord } from "./layout.ts"
import { absentAfter, Removals } from "./removals.ts"
import { type MachineOutcome, KvExecutor, type RecordStore, notifyListener, ReadOnlyView } from "./executor.ts"
import { placeOf } from "./place.ts"
import { type Scan, isScan, scanPlanOf, planRandom, randomPlace } from "./commands/scan.ts"
import { executeCall, isSpec, resolveCommand } from "./commands/execute.ts"
import { err } from "./reply.ts"
import { DEFAULT_IDLE, type ReplyState, Sessions } from "./sessions.ts"
import type { Item } from "./commands/view.ts"
import type { Call, CommandListener, Keyspace, StateReader, Reply } from "../types.ts"

/** In memory every item holds its value. */
const valueOf = (item: Item): Buffer => item.value ?? Buffer.alloc(0)

interface Placed {
  readonly name: string
  readonly place: number
}
/** How to undo one step. */
type Undo =
  | { readonly name: string; readonly before: Item | undefined }
  | { readonly name: null; readonly all: Map<string, Item>; readonly earliest: number }

class MapStore implements RecordStore {
  items: Map<string, Item>
  /** No item expires before this. */
  earliest = Infinity
  private sorted: readonly Placed[] | null = null
  private undos: Undo[] = []
  constructor(items: Map<string, Item> = new Map()) {
    this.items = items
    for (const item of items.values()) this.note(item)
  }
  private note(item: Item): void {
    if (item.expiry !== 0 && item.expiry < this.earliest) this.earliest = item.expiry
  }
  get(key: Buffer): Item | undefined {
    return this.items.get(key.toString("latin1"))
  }
  value(_: Buffer, item: Item): Buffer {
    return valueOf(item)
  }
  put(key: Buffer, item: Item): void {
    const name = key.toString("latin1")
    const before = this.items.get(name)
    this.undos.push({ name, before })
    if (before === undefined) this.sorted = null
    this.items.set(name, item)
    this.note(item)
  }
  delete(key: Buffer): void {
    const name = key.toString("latin1")
    const before = this.items.get(name)
    if (before === undefined) return
    this.undos.push({ name, before })
    this.items.delete(name)
    this.sorted = null
  }
  clear(): void {
    this.undos.push({ name: null, all: this.items, earliest: this.earliest })
    this.items = new Map()
    this.sorted = null
    this.earliest = Infinity
  }
  begin(): void {
    if (this.undos.length > 0) this.undos = []
  }
  undo(): void {
    this.sorted = null
    for (let undo = this.undos.pop(); undo !== undefined; undo = this.undos.pop()) {
      if (undo.name === null) {
        this.items = undo.all
        this.earliest = undo.earliest
      } else if (undo.before === undefined) this.items.delete(undo.name)
      else this.items.set(undo.name, undo.before)
    }
  }
  /** In LevelDB's order. Latin-1 order is byte order. */
  keys(): readonly Placed[] {
    this.sorted ??= Array.from(this.items.keys(), (name) => ({
      name,
      place: placeOf(Buffer.from(name, "latin1")),
    })).sort((a, b) => a.place - b.place || (a.name < b.name ? -1 : 1))
    return this.sorted
  }
  sweep(now: number): void {
    if (this.earliest > now) return
    this.earliest = Infinity
    for (const [key, item] of this.items) {
      if (item.expiry !== 0 && item.expiry <= now) {
        this.items.delete(key)
        this.sorted = null
      } else this.note(item)
    }
  }
}

const copyOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export class MemoryMachine implements StateMachine, StateReader {
  private store: MapStore
  private executor: KvExecutor
  private handlers: StateMachineHandlers | null = null
  private listener: CommandListener | null = null
  private incoming: { readonly id: string; readonly chunks: Buffer[]; length: number; complete: boolean } | null = null
  private images = 0
  constructor(
    idle: number = DEFAULT_IDLE,
    from?: {
      readonly base: LogBase
      readonly sessions: Sessions
      readonly removals: Removals
      readonly items: Map<string, Item>
    },
  ) {
    this.store = new MapStore(from?.items)
    this.executor = this.executorAt(from?.base ?? origin, from?.sessions ?? new Sessions(idle), from?.removals)
  }
  private executorAt(base: LogBase, sessions: Sessions, removals?: Removals): KvExecutor {
    return new KvExecutor(this.store, base, sessions, undefined, undefined, removals, (command) =>
      this.listener?.executing?.(command),
    )
  }
  /** An empty machine that has executed everything through `base`. */
  static at(base: LogBase, idle: number = DEFAULT_IDLE): MemoryMachine {
    return new MemoryMachine(idle, { base, sessions: new Sessions(idle), removals: new Removals(), items: new Map() })
  }
  /** An independent machine; values are shared, because they are never changed. */
  clone(): MemoryMachine {
    const { base, removals, sessions } = this.executor
    return new MemoryMachine(sessions.idle, {
      base,
      sessions: sessions.clone(),
      removals: new Removals(removals.all()),
      items: new Map(this.store.items),
    })
  }

  // ------------------------------------------------------------------------------------------- at once

  /** Executes the entries that were not executed yet, and tells the listener. */
  applyNow(entries: readonly Entry[]): readonly MachineOutcome[] {
    const out: MachineOutcome[] = []
    for (const entry of entries) {
      if (entry.index <= this.executor.base.index) continue
      if (entry.index !== this.executor.base.index + 1)
        throw new Error(`entry ${entry.index} handed over at position ${this.executor.base.index}`)
      this.executor.apply(entry, out)
      this.store.sweep(this.executor.base.time)
    }
    this.executor.sessions.shown()
    this.executor.sessions.written()
    this.executor.removals.written()
    notifyListener(this.listener, out)
    return out
  }
  imageNow(): Buffer {
    const { base, removals, sessions } = this.executor
    const writer = new ImageWriter()
    writer.begin(base)
    writer.removals(removals.all())
    for (const session of sessionsForImage(sessions, base.time)) writer.session(session)
    for (const { name } of this.store.keys()) {
      const item = this.store.items.get(name)
      if (item === undefined || (item.expiry !== 0 && item.expiry <= base.time)) continue
      const key = Buffer.from(name, "latin1")
      writer.data(key, encodeRecord(key, item, valueOf(item)))
    }
    writer.end()
    return writer.take()
  }
  /** Throws, and changes nothing, unless the image is complete. */
  restoreNow(image: Iterable<Buffer>): void {
    const items = new Map<string, Item>()
    const found: ReturnType<typeof sessionsForImage> = []
    let base: LogBase | null = null
    let removals = new Removals()
    const reader = new ImageReader()
    for (const chunk of image) {
      for (const record of reader.push(chunk)) {
        if (record.type === "header") base = record.base
        else if (record.type === "session") found.push(record.session)
        else if (record.type === "removals") removals = new Removals(record.removals)
        else items.set(record.key.toString("latin1"), record.item)
      }
    }
    if (base === null || !reader.complete()) throw new Error("the image ends early")
    const sessions = new Sessions(this.executor.sessions.idle)
    for (const session of found.sort((a, b) => a.active - b.active || a.id - b.id)) sessions.load(session)
    this.store = new MapStore(items)
    this.executor = this.executorAt(base, sessions, removals)
    this.listener?.restored()
  }
  digest(): string {
    return imageDigest([this.imageNow()])
  }

  // ------------------------------------------------------------------------------------------ contract

  position(): LogBase {
    return this.executor.base
  }
  attach(handlers: StateMachineHandlers): void {
    this.handlers = handlers
  }
  listen(listener: CommandListener): void {
    this.listener = listener
  }
  apply(entries: readonly Entry[]): void {
    queueMicrotask(() => {
      this.applyNow(entries)
      this.handlers?.applied(this.executor.base.index)
    })
  }
  takeSnapshot(): Promise<LogBase> {
    return Promise.resolve(this.executor.base)
  }
  openSnapshot(): Promise<SnapshotImage> {
    const bytes = this.imageNow()
    const { base } = this.executor
    this.images++
    const snapshot: SnapshotRef = { ...base, id: `m${base.index}.${this.images}` }
    const size = 64 << 10
    const read = (offset: number): Promise<{ readonly bytes: Uint8Array; readonly last: boolean }> =>
      Promise.resolve({ bytes: bytes.subarray(offset, offset + size), last: offset + size >= bytes.length })
    return Promise.resolve({ snapshot, read, close: () => Promise.resolve() })
  }
  storeChunk(snapshot: SnapshotRef, offset: number, bytes: Uint8Array, last: boolean): Promise<number> {
    if (offset === 0) this.incoming = { id: snapshot.id, chunks: [], length: 0, complete: false }
    const { incoming } = this
    if (incoming === null || incoming.id !== snapshot.id) return Promise.resolve(0)
    if (offset === incoming.length) {
      incoming.chunks.push(copyOf(bytes))
      incoming.length += bytes.length
      incoming.complete = last
    }
    return Promise.resolve(incoming.length)
  }
  restore(snapshot: SnapshotRef): Promise<void> {
    const { incoming } = this
    if (incoming === null || incoming.id !== snapshot.id || !incoming.complete)
      return Promise.reject(new Error(`snapshot ${snapshot.id} is not complete`))
    this.incoming = null
    return new Promise((resolve) => {
      this.restoreNow(incoming.chunks)
      resolve()
    })
  }

  // --------------------------------------------------------------------------------------------- reads

  read(call: Call, most = MAX_REPLY): Reply {
    const spec = resolveCommand(call)
    if (!isSpec(spec)) return spec
    if (spec.kind === "write") return err(`'${spec.name.toLowerCase()}' is a write: it goes through the log`)
    const view = new ReadOnlyView(this.now(), this.store, most)
    if (!spec.scan) return refusable(() => executeCall(view, call))
    const walk = (plan: Scan): Reply => {
      for (const { name, place } of this.store.keys()) {
        if (place < plan.from) continue
        const key = Buffer.from(name, "latin1")
        const item = view.get(key)
        if (!plan.visit(key, place, item !== undefined, item?.expiry ?? 0)) break
      }
      return plan.reply()
    }
    return refusable(() => {
      if (spec.name === "RANDOMKEY") {
        const found = walk(planRandom(randomPlace()))
        return found.type === "null" ? walk(planRandom(0)) : found
      }
      const plan = scanPlanOf(call, most)
      return isScan(plan) ? walk(plan) : plan
    })
  }
  keyspace(): Promise<Keyspace> {
    const now = this.now()
    const live = [...this.store.items.values()].filter(({ expiry }) => expiry === 0 || expiry > now)
    const ending = live.filter(({ expiry }) => expiry !== 0)
    return Promise.resolve({
      keys: live.length,
      expires: ending.length,
      averageTtl:
        ending.length === 0 ? 0 : Math.round(ending.reduce((sum, { expiry }) => sum + expiry - now, 0) / ending.length),
    })
  }
  version(key: Uint8Array): number {
    return new ReadOnlyView(this.now(), this.store).get(copyOf(key))?.version ?? absentAfter(this.executor.base.index)
  }
  now(): number {
    return this.executor.base.time
  }
  replyOf(session: number, secret: Uint8Array | null, sequence: number): ReplyState {
    return this.executor.sessions.replyOf(session, secret, sequence, this.now())
  }
  earliestDeadline(): number | null {
    return this.store.earliest === Infinity ? null : this.store.earliest
  }
}
