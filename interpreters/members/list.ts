/** The members of the cluster, and the condition of each, as the leader knows it. */
import { configurationOf, type Index, type Member, type State, type Term } from "../../core/index.ts"
import { catchUpOf, isReachable, type Presence } from "./goals.ts"

export interface MemberView {
  readonly name: string
  readonly incarnation: string
  /** leaving: a change that is not committed yet removes its vote. */
  readonly role: "voter" | "learner" | "leaving"
  readonly leads: boolean
  /** Its address; null: the others find it by their own lists. */
  readonly address: string | null
  /** On the leader: the leader hears from it. On another server: it is connected to that server. */
  readonly reachable: boolean
  /** What its disk holds, as the leader knows; null on other servers, and before it was heard from. */
  readonly matchIndex: Index | null
  /**
   * The number of entries, and of bytes of the log, that it lacks. null: not known, or the log does not reach back that
   * far.
   */
  readonly lag: number | null
  readonly lagBytes: number | null
  /** Bytes of a snapshot sent to it so far; null: none is being sent. */
  readonly snapshotSent: number | null
  /** The incarnation that is connected under its name, if that is not this directory: its disk was lost. */
  readonly cameBackAs: string | null
}
/** A connected process that is no member: it asks to become one, or at least it is there. */
export interface Newcomer {
  readonly name: string
  readonly incarnation: string
  readonly address: string | null
}
export interface MemberList {
  readonly cluster: string | null
  readonly leader: string | null
  readonly term: Term
  /** The server that reports this. If `leader` is null: this is what one node knows, and may be old. */
  readonly asSeenBy: string
  /** A change is in progress. */
  readonly changing: boolean
  readonly members: readonly MemberView[]
  readonly waiting: readonly Newcomer[]
}

export const listMembers = (
  state: Readonly<State>,
  leader: Member | null,
  cluster: string | null,
  presence: (name: string) => Presence | null,
  others: readonly Presence[],
  own: string | null,
): MemberList => {
  const configuration = configurationOf(state)
  const { voters, outgoing, learners, addresses = {} } = configuration
  const leads = state.role.type === "leader" ? state.role : null
  const view = (member: Member, role: MemberView["role"]): MemberView => {
    const self = member.name === state.self.name
    const there = presence(member.name)
    const same = there !== null && there.member.incarnation === member.incarnation
    const known = leads === null || self ? null : catchUpOf({ state, leader: leads, presence }, member)
    const matchIndex =
      known === null ? (self ? state.durability.index : null) : known.matchIndex === 0 ? null : known.matchIndex
    return {
      name: member.name,
      incarnation: member.incarnation,
      role,
      leads: leader !== null && leader.name === member.name && leader.incarnation === member.incarnation,
      address: addresses[member.name] ?? (self ? own : (there?.address ?? null)),
      reachable:
        leads === null ? self || (same && there.connected) : isReachable({ state, leader: leads, presence }, member),
      matchIndex,
      lag: known === null ? (self && leads !== null ? 0 : null) : matchIndex === null ? null : known.entriesLeft,
      lagBytes: known === null ? (self && leads !== null ? 0 : null) : matchIndex === null ? null : known.bytesLeft,
      snapshotSent: known?.snapshotSent ?? null,
      cameBackAs: there?.connected === true && !same && !self ? there.member.incarnation : null,
    }
  }
  const all = [
    ...voters.map((member) => view(member, "voter")),
    ...outgoing
      .filter(({ name }) => ![...voters, ...learners].some((other) => other.name === name))
      .map((member) => view(member, "leaving")),
    ...learners.map((member) => view(member, "learner")),
  ]
  return {
    cluster,
    leader: leader?.name ?? null,
    term: state.currentTerm,
    asSeenBy: state.self.name,
    changing: outgoing.length > 0 || (state.configurations.at(-1)?.index ?? 0) > state.commitIndex,
    members: all,
    waiting: others
      .filter(({ member }) => !all.some(({ name }) => name === member.name))
      .map(({ member, address }) => ({ ...member, address })),
  }
}
