/**
 * What one event may do to a server. Every function returns all allowed results. Often one of these is that nothing
 * happens, because a message that is ignored might as well have been lost; but the term that it carries must not be
 * ignored. The sources are the paper's Figure 2 and §5–§7, and the thesis §3.10, §4, §6.4 and §9.6.
 */
import { chainBreaksAt, flawOfMessage, levelOf, MAX_TERM_LEAP } from "../../core/index.ts"
import type {
  ConfigurationEntry,
  Effect,
  Entry,
  Event,
  LogBase,
  Member,
  Message,
  Payload,
  Settings,
} from "../../core/index.ts"
import { configurationBefore, inForce, lastOf, lastTermOf, termIn, type AbstractLog } from "./log.ts"
import { isEligible, same, votesIn, type AbstractServer, type RoleName } from "./server.ts"

/** A possible state of a server in the middle of a batch: its log is `log` through `keep`, then `tail`. */
export interface Possible {
  readonly term: number
  readonly vote: Member | null
  readonly role: RoleName
  readonly leader: Member | null
  readonly commit: number
  readonly verified: number
  readonly heardRound: number
  readonly fresh: boolean
  readonly keep: number
  readonly tail: readonly Entry[]
  /** A snapshot became the start of the log. */
  readonly base: LogBase | null
  /** Its election was requested by the leader (thesis §3.10). */
  readonly transfer: boolean
}

export const startingPoint = (server: AbstractServer): Possible => ({
  term: server.term,
  vote: server.vote,
  role: server.role,
  leader: server.leader,
  commit: server.commit,
  verified: server.verified,
  heardRound: server.heardRound,
  fresh: server.fresh,
  keep: lastOf(server.log),
  tail: [],
  base: null,
  transfer: server.transfer,
})

/** What the model knows about a batch besides the server itself. */
export interface Scene {
  readonly server: AbstractServer
  readonly settings: Settings
  /** The log after the batch: used only to choose among the allowed results. */
  readonly target: (index: number) => Entry | undefined
  readonly effects: readonly Effect[]
  /** Pre-votes that the server may have granted in the middle of the batch. */
  readonly preVotes: Set<string>
  /** A later event of the batch can replace what is appended now. */
  replaceable: boolean
}

const logIn = ({ server }: Scene): AbstractLog => server.log
export const lastIn = ({ keep, tail }: Possible): number => keep + tail.length
export const termOfIn = (scene: Scene, at: Possible, index: number): number | undefined => {
  if (at.base !== null && index <= at.base.index) return index === at.base.index ? at.base.term : undefined
  return index > at.keep ? at.tail[index - at.keep - 1]?.term : termIn(logIn(scene), index)
}
const baseIn = (scene: Scene, at: Possible): number => Math.max(at.base?.index ?? 0, logIn(scene).base)
const lastTermIn = (scene: Scene, at: Possible): number =>
  at.tail.at(-1)?.term ??
  (at.keep === lastOf(logIn(scene)) && at.base === null
    ? lastTermOf(logIn(scene))
    : (termOfIn(scene, at, at.keep) ?? 0))

export const configurationIn = (scene: Scene, at: Possible) => {
  const own = at.tail.findLast((entry): entry is ConfigurationEntry => entry.kind === "configuration")
  if (own !== undefined) return own.configuration
  if (at.base !== null && at.keep <= at.base.index) return at.base.configuration
  return at.keep === lastOf(logIn(scene)) ? inForce(logIn(scene)) : configurationBefore(logIn(scene), at.keep)
}

// ------------------------------------------------------------------------------------------------ terms

/** "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to follower", Figure 2. */
const adopted = (at: Possible, term: number): Possible => ({
  ...at,
  term,
  vote: null,
  role: "follower",
  leader: null,
  verified: at.commit,
  heardRound: 0,
  transfer: false,
})

