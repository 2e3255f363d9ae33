import { describe, expect, test } from "vitest"
import {
  MAX_TERM,
  type Configuration,
  type Effect,
  type Entry,
  type Event,
  type Member,
  type Message,
  type State,
} from "../core/index.ts"
import {
  invariants,
  InvariantViolated,
  makeInvariantChecker,
  sweep,
  type Invariant,
  type InvariantChecker,
  type ObservedStep,
} from "../spec/index.ts"
import { chained } from "./chained.ts"
import { record, type Recorded } from "./invariants.help.ts"

const nobody: Member = { name: "n9", incarnation: "i9" }

const withState = (step: ObservedStep, change: Partial<State>): ObservedStep => ({
  ...step,
  state: { ...step.state, ...change },
})
const withEffects = (step: ObservedStep, effects: readonly Effect[]): ObservedStep => ({ ...step, effects })
const andFirst = (step: ObservedStep, event: Event): ObservedStep => ({ ...step, events: [event, ...step.events] })

/** The step with one message that it sends said differently, if it sends such a one. */
const sending = <T extends Message["type"]>(
  step: ObservedStep,
  type: T,
  alter: (message: Extract<Message, { type: T }>) => Message | null,
): ObservedStep | null => {
  let altered = false
  const effects = step.effects.map((effect): Effect => {
    if (altered || effect.type !== "Send" || effect.message.type !== type) return effect
    const message = alter(effect.message as Extract<Message, { type: T }>)
    if (message === null) return effect
    altered = true
    return { ...effect, message }
  })
  return altered ? withEffects(step, effects) : null
}
const having = <T extends Effect["type"]>(
  step: ObservedStep,
  type: T,
  alter: (effect: Extract<Effect, { type: T }>) => readonly Effect[] | null,
): ObservedStep | null => {
  const at = step.effects.findIndex((effect) => effect.type === type)
  const effect = step.effects[at]
  const altered = effect === undefined ? null : alter(effect as Extract<Effect, { type: T }>)
  return altered === null
    ? null
    : withEffects(step, [...step.effects.slice(0, at), ...altered, ...step.effects.slice(at + 1)])
}
const command = (entry: Entry): Entry =>
  entry.kind === "command"
    ? { ...entry, payload: { ...entry.payload, checksum: -5 } }
    : { ...entry, kind: "command", payload: { bytes: new Uint8Array(1), checksum: -5 } }
const leading = ({ state }: ObservedStep): boolean => state.role.type === "leader"
const started = ({ events }: ObservedStep): boolean => events.some(({ type }) => type === "Started")
const amnesiac: Configuration = { voters: [], outgoing: [], learners: [] }

