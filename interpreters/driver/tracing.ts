/**
 * What became of requests, batch by batch: how many this server was asked for, and how far its log, its disk, its commit index
 * and its state machine have come. The lines of all servers together, by index, are the way of an entry through the cluster.
 * No keys, no values.
 */
import type { Event, State } from "../../core/index.ts"

/** What has changed with a batch; only that. */
export interface TraceLine {
  readonly term: number
  /** Who leads, if that changed. */
  readonly leader?: string | null
  /** Commands of this server's own clients that were proposed. A follower forwards them to the leader. */
  readonly asked?: number
  /** Commands that others forwarded, by their names. */
  readonly forwarded?: Readonly<Record<string, number>>
  /** Where the leader has put those that this server had forwarded: the first of them. */
  readonly placed?: number
  /** The last index of the log. */
  readonly log?: number
  /** … of what is on disk. */
  readonly durable?: number
  readonly committed?: number
  readonly executed?: number
}

const leaderOf = ({ role, self }: State): string | null =>
  role.type === "leader" ? self.name : role.type === "follower" ? (role.leader?.name ?? null) : null

/** To be called after each batch. `line` gets what there is to tell, if there is. */
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