/** A pre-vote request or grant carries a term that nobody has; a reply to a forwarded proposal does not depend on a term. */
const bringsTerm = (message: Message): boolean =>
  message.type !== "RequestPreVote" &&
  message.type !== "ForwardProposalReply" &&
  !(message.type === "RequestPreVoteReply" && message.granted)

/** §5.2: "If the leader's term is at least as large as the candidate's current term, the candidate recognizes the leader as legitimate". */
const following = (at: Possible, leader: Member, round: number): Possible | null => {
  if (at.role === "leader") return null
  if (at.role !== "follower")
    return { ...at, role: "follower", leader, fresh: true, heardRound: round, verified: at.commit }
  if (at.leader !== null && !same(at.leader, leader)) return null
  return { ...at, leader, fresh: true, heardRound: Math.max(at.heardRound, round) }
}

// ------------------------------------------------------------------------------------------------ votes

/** "at least as up-to-date as receiver's log", §5.4.1: first the term of the last entry decides, then the length. */
export const notOlder = (
  scene: Scene,
  at: Possible,
  { lastLogTerm, lastLogIndex }: { lastLogTerm: number; lastLogIndex: number },
): boolean => {
  const term = lastTermIn(scene, at)
  if (lastLogTerm !== term) return lastLogTerm > term
  return lastLogIndex >= lastIn(at)
}

/** Figure 2, RequestVote: "if votedFor is null or candidateId, and candidate's log is at least as up-to-date as receiver's log, grant vote". A server that may grant the vote must grant it. */
const voted = (
  scene: Scene,
  at: Possible,
  from: Member,
  request: Extract<Message, { type: "RequestVote" }>,
): readonly Possible[] => {
  const mayGive = at.vote === null || same(at.vote, from)
  const known = (configurationIn(scene, at)?.voters.length ?? 0) > 0
  if (!mayGive || !known || (isLoyal(scene, at) && !request.transfer) || !notOlder(scene, at, request)) return [at]
  return [
    {
      ...at,
      vote: from,
      role: "follower",
      ...(at.role === "follower" ? {} : { leader: null, verified: at.commit, heardRound: 0 }),
    },
  ]
}

export const preVoteName = (to: Member, term: number): string => `${to.name} ${to.incarnation} ${term}`
/** Thesis §9.6: it would vote, and has heard no leader recently. */
const preVoted = (
  scene: Scene,
  at: Possible,
  from: Member,
  request: Extract<Message, { type: "RequestPreVote" }>,
): void => {
  const mayGive = request.term > at.term || (request.term === at.term && (at.vote === null || same(at.vote, from)))
  if (
    mayGive &&
    !isLoyal(scene, at) &&
    (configurationIn(scene, at)?.voters.length ?? 0) > 0 &&
    notOlder(scene, at, request)
  )
    scene.preVotes.add(preVoteName(from, request.term))
}

/** Thesis §4.2.2: it is a voter in its configuration, or in an earlier one that is in force again if an uncommitted one is overwritten. */
const mayCampaign = (scene: Scene, at: Possible): boolean => {
  const log = logIn(scene)
  const open = log.configurations
    .filter(({ index }) => index > at.commit && index <= at.keep)
    .map(({ configuration }) => configuration)
  const possible = [configurationIn(scene, at), configurationBefore(log, Math.min(at.commit, at.keep)), ...open]
  return (
    at.role !== "leader" &&
    possible.some((configuration) => configuration !== undefined && votesIn(configuration, scene.server.self))
  )
}
/** A server that may not or cannot campaign keeps waiting, and knows no leader. */
const waiting = (at: Possible): readonly Possible[] => (at.role === "follower" ? [{ ...at, leader: null }] : [])
/** §5.2: "a follower increments its current term and transitions to candidate state. It then votes for itself". */
export const campaigning = ({ server }: Scene, at: Possible, transfer: boolean): Possible => ({
  ...at,
  term: at.term + 1,
  vote: server.self,
  role: "candidate",
  leader: null,
  heardRound: 0,
  fresh: false,
  transfer,
})

// ------------------------------------------------------------------------------------------------- logs

