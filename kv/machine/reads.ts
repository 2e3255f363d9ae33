/** The read side: small reads at once, large ones in slices, all of them from one state between two entries. */
import { type Level, READ_BYTES, READ_COUNT } from "./database.ts"
import { execute, isSpec, resolve, toBuffers } from "./execute.ts"
import { DATA, DEADLINE, dataKey, deadlineKey, deadlineOfKey, decodeRecord, generationRange, userKey } from "./layout.ts"
import { NULL, bulk, error, integer } from "./reply.ts"
import { readOnlyView } from "./replica.ts"
import { Cursors, type Scan, isScan, planOf, startsWith } from "./scan.ts"
import { Slices } from "./slices.ts"
import type { Item } from "./view.ts"
import type { Call, Reply } from "../types.ts"

export const rebuilding = error("this node is being rebuilt from a peer; ask another one", "REBUILDING")

/** MGET and EXISTS of more keys than this take turns. */
const AT_ONCE = 64

const NOTHING = Buffer.alloc(0)

type Snapshot = ReturnType<Level["snapshot"]>

export class Reads {
  clock: number
  generation: number
  private readonly db: Level
  private readonly damaged: (thrown: unknown) => void
  private readonly cursors = new Cursors()
  private frozen = false
  private before: Snapshot | null = null
  private size: { readonly writes: number; readonly reply: Reply } | null = null
  private writes = 0
  private thawed: Promise<void> = Promise.resolve()
  private wake: () => void = () => undefined
  constructor(db: Level, clock: number, generation: number, damaged: (thrown: unknown) => void) {
    this.db = db
    this.clock = clock
    this.generation = generation
    this.damaged = damaged
  }

  /**
   * A batch is on its way to LevelDB, which may show it at any moment from now on; reads of several keys must not see
   * half of it. The first one pins what there is, and all others until `thaw` read the same; large ones wait.
   */
  freeze(): void {
    this.frozen = true
    this.thawed = new Promise((resolve) => {
      this.wake = resolve
    })
  }
  /** The batch is in: reads see it, at its clock. */
  thaw(clock: number, generation: number): void {
    this.clock = clock
    this.generation = generation
    this.frozen = false
    this.writes++
    this.wake()
    const { before } = this
    this.before = null
    void before?.close()
  }
  private item(key: Buffer, snapshot: Snapshot | null): Item | undefined {
    const record = this.db.getSync(dataKey(this.generation, key), snapshot === null ? {} : { snapshot })
    return record === undefined ? undefined : decodeRecord(key, record)
  }
  private now(key: Buffer): Item | undefined {
    if (this.frozen) this.before ??= this.db.snapshot()
    return this.item(key, this.before)
  }

  private guarded<A>(task: () => A, otherwise: A): A {
    try {
      return task()
    } catch (thrown) {
      this.damaged(thrown)
      return otherwise
    }
  }
  version(key: Uint8Array): number {
    const wanted = Buffer.from(key.buffer, key.byteOffset, key.byteLength)
    return this.guarded(() => readOnlyView(this.clock, (k) => this.now(k)).get(wanted)?.version ?? 0, 0xffff_ffff_ffff)
  }
  read(call: Call): Reply | Promise<Reply> {
    const spec = resolve(call)
    if (!isSpec(spec)) return spec
    if (spec.kind === "write") return error(`'${spec.name.toLowerCase()}' is a write: it goes through the log`)
    if (spec.scan) return this.scan(call, spec.name)
    if (call.length > AT_ONCE && spec.lastKey === -1) return this.many(toBuffers(call), spec.name)
    return this.guarded(() => execute(readOnlyView(this.clock, (key) => this.now(key)), call), rebuilding)
  }

  /** A state of its own for a read that takes several turns: never one that reads at once do not see yet. */
  private async pinned(task: (get: (key: Buffer) => Item | undefined, snapshot: Snapshot) => Promise<Reply>): Promise<Reply> {
    while (this.frozen) await this.thawed
    const snapshot = this.db.snapshot()
    try {
      return await task(readOnlyView(this.clock, (key) => this.item(key, snapshot)).get, snapshot)
    } catch (thrown) {
      this.damaged(thrown)
      return rebuilding
    } finally {
      await snapshot.close()
    }
  }
  private many(args: readonly Buffer[], name: string): Promise<Reply> {
    return this.pinned(async (get) => {
      const slices = new Slices()
      const items: Reply[] = []
      let found = 0
      for (const key of args.slice(1)) {
        const item = get(key)
        if (item !== undefined) found++
        if (name === "MGET") items.push(item === undefined ? NULL : bulk(item.value))
        if (slices.due()) await slices.giveWay()
      }
      return name === "MGET" ? { type: "array", items } : integer(found)
    })
  }
  private scan(call: Call, name: string): Reply | Promise<Reply> {
    if (name !== "DBSIZE") {
      const plan = planOf(call, this.cursors)
      return isScan(plan) ? this.pinned((_, snapshot) => this.walk(plan, snapshot)) : plan
    }
    // The same until something is written: what polls it need not count every time.
    const { writes } = this
    if (this.size?.writes === writes) return this.size.reply
    return this.pinned(async (_, snapshot) => {
      const reply = integer(await this.count(snapshot))
      if (this.writes === writes) this.size = { writes, reply }
      return reply
    })
  }
  /** All keys, without their values, less those that have expired and are still there. */
  private async count(snapshot: Snapshot): Promise<number> {
    const { clock, generation } = this
    const slices = new Slices()
    let count = 0
    const keys = this.db.keys<Buffer>({ ...generationRange(DATA, generation), snapshot, highWaterMarkBytes: READ_BYTES })
    try {
      for (let page = await keys.nextv(READ_COUNT); page.length > 0; page = await keys.nextv(READ_COUNT)) count += page.length
    } finally {
      await keys.close()
    }
    const deadlines = this.db.keys<Buffer>({ gte: generationRange(DEADLINE, generation).gte, lt: deadlineKey(generation, clock + 1, NOTHING), snapshot, highWaterMarkBytes: READ_BYTES })
    try {
      for (let page = await deadlines.nextv(READ_COUNT); page.length > 0; page = await deadlines.nextv(READ_COUNT)) {
        for (const indexKey of page) {
          const { deadline, key } = deadlineOfKey(indexKey)
          if (this.item(key, snapshot)?.expiry === deadline) count--
          if (slices.due()) await slices.giveWay()
        }
      }
    } finally {
      await deadlines.close()
    }
    return count
  }
  private async walk(plan: Scan, snapshot: Snapshot): Promise<Reply> {
    const { clock, generation } = this
    const { lt } = generationRange(DATA, generation)
    const from = plan.after === null ? { gte: dataKey(generation, plan.from) } : { gt: dataKey(generation, plan.after) }
    const iterator = this.db.iterator<Buffer, Buffer>({ ...from, lt, snapshot, highWaterMarkBytes: READ_BYTES })
    const slices = new Slices()
    // A short scan must not fetch 500 records for the sake of ten.
    let count = 16
    try {
      for (;;) {
        const records = await iterator.nextv(count)
        if (records.length === 0) return plan.reply(true)
        for (const [key, record] of records) {
          const name = userKey(key)
          if (!startsWith(name, plan.prefix)) return plan.reply(true)
          const { expiry } = decodeRecord(name, record)
          if ((expiry === 0 || expiry > clock) && !plan.visit(name)) return plan.reply(false)
          if (slices.due()) await slices.giveWay()
        }
        count = READ_COUNT
      }
    } finally {
      await iterator.close()
    }
  }
}
