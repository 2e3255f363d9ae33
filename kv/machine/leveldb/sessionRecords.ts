/**
 * Sessions in LevelDB. A batch writes one segment per session that it changed: the session's state, and the replies of
 * the batch. A segment is never rewritten; it is removed when all its replies have arrived at the client and a later
 * segment holds the state. So a large kept reply is written once, and a busy session costs one small record per batch.
 */
import {
  type Opening,
  type ReplySegment,
  decodeOpening,
  decodeReplySegment,
  encodeOpening,
  encodeReplySegment,
  numberIn,
  repliesKey,
  sessionKey,
} from "../layout.ts"
import { type Session, Sessions } from "../sessions.ts"
import type { Slices } from "../slices.ts"
import type { Reply } from "../../types.ts"

export interface Batch {
  readonly put: (key: Buffer, value: Buffer) => unknown
  readonly del: (key: Buffer) => unknown
}
interface Span {
  readonly first: number
  readonly last: number
}

/** The segments on disk, by session, oldest first. */
export type Spans = Map<number, readonly Span[]>

/** Writes what is new since `firstNew`, removes what is no longer needed, and returns the remaining segments. */
export const writeSession = (
  batch: Batch,
  session: Session,
  firstNew: number,
  known: readonly Span[] | undefined,
): readonly Span[] => {
  const { id } = session
  if (known === undefined || known.length === 0) {
    const key = sessionKey(id)
    batch.put(key, encodeOpening(key, session))
  }
  // Replies that have arrived at the client within the same batch are not written.
  const first = Math.max(firstNew, session.lowest)
  const kept: Span[] = []
  for (const span of known ?? []) {
    if (span.first === first) continue
    if (span.last < session.lowest) batch.del(repliesKey(id, span.first))
    else kept.push(span)
  }
  const key = repliesKey(id, first)
  batch.put(key, encodeReplySegment(key, session, first))
  kept.push({ first, last: session.last })
  return kept
}

export class SessionRecords {
  private readonly spans: Spans
  constructor(spans: Spans) {
    this.spans = spans
  }
  /** What changed since the last batch. */
  async write(batch: Batch, sessions: Sessions, slices: Slices): Promise<void> {
    const { touched, ended } = sessions.changes()
    for (const id of ended) {
      const spans = this.spans.get(id)
      if (spans === undefined) continue
      this.spans.delete(id)
      batch.del(sessionKey(id))
      for (const span of spans) batch.del(repliesKey(id, span.first))
    }
    for (const [id, firstNew] of touched) {
      const session = sessions.byIdentity(id)
      if (session !== undefined) this.spans.set(id, writeSession(batch, session, firstNew, this.spans.get(id)))
      if (slices.overdue()) await slices.giveWay()
    }
  }
}

/** Reassembles what `write` took apart. Call it with every record of both kinds, openings first, in key order. */
export class SessionRecordsReader {
  readonly spans = new Map<number, Span[]>()
  private readonly found = new Map<
    number,
    Opening & { last: number; lowest: number; active: number; replies: Map<number, Reply> }
  >()
  opening(key: Buffer, value: Buffer): void {
    const id = numberIn(key, 0)
    this.found.set(id, { ...decodeOpening(key, value), last: 0, lowest: 1, active: 0, replies: new Map() })
  }
  /** False: a segment of a session that does not exist. */
  segment(key: Buffer, value: Buffer): boolean {
    const session = this.found.get(numberIn(key, 0))
    if (session === undefined) return false
    const first = numberIn(key, 1)
    const segment: ReplySegment = decodeReplySegment(key, value)
    const last = first + segment.replies.length - 1
    const spans = this.spans.get(numberIn(key, 0))
    if (spans === undefined) this.spans.set(numberIn(key, 0), [{ first, last }])
    else spans.push({ first, last })
    session.last = last
    session.lowest = segment.lowest
    session.active = segment.active
    segment.replies.forEach((reply, i) => session.replies.set(first + i, reply))
    return true
  }
  /** null: some replies that must exist are missing. */
  sessions(idle: number): Sessions | null {
    const list: Session[] = []
    for (const [id, found] of this.found) {
      for (const sequence of found.replies.keys()) if (sequence < found.lowest) found.replies.delete(sequence)
      if (found.replies.size !== found.last - found.lowest + 1) return null
      list.push({ id, ...found })
    }
    const sessions = new Sessions(idle)
    for (const session of list.sort((a, b) => a.active - b.active || a.id - b.id)) sessions.load(session)
    return sessions
  }
}
