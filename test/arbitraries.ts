/** Random values of the types in core/types.ts, for properties of everything that carries them. */
import * as fc from "fast-check"
import { MAX_INDEX, MAX_TERM } from "../core/index.ts"
import type {
  Configuration,
  Entry,
  LogBase,
  Member,
  Message,
  Payload,
  ProposalOutcome,
  SnapshotRef,
} from "../core/index.ts"
import { payloadOf } from "../interpreters/payload.ts"

/** Any Unicode text without lone surrogates, which UTF-8 cannot carry. */
export const text: fc.Arbitrary<string> = fc.string({ unit: "binary", maxLength: 12 })
/** Counts of the core: up to 48 bits, small ones often. */
export const count: fc.Arbitrary<number> = fc.oneof(fc.nat(20), fc.integer({ min: 0, max: 2 ** 48 - 1 }))
export const index: fc.Arbitrary<number> = fc.oneof(fc.nat(20), fc.integer({ min: 0, max: MAX_INDEX }))
export const term: fc.Arbitrary<number> = fc.oneof(fc.nat(20), fc.integer({ min: 0, max: MAX_TERM }))
export const chain: fc.Arbitrary<number> = fc.integer()
export const bytes: fc.Arbitrary<Uint8Array> = fc.uint8Array({ maxLength: 300 })

export const member: fc.Arbitrary<Member> = fc.record({ name: text, incarnation: text })
const members = fc.array(member, { maxLength: 4 })
export const configuration: fc.Arbitrary<Configuration> = fc.record(
  { voters: members, outgoing: members, learners: members, level: fc.integer({ min: 1, max: 9 }) },
  { requiredKeys: ["voters", "outgoing", "learners"] },
)
export const payload: fc.Arbitrary<Payload> = bytes.map(payloadOf)

type Unplaced = Entry extends infer E ? (E extends Entry ? Omit<E, "index"> : never) : never
const unplaced: fc.Arbitrary<Unplaced> = fc.oneof(
  fc.record({ kind: fc.constant("noop" as const), term, time: count, chain }),
  fc.record({ kind: fc.constant("command" as const), term, time: count, chain, payload }),
  fc.record({ kind: fc.constant("configuration" as const), term, time: count, chain, configuration }),
)
const placed = (first: number, run: readonly Unplaced[]): readonly Entry[] => {
  const terms = run.map((entry) => entry.term).sort((a, b) => a - b)
  return run.map((entry, i): Entry => ({ ...entry, index: first + i, term: terms[i] ?? 0 }))
}
/** A run of entries with indexes that follow each other and terms that never fall, as every log and every message holds them. */
export const entries: fc.Arbitrary<readonly Entry[]> = fc
  .tuple(fc.integer({ min: 1, max: 2 ** 47 }), fc.array(unplaced, { maxLength: 8 }))
  .map(([first, run]) => placed(first, run))

const baseModel = { index, term, time: count, chain, configuration }
export const logBase: fc.Arbitrary<LogBase> = fc.record(baseModel)
export const snapshotRef: fc.Arbitrary<SnapshotRef> = fc.record({ ...baseModel, id: text })

export const proposalOutcome: fc.Arbitrary<ProposalOutcome> = fc.oneof(
  fc.record({ type: fc.constant("ProposalAppended" as const), first: index, term }),
  fc.record({
    type: fc.constant("ProposalRefused" as const),
    reason: fc.constantFrom(
      "notLeader" as const,
      "noLeader" as const,
      "busy" as const,
      "tooLarge" as const,
      "spaceLow" as const,
      "transferring" as const,
      "notReady" as const,
      "changePending" as const,
      "invalidChange" as const,
      "exhausted" as const,
    ),
    leader: fc.option(member),
  }),
  fc.record({ type: fc.constant("ProposalUnknown" as const), leader: fc.option(member) }),
)

/** One arbitrary per message type: the type check makes sure that none is forgotten. */
export const messageOf: { readonly [T in Message["type"]]: fc.Arbitrary<Extract<Message, { readonly type: T }>> } = {
  RequestVote: fc.record({
    type: fc.constant("RequestVote" as const),
    term,
    lastLogIndex: index,
    lastLogTerm: term,
    transfer: fc.boolean(),
  }),
  RequestVoteReply: fc.record({
    type: fc.constant("RequestVoteReply" as const),
    term,
    granted: fc.boolean(),
    wall: count,
    time: count,
  }),
  RequestPreVote: fc.record({
    type: fc.constant("RequestPreVote" as const),
    term,
    lastLogIndex: index,
    lastLogTerm: term,
  }),
  RequestPreVoteReply: fc.record({ type: fc.constant("RequestPreVoteReply" as const), term, granted: fc.boolean() }),
  AppendEntries: fc
    .record({
      type: fc.constant("AppendEntries" as const),
      term,
      prevLogIndex: index,
      prevLogTerm: term,
      prevLogChain: chain,
      entries,
      leaderCommit: index,
      round: count,
      time: count,
      settled: fc.boolean(),
    })
    // No entry has a later term than its leader, nor an earlier term than the entry before it.
    .map((message) => {
      const first = message.entries[0]
      const leader = Math.max(message.term, message.prevLogTerm, message.entries.at(-1)?.term ?? 0)
      return {
        ...message,
        term: leader,
        prevLogIndex: first === undefined ? message.prevLogIndex : first.index - 1,
        prevLogTerm: Math.min(message.prevLogTerm, first?.term ?? leader),
      }
    }),
  AppendAccepted: fc
    .record({
      type: fc.constant("AppendAccepted" as const),
      term,
      verifiedIndex: index,
      verifiedChain: chain,
      matchIndex: index,
      round: count,
      condition: fc.constantFrom("ready" as const, "rebuild" as const, "full" as const),
      wall: count,
      leaderTime: count,
    })
    .map((message) => ({ ...message, matchIndex: Math.min(message.matchIndex, message.verifiedIndex) })),
  AppendRejected: fc.record({
    type: fc.constant("AppendRejected" as const),
    term,
    prevLogIndex: index,
    conflictTerm: term,
    conflictIndex: count,
    round: count,
  }),
  InstallSnapshot: fc
    .record({
      type: fc.constant("InstallSnapshot" as const),
      term,
      snapshot: snapshotRef,
      offset: count,
      length: fc.nat(0xffffffff),
      last: fc.boolean(),
      round: count,
    })
    .map((message) => ({ ...message, term: Math.max(message.term, message.snapshot.term) })),
  InstallSnapshotReply: fc.record({
    type: fc.constant("InstallSnapshotReply" as const),
    term,
    id: text,
    round: count,
    nextOffset: count,
    status: fc.constantFrom("more" as const, "installed" as const, "failed" as const),
  }),
  ReadIndex: fc.record({ type: fc.constant("ReadIndex" as const), term, bootId: count, number: count }),
  ReadIndexReply: fc.record({
    type: fc.constant("ReadIndexReply" as const),
    term,
    bootId: count,
    number: count,
    readIndex: fc.option(index),
  }),
  ForwardProposal: fc.record({
    type: fc.constant("ForwardProposal" as const),
    term,
    ref: count,
    bootId: count,
    payloads: fc.array(payload, { maxLength: 5 }),
  }),
  ForwardProposalReply: fc.record({
    type: fc.constant("ForwardProposalReply" as const),
    term,
    ref: count,
    bootId: count,
    outcome: proposalOutcome,
  }),
  TimeoutNow: fc.record({ type: fc.constant("TimeoutNow" as const), term }),
}
export const message: fc.Arbitrary<Message> = fc.oneof(...Object.values(messageOf))