/** Figure 2, AppendEntries receiver, 2 to 5. */
const appended = (
  scene: Scene,
  at: Possible,
  { prevLogIndex, prevLogTerm, entries, leaderCommit }: Extract<Message, { type: "AppendEntries" }>,
): readonly Possible[] => {
  // Entries before a base are committed, and so the same everywhere.
  if (prevLogIndex >= baseIn(scene, at) && termOfIn(scene, at, prevLogIndex) !== prevLogTerm) return [at]
  let first = 0
  while (first < entries.length) {
    const entry = entries[first]
    if (entry === undefined) break
    if (entry.index > baseIn(scene, at) && termOfIn(scene, at, entry.index) !== entry.term) break
    first += 1
  }
  const verified = Math.max(at.verified, prevLogIndex + entries.length)
  const commit = Math.max(at.commit, Math.min(leaderCommit, verified))
  const place = entries[first]?.index
  if (place === undefined) return [at, { ...at, verified, commit }]
  // 3: "delete the existing entry and all that follow it"; what is committed cannot conflict.
  if (place <= at.commit || place > lastIn(at) + 1) return [at]
  const fresh = entries.slice(first)
  const after =
    place <= at.keep
      ? { keep: place - 1, tail: fresh }
      : { keep: at.keep, tail: [...at.tail.slice(0, place - 1 - at.keep), ...fresh] }
  return [at, { ...at, ...after, verified, commit }]
}

/** Whether the server reports to its own client, or to one of the follower `from`, that the proposal is at `first`. */
const tellsOf = ({ effects }: Scene, ref: number, from: Member | null, first: number): boolean =>
  effects.some((effect) => {
    if (effect.type === "Respond")
      return (
        from === null &&
        effect.ref === ref &&
        effect.outcome.type === "ProposalAppended" &&
        effect.outcome.first === first
      )
    if (effect.type !== "Send" || from === null || effect.message.type !== "ForwardProposalReply") return false
    const { outcome } = effect.message
    return (
      effect.message.ref === ref &&
      same(effect.to, from) &&
      outcome.type === "ProposalAppended" &&
      outcome.first === first
    )
  })

/** A leader only appends to its own log (§5.3). Which proposals it accepted follows from its replies. */
const taken = (
  scene: Scene,
  at: Possible,
  payloads: readonly Payload[],
  ref: number,
  from: Member | null,
): readonly Possible[] => {
  const first = lastIn(at) + 1
  if (at.role !== "leader" || payloads.length === 0 || !tellsOf(scene, ref, from, first)) return [at]
  const entries: Entry[] = []
  for (const [i, payload] of payloads.entries()) {
    const entry = scene.target(first + i)
    const stands = entry?.kind === "command" && entry.term === at.term && entry.payload.checksum === payload.checksum
    if (!stands && !scene.replaceable) return [at]
    entries.push(stands ? entry : { kind: "command", index: first + i, term: at.term, time: 0, chain: 0, payload })
  }
  return [at, { ...at, tail: [...at.tail, ...entries] }]
}

