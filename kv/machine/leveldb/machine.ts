/**
 * The replicated key-value store on LevelDB. Entries are executed in memory, and written a few milliseconds later: data,
 * sessions and position in one atomic LevelDB batch. So whatever a crash leaves is the state after some entry, and
 * nothing is executed twice.
 *
 * What is on disk and what is promised:
 * - A batch is written without fsync, and later than its entries are answered: they are durable in the log. A crash may
 *   lose the last batches; then the position goes back too, and the log applies them again. Only `takeSnapshot` makes a
 *   position durable.
 * - While entries are being executed nothing of them is visible: not to reads, not to replyOf, not to the listener. Then
 *   all of it is visible: to small reads in memory; large ones wait until it is written.
 * - Any damage ends service: position() is null until `restore` has succeeded.
 */
import { randomBytes } from "node:crypto"
import { origin, type Entry, type LogBase, type SnapshotRef } from "../../../core/index.ts"
import type { SnapshotImage, StateMachineHandlers } from "../../../interpreters/contract.ts"
import type { KvMachine, MachineStats, Scrubbed } from "../contract.ts"
import { execute, isFull, nothingUnwritten, prepare } from "./batch.ts"
import { type Live, Tally, liveOf } from "./live.ts"
import {
  type DatabaseContents,
  type LevelDb,
  dataBytesOf,
  dropMarkers,
  clearSome,
  makeDurable,
  readContents,
  reopen,
} from "./database.ts"
import { type Directories, isGone, watchGone } from "./directories.ts"
import {
  MachineDamaged,
  MachineGone,
  MachineUnusable,
  SnapshotInvalid,
  damageOf,
  isDamage,
  isRefusal,
  reason,
} from "./errors.ts"
import { scrubTables } from "./files.ts"
import { CommandFaults } from "../commandFaults.ts"
import { sessionsForImage } from "../image.ts"
import { Receiving } from "./receiving.ts"
import type { StateIdentity } from "../layout.ts"
import { imageOf } from "./outgoing.ts"
import { noRoomReply, rebuildingReply } from "./reads.ts"
import { NO_VERSION } from "../removals.ts"
import { type MachineOutcome, notifyListener } from "../executor.ts"
import { type ReplyState, Sessions } from "../sessions.ts"
import { isShortage, onceThereIsRoom } from "./room.ts"
import { SerialTasks } from "../slices.ts"
import type { Call, CommandListener, FlushListener, Keyspace, Reply } from "../../types.ts"

/** What became of a step: it is done, its database was opened anew without the latest entries, or nothing more is executed. */
type Step = "done" | "again" | "stopped"

export class LevelMachine implements KvMachine {
  private live: Live | null = null
  /** The current database, even when it is damaged: it must be closed before its directory is removed. */
  private opened: LevelDb | null = null
  private damage: MachineDamaged | null = null
  private stopped = false
  private readonly stopping = new AbortController()
  /** Why it waits, if it cannot write; set until everything that was visible before is visible again. */
  private short: string | null = null
  /** The last entry whose effect may have been visible. */
  private shown = 0
  private handlers: StateMachineHandlers | null = null
  private listener: CommandListener | null = null
  private flushing: FlushListener = () => undefined
  private readonly receiving: Receiving
  /** Executed, and visible. */
  private base: LogBase = origin
  private begins = 0
  /** As it is written. */
  generation = 0
  /** As it is written: there may be large values in this generation. */
  large = false
  /** Writes what was executed, after a while. */
  private later: NodeJS.Timeout | null = null
  /** One of executing and writing at a time; a snapshot that is pinned between two of them is the state after an entry. */
  private readonly writes = new SerialTasks()
  /** One of takeSnapshot, storeChunk and restore at a time. */
  private readonly upkeep = new SerialTasks()
  private readonly images = new Set<SnapshotImage>()
  private imageCount = 0
  /** Images of an earlier start are gone: their ids must not be used again. */
  private readonly bootId = randomBytes(4).toString("hex")
  private readonly tally = new Tally()
  private readonly faults: CommandFaults
  private readonly unwatch: () => void
  private readonly report: (text: string) => void
  private readonly directories: Directories
  private readonly identity: StateIdentity
  private readonly idle: number
  private readonly writeAfter: number
  constructor(
    directories: Directories,
    identity: StateIdentity,
    idle: number,
    found: { readonly name: string; readonly contents: DatabaseContents } | MachineDamaged,
    report: (text: string) => void,
    writeAfter: number,
  ) {
    this.report = report
    this.faults = new CommandFaults(report)
    this.writeAfter = writeAfter
    this.directories = directories
    this.receiving = new Receiving(directories)
    this.identity = identity
    this.idle = idle
    if (found instanceof MachineDamaged) this.damage = found
    else this.become(found.name, found.contents)
    this.unwatch = watchGone(
      () => this.live?.db.location ?? null,
      () => this.fail("find its files", new Error("they are gone")),
    )
  }

