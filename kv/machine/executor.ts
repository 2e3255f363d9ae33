/**
 * How every replica executes the log: the deterministic part of the state machine, over any store. LevelDB and the
 * in-memory machine differ only below this layer.
 */
import type { Entry, LogBase } from "../../core/index.ts"
import { type Malformed, decodeCommand } from "./command.ts"
import {
  CALL_COST,
  INLINE,
  KEY_COST,
  CostMeter,
  TooLarge,
  checkKey,
  checkValue,
  refusable,
  replyTooLarge,
} from "./cost.ts"
import { executeCall, splitCall } from "./commands/execute.ts"
import { NULL, err, replySize } from "./reply.ts"
import { absentAfter, isAbsentVersion, Removals } from "./removals.ts"
import { MAX_KEPT_REPLY_BYTES, MAX_KEPT_REPLIES, MAX_OWNER, type Session, Sessions } from "./sessions.ts"
import type { Item, KeyspaceView } from "./commands/view.ts"
import type { Command, CommandListener, FlushListener, MachineOutcome, Reply, Watch } from "../types.ts"

export type { MachineOutcome } from "../types.ts"

/** Records as they are stored, with expired ones. Keys and values that are handed over are not changed afterwards. */
export interface RecordStore {
  readonly get: (key: Buffer) => Item | undefined
  /** Reads the value of an item that `get` returned, if it was not read yet. */
  readonly value: (key: Buffer, item: Item) => Buffer
  readonly put: (key: Buffer, item: Item) => void
  readonly delete: (key: Buffer) => void
  readonly clear: () => void
  /** From here on writes can be undone, until the next `begin`. */
  readonly begin: () => void
  readonly undo: () => void
}

const sessionExpired = err(
  "the session is unknown, closed or expired, or this is not its key; nothing was executed",
  "SESSIONEXPIRED",
)
const forgotten = err(
  "executed before; its reply is no longer kept: the client had reported that it arrived, or there was no space for it",
  "FORGOTTEN",
)
const keepsTooMany = err(
  `the session keeps ${MAX_KEPT_REPLIES} replies, or ${MAX_KEPT_REPLY_BYTES >> 20} MB of them, that it has not reported as arrived; nothing was executed. Raise 'lowest' to the first reply still awaited and send the same sequence again.`,
  "SESSIONFULL",
)
const internalError = err("internal error; nothing was executed. The log of the node says more.")
const outOfOrder = (expected: number): Reply =>
  err(`sequence ${expected} comes next; nothing was executed`, "OUTOFORDER")

type Execute = Command & { readonly type: "Execute" }
type Numbered = Execute | Malformed
type Steps = Generator<void, void>

/** Expired items are invisible, whether or not they have been removed. */
const live = (item: Item | undefined, now: number): Item | undefined =>
  item !== undefined && item.expiry !== 0 && item.expiry <= now ? undefined : item

/** Thrown by the store: not caused by a command, and not the same on every node. */
class StoreFailed {
  readonly thrown: unknown
  constructor(thrown: unknown) {
    this.thrown = thrown
  }
}

class StoreView implements KeyspaceView {
  now = 0
  index = 0
  readonly meter: CostMeter
  private readonly store: RecordStore
  private readonly removals: Removals
  flushing: FlushListener = () => undefined
  constructor(store: RecordStore, meter: CostMeter, removals: Removals) {
    this.store = store
    this.meter = meter
    this.removals = removals
  }
  get(key: Buffer): Item | undefined {
    const { meter } = this
    meter.charge(KEY_COST)
    let item: Item | undefined
    try {
      item = live(this.store.get(key), this.now)
    } catch (thrown) {
      throw new StoreFailed(thrown)
    }
    // The value was read together with the item.
    if (item !== undefined && item.length <= INLINE) meter.charge(item.length)
    return item
  }
  value(key: Buffer, item: Item): Buffer {
    if (item.length > INLINE) this.meter.charge(item.length)
    try {
      return this.store.value(key, item)
    } catch (thrown) {
      throw new StoreFailed(thrown)
    }
  }
  answering(bytes: number): void {
    this.meter.charge(bytes)
  }
  charge(cost: number): void {
    this.meter.charge(cost)
  }
  put(key: Buffer, value: Buffer, expiry: number): void {
    checkValue(value.length)
    this.meter.charge(KEY_COST + key.length + value.length)
    if (expiry !== 0) this.removals.note(key, this.index)
    this.store.put(key, { length: value.length, value, crc: 0, version: this.index, expiry })
  }
  touch(key: Buffer, item: Item, expiry: number): void {
    this.meter.charge(KEY_COST + key.length + Math.min(item.length, INLINE))
    if (expiry !== 0) this.removals.note(key, this.index)
    this.store.put(key, { length: item.length, value: item.value, crc: item.crc, version: this.index, expiry })
  }
  delete(key: Buffer): void {
    this.meter.charge(KEY_COST + key.length)
    this.removals.note(key, this.index)
    this.store.delete(key)
  }
  clear(): void {
    this.meter.charge(KEY_COST)
    this.flushing((watch) => this.stillAbsent(watch), absentAfter(this.index))
    this.removals.noteAll(this.index)
    this.store.clear()
  }
  /** Only this node does this, so nothing is charged. */
  private stillAbsent(watch: Watch): boolean {
    const key = Buffer.from(watch.key)
    try {
      return (
        isAbsentVersion(watch.version) &&
        live(this.store.get(key), this.now) === undefined &&
        this.removals.fits(key, watch.version)
      )
    } catch (thrown) {
      throw new StoreFailed(thrown)
    }
  }
}