/** §6: a change starts with the joint configuration, or with the new one if the voters stay the same. The level never falls. */
const changed = (
  scene: Scene,
  at: Possible,
  { voters, learners, level, ref }: Extract<Event, { readonly type: "ConfigurationChangeProposed" }>,
): readonly Possible[] => {
  const now = configurationIn(scene, at)
  const index = lastIn(at) + 1
  if (!tellsOf(scene, ref, null, index)) return [at]
  const open =
    at.tail.some((entry) => entry.kind === "configuration") ||
    (scene.server.log.configurations.at(-1)?.index ?? 0) > at.commit
  if (
    at.role !== "leader" ||
    now === undefined ||
    now.outgoing.length > 0 ||
    open ||
    termOfIn(scene, at, at.commit) !== at.term ||
    (level !== undefined && level < levelOf(now))
  )
    return [at]
  // Thesis §4.2.1: "new servers join the cluster as non-voting members", until they have caught up.
  const since = scene.server.log.configurations.at(-1)?.index ?? 0
  const taught = (voter: Member): boolean =>
    now.learners.some((one) => same(one, voter)) && isEligible(scene.server, voter, since)
  if (!voters.every((voter) => votesIn(now, voter) || taught(voter))) return [at]
  const entry = scene.target(index)
  const decides =
    voters.length === now.voters.length && voters.every((voter) => now.voters.some((one) => same(one, voter)))
  const configuration = { voters, learners, outgoing: decides ? [] : now.voters, level: level ?? levelOf(now) }
  if (entry?.kind !== "configuration" || entry.term !== at.term)
    return scene.replaceable
      ? [
          at,
          {
            ...at,
            tail: [...at.tail, { kind: "configuration", index, term: at.term, time: 0, chain: 0, configuration }],
          },
        ]
      : [at]
  return sameMembership(entry.configuration, configuration) ? [at, { ...at, tail: [...at.tail, entry] }] : [at]
}
const sameSide = (a: readonly Member[], b: readonly Member[]): boolean =>
  a.length === b.length && a.every((one) => b.some((other) => same(one, other)))
export const sameMembership = (
  a: ConfigurationEntry["configuration"],
  b: ConfigurationEntry["configuration"],
): boolean =>
  sameSide(a.voters, b.voters) &&
  sameSide(a.outgoing, b.outgoing) &&
  sameSide(a.learners, b.learners) &&
  levelOf(a) === levelOf(b)

/** §7, Figure 13: entries after the snapshot are kept if the log holds its last entry; otherwise the log is discarded. */
const restored = (scene: Scene, at: Possible, base: LogBase): readonly Possible[] => {
  const commit = Math.max(at.commit, base.index)
  const verified = Math.max(at.verified, base.index)
  if (base.index <= baseIn(scene, at)) return [{ ...at, commit, verified }]
  const agrees = termOfIn(scene, at, base.index) === base.term
  if (agrees)
    return [
      {
        ...at,
        commit,
        verified,
        base,
        keep: Math.max(at.keep, base.index),
        tail: at.tail.filter((entry) => entry.index > base.index),
      },
    ]
  return [{ ...at, commit, verified, base, keep: base.index, tail: [] }]
}

// ----------------------------------------------------------------------------------------------- events

/** Thesis §4.2.3: a server that has just heard a leader neither votes nor adopts terms from candidates that would depose it. */
const isLoyal = (scene: Scene, at: Possible): boolean =>
  at.role === "leader" || (at.role === "follower" && at.fresh && (at.leader !== null || scene.settings.leaseReads))

/** A member of that name is known, but with another incarnation: the message may be from before it lost its disk. */
const isStranger = (scene: Scene, at: Possible, from: Member): boolean => {
  const { voters = [], outgoing = [], learners = [] } = configurationIn(scene, at) ?? {}
  const known = [...voters, ...outgoing, ...learners].filter(({ name }) => name === from.name)
  return known.length > 0 && !known.some((one) => same(one, from))
}

/** Whether a higher term may be ignored. In all other cases it must not: Figure 2, "Rules for Servers". */
const mayIgnoreTerm = (scene: Scene, at: Possible, from: Member, message: Message): boolean => {
  switch (message.type) {
    case "RequestVote":
      return !message.transfer && isLoyal(scene, at)
    case "RequestVoteReply":
    case "RequestPreVoteReply":
    case "AppendAccepted":
    case "AppendRejected":
    case "InstallSnapshotReply":
      return isStranger(scene, at, from)
    case "RequestPreVote":
    case "ForwardProposalReply":
    case "AppendEntries":
    case "InstallSnapshot":
    case "ReadIndex":
    case "ReadIndexReply":
    case "ForwardProposal":
    case "TimeoutNow":
      return false
  }
}

