/**
 * The verbs for members and leadership, on any node. The node asks the leader again and again to take the next step,
 * until the goal is reached: the change is committed, and no other one is in progress. Everything that matters is in
 * the leader's state, so a new leader, a lost answer or a second call for the same goal costs nothing but time.
 */
import { sameMember, type Member } from "../../core/index.ts"
import type { ServiceMessage, Transport } from "../contract.ts"
import type { Driver } from "../driver/index.ts"
import { ownFeatures, type Features } from "../features.ts"
import type { Surroundings } from "../surroundings.ts"
import { silentVoters, autopilotStep, NO_SILENT_VOTERS, type Autopilot } from "./autopilot.ts"
import { MemberAborted, MemberNoLeader, MemberRefused, MemberUnfinished, type MemberError } from "./errors.ts"
import { raise } from "./level.ts"
import { nextStep, type CatchUp, type Goal, type GoalStep, type LeaderView, type Presence } from "./goals.ts"
import { listMembers, type MemberList } from "./list.ts"
import {
  encodeQuestion,
  isGoal,
  readAnswer,
  readQuestion,
  type MemberAnswer,
  type MemberQuestion,
} from "./questions.ts"

/** What a transport knows about peers, beyond the contract. */
export interface PeerDirectory {
  readonly peers: () => readonly {
    readonly name: string
    readonly member: Member | null
    readonly connected: boolean
    readonly address?: string
    /** What the peer says about itself. `advertises`: the address for all others; empty: they use their own lists. */
    readonly hello?: {
      readonly cluster: string | null
      readonly advertises?: string
      readonly features: Features
    } | null
    /** Who came under that name lately, and cannot do the level of the cluster. */
    readonly tooLow?: { readonly member: Member; readonly features: Features } | null
  }[]
  /** Processes that dial this node and are not among its peers. */
  readonly unlisted?: () => readonly {
    readonly member: Member
    readonly address: string
    readonly features: Features
  }[]
  /** Try to reach that peer at this address. */
  readonly reach?: (name: string, address: string) => void
}
type Peer = ReturnType<PeerDirectory["peers"]>[number]
export interface MembersOptions {
  readonly driver: Pick<Driver, "state" | "leadership" | "change" | "transfer" | "wake" | "onService">
  readonly transport: Pick<Transport, "sendService"> & Partial<PeerDirectory>
  readonly surroundings: Surroundings
  /** Where others find this node, as host:port; null: they use their own lists. */
  readonly address?: string | null
  readonly cluster?: () => string | null
  /** Gets one line for people about each step that was taken. */
  readonly report?: (text: string) => void
  /** What it does about members automatically while it leads. Default: nothing. */
  readonly autopilot?: Autopilot | null
  /** What this node says about itself. */
  readonly features?: () => Features
}

export interface VerbProgress {
  /** What it is waiting for, or the last step taken. */
  readonly text: string
  /** How far a newcomer that has to catch up first has come; null: there is none. */
  readonly catchUp: CatchUp | null
}
export interface VerbOptions {
  /**
   * Milliseconds until it gives up waiting. Default: ten minutes, because a newcomer may have much to catch up with.
   */
  readonly timeout?: number
  readonly onProgress?: (progress: VerbProgress) => void
  readonly signal?: AbortSignal
}
export interface ForcedOptions extends VerbOptions {
  /** Do it although no majority of the voters would be reachable afterwards. The cluster may stop for good. */
  readonly evenIfQuorumIsLost?: boolean
}
export interface AddressOptions {
  /** Where the member is found, as host:port, if it has not announced that itself. */
  readonly address?: string
}
/** The state that was reached. */
export interface VerbDone {
  readonly text: string
}

/**
 * A verb resolves once its goal is reached and committed; at once if it was reached already. It rejects with a
 * MemberError.
 */
