/**
 * Requests of this node's clients that the core has not answered yet, by ref, each with its callback. Consecutive proposals
 * become one event, and each gets its own index out of the answer.
 */
import type { Configuration, Event, Outcome, Payload, ProposalOutcome, ReadOutcome } from "../../core/index.ts"

/** The new voters and learners, the members' addresses, and the feature level (unchanged if they are not given). */
export type ConfigurationChange = Omit<Configuration, "outgoing">
type Proposed = Extract<Event, { type: "Proposed" }>
interface Part {
  readonly offset: number
  readonly done: (outcome: ProposalOutcome) => void
}
/** The event to which more proposals can be added. It shares this array of payloads. */
interface Open {
  readonly ref: number
  readonly payloads: Payload[]
  readonly parts: Part[]
  bytes: number
}

/** Proposals are merged up to this size: a forwarded proposal must fit into one frame. */
const MERGE_BYTES = 1 << 20

export interface PendingRequests {
  /** Returns the event to queue, or null if the proposal was added to an open event. */
  readonly propose: (payloads: readonly Payload[], done: (outcome: ProposalOutcome) => void) => Proposed | null
  readonly read: (done: (outcome: ReadOutcome) => void) => Event
  readonly change: (change: ConfigurationChange, done: (outcome: ProposalOutcome) => void) => Event
  /** Another event was queued, or the queue was taken: no more proposals are added to the open event. */
  readonly seal: () => void
  /** This event is the last one in the queue, so more proposals may be added to it. */
  readonly unseal: (event: Proposed) => void
  readonly respond: (ref: number, outcome: Outcome) => void
  readonly forget: () => void
}

export const makePendingRequests = (): PendingRequests => {
  const proposals = new Map<number, readonly Part[]>()
  const reads = new Map<number, (outcome: ReadOutcome) => void>()
  let nextRef = 1
  let made: Open | null = null
  let open: Open | null = null

  const add = (to: Open, payloads: readonly Payload[], bytes: number, done: Part["done"]): void => {
    to.parts.push({ offset: to.payloads.length, done })
    for (const payload of payloads) to.payloads.push(payload)
    to.bytes += bytes
  }
  return {
    propose: (payloads, done) => {
      let bytes = 0
      for (const payload of payloads) bytes += payload.bytes.length
      if (open !== null && open.bytes + bytes <= MERGE_BYTES) {
        add(open, payloads, bytes, done)
        return null
      }
      made = { ref: nextRef++, payloads: [], parts: [], bytes: 0 }
      add(made, payloads, bytes, done)
      proposals.set(made.ref, made.parts)
      return { type: "Proposed", ref: made.ref, payloads: made.payloads }
    },
    read: (done) => {
      const ref = nextRef++
      reads.set(ref, done)
      return { type: "ReadRequested", ref }
    },
    change: ({ voters, learners, addresses, level }, done) => {
      const ref = nextRef++
      proposals.set(ref, [{ offset: 0, done }])
      return {
        type: "ConfigurationChangeProposed",
        ref,
        voters,
        learners,
        ...(addresses === undefined ? {} : { addresses }),
        ...(level === undefined ? {} : { level }),
      }
    },
    seal: () => {
      open = null
    },
    unseal: ({ ref }) => {
      if (made?.ref === ref) open = made
    },
    respond: (ref, outcome) => {
      if (outcome.type === "ReadReady" || outcome.type === "ReadRefused") {
        const done = reads.get(ref)
        reads.delete(ref)
        done?.(outcome)
        return
      }
      const parts = proposals.get(ref)
      proposals.delete(ref)
      for (const { offset, done } of parts ?? []) {
        done(
          outcome.type === "ProposalAppended"
            ? { type: "ProposalAppended", first: outcome.first + offset, term: outcome.term }
            : outcome,
        )
      }
    },
    forget: () => {
      proposals.clear()
      reads.clear()
      open = null
    },
  }
}
