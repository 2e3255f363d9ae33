/**
 * Exactly-once, as part of the replicated state: each server numbers its commands within a session, and every server
 * executes each number once. Everything here is decided by the log alone. (thesis §6.3)
 */
import type { Index, Stamp } from "../../../core/index.ts"
import { concat, fromBase64, textOf, toBase64, utf8 } from "../../octets.ts"

/** The outcome of a command. `undone`: `apply` threw, and its changes do not count; the text is the error. */
export type CommandOutcome =
  | { readonly type: "result"; readonly bytes: Uint8Array }
  | { readonly type: "undone"; readonly text: string }
  /** Executed, but its result is no longer kept. */
  | { readonly type: "forgotten" }

/** What to do with a copy of a command. `execute` and `known` hold for all copies of the command, the others only for this one. */
export type CommandVerdict =
  | { readonly type: "execute" }
  | { readonly type: "known"; readonly outcome: CommandOutcome }
  /** An earlier number is missing: this copy came too early. */
  | { readonly type: "early" }
  /** The session has ended: no more of its commands will be executed. */
  | { readonly type: "ended" }

interface Session {
  readonly id: Index
  readonly owner: string
  readonly secret: string
  readonly last: number
  readonly lowest: number
  readonly active: Stamp
  /** The outcomes of the commands `lowest` to `last`. */
  readonly outcomes: readonly CommandOutcome[]
}
/** The session table in a snapshot, as plain data. */
export interface SessionTableImage {
  readonly sessions: readonly (Omit<Session, "outcomes"> & {
    readonly outcomes: readonly (readonly ["r" | "u" | "f", string])[]
  })[]
}

/** Sessions that nobody has used for this long end when another one is opened: their servers are gone. */
const IDLE_MS = 24 * 3_600_000
/**
 * The result of a command is not kept if it is larger than this, because every server would write it to every snapshot.
 */
export const MAX_KEPT_RESULT = 1 << 20
/**
 * The limits of one session: beyond them its oldest results are forgotten. The number of commands that a server leaves
 * unanswered stays far below.
 */
const MAX_KEPT = 65_536
export const MAX_KEPT_OUTCOME_BYTES = 32 << 20
const sizeOf = (outcome: CommandOutcome | undefined): number => (outcome?.type === "result" ? outcome.bytes.length : 0)

/** Called with the names of records that have changed: a table in a durable store writes these. */
export type Changed = (record: string) => void
const nobody: Changed = () => undefined
const sessionRecord = (id: Index): string => `session/${id}`
const outcomeRecord = (id: Index, sequence: number): string => `outcome/${id}/${sequence}`
const RESULT = 1
const UNDONE = 2
const FORGOTTEN = 3
const outcomeBytes = (outcome: CommandOutcome): Uint8Array => {
  switch (outcome.type) {
    case "result":
      return concat([Uint8Array.of(RESULT), outcome.bytes])
    case "undone":
      return concat([Uint8Array.of(UNDONE), utf8(outcome.text)])
    case "forgotten":
      return Uint8Array.of(FORGOTTEN)
  }
}
const outcomeFrom = (bytes: Uint8Array): CommandOutcome => {
  const rest = bytes.subarray(1)
  return bytes[0] === RESULT
    ? { type: "result", bytes: rest }
    : bytes[0] === UNDONE
      ? { type: "undone", text: textOf(rest) }
      : { type: "forgotten" }
}

interface Held {
  session: Session
  outcomes: CommandOutcome[]
  bytes: number
}

export class SessionTable {
  private readonly changed: Changed
  private readonly byId = new Map<Index, Held>()
  private readonly byOwner = new Map<string, Index>()
  constructor(changed: Changed = nobody) {
    this.changed = changed
  }

  /**
   * The session that an Open at `index` gives its owner. A retry of the same Open, recognised by its secret, gets the
   * same session.
   */
  open(index: Index, owner: string, secret: string, now: Stamp): Index {
    const earlier = this.byOwner.get(owner)
    const held = earlier === undefined ? undefined : this.byId.get(earlier)
    if (held !== undefined && held.session.secret === secret) {
      held.session = { ...held.session, active: now }
      this.changed(sessionRecord(held.session.id))
      return held.session.id
    }
    if (held !== undefined) this.end(held)
    for (const held of this.byId.values()) {
      const { session } = held
      if (session.active + IDLE_MS >= now) continue
      this.end(held)
      this.byOwner.delete(session.owner)
    }
    this.byId.set(index, {
      session: { id: index, owner, secret, last: 0, lowest: 1, active: now, outcomes: [] },
      outcomes: [],
      bytes: 0,
    })
    this.byOwner.set(owner, index)
    this.changed(sessionRecord(index))
    return index
  }
  private end(held: Held): void {
    this.dropOldest(held, held.outcomes.length)
    this.byId.delete(held.session.id)
    this.changed(sessionRecord(held.session.id))
  }
  /** Forgets this many of the oldest results. Returns how many bytes they had. */
  private dropOldest({ session: { id, lowest }, outcomes }: Held, count: number): number {
    let bytes = 0
    for (const [at, outcome] of outcomes.splice(0, count).entries()) {
      bytes += sizeOf(outcome)
      this.changed(outcomeRecord(id, lowest + at))
    }
    return bytes
  }