/** For each invariant: how a true step becomes one that breaks it, or null if this step is not suitable. */
const broken: Record<Invariant, (step: Recorded, before: Recorded | undefined) => ObservedStep | null> = {
  ElectionSafety: (step) =>
    step.state.role.type === "follower" && step.state.role.leader !== null
      ? withState(step, { role: { ...step.state.role, leader: nobody } })
      : null,
  ElectedByQuorum: (step, before) =>
    leading(step) &&
    before !== undefined &&
    !leading(before) &&
    step.state.configurations.at(-1)?.configuration.voters.length === 3
      ? {
          ...step,
          events: step.events.filter(
            (event) => event.type !== "MessageReceived" || event.message.type !== "RequestVoteReply",
          ),
        }
      : null,
  TermMonotonic: (step, before) =>
    before !== undefined && before.state.currentTerm > 1 && !started(step)
      ? withState(step, { currentTerm: before.state.currentTerm - 1 })
      : null,
  VoteOnce: (step, before) =>
    before !== undefined &&
    before.state.currentTerm === step.state.currentTerm &&
    step.state.votedFor !== null &&
    !started(step)
      ? withState(step, { votedFor: nobody })
      : null,
  VoteUpToDate: (step) => ({
    ...step,
    events: step.events.map((event) =>
      event.type === "MessageReceived" &&
      event.message.type === "RequestVote" &&
      step.state.votedFor?.name === event.from.name
        ? { ...event, message: { ...event.message, lastLogTerm: 0, lastLogIndex: 0 } }
        : event,
    ),
  }),
  AmnesiacSilent: (step, before) =>
    before === undefined && step.state.role.type === "follower"
      ? withState(step, {
          role: {
            type: "candidate",
            votes: {},
            asked: false,
            transfer: false,
            askedAt: 0,
            wallOffsets: {},
            timeOffset: null,
          },
          log: Object.assign(Object.create(Object.getPrototypeOf(step.state.log) as object), step.state.log, {
            base: { ...step.state.log.base, configuration: amnesiac },
          }) as State["log"],
        })
      : null,
  TransferStops: (step) =>
    leading(step) &&
    step.effects.some((effect) => effect.type === "Respond" && effect.outcome.type === "ProposalAppended")
      ? step
      : null,
  LeaderAppendOnly: (step, before) =>
    before !== undefined &&
    leading(before) &&
    leading(step) &&
    before.state.currentTerm === step.state.currentTerm &&
    step.state.log === before.state.log &&
    step.state.commitIndex < step.state.log.lastIndex
      ? withState(step, { log: step.state.log.truncateFrom(step.state.log.lastIndex) })
      : null,
  LogMatching: (step) => {
    const { log } = step.state
    const last = log.entry(log.lastIndex)
    return step.state.role.type === "follower" &&
      last !== undefined &&
      step.effects.some((effect) => effect.type === "Persist" && effect.entries.length > 0)
      ? withState(step, {
          log: log.truncateFrom(log.lastIndex).append(chained([command(last)], log.chainAt(log.lastIndex - 1))),
        })
      : null
  },
  ChainTrue: (step) => {
    const { log } = step.state
    const last = log.entry(log.lastIndex)
    return last !== undefined && step.effects.some((effect) => effect.type === "Persist" && effect.entries.length > 0)
      ? withState(step, { log: log.truncateFrom(log.lastIndex).append([{ ...last, chain: last.chain ^ 1 }]) })
      : null
  },
  ClockMonotonic: (step, before) =>
    before !== undefined && leading(before) && leading(step) && before.state.currentTerm === step.state.currentTerm
      ? withState(step, { clock: { ...step.state.clock, time: step.state.clock.time - 5000 } })
      : null,
  ClockSteady: (step) =>
    leading(step) && step.state.clock.settled && (step.at ?? 0) > 2000
      ? withState(step, { clock: { ...step.state.clock, time: step.state.clock.time + 60_000 } })
      : null,
  TruthfulAppend: (step) =>
    sending(step, "AppendEntries", (message) =>
      message.prevLogIndex > 0 ? { ...message, prevLogTerm: message.prevLogTerm + 1 } : null,
    ),
  BoundedMessages: (step) =>
    sending(step, "AppendEntries", (message) =>
      message.entries.length > 1 ? { ...message, entries: message.entries.slice(1) } : null,
    ),
  LeaderCompleteness: (step, before) => {
    if (
      !leading(step) ||
      before === undefined ||
      leading(before) ||
      step.state.commitIndex <= step.state.log.base.index + 2
    )
      return null
    const { log, commitIndex, durability } = step.state
    const less = commitIndex - 1
    return withState(step, {
      log: log.truncateFrom(commitIndex),
      commitIndex: less,
      applied: less,
      applying: less,
      durability: { ...durability, index: less },
    })
  },
  StateMachineSafety: (step, before) => {
    const { log, commitIndex } = step.state
    const entry = log.entry(commitIndex)
    return before !== undefined &&
      !leading(step) &&
      !started(step) &&
      commitIndex > before.state.commitIndex &&
      commitIndex === log.lastIndex &&
      entry !== undefined &&
      entry.term > 1 &&
      log.termAt(commitIndex - 1) === entry.term - 1
      ? withState(step, {
          log: log
            .truncateFrom(commitIndex)
            .append(chained([{ ...entry, term: entry.term - 1 }], log.chainAt(commitIndex - 1))),
        })
      : null
  },
  CommitMonotonic: (step, before) =>
    before !== undefined && !started(step) && before.state.commitIndex > step.state.log.base.index
      ? withState(step, { commitIndex: before.state.commitIndex - 1 })
      : null,
  CommittedIsDurable: (step, before) =>
    before !== undefined &&
    leading(step) &&
    leading(before) &&
    step.state.configurations.at(-1)?.configuration.voters.length === 3 &&
    before.state.log.lastIndex === before.state.commitIndex &&
    step.state.log.lastIndex > before.state.log.lastIndex
      ? withState(step, { commitIndex: step.state.log.lastIndex })
      : null,
  NoCommitByCounting: (step, before) =>
    before !== undefined &&
    leading(step) &&
    leading(before) &&
    step.state.commitIndex === before.state.commitIndex &&
    (step.state.log.termAt(step.state.commitIndex + 1) ?? step.state.currentTerm) < step.state.currentTerm
      ? withState(step, { commitIndex: step.state.commitIndex + 1 })
      : null,
  CommitKnown: (step, before) =>
    before !== undefined &&
    step.state.role.type === "follower" &&
    !started(step) &&
    step.state.commitIndex > 0 &&
    step.state.commitIndex < step.state.log.lastIndex
      ? withState(step, { commitIndex: step.state.log.lastIndex })
      : null,
  CommittedKept: (step, before) =>
    before !== undefined &&
    step.state.role.type === "follower" &&
    !started(step) &&
    step.state.commitIndex > step.state.log.base.index + 1
      ? withState(step, { log: step.state.log.truncateFrom(step.state.commitIndex) })
      : null,
  DurableBeforeTold: (step) =>
    sending(step, "AppendAccepted", (message) =>
      message.matchIndex > 0 ? { ...message, matchIndex: step.state.log.lastIndex + 1 } : null,
    ),
  DurableMonotonic: (step) => (step.recovered !== undefined && step.recovered.entries.length > 1 ? step : null),
  PersistComplete: (step) =>
    having(step, "Persist", (persist) =>
      persist.entries.length > 1 ? [{ ...persist, entries: persist.entries.slice(0, -1) }] : null,
    ),
  BootCommit: (step) =>
    started(step) && step.state.commitIndex > 0
      ? withState(step, { commitIndex: step.state.log.base.index - 1 })
      : null,
  AppliedInOrder: (step) => having(step, "Apply", (apply) => [apply, apply]),
  SnapshotForward: (step) =>
    !started(step) && step.state.applied > 3 && step.state.machine === "ready"
      ? andFirst(step, { type: "SnapshotRestored", snapshot: { ...step.state.log.base, index: 0, term: 0, id: "x" } })
      : null,
  SnapshotMatches: (step) =>
    step.state.commitIndex > step.state.log.base.index && !started(step)
      ? andFirst(step, {
          type: "SnapshotTaken",
          base: {
            ...step.state.log.base,
            index: step.state.commitIndex,
            term: (step.state.log.termAt(step.state.commitIndex) ?? 0) + 1,
          },
        })
      : null,
  ReadFresh: (step) =>
    having(step, "Respond", (respond) =>
      respond.outcome.type === "ReadReady" && respond.outcome.index > 0
        ? [{ ...respond, outcome: { type: "ReadReady", index: 0 } }]
        : null,
    ),
  EveryRefAnswered: (step) => having(step, "Respond", (respond) => [respond, respond]),
  OutcomeTrue: (step) =>
    having(step, "Respond", (respond) =>
      leading(step) && respond.outcome.type === "ProposalAppended"
        ? [{ ...respond, outcome: { ...respond.outcome, first: respond.outcome.first - 1 } }]
        : null,
    ),
  ConflictHalts: (step, before) => {
    if (
      before === undefined ||
      started(step) ||
      step.state.role.type !== "follower" ||
      step.state.role.leader === null ||
      before.state.commitIndex === 0
    )
      return null
    const { commitIndex, log } = before.state
    const { currentTerm: term } = step.state
    const told: Message = {
      type: "AppendEntries",
      term,
      prevLogIndex: commitIndex,
      prevLogTerm: (log.termAt(commitIndex) ?? 0) - 1,
      prevLogChain: 0,
      entries: [],
      leaderCommit: 0,
      round: 0,
      time: 0,
      settled: false,
    }
    return andFirst(step, { type: "MessageReceived", from: step.state.role.leader, message: told })
  },
  RoomForQuorum: (step) => {
    const { role } = step.state
    if (
      role.type !== "leader" ||
      step.events.some(({ type }) => type === "MessageReceived") ||
      !step.effects.some((effect) => effect.type === "Persist" && effect.entries.some(({ kind }) => kind === "command"))
    )
      return null
    return withState(step, {
      role: {
        ...role,
        progress: Object.fromEntries(
          Object.entries(role.progress).map(([name, progress]) => [name, { ...progress, condition: "full" }]),
        ),
      },
    })
  },
  NumbersInDomain: (step) => withState(step, { currentTerm: MAX_TERM + 1 }),
  ConfigSafety: (step) => ({
    ...step,
    state: { ...step.state, configurations: [...step.state.configurations, { index: 77, configuration: amnesiac }] },
  }),
  OnlyVotersCampaign: (step) =>
    step.state.role.type === "follower" &&
    step.state.configurations.every(({ configuration: { voters, outgoing } }) =>
      [...voters, ...outgoing].every(({ name }) => name !== step.node),
    ) &&
    !started(step)
      ? withState(step, {
          role: {
            type: "preCandidate",
            votes: {},
            asked: false,
            transfer: false,
            askedAt: 0,
            wallOffsets: {},
            timeOffset: null,
          },
        })
      : null,
}