  private become(name: string, contents: DatabaseContents): void {
    const { db, position } = contents
    const live: Live = liveOf(name, contents, {
      internal: this.faults.tell,
      executing: (command) => this.listener?.executing?.(command),
      harmed: (thrown) => this.harm(thrown, live),
      write: () => void this.writes.run(() => this.advance([], true)),
    })
    live.executor.onFlush((fits, version) => this.flushing(fits, version))
    this.live = live
    this.opened = db
    this.damage = null
    this.base = position.base
    this.begins = contents.begins
    this.generation = position.generation
    this.large = position.large
    void this.reclaim(live)
  }

  position(): LogBase | null {
    return this.live === null && this.short === null ? null : this.base
  }
  beginsAt(): number {
    return this.begins
  }
  attach(handlers: StateMachineHandlers): void {
    this.handlers = handlers
  }
  listen(listener: CommandListener): void {
    this.listener = listener
  }
  onFlush(listener: FlushListener): void {
    this.flushing = listener
  }

  /** From here on nothing is served. The files are kept for inspection, until a restore. */
  private harm(thrown: unknown, where: Live): void {
    if (this.live !== where || this.stopped) return
    this.injure(where.db.location, thrown)
  }
  private injure(directory: string, thrown: unknown): void {
    this.drop(rebuildingReply)
    this.damage = damageOf(directory, thrown)
    this.handlers?.damaged(this.damage)
  }
  /** `reply`: to reads that wait until something is written. */
  private drop(reply: Reply): void {
    this.live?.reads.end(reply)
    this.live = null
  }
  private fail(action: string, cause: unknown): void {
    if (this.stopped) return
    this.stopped = true
    this.stopping.abort()
    this.drop(rebuildingReply)
    const directory = this.directories.root
    const gone = this.opened !== null && isGone(this.opened.location)
    this.handlers?.failed(gone ? new MachineGone({ directory }) : new MachineUnusable({ directory, action, cause }))
  }

  // -------------------------------------------------------------------------------------------- apply

  apply(entries: readonly Entry[]): void {
    void this.writes.run(async () => {
      if (await this.advance(entries, this.writeAfter === 0)) this.handlers?.applied(this.base.index)
    })
  }

  /**
   * Executes entries, and writes what was executed if it is much, or if `all` is to be written. False: nothing more is
   * executed. Expensive entries are divided into batches: none takes long, and none takes much memory.
   */
  private async advance(entries: readonly Entry[], all: boolean): Promise<boolean> {
    let left = entries
    let done = 0
    for (;;) {
      const { live } = this
      if (live === null) return false
      const { unwritten } = live
      const write = unwritten.entries.length > 0 && (isFull(unwritten) || this.short !== null || this.isOverdue(live))
      let step: Step
      if (write || (all && done >= left.length && unwritten.entries.length > 0)) step = await this.write(live)
      else if (done < left.length) {
        const outcomes: MachineOutcome[] = []
        try {
          done = await execute(live, left, done, outcomes)
          step = this.live === live ? "done" : "stopped"
        } catch (thrown) {
          step = await this.failed("apply", live, thrown)
        }
        if (step === "done") this.show(live, outcomes)
      } else {
        if (unwritten.entries.length > 0) this.writeLater()
        else this.endShortage()
        return true
      }
      if (step === "stopped") return false
      if (step === "again") {
        const last = unwritten.entries.at(-1)?.index ?? 0
        left = [...unwritten.entries, ...left.slice(done).filter(({ index }) => index > last)]
        done = 0
      }
      if (done < left.length) this.handlers?.progress?.()
    }
  }
  /** Keys have expired: writing removes them, and finds the next deadline. */
  private isOverdue({ unwritten, executor }: Live): boolean {
    return unwritten.overlay.earliest <= executor.base.time
  }
  /** What was executed becomes visible. Its entries are durable in the log, so the replies are final. */
  private show(live: Live, outcomes: readonly MachineOutcome[]): void {
    const { unwritten, executor } = live
    unwritten.overlay.absorb(live.overlay)
    live.reads.show(unwritten.overlay, executor.base)
    executor.sessions.shown()
    this.base = executor.base
    this.shown = Math.max(this.shown, executor.base.index)
    notifyListener(this.listener, outcomes)
  }
  private writeLater(): void {
    this.later ??= setTimeout(() => {
      this.later = null
      void this.writes.run(() => this.advance([], true))
    }, this.writeAfter)
  }
  private async write(live: Live): Promise<Step> {
    const { unwritten, executor } = live
    let prepared
    let began: number
    try {
      prepared = await prepare(live, this)
      began = performance.now()
      await prepared.batch.write()
    } catch (thrown) {
      return this.failed("write a batch", live, thrown)
    }
    this.tally.wrote(prepared, performance.now() - began)
    if (this.live !== live) return "stopped"
    this.large = prepared.large
    const { generation } = unwritten.overlay
    live.unwritten = nothingUnwritten(live.db, generation, prepared.earliest)
    live.reads.settled(executor.base, generation)
    executor.sessions.written()
    executor.removals.written()
    this.endShortage()
    if (this.generation !== generation) {
      this.generation = generation
      void this.reclaim(live)
    }
    return "done"
  }
  /** What was visible before is written, so it can be shown again. */
  private endShortage(): void {
    if (this.short === null || this.base.index < this.shown) return
    this.short = null
    this.report("the state machine has space again and continues")
  }
  private async failed(action: string, live: Live, thrown: unknown): Promise<Step> {
    if (this.live !== live) return "stopped"
    if (isShortage(thrown)) return this.waitForRoom(live, thrown)
    if (isDamage(thrown)) this.harm(thrown, live)
    else this.fail(action, thrown)
    return "stopped"
  }