  /** Decides what to do with command number `sequence` of the session. */
  judge(id: Index, sequence: number, lowest: number, now: Stamp): CommandVerdict {
    const held = this.byId.get(id)
    if (held === undefined) return { type: "ended" }
    const from = Math.max(held.session.lowest, Math.min(lowest, held.session.last + 1))
    held.bytes -= this.dropOldest(held, from - held.session.lowest)
    held.session = { ...held.session, active: now, lowest: from }
    this.changed(sessionRecord(id))
    if (sequence === held.session.last + 1) return { type: "execute" }
    if (sequence > held.session.last) return { type: "early" }
    return { type: "known", outcome: held.outcomes[sequence - from] ?? { type: "forgotten" } }
  }

  /** Records the outcome of the command that `judge` let through. */
  executed(id: Index, outcome: CommandOutcome): void {
    const held = this.byId.get(id)
    if (held === undefined) return
    const kept: CommandOutcome = sizeOf(outcome) > MAX_KEPT_RESULT ? { type: "forgotten" } : outcome
    held.outcomes.push(kept)
    held.bytes += sizeOf(kept)
    this.changed(outcomeRecord(id, held.session.last + 1))
    let over = 0
    for (let bytes = held.bytes; held.outcomes.length - over > MAX_KEPT || bytes > MAX_KEPT_OUTCOME_BYTES; over++)
      bytes -= sizeOf(held.outcomes[over])
    held.bytes -= this.dropOldest(held, over)
    held.session = { ...held.session, last: held.session.last + 1, lowest: held.session.lowest + over }
  }

  /**
   * For callers that wait: the outcome of command number `sequence`; null if it has not been executed; or that its
   * session has ended.
   */
  outcomeOf(id: Index, sequence: number): CommandOutcome | null | "ended" {
    const held = this.byId.get(id)
    if (held === undefined) return "ended"
    if (sequence > held.session.last) return null
    return held.outcomes[sequence - held.session.lowest] ?? { type: "forgotten" }
  }

  /** The record as it is now; null: it no longer exists. */
  record(name: string): Uint8Array | null {
    const [kind, id, sequence] = name.split("/")
    const held = this.byId.get(Number(id))
    if (held === undefined) return null
    if (kind === "session") return utf8(JSON.stringify({ ...held.session, outcomes: [] }))
    const outcome = held.outcomes[Number(sequence) - held.session.lowest]
    return outcome === undefined ? null : outcomeBytes(outcome)
  }
  /** Restores the table from all its records. */
  static restored(records: ReadonlyMap<string, Uint8Array>, changed: Changed): SessionTable {
    const table = new SessionTable(changed)
    for (const [name, bytes] of records) {
      if (!name.startsWith("session/")) continue
      const session = JSON.parse(textOf(bytes)) as Session
      const outcomes: CommandOutcome[] = []
      for (let sequence = session.lowest; sequence <= session.last; sequence++)
        outcomes.push(outcomeFrom(records.get(outcomeRecord(session.id, sequence)) ?? Uint8Array.of(FORGOTTEN)))
      table.put(session, outcomes)
    }
    return table
  }
  private put(session: Session, outcomes: CommandOutcome[]): void {
    this.byId.set(session.id, {
      session: { ...session, outcomes: [] },
      outcomes,
      bytes: outcomes.reduce((sum, outcome) => sum + sizeOf(outcome), 0),
    })
    this.byOwner.set(session.owner, session.id)
  }

  image(): SessionTableImage {
    return {
      sessions: Array.from(this.byId.values(), ({ session, outcomes }) => ({
        ...session,
        outcomes: outcomes.map((outcome) =>
          outcome.type === "result"
            ? (["r", toBase64(outcome.bytes)] as const)
            : outcome.type === "undone"
              ? (["u", outcome.text] as const)
              : (["f", ""] as const),
        ),
      })),
    }
  }
  static from(image: SessionTableImage): SessionTable {
    const table = new SessionTable()
    for (const session of image.sessions) {
      const outcomes = session.outcomes.map(([kind, text]): CommandOutcome =>
        kind === "r"
          ? { type: "result", bytes: fromBase64(text) }
          : kind === "u"
            ? { type: "undone", text }
            : { type: "forgotten" },
      )
      table.put({ ...session, outcomes: [] }, outcomes)
    }
    return table
  }
}
