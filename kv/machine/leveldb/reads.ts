/** The read side: small reads at once, large ones in slices, each from the state after one entry. */
import { MAX_REPLY, TooLarge, replyTooLarge } from "../cost.ts"
import { type LevelDb, READ_BYTES, READ_COUNT, readItem, readValue } from "./database.ts"
import type { LogBase } from "../../../core/index.ts"
import { isSpec, perform, resolveCommand, toBuffers } from "../commands/execute.ts"
import {
  DATA,
  DEADLINE,
  dataFrom,
  deadlineKey,
  deadlineOfKey,
  decodeRecord,
  generationRange,
  placeIn,
  userKey,
} from "../layout.ts"
import { isDamage } from "./errors.ts"
import type { Overlay } from "./overlay.ts"
import { NO_VERSION, absentAfter } from "../removals.ts"
import { NULL, bulk, err, integer } from "../reply.ts"
import { ReadOnlyView, type RecordStore } from "../executor.ts"
import { type Scan, isScan, scanPlanOf, planRandom, randomPlace } from "../commands/scan.ts"
import { isShortage } from "./room.ts"
import { Slices } from "../slices.ts"
import { type Item, LAST_DEADLINE, type KeyspaceView } from "../commands/view.ts"
import type { Call, Keyspace, Reply } from "../../types.ts"

export const rebuildingReply = err("this node is being rebuilt from a peer; ask another node", "REBUILDING")

export const noRoomReply = err(
  "this node has no disk space to execute committed commands; it continues by itself once there is some. Ask another node",
  "LOADING",
)

/** MGET and EXISTS of more keys than this are executed in turns. */
const AT_ONCE = 64
/** An MGET of more bytes than this is executed in turns too. */
const BYTES_AT_ONCE = 1 << 20
/** A longer key takes a while to match with a pattern. */
const LONG = 512

const NOTHING = Buffer.alloc(0)

type Snapshot = ReturnType<LevelDb["snapshot"]>
type Stored = Pick<RecordStore, "get" | "value">
/** A state that stays as it is while a read takes several turns. */
interface Pinned {
  readonly snapshot: Snapshot
  readonly clock: number
  readonly generation: number
}

export class Reads {
  clock: number
  generation: number
  /** The last entry that reads see. */
  private index: number
  private readonly db: LevelDb
  /** The present content of LevelDB. */
  private readonly stored: Stored
  private readonly damaged: (thrown: unknown) => void
  /** What is executed and not written yet, on top of LevelDB's content. */
  private unwritten: Stored | null = null
  private size: { readonly writes: number; readonly reply: Reply } | null = null
  private writes = 0
  private written: Promise<void> = Promise.resolve()
  private wake: () => void = () => undefined
  private ended: Reply | null = null
  private readonly write: () => void
  /** `write`: asks for everything that is executed to be written. */
  constructor(
    db: LevelDb,
    { index, time }: LogBase,
    generation: number,
    damaged: (thrown: unknown) => void,
    write: () => void,
  ) {
    this.db = db
    this.stored = {
      get: (key) => readItem(db, this.generation, key),
      value: (key, item) => readValue(db, this.generation, key, item),
    }
    this.clock = time
    this.index = index
    this.generation = generation
    this.damaged = damaged
    this.write = write
  }

  /**
   * Entries were executed that are not written yet. Reads of a few keys see all of it in memory, so LevelDB may show
   * half of a batch meanwhile. Large reads ask for it to be written, and wait for `settled`.
   */
  show(overlay: Overlay, { index, time }: LogBase): void {
    this.clock = time
    this.index = index
    this.generation = overlay.generation
    this.writes++
    if (this.unwritten === null)
      this.written = new Promise((resolve) => {
        this.wake = resolve
      })
    this.unwritten = overlay
  }
  /** All of it is written: reads see the given position in LevelDB from now on. */
  settled({ index, time }: LogBase, generation: number): void {
    this.clock = time
    this.index = index
    this.generation = generation
    this.unwritten = null
    this.writes++
    this.wake()
  }
  /** The database is closed, or about to be: large reads that wait are given this reply. */
  end(reply: Reply): void {
    this.ended = reply
    this.wake()
  }
  private at({ snapshot, generation }: Pinned): Stored {
    const { db } = this
    const options = { snapshot }
    return {
      get: (key) => readItem(db, generation, key, options),
      value: (key, item) => readValue(db, generation, key, item, options),
    }
  }