  /**
   * The disk is full, or the process has no descriptors left. That is neither damage nor a reason to stop, because the
   * log keeps what is to be executed. LevelDB accepts no more writes once one has failed, so it is closed, and opened
   * again when there is space; then the batches that reached the disk are there, and the rest is executed again.
   */
  private async waitForRoom(live: Live, thrown: unknown): Promise<Step> {
    const known = this.short !== null
    this.short = `the state machine cannot write: ${reason(thrown)}. Nothing is lost: it continues by itself, from its log, once there is space`
    if (!known) this.report(this.short)
    this.drop(noRoomReply)
    try {
      await this.shut()
    } catch (closing) {
      this.fail("close the database", closing)
      return "stopped"
    }
    try {
      const opened = await onceThereIsRoom(
        this.directories.root,
        this.stopping.signal,
        () => this.handlers?.progress?.(),
        () => reopen(this.directories.path(live.name), this.identity, this.idle),
      )
      if (opened === null) return "stopped"
      this.become(live.name, opened)
      return "again"
    } catch (again) {
      if (isDamage(again) && !isRefusal(again)) this.injure(live.db.location, again)
      else this.fail("open the database again", again)
      return "stopped"
    }
  }

  /** Records of flushed generations are removed little by little, between the batches. */
  private async reclaim(live: Live): Promise<void> {
    const some = (): boolean | Promise<boolean> => this.live === live && clearSome(live.db, this.generation)
    try {
      while (await this.writes.run(some));
    } catch (thrown) {
      // Nothing can be removed while there is no space: the next opening tries again.
      if (isShortage(thrown) || this.live !== live) return
      if (isDamage(thrown)) this.harm(thrown, live)
      else this.fail("remove what was flushed", thrown)
    }
  }

  // ---------------------------------------------------------------------------------------- snapshots

  private serving(): Live {
    if (this.live !== null) return this.live
    throw (
      this.damage ??
      new MachineUnusable({
        directory: this.directories.root,
        action: "go on",
        cause: this.short ?? "the machine is closed",
      })
    )
  }

  takeSnapshot(): Promise<LogBase> {
    return this.upkeep.run(async () => {
      const base = await this.writes.run(() => this.writtenBase())
      const live = this.serving()
      // Batches are still written meanwhile; at least everything through `base` becomes durable.
      await makeDurable(live.db, base.index)
      await dropMarkers(live.db, base.index)
      return base
    })
  }

  /** Writes all that is executed. */
  private async writtenBase(): Promise<LogBase> {
    await this.advance([], true)
    return this.base
  }