export interface Members {
  /**
   * The members as the leader knows them; as this node knows them (then `leader` is null) if no leader answers in time.
   */
  readonly list: (options?: Pick<VerbOptions, "timeout" | "signal">) => Promise<MemberList>
  /** Makes a server that runs with an empty directory a learner: it receives the log and has no vote. */
  readonly add: (name: string, options?: VerbOptions & AddressOptions) => Promise<VerbDone>
  /** Makes a learner a voter once it has caught up. */
  readonly promote: (name: string, options?: ForcedOptions) => Promise<VerbDone>
  readonly remove: (name: string, options?: ForcedOptions) => Promise<VerbDone>
  /**
   * For a lost disk: `name` becomes a voter again, with its present directory. For a lost machine, `by`: that member
   * becomes a voter in the place of `name`. Afterwards there are as many voters as before; only a learner of that name
   * becomes an additional voter.
   */
  readonly replace: (
    name: string,
    options?: ForcedOptions & AddressOptions & { readonly by?: string },
  ) => Promise<VerbDone>
  /** Hands leadership to `to`, or to the most suitable voter. */
  readonly transfer: (to?: string, options?: VerbOptions) => Promise<VerbDone>
}
export interface RunningMembers extends Members {
  readonly pursue: (goal: Goal, options?: VerbOptions) => Promise<VerbDone>
  readonly stop: () => void
}

const TIMEOUT_MS = 600_000
/** How many verbs may wait at once: each asks the leader several times a second. */
const MOST_AT_ONCE = 32
const LIST_MS = 3000
/** The pause between two questions for the same goal: the first, and the longest. */
const FIRST_PAUSE_MS = 20
const LONGEST_PAUSE_MS = 250
/** If no answer has come after this time, the question is asked again. */
const ANSWER_MS = 1000
/** A member that is silent for less than this is no reason to refuse. */
const SURE_MS = 1500
/** The pause between two checks of what a leader does by itself. */
const LOOK_MS = 1000
/** If there has been no leader for this long when the timeout comes, that is given as the reason. */
const LEADERLESS_MS = 1000