interface Verdict {
  readonly step: string
  readonly swept: string
}
const verdictOf = (check: () => void): string => {
  try {
    check()
    return "nothing"
  } catch (error) {
    if (error instanceof InvariantViolated) return error.invariant
    throw error
  }
}

/** Feeds the recorded steps, and instead of the suitable one after `skip` others its broken form. */
const verdict = (steps: readonly Recorded[], invariant: Invariant, skip: number): Verdict | null => {
  const check: InvariantChecker = makeInvariantChecker()
  const last = new Map<string, Recorded>()
  const plain = ({ events, state, effects }: ObservedStep): string => JSON.stringify([events, state, effects])
  let suitable = 0
  for (const step of steps) {
    const before = last.get(step.node)
    const other = broken[invariant](step, before)
    if (other !== null && (other === step || plain(other) !== plain(step)) && suitable++ === skip) {
      const states = [...last.values()]
        .filter(({ node }) => node !== step.node)
        .map(({ node, state }) => ({ node, state }))
      const swept = verdictOf(() => sweep([...states, { node: step.node, state: other.state }]))
      return {
        swept,
        step: verdictOf(() => {
          if (other !== step) check(other)
          else if (step.recovered !== undefined)
            check.started(step.node, {
              ...step.recovered,
              entries: step.recovered.entries.slice(0, -1),
              hardState: { term: 0, vote: null },
            })
          else if (before !== undefined) {
            check({
              ...before,
              events: [],
              effects: [{ type: "Send", to: nobody, message: { type: "TimeoutNow", term: before.state.currentTerm } }],
            })
            check(step)
          }
        }),
      }
    }
    if (step.recovered !== undefined) check.started(step.node, step.recovered)
    check(step)
    last.set(step.node, step)
  }
  return null
}

/** What can be seen in states alone; the others need a past. */
const inStates: readonly Invariant[] = ["LogMatching", "LeaderCompleteness", "StateMachineSafety", "ConfigSafety"]

describe("a step that breaks an invariant is told by its name", () => {
  const worlds = [11, 12, 13, 14, 15, 16, 17, 18].map(record)
  test.each(Object.keys(invariants) as Invariant[])("%s", (invariant) => {
    const verdicts: Verdict[] = []
    for (const steps of worlds)
      for (const skip of [0, 3, 10]) {
        const found = verdict(steps, invariant, skip)
        if (found !== null) verdicts.push(found)
        if (found?.step === invariant && (found.swept === invariant || !inStates.includes(invariant))) return
      }
    expect(verdicts).toContain(invariant)
  })
})