  openSnapshot(): Promise<SnapshotImage> {
    return this.pin(sessionsForImage)
  }
  openBackup(): Promise<SnapshotImage> {
    return this.pin(() => [])
  }
  private pin(sessionsOf: typeof sessionsForImage): Promise<SnapshotImage> {
    return this.writes.run(async () => {
      const base = await this.writtenBase()
      const live = this.serving()
      const { generation } = this
      const id = `${this.identity.node}.${this.bootId}.${base.index}.${++this.imageCount}`
      const pinned = {
        db: live.db,
        snapshot: live.db.snapshot(),
        base,
        generation,
        sessions: sessionsOf(live.executor.sessions, base.time),
        removals: live.executor.removals.all(),
        damaged: (thrown: unknown) => {
          if (isDamage(thrown) && !isShortage(thrown)) this.harm(thrown, live)
        },
      }
      const image = imageOf(pinned, id, () => this.images.delete(image))
      this.images.add(image)
      return image
    })
  }

  storeChunk(snapshot: SnapshotRef, offset: number, bytes: Uint8Array, last: boolean): Promise<number> {
    return this.upkeep.run(() => this.receiving.store(snapshot.id, offset, bytes, last))
  }
  restore(snapshot: SnapshotRef): Promise<void> {
    return this.upkeep.run(async () => {
      const incoming = this.receiving.take(snapshot.id)
      try {
        if (this.live !== null && snapshot.index < this.base.index)
          throw new SnapshotInvalid({
            id: snapshot.id,
            found: `it reaches entry ${snapshot.index}, this node has executed entry ${this.base.index}`,
          })
        const db = await incoming.finish(snapshot, this.identity, this.directories.root)
        await this.writes.run(() => this.replaceBy(incoming.name, db))
      } catch (thrown) {
        // Once the switch has begun either directory may be the current one: both must stay.
        if (!this.stopped) await incoming.abandon(this.directories)
        throw thrown
      }
    })
  }
  private async replaceBy(name: string, db: LevelDb): Promise<void> {
    const contents = await readContents(db, this.identity, this.idle)
    try {
      await this.directories.point(name)
      await this.shut()
    } catch (thrown) {
      this.fail("switch to a restored snapshot", thrown)
      throw thrown
    }
    this.become(name, contents)
    this.listener?.restored()
    // Directories that remain are removed at the next start.
    void this.directories.removeOthers(name).catch(() => undefined)
  }

  read(call: Call, most?: number): Reply | Promise<Reply> {
    if (this.short !== null) return noRoomReply
    if (this.live === null) return rebuildingReply
    return this.live.reads.read(call, most)
  }
  version(key: Uint8Array): number {
    // While there is no readable state, no version may match.
    return this.live === null || this.short !== null ? NO_VERSION : this.live.reads.version(key)
  }
  async keyspace(): Promise<Keyspace | null> {
    return this.live === null ? null : this.live.reads.keyspace()
  }
  lengthOf(key: Uint8Array): number {
    return this.live?.reads.lengthOf(key) ?? 0
  }
  now(): number {
    return this.base.time
  }
  replyOf(session: number, secret: Uint8Array | null, sequence: number): ReplyState {
    return this.live === null
      ? { type: "notExecuted" }
      : this.live.executor.sessions.replyOf(session, secret, sequence, this.base.time)
  }
  earliestDeadline(): number | null {
    const earliest = this.live?.unwritten.overlay.earliest ?? Infinity
    return earliest === Infinity ? null : earliest
  }

  stats(): MachineStats {
    const sessions = this.live?.executor.sessions.stats() ?? new Sessions(this.idle).stats()
    return {
      applied: this.base.index,
      ...this.tally.stats(),
      malformed: this.live?.executor.malformed ?? 0,
      internalErrors: this.faults.count,
      sessions: sessions.open,
      keptReplies: sessions.keptReplies,
      keptReplyBytes: sessions.keptBytes,
      pinnedImages: this.images.size,
      damaged: this.damage?.message ?? null,
      short: this.short,
    }
  }
  async scrub(): Promise<Scrubbed | null> {
    const { live } = this
    if (live === null) return null
    const wanted = (): boolean => this.live === live && !this.stopped
    return scrubTables(live.db.location, wanted, (thrown) => this.harm(thrown, live))
  }
  dataBytes(): Promise<number> {
    return this.live === null ? Promise.resolve(0) : dataBytesOf(this.live.db, this.generation)
  }

  async close(): Promise<void> {
    this.stopped = true
    this.unwatch()
    this.stopping.abort()
    await this.upkeep.run(() => this.receiving.abandon())
    await this.writes.run(async () => {
      await this.advance([], true)
      await this.shut()
    })
    if (this.later !== null) clearTimeout(this.later)
  }
  private async shut(): Promise<void> {
    this.drop(rebuildingReply)
    for (const image of this.images) await image.close()
    await this.opened?.close()
    this.opened = null
  }
}
