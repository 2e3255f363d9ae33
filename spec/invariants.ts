/**
 * What must be true after every step, by name. The names are those of the Raft paper's Figure 3 where it has one; the
 * same names stand in tests, traces and docs. An observer keeps what it needs of the past; it throws InvariantViolated.
 */
import { sameMember, type Effect, type Entry, type Event, type Member, type State } from "../core/index.ts"

export const invariants = {
  ElectionSafety: "at most one leader can be elected in a given term (paper Figure 3)",
  LeaderAppendOnly: "a leader never overwrites or deletes entries in its log (paper Figure 3)",
  LogMatching: "two logs that hold an entry of the same index and term are the same up to it (paper Figure 3)",
  LeaderCompleteness: "a committed entry stands in the log of every leader of a later term (paper Figure 3)",
  StateMachineSafety: "no two servers apply different entries at one index (paper Figure 3)",
  TermMonotonic: "the current term never falls, also across restarts",
  CommitMonotonic: "the commit index never falls within a life",
  VoteOnce: "a server votes for one candidate per term, also across restarts (paper §5.2)",
  DurableBeforeTold: "votes and acknowledgements claim only what a crash could not take back",
  AppliedInOrder: "entries are applied in order, each once, and only when committed and durable",
  ClockMonotonic: "stamps never fall along a log",
  ReadFresh: "a read sees everything that was committed anywhere before it was asked for (thesis §6.4)",
  SnapshotForward: "a restored snapshot never takes the state machine back",
} as const
export type Invariant = keyof typeof invariants

export class InvariantViolated extends Error {
  override readonly name = "InvariantViolated"
  readonly invariant: Invariant
  readonly node: string
  constructor(invariant: Invariant, node: string, detail: string) {
    super(`${invariant} violated at ${node}: ${detail}\n  ${invariants[invariant]}`)
    this.invariant = invariant
    this.node = node
  }
}

export interface ObservedStep {
  readonly node: string
  readonly events: readonly Event[]
  readonly state: State
  readonly effects: readonly Effect[]
}

interface Known {
  readonly term: number
  readonly checksum: number
}
const identify = (entry: Entry): Known => ({ term: entry.term, checksum: entry.kind === "command" ? entry.payload.checksum : 0 })

interface Past {
  term: number
  commit: number
  applied: number
  lastIndex: number
  lastTerm: number
  leads: number | null
  machine: State["machine"]
}

