/**
 * What every replica makes of the log: the deterministic part of the state machine, over any store. LevelDB and the
 * in-memory twin differ below this line only.
 */
import type { Configuration, Entry, LogBase } from "../../core/index.ts"
import { type Malformed, decodeCommand } from "./command.ts"
import { execute } from "./execute.ts"
import { NULL, error } from "./reply.ts"
import { MAX_KEPT_BYTES, MAX_KEPT_REPLIES, Sessions } from "./sessions.ts"
import type { Item, View } from "./view.ts"
import type { Command, CommandListener, Reply } from "../types.ts"

/** Records as they are, expired ones included. Keys and values handed over are not changed afterwards. */
export interface Store {
  readonly get: (key: Buffer) => Item | undefined
  readonly put: (key: Buffer, item: Item) => void
  readonly delete: (key: Buffer) => void
  readonly clear: () => void
}

export type Outcome =
  | { readonly type: "replied"; readonly session: number; readonly sequence: number; readonly reply: Reply }
  | { readonly type: "opened"; readonly owner: string; readonly token: string; readonly session: number }

export const EMPTY_CONFIGURATION: Configuration = { voters: [], outgoing: [], learners: [] }
export const EMPTY_BASE: LogBase = { index: 0, term: 0, time: 0, configuration: EMPTY_CONFIGURATION }

const sessionExpired = error("the session is unknown, closed or expired; nothing was executed", "SESSIONEXPIRED")
const forgotten = error("executed before; its reply was reported as arrived and is no longer kept", "FORGOTTEN")
const keepsTooMany = error(
  `the session keeps ${MAX_KEPT_REPLIES} replies, or ${MAX_KEPT_BYTES >> 20} MB of them, that it has not reported as arrived; nothing was executed. Raise 'lowest' to the first reply still awaited and send the same sequence again.`,
  "BUSY",
)
const outOfOrder = (expected: number): Reply => error(`sequence ${expected} comes next; nothing was executed`, "OUTOFORDER")

/** Expired items are invisible, whether or not they have been removed. */
const live = (item: Item | undefined, now: number): Item | undefined => (item !== undefined && item.expiry !== 0 && item.expiry <= now ? undefined : item)

class ReplicaView implements View {
  now = 0
  index = 0
  private readonly store: Store
  constructor(store: Store) {
    this.store = store
  }
  get(key: Buffer): Item | undefined {
    return live(this.store.get(key), this.now)
  }
  put(key: Buffer, value: Buffer, expiry: number): void {
    this.store.put(key, { value, version: this.index, expiry })
  }
  delete(key: Buffer): void {
    this.store.delete(key)
  }
  clear(): void {
    this.store.clear()
  }
}

export class Replica {
  base: LogBase
  readonly sessions: Sessions
  /** Entries whose bytes are no command; nobody can be told. */
  malformed = 0
  private readonly view: ReplicaView
  constructor(store: Store, base: LogBase, sessions: Sessions) {
    this.base = base
    this.sessions = sessions
    this.view = new ReplicaView(store)
  }

  /** Executes the entry after `base`. Throws only what the store throws. */
  apply(entry: Entry, out: Outcome[]): void {
    const time = Math.max(this.base.time, entry.time)
    const configuration = entry.kind === "configuration" ? entry.configuration : this.base.configuration
    this.base = { index: entry.index, term: entry.term, time, configuration }
    this.view.now = time
    this.view.index = entry.index
    this.sessions.sweep(time)
    if (entry.kind === "command") this.command(decodeCommand(entry.payload.bytes), out)
  }

  private command(command: Command | Malformed, out: Outcome[]): void {
    switch (command.type) {
      case "Tick":
        return
      case "OpenSession": {
        const { owner, token } = command
        out.push({ type: "opened", owner, token, session: this.sessions.open(this.view.index, owner, token, this.view.now) })
        return
      }
      case "CloseSession":
        this.sessions.end(command.session)
        return
      case "Malformed":
        this.malformed++
        if (command.session === 0) return
        break
      case "Execute":
        break
    }
    out.push({ type: "replied", session: command.session, sequence: command.sequence, reply: this.once(command) })
  }

  /** The contract of Execute, in kv/types.ts. */
  private once(command: (Command & { readonly type: "Execute" }) | Malformed): Reply {
    const { sequence } = command
    const session = this.sessions.find(command.session, this.view.now)
    if (session === undefined) return sessionExpired
    this.sessions.touch(session, command.lowest, this.view.now)
    if (sequence <= session.last) return session.replies.get(sequence) ?? forgotten
    if (sequence !== session.last + 1) return outOfOrder(session.last + 1)
    if (this.sessions.full(session)) return keepsTooMany
    const reply = command.type === "Malformed" ? error(`the command's bytes are malformed: ${command.detail}`) : this.run(command)
    this.sessions.executed(session, reply)
    return reply
  }

  private run(command: Command & { readonly type: "Execute" }): Reply {
    for (const watch of command.watches) {
      const key = Buffer.from(watch.key.buffer, watch.key.byteOffset, watch.key.byteLength)
      if ((this.view.get(key)?.version ?? 0) !== watch.version) return NULL
    }
    const [first] = command.calls
    if (!command.exec && command.calls.length === 1 && first !== undefined) return execute(this.view, first)
    return { type: "array", items: command.calls.map((call) => execute(this.view, call)) }
  }
}

/** A view for reads, at a clock. */
export const readOnlyView = (now: number, get: (key: Buffer) => Item | undefined): View => {
  const refuse = (): never => {
    throw new Error("a read tried to write")
  }
  return { now, get: (key) => live(get(key), now), put: refuse, delete: refuse, clear: refuse }
}

/** Tells, in log order, what became of commands. */
export const announce = (listener: CommandListener | null, outcomes: readonly Outcome[]): void => {
  if (listener === null) return
  for (const outcome of outcomes) {
    if (outcome.type === "replied") listener.replied(outcome.session, outcome.sequence, outcome.reply)
    else listener.opened(outcome.owner, outcome.token, outcome.session)
  }
}