export const makeMembers = ({
  driver,
  transport,
  surroundings,
  address = null,
  cluster = () => null,
  report = () => undefined,
  autopilot = null,
  features = () => ownFeatures,
}: MembersOptions): RunningMembers => {
  const { now, after, random } = surroundings
  const bootId = Math.floor(random() * 2 ** 32)
  const open = new Map<number, (answer: MemberAnswer | null) => void>()
  const enders = new Set<() => void>()
  let nextRef = 1
  let pursued = 0
  let stopped = false

  const self = (): Member => driver.state().self
  /** The address at which this node dials a peer may lead there from here only. */
  const foundAt = ({ address: dialled, connected, hello }: Peer): string | null => {
    if (!connected || hello?.advertises === undefined) return dialled ?? null
    return hello.advertises === "" ? null : hello.advertises
  }
  const present = (member: Member, peer: Peer): Presence => ({
    member,
    connected: peer.connected,
    address: foundAt(peer),
    features: peer.hello?.features ?? ownFeatures,
  })
  const presenceOf = (name: string): Presence | null => {
    if (name === self().name) return { member: self(), connected: true, address, features: features() }
    const peer = transport.peers?.().find((one) => one.name === name)
    if (peer?.tooLow != null && !peer.connected) return { ...peer.tooLow, connected: false, address: foundAt(peer) }
    if (peer?.member != null) return present(peer.member, peer)
    const other = transport.unlisted?.().find(({ member }) => member.name === name)
    return other === undefined ? null : { ...other, connected: false }
  }
  const others = (): readonly Presence[] => {
    const peers = (transport.peers?.() ?? []).flatMap((peer) =>
      peer.member === null || !peer.connected ? [] : [present(peer.member, peer)],
    )
    return [...peers, ...(transport.unlisted?.() ?? []).map((one) => ({ ...one, connected: false }))]
  }

  // ------------------------------------------------------------------------------------------- the leader

  const take = (step: GoalStep, tell: (answer: MemberAnswer) => void): void => {
    switch (step.type) {
      case "done":
        return tell({ type: "done", text: step.text })
      case "refuse":
        return tell({ type: "refused", reason: step.reason, text: step.text })
      case "wait":
        return tell({ type: "going", text: step.text, begun: false, catchUp: step.catchUp })
      case "reach":
        transport.reach?.(step.name, step.address)
        return tell({ type: "going", text: step.text, begun: false, catchUp: null })
      case "transfer":
        driver.transfer(step.to)
        return tell({ type: "going", text: step.text, begun: true, catchUp: null })
      case "change":
        driver.change(step.configuration, (outcome) => {
          if (outcome.type === "ProposalAppended") report(step.text)
          if (outcome.type === "ProposalRefused" && outcome.reason === "exhausted")
            tell({
              type: "refused",
              reason: "exhausted",
              text: "the log has reached the last possible index. Nothing was changed: move the state to a new cluster",
            })
          else
            tell({
              type: "going",
              text:
                outcome.type === "ProposalRefused"
                  ? `the leader does not accept the change yet (${outcome.reason})`
                  : step.text,
              begun: outcome.type !== "ProposalRefused",
              catchUp: null,
            })
        })
    }
  }
  const answerTo = (question: MemberQuestion, tell: (answer: MemberAnswer) => void): void => {
    const state = driver.state()
    const { role } = state
    if (role.type !== "leader") return tell({ type: "notLeader" })
    if (question.type === "list")
      return tell({ type: "list", list: listMembers(state, state.self, cluster(), presenceOf, others(), address) })
    // An unlisted newcomer is dialled as soon as a goal names it.
    const { goal } = question
    const wanted = goal.type === "add" ? goal.name : goal.type === "replace" ? goal.by : null
    const caller = wanted === null ? undefined : transport.unlisted?.().find(({ member }) => member.name === wanted)
    if (caller !== undefined && (transport.peers?.() ?? []).every(({ name }) => name !== caller.member.name))
      transport.reach?.(caller.member.name, caller.address)
    take(nextStep({ state, leader: role, presence: presenceOf }, goal), tell)
  }

  let away = NO_SILENT_VOTERS
  const lookAfter = (view: LeaderView, pilot: Autopilot): void => {
    away = silentVoters(view, away, now())
    const goal = autopilotStep(view, pilot, away)
    const step = goal === null ? null : nextStep(view, goal)
    if (step?.type !== "change") return
    report(`autopilot: ${step.text}`)
    take(step, () => undefined)
  }
  const looking = surroundings.every(LOOK_MS, () => {
    const state = driver.state()
    const { role } = state
    if (role.type !== "leader") {
      away = NO_SILENT_VOTERS
      return
    }
    const view = { state, leader: role, presence: presenceOf }
    const step = raise(view)
    if (step !== null) take(step, () => undefined)
    else if (autopilot !== null) lookAfter(view, autopilot)
  })

  driver.onService((from, message) => {
    if (stopped) return
    if (message.type === "ServiceAnswer") {
      if (message.bootId === bootId) open.get(message.ref)?.(readAnswer(message))
      return
    }
    const question = readQuestion(message)
    if (question === null) return
    answerTo(question, (answer) => {
      if (!stopped)
        say(from, { type: "ServiceAnswer", bootId: message.bootId, ref: message.ref, bytes: encodeQuestion(answer) })
    })
  })

  // ------------------------------------------------------------------------------------------ requests of others

  const say = (to: Member, message: ServiceMessage): void => {
    transport.sendService?.(to, message)
    driver.wake()
  }
  /** Resolves with null if no answer came. */
  const ask = (leader: Member, question: MemberQuestion): Promise<MemberAnswer | null> =>
    new Promise((resolve) => {
      const ref = nextRef++
      const alarm = after(ANSWER_MS, () => end(null))
      const end = (answer: MemberAnswer | null): void => {
        alarm.cancel()
        open.delete(ref)
        resolve(answer)
      }
      open.set(ref, end)
      // This server may have halted, or be stopping: then no answer of its own comes either.
      if (sameMember(leader, self())) answerTo(question, end)
      else say(leader, { type: "ServiceQuestion", bootId, ref, bytes: encodeQuestion(question) })
    })
  const pause = (millis: number): Promise<void> =>
    new Promise((resolve) => {
      const end = (): void => {
        alarm.cancel()
        enders.delete(end)
        resolve()
      }
      const alarm = after(millis, end)
      enders.add(end)
    })

  /** A server that is no member hears of no leader: it asks its peers in turn until the leader answers. */
  let turn = 0
  const somebody = (): Member | null => {
    if (transport.sendService === undefined) return null
    const connected = (transport.peers?.() ?? []).flatMap(({ member, connected: up }) =>
      member !== null && up ? [member] : [],
    )
    return connected[turn++ % Math.max(1, connected.length)] ?? null
  }

  /**
   * A removed server hears nothing from the leader any more, so it looks into the configuration that it knows to be
   * committed.
   */
  const knowsOfItsOwnRemoval = (goal: Goal): boolean => {
    if (goal.type !== "remove" || goal.name !== self().name) return false
    const { configurations, commitIndex } = driver.state()
    const committed = configurations.findLast(({ index }) => index <= commitIndex)?.configuration
    return (
      committed !== undefined &&
      committed.voters.length > 0 &&
      [...committed.voters, ...committed.outgoing, ...committed.learners].every(({ name }) => name !== goal.name)
    )
  }
  const seconds = (millis: number): number => Math.round(millis / 100) / 10

  /** A newcomer may have connected to this server only: tell the leader its address. */
  const located = (goal: Goal): Goal => {
    if ((goal.type !== "add" && goal.type !== "replace") || goal.address !== null) return goal
    const name = goal.type === "add" ? goal.name : goal.by
    const caller = transport.unlisted?.().find(({ member }) => member.name === name)
    return caller === undefined || caller.address === "" ? goal : { ...goal, address: caller.address }
  }

  const pursue = async (goal: Goal, options?: VerbOptions): Promise<VerbDone> => {
    if (!isGoal(goal))
      throw new MemberRefused(
        "notPossible",
        "a name or an address has more than 1,000 characters, or is a name that every JavaScript object has, such as constructor. Nothing was changed",
        driver.leadership().leader?.name ?? null,
        false,
      )
    if (pursued >= MOST_AT_ONCE)
      throw new MemberRefused(
        "busy",
        `${pursued} changes of members already wait at ${self().name}. Nothing was changed: try again once they are done`,
        driver.leadership().leader?.name ?? null,
        false,
      )
    pursued += 1
    try {
      return await untilDone(goal, options)
    } finally {
      pursued -= 1
    }
  }
  const untilDone = async (
    wanted: Goal,
    { timeout = TIMEOUT_MS, onProgress, signal }: VerbOptions = {},
  ): Promise<VerbDone> => {
    const until = now() + timeout
    let goal = wanted
    let begun = false
    let last: VerbProgress = { text: "nobody was asked yet", catchUp: null }
    let leaderless: number | null = now()
    let refusedSince: number | null = null
    let wait = FIRST_PAUSE_MS
    const leaderNow = (): Member | null => driver.leadership().leader
    const failed = (): MemberError => {
      const leader = leaderNow()?.name ?? null
      return leaderless !== null && now() - leaderless >= Math.min(LEADERLESS_MS, timeout)
        ? new MemberNoLeader(seconds(now() - leaderless), leader, begun)
        : new MemberUnfinished(seconds(timeout), last.text, leader, begun, last.catchUp)
    }
    const told = (progress: VerbProgress): void => {
      if (progress.text !== last.text || progress.catchUp !== null) onProgress?.(progress)
      last = progress
    }
    for (;;) {
      if (stopped) throw new MemberAborted("this node is stopping", leaderNow()?.name ?? null, begun)
      if (signal?.aborted === true) throw new MemberAborted("the caller has given up", leaderNow()?.name ?? null, begun)
      const leader = leaderNow()
      if (goal.type === "transfer") {
        if (goal.from === null && leader !== null) goal = { ...goal, from: leader.name }
        // Before the leader was asked, only the leader can say who leads: what is known here may be old.
        if (begun && leader !== null && (goal.to === null ? leader.name !== goal.from : leader.name === goal.to))
          return { text: `${leader.name} leads` }
      }
      if (knowsOfItsOwnRemoval(goal)) return { text: `${self().name} is no member` }
      if (leader !== null && !sameMember(leader, self()) && transport.sendService === undefined)
        throw new MemberRefused(
          "notPossible",
          `${self().name} does not lead, and its transport cannot ask the leader. Nothing was changed: make this call at ${leader.name}, the leader`,
          leader.name,
          begun,
        )
      const asked = leader ?? somebody()
      const answer = asked === null ? null : await ask(asked, { type: "goal", goal: located(goal) })
      if (answer === null || answer.type === "notLeader") {
        // The question may have arrived, and its answer been lost.
        if (answer === null && asked !== null) begun = true
        leaderless ??= now()
        told({
          text: leader === null ? "no leader is known" : `${leader.name} does not answer as the leader`,
          catchUp: null,
        })
      } else {
        leaderless = null
        if (answer.type === "done") return { text: answer.text }
        if (answer.type === "refused") {
          refusedSince ??= now()
          if (answer.reason !== "wouldLoseQuorum" || now() - refusedSince >= Math.min(SURE_MS, timeout / 2))
            throw new MemberRefused(answer.reason, answer.text, leader?.name ?? null, begun)
        } else refusedSince = null
        if (answer.type === "going") {
          if (answer.begun) wait = FIRST_PAUSE_MS
          begun ||= answer.begun
          told({ text: answer.text, catchUp: answer.catchUp })
        }
      }
      if (now() >= until) throw failed()
      await pause(Math.max(1, Math.min(wait, until - now())))
      wait = Math.min(wait * 2, LONGEST_PAUSE_MS)
    }
  }

  /** A waiting newcomer has connected to some server, perhaps not to the leader. */
  const withOwnCallers = (told: MemberList): MemberList => {
    const known = new Set([...told.members, ...told.waiting].map(({ name }) => name))
    const here = (transport.unlisted?.() ?? []).filter(({ member }) => !known.has(member.name))
    return here.length === 0
      ? told
      : { ...told, waiting: [...told.waiting, ...here.map(({ member, address: at }) => ({ ...member, address: at }))] }
  }
  const list: Members["list"] = async ({ timeout = LIST_MS, signal } = {}) => {
    const until = now() + timeout
    let wait = FIRST_PAUSE_MS
    for (;;) {
      const { leader } = driver.leadership()
      const answer = leader === null ? null : await ask(leader, { type: "list" })
      if (answer?.type === "list") return withOwnCallers(answer.list)
      if (now() >= until || stopped || signal?.aborted === true) break
      await pause(wait)
      wait = Math.min(wait * 2, LONGEST_PAUSE_MS)
    }
    return listMembers(driver.state(), null, cluster(), presenceOf, others(), address)
  }

  return {
    list,
    pursue,
    add: (name, { address: at, ...options } = {}) => pursue({ type: "add", name, address: at ?? null }, options),
    promote: (name, { evenIfQuorumIsLost = false, ...options } = {}) =>
      pursue({ type: "promote", name, evenIfQuorumIsLost }, options),
    remove: (name, { evenIfQuorumIsLost = false, ...options } = {}) =>
      pursue({ type: "remove", name, evenIfQuorumIsLost }, options),
    replace: (name, { evenIfQuorumIsLost = false, by = name, address: at, ...options } = {}) =>
      pursue({ type: "replace", name, by, address: at ?? null, evenIfQuorumIsLost }, options),
    transfer: (to, options) => pursue({ type: "transfer", to: to ?? null, from: null }, options),
    stop: () => {
      stopped = true
      looking.cancel()
      for (const end of open.values()) end(null)
      for (const end of enders) end()
    },
  }
}