/** One for each world. */
export const makeInvariantChecker = (): ((step: ObservedStep) => void) => {
  const leaders = new Map<number, string>()
  const votes = new Map<string, Member>()
  const committed: Known[] = []
  const past = new Map<string, Past>()
  /** By ref: what was committed when the read was asked for. */
  const reads = new Map<number, number>()
  /** By "index.term": what the log looked like just before it, so that Log Matching is checked entry by entry. */
  const written = new Map<string, { readonly prevTerm: number; readonly checksum: number }>()

  const demand = (holds: boolean, invariant: Invariant, node: string, detail: () => string): void => {
    if (!holds) throw new InvariantViolated(invariant, node, detail())
  }

  const checkEntries = (node: string, state: State, entries: readonly Entry[]): void => {
    for (const entry of entries) {
      const before = state.log.termAt(entry.index - 1)
      const time = state.log.entry(entry.index - 1)?.time ?? 0
      demand(entry.time >= time, "ClockMonotonic", node, () => `entry ${entry.index} is stamped ${entry.time} after ${time}`)
      if (before === undefined) continue
      const key = `${entry.index}.${entry.term}`
      const known = written.get(key)
      const { checksum } = identify(entry)
      if (known === undefined) written.set(key, { prevTerm: before, checksum })
      else
        demand(known.prevTerm === before && known.checksum === checksum, "LogMatching", node, () => `entry ${entry.index} of term ${entry.term} follows term ${before} here and ${known.prevTerm} elsewhere`)
    }
  }

  const checkCommitted = (node: string, state: State, from: number): void => {
    for (let index = from + 1; index <= state.commitIndex; index++) {
      const entry = state.log.entry(index)
      if (entry === undefined) continue
      const mine = identify(entry)
      const known = committed[index]
      if (known === undefined) committed[index] = mine
      else demand(known.term === mine.term && known.checksum === mine.checksum, "StateMachineSafety", node, () => `entry ${index} is committed in term ${mine.term} here and in term ${known.term} elsewhere`)
    }
  }

  const checkClaims = (node: string, state: State, effect: Effect): void => {
    if (effect.type !== "Send") return
    const { message } = effect
    const { hardState, index } = state.durability
    if (message.type === "RequestVoteReply" && message.granted) {
      demand(hardState.term === message.term && sameMember(hardState.vote, effect.to), "DurableBeforeTold", node, () => `the vote for ${effect.to.name} in term ${message.term} is not durable`)
    } else if (message.type === "RequestVote") {
      demand(hardState.term === message.term && sameMember(hardState.vote, state.self), "DurableBeforeTold", node, () => `asks for votes in term ${message.term} before its own vote is durable`)
    } else if (message.type === "AppendAccepted") {
      demand(message.matchIndex <= index && hardState.term === message.term, "DurableBeforeTold", node, () => `acknowledges ${message.matchIndex}, durable is ${index}`)
    }
  }

  const checkVote = (node: string, state: State): void => {
    const { vote, term } = state.durability.hardState
    if (vote === null) return
    const key = `${node}.${term}`
    const earlier = votes.get(key)
    if (earlier === undefined) votes.set(key, vote)
    else demand(sameMember(earlier, vote), "VoteOnce", node, () => `voted for ${earlier.name} and ${vote.name} in term ${term}`)
  }

  const checkLeader = (node: string, state: State, before: Past | undefined): void => {
    if (state.role.type !== "leader") return
    const term = state.currentTerm
    const known = leaders.get(term)
    if (known === undefined) {
      leaders.set(term, node)
      committed.forEach((entry, index) => {
        const here = state.log.termAt(index)
        if (here === undefined) demand(index <= state.log.base.index, "LeaderCompleteness", node, () => `leads term ${term} without committed entry ${index}`)
        else demand(here === entry.term || index < state.log.base.index, "LeaderCompleteness", node, () => `leads term ${term} with another entry ${index}`)
      })
    } else demand(known === node, "ElectionSafety", node, () => `leads term ${term}, and so does ${known}`)
    if (before?.leads === term)
      demand(state.log.lastIndex >= before.lastIndex && (before.lastIndex < state.log.base.index || state.log.termAt(before.lastIndex) === before.lastTerm), "LeaderAppendOnly", node, () => `entry ${before.lastIndex} of its own log is gone`)
  }

  return ({ node, events, state, effects }) => {
    const restarted = events.some((event) => event.type === "Started")
    const before = past.get(node)
    demand(before === undefined || state.currentTerm >= (restarted ? 0 : before.term), "TermMonotonic", node, () => `term ${before?.term} became ${state.currentTerm}`)
    demand(restarted || before === undefined || state.commitIndex >= before.commit, "CommitMonotonic", node, () => `commit index ${before?.commit} became ${state.commitIndex}`)
    demand(state.durability.hardState.term <= state.currentTerm, "TermMonotonic", node, () => `durable term ${state.durability.hardState.term} is ahead of ${state.currentTerm}`)
    demand(state.commitIndex <= state.log.lastIndex, "CommitMonotonic", node, () => `commit index ${state.commitIndex} is past the log's end ${state.log.lastIndex}`)
    checkVote(node, state)
    checkLeader(node, state, before)
    for (const event of events) {
      if (event.type === "ReadRequested") reads.set(event.ref, committed.length - 1)
      if (event.type === "SnapshotRestored")
        demand(before === undefined || event.snapshot.index >= before.applied || before.machine === "rebuild", "SnapshotForward", node, () => `a snapshot of ${event.snapshot.index} replaces ${before?.applied}`)
    }
    for (const effect of effects) {
      if (effect.type === "Respond" && effect.outcome.type === "ReadReady") {
        const { index } = effect.outcome
        const asked = reads.get(effect.ref) ?? 0
        demand(index >= asked && state.applied >= asked, "ReadFresh", node, () => `answers at ${index}, ${asked} was committed before`)
      }
      checkClaims(node, state, effect)
      if (effect.type === "Persist") checkEntries(node, state, effect.entries)
      if (effect.type === "Apply") {
        const last = effect.entries.at(-1)?.index ?? 0
        demand(last <= state.commitIndex && last <= state.durability.index, "AppliedInOrder", node, () => `applies ${last}; committed ${state.commitIndex}, durable ${state.durability.index}`)
      }
    }
    checkCommitted(node, state, restarted ? state.log.base.index : (before?.commit ?? 0))
    past.set(node, {
      term: state.currentTerm,
      commit: state.commitIndex,
      applied: state.applied,
      lastIndex: state.log.lastIndex,
      lastTerm: state.log.lastTerm,
      leads: state.role.type === "leader" ? state.currentTerm : null,
      machine: state.machine,
    })
  }
}