const onMessage = (scene: Scene, at: Possible, from: Member, message: Message): readonly Possible[] => {
  // A message that no correct server can have sent counts as lost.
  if (message.term > at.term + MAX_TERM_LEAP || flawOfMessage(message) !== null) return [at]
  if (message.type === "AppendEntries" && chainBreaksAt(message.prevLogChain, message.entries) !== null) return [at]
  const raised = message.term > at.term && bringsTerm(message) ? adopted(at, message.term) : at
  const ignored = raised !== at && mayIgnoreTerm(scene, at, from, message) ? [at] : []
  switch (message.type) {
    case "RequestVote":
      return message.term === raised.term ? [...ignored, ...voted(scene, raised, from, message)] : [at]
    case "AppendEntries": {
      const followed = message.term === raised.term ? following(raised, from, message.round) : null
      return followed === null ? [raised] : [...(raised === at ? [at] : []), ...appended(scene, followed, message)]
    }
    case "InstallSnapshot": {
      const followed = message.term === raised.term ? following(raised, from, message.round) : null
      return followed === null ? [raised] : [...(raised === at ? [at] : []), followed]
    }
    case "TimeoutNow":
      // Thesis §3.10: "the target server … starts a new election", without a pre-vote.
      return message.term === raised.term && raised.role === "follower" && mayCampaign(scene, raised)
        ? [raised, campaigning(scene, raised, true), ...waiting(raised)]
        : [raised, ...waiting(raised)]
    case "ForwardProposal":
      return [raised, ...taken(scene, raised, message.payloads, message.ref, from)]
    case "RequestPreVote":
      preVoted(scene, at, from, message)
      return [at]
    case "RequestVoteReply":
    case "RequestPreVoteReply":
    case "AppendAccepted":
    case "AppendRejected":
    case "InstallSnapshotReply":
    case "ReadIndex":
    case "ReadIndexReply":
    case "ForwardProposalReply":
      return [...ignored, raised]
  }
}

/** Why a leader may step down: no quorum heard, a stalled disk, a lost state machine. */
const givenUp = (at: Possible): readonly Possible[] =>
  at.role === "leader" ? [at, { ...at, role: "follower", leader: null, verified: at.commit, heardRound: 0 }] : [at]

export const after = (scene: Scene, at: Possible, event: Event): readonly Possible[] => {
  switch (event.type) {
    case "MessageReceived":
      return onMessage(scene, at, event.from, event.message)
    case "TimerExpired":
      if (event.timer === "quorum" || event.timer === "persist") return givenUp(at)
      if (event.timer !== "election" || at.role === "leader") return [at]
      if (at.role === "follower" && at.fresh) return [{ ...at, fresh: false }]
      if (!mayCampaign(scene, at)) return [at, ...waiting(at)]
      // Thesis §9.6: with PreVote a server first asks whether it could win the election.
      return [
        at,
        scene.settings.preVote
          ? { ...at, role: "preCandidate", leader: null, heardRound: 0, fresh: false, transfer: false }
          : campaigning(scene, at, false),
        ...waiting(at),
      ]
    case "Proposed":
      return taken(scene, at, event.payloads, event.ref, null)
    case "ConfigurationChangeProposed":
      return changed(scene, at, event)
    case "PeerDisconnected":
      return at.role === "follower" && same(at.leader, event.peer)
        ? [at, { ...at, leader: null, fresh: at.fresh && scene.settings.leaseReads }]
        : [at]
    case "SnapshotRestored":
      return restored(scene, at, event.snapshot)
    case "MachineDamaged":
      return givenUp(at)
    case "Started":
      // Before the restart it may have confirmed a leader's lease (thesis §6.4.1).
      return [{ ...at, fresh: scene.settings.leaseReads }]
    case "ReadRequested":
    case "Persisted":
    case "Applied":
    case "ClockAdvanced":
    case "PeerConnected":
    case "SnapshotTaken":
    case "SnapshotTakeFailed":
    case "SnapshotOpened":
    case "SnapshotOpenFailed":
    case "ChunkStored":
    case "SnapshotRejected":
    case "SpaceChanged":
    case "TransferRequested":
      return [at]
  }
}