  private guarded<A>(task: () => A, otherwise: A): A {
    try {
      return task()
    } catch (thrown) {
      return this.unread(thrown, otherwise)
    }
  }
  /** Reports what LevelDB has thrown. */
  private unread<A>(thrown: unknown, otherwise: A): A {
    if (isShortage(thrown)) return otherwise
    if (!isDamage(thrown)) throw thrown
    this.damaged(thrown)
    return otherwise
  }
  version(key: Uint8Array): number {
    const wanted = Buffer.from(key.buffer, key.byteOffset, key.byteLength)
    return this.guarded(
      () => new ReadOnlyView(this.clock, this.unwritten ?? this.stored).get(wanted)?.version ?? absentAfter(this.index),
      NO_VERSION,
    )
  }
  /** For an estimate nothing is pinned. */
  lengthOf(key: Uint8Array): number {
    const wanted = Buffer.from(key.buffer, key.byteOffset, key.byteLength)
    return this.guarded(() => (this.unwritten ?? this.stored).get(wanted)?.length ?? 0, 0)
  }
  /** `most`: bytes of values and keys in the reply; a larger reply is refused before it is made. */
  read(call: Call, most = MAX_REPLY): Reply | Promise<Reply> {
    const spec = resolveCommand(call)
    if (!isSpec(spec)) return spec
    if (spec.kind === "write") return err(`'${spec.name.toLowerCase()}' is a write: it goes through the log`)
    if (spec.name === "RANDOMKEY") return this.random(most)
    if (spec.scan) return this.scan(call, spec.name, most)
    if (spec.lastKey === -1 && call.length > AT_ONCE) return this.many(toBuffers(call), spec.name, most)
    if (spec.name === "MGET") return this.guarded(() => this.few(toBuffers(call), most), rebuildingReply)
    try {
      return perform(new ReadOnlyView(this.clock, this.unwritten ?? this.stored, most), spec, call)
    } catch (thrown) {
      return thrown instanceof TooLarge ? thrown.reply : this.unread(thrown, rebuildingReply)
    }
  }
  /** An MGET is executed at once, unless the values are large: seven values of 8 MB are no small read. */
  private few(args: readonly Buffer[], most: number): Reply | Promise<Reply> {
    const view = new ReadOnlyView(this.clock, this.unwritten ?? this.stored)
    const found = args.slice(1).map((key) => [key, view.get(key)] as const)
    const bytes = found.reduce((sum, [, item]) => sum + (item?.length ?? 0), 0)
    if (bytes > most) return replyTooLarge(bytes, most).reply
    if (bytes > BYTES_AT_ONCE) return this.many(args, "MGET", most)
    return {
      type: "array",
      items: found.map(([key, item]) => (item === undefined ? NULL : bulk(view.value(key, item)))),
    }
  }

