import { describe, expect, test } from "vitest"
import { sameMember, type Effect, type Member, type Message, type State } from "../core/index.ts"
import { makeRefinementChecker, RefinementViolated, type ObservedStep } from "../spec/index.ts"
import { full } from "./cluster.ts"
import { many } from "./long.ts"
import { record, type Recorded } from "./invariants.help.ts"
import { scripted } from "./worlds.ts"

test("every step of random worlds is one that the specification allows", () => {
  let steps = 0
  for (let seed = 1; seed <= (full ? many(3000, 500) : 15); seed++) {
    const check = makeRefinementChecker()
    const world = scripted(seed, {
      started: check.started,
      observe: (step) => {
        check(step)
        if (++steps % 256 === 0) check.sweep()
      },
    })
    world.run(2000)
    check.sweep()
  }
  expect(steps).toBeGreaterThan(5000)
}, 3_600_000)

type Breaks = (step: Recorded) => ObservedStep | null
const withState = (step: ObservedStep, change: Partial<State>): ObservedStep => ({
  ...step,
  state: { ...step.state, ...change },
})
/** The first message of a type, said differently. */
const said =
  <T extends Message["type"]>(
    type: T,
    alter: (message: Extract<Message, { type: T }>, state: State, to: Member) => Message | null,
  ): Breaks =>
  (step) => {
    let altered = false
    const effects = step.effects.map((effect): Effect => {
      if (altered || effect.type !== "Send" || effect.message.type !== type) return effect
      const message = alter(effect.message as Extract<Message, { type: T }>, step.state, effect.to)
      if (message === null) return effect
      altered = true
      return { ...effect, message }
    })
    return altered ? { ...step, effects } : null
  }
/** Without the events of one type: what follows from them has no reason any more. */
const unheard =
  (types: readonly Message["type"][], suits: (step: Recorded) => boolean): Breaks =>
  (step) =>
    suits(step) && step.events.some((event) => event.type === "MessageReceived" && types.includes(event.message.type))
      ? {
          ...step,
          events: step.events.filter(
            (event) => event.type !== "MessageReceived" || !types.includes(event.message.type),
          ),
        }
      : null
const single = ({ events }: ObservedStep): boolean => events.length <= 2
const did = ({ effects }: ObservedStep, type: Effect["type"]): boolean => effects.some((effect) => effect.type === type)
const noted = ({ effects }: ObservedStep, rule: string): boolean =>
  effects.some((effect) => effect.type === "Note" && effect.rule === rule)