export class KvExecutor {
  base: LogBase
  readonly sessions: Sessions
  readonly removals: Removals
  /** Entries whose bytes are no command; no caller waits for an answer to them. */
  malformed = 0
  private readonly view: StoreView
  private readonly store: RecordStore
  private readonly internal: (thrown: unknown) => void
  /** Called with commands of nodes before they are executed. */
  private readonly executing: CommandListener["executing"]
  /** The cost of reads beside the execution: they happen on this node alone, so they count towards no limit. */
  private aside = 0
  /** `internal` is called with each exception that ended a command. */
  constructor(
    store: RecordStore,
    base: LogBase,
    sessions: Sessions,
    internal: (thrown: unknown) => void = () => undefined,
    meter = new CostMeter(),
    removals = new Removals(),
    executing?: CommandListener["executing"],
  ) {
    this.base = base
    this.sessions = sessions
    this.removals = removals
    this.store = store
    this.view = new StoreView(store, meter, removals)
    this.internal = internal
    this.executing = executing
  }

  /** Called with each FLUSHALL, on this node alone: it changes nothing here. */
  onFlush(listener: FlushListener): void {
    this.view.flushing = listener
  }
  /** The cost of everything executed since the last call. */
  takeCost(): number {
    const { aside } = this
    this.aside = 0
    return this.view.meter.take() + aside
  }

  /** Executes the entry after `base`. Throws only what the store throws. */
  apply(entry: Entry, out: MachineOutcome[]): void {
    const steps = this.start(entry, out)
    if (steps !== null) while (steps.next().done !== true);
  }
  /**
   * The same; but if the entry holds several calls, or one over many keys, returns the steps that execute it. Nothing
   * else may be executed before these steps end.
   */
  start(entry: Entry, out: MachineOutcome[]): Steps | null {
    const time = Math.max(this.base.time, entry.time)
    const configuration = entry.kind === "configuration" ? entry.configuration : this.base.configuration
    this.base = { index: entry.index, term: entry.term, time, chain: entry.chain, configuration }
    this.view.now = time
    this.view.index = entry.index
    this.view.meter.begin()
    this.sessions.sweep(time)
    return entry.kind === "command" ? this.command(decodeCommand(entry.payload.bytes), out) : null
  }

  private command(command: Command | Malformed, out: MachineOutcome[]): Steps | null {
    switch (command.type) {
      case "Tick":
        return null
      case "OpenSession": {
        const { owner, secret } = command
        // Correct nodes let none of these into the log.
        if (owner.length > MAX_OWNER) {
          this.malformed++
          return null
        }
        out.push({
          type: "opened",
          owner,
          secret,
          session: this.sessions.open(this.view.index, owner, secret, this.view.now),
        })
        return null
      }
      case "CloseSession": {
        const { index, term } = this.base
        const { session, secret } = command
        const ended = this.sessions.enter(session, secret, this.view.now) !== undefined
        if (ended) this.sessions.end(session)
        out.push({ type: "closed", index, term, session, secret, ended })
        return null
      }
      case "Malformed":
        this.malformed++
        if (command.session === 0) return null
        break
      case "Execute":
        break
    }
    return this.once(command, out)
  }

  /** The contract of Execute, in kv/types.ts. */
  private once(command: Numbered, out: MachineOutcome[]): Steps | null {
    const { sequence } = command
    const session = this.sessions.enter(command.session, command.secret, this.view.now)
    if (session === undefined) return this.tell(out, command, sessionExpired, false)
    this.sessions.touch(session, command.lowest, this.view.now)
    if (sequence <= session.last) return this.tell(out, command, session.replies.get(sequence) ?? forgotten, true)
    if (sequence !== session.last + 1) return this.tell(out, command, outOfOrder(session.last + 1), false)
    if (this.sessions.full(session)) return this.tell(out, command, keepsTooMany, false)
    if (command.secret === null) this.aboutTo(command)
    if (command.type === "Execute" && isLong(command)) return this.several(session, command, out)
    const reply =
      command.type === "Malformed" ? err(`the command's bytes are malformed: ${command.detail}`) : this.alone(command)
    this.sessions.executed(session, reply)
    return this.tell(out, command, reply, true)
  }
  /**
   * A connection that waits for this command reads just before it. The read changes nothing; an error in it is not the
   * command's.
   */
  private aboutTo(command: Numbered): void {
    const take = this.executing?.(command)
    if (take === undefined) return
    const {
      store,
      view: { now },
    } = this
    let failed: StoreFailed | null = null
    const asked = <A>(task: () => A): A => {
      try {
        return task()
      } catch (thrown) {
        failed = new StoreFailed(thrown)
        throw thrown
      }
    }
    take((call, most) => {
      const reply = refusable(() =>
        executeCall(
          new ReadOnlyView(
            now,
            { get: (key) => asked(() => store.get(key)), value: (key, item) => asked(() => store.value(key, item)) },
            most,
          ),
          call,
        ),
      )
      this.aside += KEY_COST + replySize(reply)
      return reply
    })
    if (failed !== null) throw (failed as StoreFailed).thrown
  }
  private tell(out: MachineOutcome[], { session, secret, sequence }: Numbered, reply: Reply, executed: boolean): null {
    const { index, term } = this.base
    out.push({ type: "replied", index, term, session, secret, sequence, reply, executed })
    return null
  }

