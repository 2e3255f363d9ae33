/** Random values of the vocabulary of core/types.ts, for properties about anything that carries it. */
import * as fc from "fast-check"
import type { Configuration, Entry, LogBase, Member, Message, Payload, ProposalOutcome, SnapshotRef } from "../core/index.ts"
import { payloadOf } from "../interpreters/bytes.ts"

/** Any Unicode text without lone surrogates, which UTF-8 cannot carry. */
export const text: fc.Arbitrary<string> = fc.string({ unit: "binary", maxLength: 12 })
/** Counts of the core: up to 48 bits, small ones often. */
export const count: fc.Arbitrary<number> = fc.oneof(fc.nat(20), fc.integer({ min: 0, max: 2 ** 48 - 1 }))
export const bytes: fc.Arbitrary<Uint8Array> = fc.uint8Array({ maxLength: 300 })

export const member: fc.Arbitrary<Member> = fc.record({ name: text, incarnation: text })
const members = fc.array(member, { maxLength: 4 })
export const configuration: fc.Arbitrary<Configuration> = fc.record({ voters: members, outgoing: members, learners: members })
export const payload: fc.Arbitrary<Payload> = bytes.map(payloadOf)

type Unplaced = Entry extends infer E ? (E extends Entry ? Omit<E, "index"> : never) : never
const unplaced: fc.Arbitrary<Unplaced> = fc.oneof(
  fc.record({ kind: fc.constant("noop" as const), term: count, time: count }),
  fc.record({ kind: fc.constant("command" as const), term: count, time: count, payload }),
  fc.record({ kind: fc.constant("configuration" as const), term: count, time: count, configuration }),
)
/** A run of entries with indexes that follow each other, as every log and every message holds them. */
export const entries: fc.Arbitrary<readonly Entry[]> = fc
  .tuple(fc.integer({ min: 1, max: 2 ** 47 }), fc.array(unplaced, { maxLength: 8 }))
  .map(([first, run]) => run.map((entry, i): Entry => ({ ...entry, index: first + i })))

const baseModel = { index: count, term: count, time: count, configuration }
export const logBase: fc.Arbitrary<LogBase> = fc.record(baseModel)
export const snapshotRef: fc.Arbitrary<SnapshotRef> = fc.record({ ...baseModel, id: text })

export const proposalOutcome: fc.Arbitrary<ProposalOutcome> = fc.oneof(
  fc.record({ type: fc.constant("ProposalAppended" as const), first: count, term: count }),
  fc.record({
    type: fc.constant("ProposalRefused" as const),
    reason: fc.constantFrom("notLeader" as const, "noLeader" as const, "busy" as const, "tooLarge" as const, "spaceLow" as const, "transferring" as const, "notReady" as const, "changePending" as const, "invalidChange" as const),
    leader: fc.option(member),
  }),
  fc.record({ type: fc.constant("ProposalUnknown" as const), leader: fc.option(member) }),
)

/** One arbitrary per message type: the type sees to it that none is forgotten. */
export const messageOf: { readonly [T in Message["type"]]: fc.Arbitrary<Extract<Message, { readonly type: T }>> } = {
  RequestVote: fc.record({ type: fc.constant("RequestVote" as const), term: count, lastLogIndex: count, lastLogTerm: count, transfer: fc.boolean() }),
  RequestVoteReply: fc.record({ type: fc.constant("RequestVoteReply" as const), term: count, granted: fc.boolean() }),
  RequestPreVote: fc.record({ type: fc.constant("RequestPreVote" as const), term: count, lastLogIndex: count, lastLogTerm: count }),
  RequestPreVoteReply: fc.record({ type: fc.constant("RequestPreVoteReply" as const), term: count, granted: fc.boolean() }),
  AppendEntries: fc.record({ type: fc.constant("AppendEntries" as const), term: count, prevLogIndex: count, prevLogTerm: count, entries, leaderCommit: count, round: count }),
  AppendAccepted: fc.record({ type: fc.constant("AppendAccepted" as const), term: count, verifiedIndex: count, matchIndex: count, round: count, condition: fc.constantFrom("ready" as const, "rebuild" as const, "full" as const) }),
  AppendRejected: fc.record({ type: fc.constant("AppendRejected" as const), term: count, prevLogIndex: count, conflictTerm: count, conflictIndex: count, round: count }),
  InstallSnapshot: fc.record({ type: fc.constant("InstallSnapshot" as const), term: count, snapshot: snapshotRef, offset: count, length: fc.nat(0xffffffff), last: fc.boolean(), round: count }),
  InstallSnapshotReply: fc.record({
    type: fc.constant("InstallSnapshotReply" as const),
    term: count, id: text, round: count, nextOffset: count,
    status: fc.constantFrom("more" as const, "installed" as const, "failed" as const),
  }),
  ReadIndex: fc.record({ type: fc.constant("ReadIndex" as const), term: count, life: count, number: count }),
  ReadIndexReply: fc.record({ type: fc.constant("ReadIndexReply" as const), term: count, life: count, number: count, readIndex: fc.option(count) }),
  ForwardProposal: fc.record({ type: fc.constant("ForwardProposal" as const), term: count, ref: count, life: count, payloads: fc.array(payload, { maxLength: 5 }) }),
  ForwardProposalReply: fc.record({ type: fc.constant("ForwardProposalReply" as const), term: count, ref: count, life: count, outcome: proposalOutcome }),
  TimeoutNow: fc.record({ type: fc.constant("TimeoutNow" as const), term: count }),
}
export const message: fc.Arbitrary<Message> = fc.oneof(...Object.values(messageOf))