const broken: Readonly<Record<string, Breaks>> = {
  "a term that nobody brought": (step) => withState(step, { currentTerm: step.state.currentTerm + 1 }),
  "a vote that nobody asked for": unheard(["RequestVote"], (step) => noted(step, "vote.granted")),
  "a vote that is forgotten": (step) => (step.state.votedFor === null ? null : withState(step, { votedFor: null })),
  "a leader without votes": unheard(["RequestVoteReply"], (step) => noted(step, "election.won")),
  "an election without pre-votes": unheard(
    ["RequestPreVoteReply"],
    (step) => step.state.settings.preVote && noted(step, "election.campaign"),
  ),
  "entries that nobody sent": unheard(
    ["AppendEntries"],
    (step) => noted(step, "append.accepted") && did(step, "Persist"),
  ),
  "a proposal that nobody made": (step) =>
    noted(step, "proposal.appended") && single(step)
      ? { ...step, events: step.events.filter(({ type }) => type !== "Proposed" && type !== "MessageReceived") }
      : null,
  "a truncation without conflict": (step) =>
    single(step) && step.state.log.lastIndex > step.state.commitIndex
      ? withState(step, { log: step.state.log.truncateFrom(step.state.log.lastIndex) })
      : null,
  "a commit that nobody acknowledged": unheard(
    ["AppendAccepted"],
    (step) => noted(step, "commit.advanced") && single(step),
  ),
  "a commit index that falls": (step) =>
    step.state.commitIndex > 0 && step.events.every(({ type }) => type === "TimerExpired" || type === "ClockAdvanced")
      ? withState(step, { commitIndex: step.state.commitIndex - 1 })
      : null,
  "a trimmed log without a snapshot": (step) =>
    noted(step, "snapshot.trimmed")
      ? { ...step, events: step.events.filter(({ type }) => type !== "SnapshotTaken") }
      : null,
  "a request for votes that praises the log": said("RequestVote", (message) => ({
    ...message,
    lastLogIndex: message.lastLogIndex + 1,
  })),
  "a vote told that was not given": said("RequestVoteReply", (message, { votedFor }, to) =>
    message.granted || (votedFor !== null && sameMember(votedFor, to)) ? null : { ...message, granted: true },
  ),
  "a vote refused that was given": said("RequestVoteReply", (message) =>
    message.granted ? { ...message, granted: false } : null,
  ),
  "a higher term passed over": (step) =>
    single(step) &&
    step.events.some((event) => event.type === "MessageReceived" && event.message.type === "AppendAccepted")
      ? {
          ...step,
          events: step.events.map((event) =>
            event.type === "MessageReceived"
              ? { ...event, message: { ...event.message, term: step.state.currentTerm + 1 } }
              : event,
          ),
        }
      : null,
  "an election timeout anew without a sign of life": (step) =>
    step.state.role.type === "follower" &&
    step.state.role.leader !== null &&
    step.events.every(({ type }) => type === "ClockAdvanced" || type === "Applied" || type === "Persisted")
      ? { ...step, effects: [...step.effects, { type: "SetTimer", timer: "election", min: 1, max: 1 }] }
      : null,
  "a chunk stored twice": (step) =>
    did(step, "StoreChunk")
      ? {
          ...step,
          effects: step.effects.flatMap((effect): readonly Effect[] =>
            effect.type === "StoreChunk" ? [effect, effect] : [effect],
          ),
        }
      : null,
  "a pre-vote that may not be given": said("RequestPreVoteReply", (message, state) =>
    message.granted || state.role.type !== "leader" ? null : { ...message, granted: true },
  ),
  "an append of another term": said("AppendEntries", (message) => ({ ...message, term: message.term + 1 })),
  "an append with another previous term": said("AppendEntries", (message) =>
    message.prevLogIndex === 0 ? null : { ...message, prevLogTerm: 0 },
  ),
  "a commit index announced too early": said("AppendEntries", (message, state) => ({
    ...message,
    leaderCommit: state.commitIndex + 1,
  })),
  "an acknowledgement of too much": said("AppendAccepted", (message) => ({
    ...message,
    matchIndex: message.matchIndex + 1,
  })),
  "an answer to a round not heard": said("AppendAccepted", (message) => ({ ...message, round: message.round + 1 })),
  "a read index for a follower that is too low": said("ReadIndexReply", (message) =>
    message.readIndex === null ? null : { ...message, readIndex: 0 },
  ),
  "a write that leaves entries out": (step) => ({
    ...step,
    effects: step.effects.map((effect) =>
      effect.type === "Persist" ? { ...effect, entries: effect.entries.slice(1) } : effect,
    ),
  }),
  "a write that is left out": (step) =>
    did(step, "Persist") ? { ...step, effects: step.effects.filter(({ type }) => type !== "Persist") } : null,
  "an entry applied twice": (step) =>
    did(step, "Apply")
      ? {
          ...step,
          effects: step.effects.flatMap((effect): readonly Effect[] =>
            effect.type === "Apply" ? [effect, effect] : [effect],
          ),
        }
      : null,
  "a read answered that nobody confirmed": (step) => ({
    ...step,
    effects: step.effects.map((effect) =>
      effect.type === "Respond" && effect.outcome.type === "ReadRefused"
        ? { ...effect, outcome: { type: "ReadReady", index: step.state.applied } }
        : effect,
    ),
  }),
}

describe("the specification refuses", () => {
  const worlds = Array.from({ length: 16 }, (_, i) => record(21 + i))
  test.each(Object.entries(broken))("%s", (_, breaks) => {
    let tried = 0
    for (const steps of worlds) {
      const check = makeRefinementChecker()
      for (const step of steps) {
        if (step.recovered !== undefined) check.started(step.node, step.recovered)
        const other = breaks(step)
        if (
          other !== null &&
          JSON.stringify([other.events, other.effects]) +
            other.state.currentTerm +
            (other.state === step.state ? "" : "!") !==
            JSON.stringify([step.events, step.effects]) + step.state.currentTerm
        ) {
          tried += 1
          expect(() => check(other)).toThrow(RefinementViolated)
          break
        }
        check(step)
      }
    }
    expect(tried).toBeGreaterThan(0)
  })

  test("a start with less on its disk than was durable", () => {
    const check = makeRefinementChecker()
    let steps = record(21)
    const lastStart = () => steps.findLast(({ recovered }) => recovered !== undefined && recovered.entries.length > 0)
    for (let seed = 22; lastStart() === undefined; seed++) steps = record(seed)
    const restart = lastStart()
    for (const step of steps) {
      if (step === restart && step.recovered !== undefined) {
        const { recovered } = step
        expect(() =>
          check.started(step.node, {
            ...recovered,
            entries: recovered.entries.slice(0, -1),
            hardState: { term: 0, vote: null },
          }),
        ).toThrow(RefinementViolated)
        return
      }
      if (step.recovered !== undefined) check.started(step.node, step.recovered)
      check(step)
    }
    expect.unreachable("nobody started again")
  })
})
