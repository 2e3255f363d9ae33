/**
 * Traces requests batch by batch: how many this server was asked for, and how far its log, its disk, its commit index
 * and its state machine have come. The lines of all servers, joined by index, show the path of an entry through the
 * cluster. They contain no keys and no values.
 */
import type { Event, State } from "../../core/index.ts"

/** The values that a batch has changed, and only those. */
export interface TraceLine {
  readonly term: number
  /** The leader, if it changed. */
  readonly leader?: string | null
  /** Commands of this server's own clients that were proposed. A follower forwards them to the leader. */
  readonly asked?: number
  /** Commands that other servers forwarded, by the names of those servers. */
  readonly forwarded?: Readonly<Record<string, number>>
  /** The index at which the leader appended the first of the commands that this server had forwarded. */
  readonly placed?: number
  /** The last index of the log. */
  readonly log?: number
  /** The last index of the log on disk. */
  readonly durable?: number
  readonly committed?: number
  readonly executed?: number
}

const leaderOf = ({ role, self }: State): string | null =>
  role.type === "leader" ? self.name : role.type === "follower" ? (role.leader?.name ?? null) : null

/** Call the returned function after each batch. `line` is called only if the batch has changed something. */
export const makeTracing = (line: (line: TraceLine) => void): ((events: readonly Event[], state: State) => void) => {
  let before: Required<Pick<TraceLine, "leader" | "log" | "durable" | "committed" | "executed">> | null = null
  return (events, state) => {
    let asked = 0
    let placed: number | undefined
    const forwarded: Record<string, number> = {}
    for (const event of events) {
      if (event.type === "Proposed") asked += event.payloads.length
      if (event.type !== "MessageReceived") continue
      const { from, message } = event
      if (message.type === "ForwardProposal")
        forwarded[from.name] = (forwarded[from.name] ?? 0) + message.payloads.length
      else if (message.type === "ForwardProposalReply" && message.outcome.type === "ProposalAppended")
        placed = Math.min(placed ?? message.outcome.first, message.outcome.first)
    }
    const now = {
      leader: leaderOf(state),
      log: state.log.lastIndex,
      durable: state.durability.index,
      committed: state.commitIndex,
      executed: state.applied,
    }
    const last = before
    before = now
    const changed = Object.fromEntries(
      Object.entries(now).filter(([name, value]) => last?.[name as keyof typeof now] !== value),
    )
    const taken = Object.keys(forwarded).length > 0
    if (asked === 0 && !taken && placed === undefined && Object.keys(changed).length === 0) return
    line({
      term: state.currentTerm,
      ...(asked === 0 ? {} : { asked }),
      ...(taken ? { forwarded } : {}),
      ...(placed === undefined ? {} : { placed }),
      ...changed,
    })
  }
}