  /**
   * Pins a state for a read that takes several turns. It waits until all that immediate reads see is written, so that
   * it sees that too.
   */
  private async pinned(most: number, task: (view: KeyspaceView, state: Pinned) => Promise<Reply>): Promise<Reply> {
    while (this.unwritten !== null && this.ended === null) {
      this.write()
      await this.written
    }
    if (this.ended !== null) return this.ended
    const { clock, generation } = this
    const state: Pinned = { snapshot: this.db.snapshot(), clock, generation }
    try {
      return await task(new ReadOnlyView(clock, this.at(state), most), state)
    } catch (thrown) {
      if (thrown instanceof TooLarge) return thrown.reply
      if (isShortage(thrown)) return noRoomReply
      if (!isDamage(thrown)) throw thrown
      this.damaged(thrown)
      return rebuildingReply
    } finally {
      await state.snapshot.close()
    }
  }
  /** Determines the size of the reply first, then reads the values. */
  private many(args: readonly Buffer[], name: string, most: number): Promise<Reply> {
    return this.pinned(most, async (view) => {
      const slices = new Slices()
      const found: (readonly [Buffer, Item] | null)[] = []
      let count = 0
      for (const key of args.slice(1)) {
        const item = view.get(key)
        if (item !== undefined) count++
        if (name === "MGET") {
          if (item !== undefined) view.answering(item.length)
          found.push(item === undefined ? null : [key, item])
        }
        if (slices.due()) await slices.giveWay()
      }
      if (name !== "MGET") return integer(count)
      const items: Reply[] = []
      for (const one of found) {
        items.push(one === null ? NULL : bulk(view.value(...one)))
        if (slices.due() || (one !== null && one[1].value === null && slices.overdue())) await slices.giveWay()
      }
      return { type: "array", items }
    })
  }
  private random(most: number): Promise<Reply> {
    return this.pinned(most, async (_, state) => {
      const found = await this.walk(planRandom(randomPlace()), state)
      return found.type === "null" ? this.walk(planRandom(0), state) : found
    })
  }
  async keyspace(): Promise<Keyspace | null> {
    let keys = 0
    let expires = 0
    let left = 0
    const reply = await this.pinned(Infinity, (_, state) => {
      const visit = (_key: Buffer, _place: number, live: boolean, expiry: number): boolean => {
        if (!live) return true
        keys++
        if (expiry === 0) return true
        expires++
        left += expiry - state.clock
        return true
      }
      return this.walk({ from: 0, visit, reply: () => integer(keys) }, state)
    })
    return reply.type === "integer"
      ? { keys, expires, averageTtl: expires === 0 ? 0 : Math.round(left / expires) }
      : null
  }
  private scan(call: Call, name: string, most: number): Reply | Promise<Reply> {
    if (name !== "DBSIZE") {
      let plan: Scan | Reply
      try {
        plan = scanPlanOf(call, most)
      } catch (thrown) {
        if (thrown instanceof TooLarge) return thrown.reply
        throw thrown
      }
      const scan = plan
      return isScan(scan) ? this.pinned(most, (_, state) => this.walk(scan, state)) : scan
    }
    // The result stays the same until something is written: so a client that polls it does not cause a count each time.
    const { writes } = this
    if (this.size?.writes === writes) return this.size.reply
    return this.pinned(most, async (_, state) => {
      const reply = integer(await this.count(state))
      if (this.writes === writes) this.size = { writes, reply }
      return reply
    })
  }
  /** All keys without their values, except expired ones that are still stored. */
  private async count(state: Pinned): Promise<number> {
    const { snapshot, clock, generation } = state
    const stored = this.at(state)
    const slices = new Slices()
    let count = 0
    const keys = this.db.keys<Buffer>({
      ...generationRange(DATA, generation),
      snapshot,
      highWaterMarkBytes: READ_BYTES,
    })
    try {
      for (let page = await keys.nextv(READ_COUNT); page.length > 0; page = await keys.nextv(READ_COUNT))
        count += page.length
    } finally {
      await keys.close()
    }
    const all = generationRange(DEADLINE, generation)
    const deadlines = this.db.keys<Buffer>({
      gte: all.gte,
      lt: clock >= LAST_DEADLINE ? all.lt : deadlineKey(generation, clock + 1, NOTHING),
      snapshot,
      highWaterMarkBytes: READ_BYTES,
    })
    try {
      for (let page = await deadlines.nextv(READ_COUNT); page.length > 0; page = await deadlines.nextv(READ_COUNT)) {
        for (const indexKey of page) {
          const { deadline, key } = deadlineOfKey(indexKey)
          if (stored.get(key)?.expiry === deadline) count--
          if (slices.due()) await slices.giveWay()
        }
      }
    } finally {
      await deadlines.close()
    }
    return count
  }
  private async walk(plan: Scan, { snapshot, clock, generation }: Pinned): Promise<Reply> {
    const { lt } = generationRange(DATA, generation)
    const iterator = this.db.iterator<Buffer, Buffer>({
      gte: dataFrom(generation, plan.from),
      lt,
      snapshot,
      highWaterMarkBytes: READ_BYTES,
    })
    const slices = new Slices()
    // A short scan must not fetch 500 records for ten keys.
    let count = 16
    try {
      for (;;) {
        const records = await iterator.nextv(count)
        if (records.length === 0) return plan.reply()
        for (const [key, record] of records) {
          const name = userKey(key)
          const { expiry } = decodeRecord(name, record)
          if (!plan.visit(name, placeIn(key), expiry === 0 || expiry > clock, expiry)) return plan.reply()
          // A long key takes long to match.
          if (slices.due() || (name.length > LONG && slices.overdue())) await slices.giveWay()
        }
        count = READ_COUNT
      }
    } finally {
      await iterator.close()
    }
  }
}
