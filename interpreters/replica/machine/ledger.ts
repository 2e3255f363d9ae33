/**
 * Exactly-once, as part of the replicated state: each server numbers its commands within a session, and every server
 * executes each number once. Everything here is decided by the log alone. (thesis §6.3)
 */
import type { Index, Stamp } from "../../../core/index.ts"
import { fromBase64, toBase64 } from "../../octets.ts"

/** What a command came to. `undone`: `apply` threw, and its changes do not count; the text says what. */
export type Outcome =
  | { readonly type: "result"; readonly bytes: Uint8Array }
  | { readonly type: "undone"; readonly text: string }
  /** Executed, and its result is no longer kept. */
  | { readonly type: "forgotten" }

/** What becomes of a copy of a command. Only `executed` and `known` hold for all copies. */
export type Verdict =
  | { readonly type: "execute" }
  | { readonly type: "known"; readonly outcome: Outcome }
  /** A number before it is missing: this copy came too early. */
  | { readonly type: "early" }
  /** The session has ended: nothing of it will be executed any more. */
  | { readonly type: "ended" }

interface Session {
  readonly id: Index
  readonly owner: string
  readonly secret: string
  readonly last: number
  readonly lowest: number
  readonly active: Stamp
  /** From `lowest` to `last`. */
  readonly outcomes: readonly Outcome[]
}
/** As it stands in a snapshot: plain data. */
export interface LedgerImage {
  readonly sessions: readonly (Omit<Session, "outcomes"> & { readonly outcomes: readonly (readonly ["r" | "u" | "f", string])[] })[]
}

/** Sessions that nobody used for so long end when another is opened: their servers are gone. */
const IDLE_MS = 24 * 3_600_000
/** A result beyond this is executed like any other, and not kept: every server would write it to every snapshot. */
export const MAX_KEPT_RESULT = 1 << 20
/** What a session keeps at most, beyond which its oldest results are forgotten. A server keeps its window of open commands far below. */
const MAX_KEPT = 65_536
export const MAX_KEPT_BYTES = 32 << 20
const sizeOf = (outcome: Outcome | undefined): number => (outcome?.type === "result" ? outcome.bytes.length : 0)

export class Ledger {
  private readonly byId = new Map<Index, { session: Session; outcomes: Outcome[]; bytes: number }>()
  private readonly byOwner = new Map<string, Index>()

  /** The session that an Open at `index` gives its owner. The same Open again, by its secret, answers with the same one. */
  open(index: Index, owner: string, secret: string, now: Stamp): Index {
    const earlier = this.byOwner.get(owner)
    const held = earlier === undefined ? undefined : this.byId.get(earlier)
    if (held !== undefined && held.session.secret === secret) {
      held.session = { ...held.session, active: now }
      return held.session.id
    }
    if (earlier !== undefined) this.byId.delete(earlier)
    for (const [id, { session }] of this.byId) {
      if (session.active + IDLE_MS >= now) continue
      this.byId.delete(id)
      this.byOwner.delete(session.owner)
    }
    this.byId.set(index, { session: { id: index, owner, secret, last: 0, lowest: 1, active: now, outcomes: [] }, outcomes: [], bytes: 0 })
    this.byOwner.set(owner, index)
    return index
  }

  /** What is to become of number `sequence` of the session. */
  judge(id: Index, sequence: number, lowest: number, now: Stamp): Verdict {
    const held = this.byId.get(id)
    if (held === undefined) return { type: "ended" }
    const from = Math.max(held.session.lowest, Math.min(lowest, held.session.last + 1))
    for (const outcome of held.outcomes.splice(0, from - held.session.lowest)) held.bytes -= sizeOf(outcome)
    held.session = { ...held.session, active: now, lowest: from }
    if (sequence === held.session.last + 1) return { type: "execute" }
    if (sequence > held.session.last) return { type: "early" }
    return { type: "known", outcome: held.outcomes[sequence - from] ?? { type: "forgotten" } }
  }

  /** The number that `judge` let through was executed. */
  executed(id: Index, outcome: Outcome): void {
    const held = this.byId.get(id)
    if (held === undefined) return
    const kept: Outcome = sizeOf(outcome) > MAX_KEPT_RESULT ? { type: "forgotten" } : outcome
    held.outcomes.push(kept)
    held.bytes += sizeOf(kept)
    let over = 0
    for (; held.outcomes.length - over > MAX_KEPT || held.bytes > MAX_KEPT_BYTES; over++) held.bytes -= sizeOf(held.outcomes[over])
    held.outcomes.splice(0, over)
    held.session = { ...held.session, last: held.session.last + 1, lowest: held.session.lowest + over }
  }

  /** For whoever waits: what number `sequence` came to, null if it was not executed so far, or that its session has ended. */
  outcomeOf(id: Index, sequence: number): Outcome | null | "ended" {
    const held = this.byId.get(id)
    if (held === undefined) return "ended"
    if (sequence > held.session.last) return null
    return held.outcomes[sequence - held.session.lowest] ?? { type: "forgotten" }
  }

  image(): LedgerImage {
    return {
      sessions: Array.from(this.byId.values(), ({ session, outcomes }) => ({
        ...session,
        outcomes: outcomes.map((outcome) =>
          outcome.type === "result" ? (["r", toBase64(outcome.bytes)] as const) : outcome.type === "undone" ? (["u", outcome.text] as const) : (["f", ""] as const),
        ),
      })),
    }
  }
  static from(image: LedgerImage): Ledger {
    const ledger = new Ledger()
    for (const session of image.sessions) {
      const outcomes = session.outcomes.map(([kind, text]): Outcome => (kind === "r" ? { type: "result", bytes: fromBase64(text) } : kind === "u" ? { type: "undone", text } : { type: "forgotten" }))
      ledger.byId.set(session.id, { session: { ...session, outcomes: [] }, outcomes, bytes: outcomes.reduce((sum, outcome) => sum + sizeOf(outcome), 0) })
      ledger.byOwner.set(session.owner, session.id)
    }
    return ledger
  }
}