  private alone(command: Execute): Reply {
    try {
      if (this.changed(command)) return NULL
      const [call] = command.calls
      if (call === undefined) return { type: "array", items: [] }
      const reply = executeCall(this.view, call)
      return command.exec ? { type: "array", items: [reply] } : reply
    } catch (thrown) {
      return this.undone(thrown)
    }
  }
  private *several(session: Session, command: Execute, out: MachineOutcome[]): Steps {
    let reply: Reply
    try {
      reply = NULL
      if (!this.changed(command)) {
        const items: Reply[] = []
        for (const call of command.calls) {
          const parts = splitCall(call)
          if (parts === null) items.push(executeCall(this.view, call))
          else {
            const replies: Reply[] = []
            for (const part of parts.calls) {
              replies.push(executeCall(this.view, part))
              yield
            }
            items.push(parts.join(replies))
          }
          yield
        }
        const [first] = items
        reply = command.exec || items.length > 1 || first === undefined ? { type: "array", items } : first
      }
    } catch (thrown) {
      reply = this.undone(thrown)
    }
    this.sessions.executed(session, reply)
    this.tell(out, command, reply, true)
  }
  /** True if a watched key has another version. */
  private changed({ watches, calls }: Execute): boolean {
    const { removals, view } = this
    this.store.begin()
    removals.begin()
    view.meter.charge(calls.length * CALL_COST)
    return watches.some((watch) => {
      const key = Buffer.from(watch.key.buffer, watch.key.byteOffset, watch.key.byteLength)
      checkKey(key.length)
      const item = view.get(key)
      return item === undefined ? !removals.fits(key, watch.version) : item.version !== watch.version
    })
  }
  /** All or nothing: if an entry costs too much, or ends in an exception, its only effect is its answer. */
  private undone(thrown: unknown): Reply {
    if (thrown instanceof StoreFailed) throw thrown.thrown
    if (isNodesOwn(thrown)) throw thrown
    this.store.undo()
    this.removals.undo()
    if (thrown instanceof TooLarge) return thrown.reply
    this.internal(thrown)
    return internalError
  }
}

/** Whether the entry is executed in steps. */
const isLong = ({ calls }: Execute): boolean => calls.length > 1 || (calls[0]?.length ?? 0) > LONG_CALL
const LONG_CALL = 64

/** Handlers are pure and bounded, so every node gets the same exception, except for lack of memory or stack. */
const isNodesOwn = (thrown: unknown): boolean => thrown instanceof RangeError && !("code" in thrown)

/**
 * A view for reads, at a given time. `most`: the bytes that a reply may have; a larger reply is refused before any
 * value beyond that is read.
 */
export class ReadOnlyView implements KeyspaceView {
  readonly now: number
  /** A read writes nothing, so it has no index in the log. */
  readonly index = 0
  private readonly store: Pick<RecordStore, "get" | "value">
  private readonly most: number
  private answered = 0
  constructor(now: number, store: Pick<RecordStore, "get" | "value">, most = Infinity) {
    this.now = now
    this.store = store
    this.most = most
  }
  get(key: Buffer): Item | undefined {
    return live(this.store.get(key), this.now)
  }
  value(key: Buffer, item: Item): Buffer {
    return this.store.value(key, item)
  }
  answering(bytes: number): void {
    this.answered += bytes
    if (this.answered > this.most) throw replyTooLarge(this.answered, this.most)
  }
  charge(): void {
    // A read costs only this node.
  }
  put(): never {
    return this.clear()
  }
  touch(): never {
    return this.clear()
  }
  delete(): never {
    return this.clear()
  }
  clear(): never {
    throw new Error("a read tried to write")
  }
}
/** Calls the listener, in log order, with the outcomes of commands. */
export const notifyListener = (listener: CommandListener | null, outcomes: readonly MachineOutcome[]): void => {
  if (listener === null) return
  for (const outcome of outcomes) {
    if (outcome.type === "replied") listener.replied(outcome)
    else if (outcome.type === "opened") listener.opened(outcome)
    else listener.closed(outcome)
  }
}
