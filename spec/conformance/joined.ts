/** Members that join a network, for the checks of a transport: what they send, and what they receive. */
import {
  origin,
  type Entry,
  type DurablePosition,
  type Member,
  type Message,
  type MessageType,
  type Start,
} from "../../core/index.ts"
import type { ServiceMessage, Transport } from "../../interpreters/contract.ts"
import { makeRandom } from "../../interpreters/simulation/index.ts"
import { demand, sleep, requireStaging, eventLoopTurns, until } from "./check.ts"
import { randomBytesOf, entryAfter, memberNamed, someConfiguration } from "./entries.ts"

/** One process of a member. */
export interface Joining {
  readonly member: Member
  /** Which start of its directory this is, and the durable position of its log at that start. */
  readonly start: Start
  readonly recovered: DurablePosition
  readonly cluster: string | null
}
export interface Joined {
  readonly transport: Transport
  /** Ends its process; the members that were connected with it notice. */
  readonly leave: () => Promise<void>
}
/** A network of members, which has no members at first. */
export interface TransportSubject {
  /**
   * A process of the member joins: it and all others, whether they are there already or come later, learn each other's
   * addresses. An earlier process of the same name may have left, or may still be there: then the new one knows the
   * others and tries to connect.
   */
  readonly join: (joining: Joining) => Promise<Joined>
  readonly dispose: () => Promise<void>
}

export interface ReceivedMessage {
  readonly from: Member
  readonly message: Message
  readonly chunk: Uint8Array | null
}
export const memberLabel = ({ name, incarnation }: Member): string => `${name}/${incarnation}`

/** A member, and everything that its transport reported. */
export class Node {
  readonly member: Member
  readonly transport: Transport
  readonly leave: () => Promise<void>
  readonly got: ReceivedMessage[] = []
  readonly service: { readonly from: Member; readonly message: ServiceMessage }[] = []
  /** "+b/b-1" connected, "-b/b-1" disconnected. */
  readonly links: string[] = []
  constructor(member: Member, { transport, leave }: Joined, attached = true) {
    this.member = member
    this.transport = transport
    this.leave = leave
    if (attached) this.attach()
  }
  attach(): void {
    this.transport.attach({
      received: (from, message, chunk) => this.got.push({ from, message, chunk }),
      connected: (peer) => this.links.push(`+${memberLabel(peer)}`),
      disconnected: (peer) => this.links.push(`-${memberLabel(peer)}`),
      serviceSaid: (from, message) => this.service.push({ from, message }),
    })
  }
  /** Whether the latest report about that member is that it is connected. */
  isConnected(peer: Member): boolean {
    return this.links.findLast((word) => word.slice(1) === memberLabel(peer))?.startsWith("+") ?? false
  }
  say(to: Node, ...messages: readonly Message[]): void {
    for (const message of messages) this.transport.send(to.member, message, null)
    this.transport.flush()
  }
  ask(to: Member, ...messages: readonly ServiceMessage[]): void {
    const send = requireStaging("sendService", this.transport.sendService)
    for (const message of messages) send(to, message)
    this.transport.flush()
  }
}

export const first: Start = { number: 1, words: [11] }
export const joiningOf = (who: Member, more: Partial<Joining> = {}): Joining => ({
  member: who,
  start: first,
  recovered: { term: 0, index: 0 },
  cluster: "c",
  ...more,
})

export const appendOfRound = (round: number, term = 1): Message => ({
  type: "AppendEntries",
  term,
  prevLogIndex: 0,
  prevLogTerm: 0,
  prevLogChain: 0,
  entries: [],
  leaderCommit: 0,
  round,
  time: 0,
  settled: false,
})
export const roundsOf = (got: readonly ReceivedMessage[]): number[] =>
  got.map(({ message }) => (message.type === "AppendEntries" ? message.round : -1))

/** One message of each type, or more, with numbers that are easily confused. */
export const everyMessage = (
  random: ReturnType<typeof makeRandom>,
): readonly { readonly message: Message; readonly chunk: Uint8Array | null }[] => {
  const entries: Entry[] = []
  const slab = randomBytesOf(random, 4096)
  for (const content of [
    { kind: "noop" as const },
    { kind: "configuration" as const, configuration: someConfiguration },
    { kind: "command" as const, bytes: new Uint8Array() },
    { kind: "command" as const, bytes: slab.subarray(100, 131) },
    { kind: "command" as const, bytes: randomBytesOf(random, 100_000) },
  ])
    entries.push(entryAfter(entries.at(-1) ?? { ...origin, index: 7, term: 2, chain: -5 }, content, 3))
  const commands = entries.flatMap((entry) => (entry.kind === "command" ? [entry.payload] : []))
  const snapshot = { id: "n.ï/17", index: 2 ** 33, term: 4, time: 99, chain: -1, configuration: someConfiguration }
  const leader = memberNamed("ünï", "x")
  const most = 2 ** 48 - 2
  const all: { readonly [T in MessageType]: readonly Extract<Message, { readonly type: T }>[] } = {
    RequestVote: [true, false].map((transfer) => ({
      type: "RequestVote",
      term: 5,
      lastLogIndex: 6,
      lastLogTerm: 4,
      transfer,
    })),
    RequestVoteReply: [true, false].map((granted) => ({
      type: "RequestVoteReply",
      term: 5,
      granted,
      wall: 1_700_000_000_000,
      time: 8,
    })),
    RequestPreVote: [{ type: "RequestPreVote", term: most, lastLogIndex: 6, lastLogTerm: 4 }],
    RequestPreVoteReply: [true, false].map((granted) => ({ type: "RequestPreVoteReply", term: 5, granted })),
    AppendEntries: [
      {
        type: "AppendEntries",
        term: 5,
        prevLogIndex: 7,
        prevLogTerm: 2,
        prevLogChain: -5,
        entries,
        leaderCommit: 3,
        round: 12,
        time: 13,
        settled: true,
      },
      {
        type: "AppendEntries",
        term: most,
        prevLogIndex: most,
        prevLogTerm: most,
        prevLogChain: -0x8000_0000,
        entries: [],
        leaderCommit: most,
        round: most,
        time: most,
        settled: false,
      },
    ],
    AppendAccepted: (["ready", "rebuild", "full"] as const).map((condition) => ({
      type: "AppendAccepted",
      term: 5,
      verifiedIndex: 9,
      verifiedChain: 0x7fff_ffff,
      matchIndex: 8,
      round: 3,
      condition,
      wall: 4,
      leaderTime: 6,
    })),
    AppendRejected: [{ type: "AppendRejected", term: 5, prevLogIndex: 4, conflictTerm: 3, conflictIndex: 2, round: 1 }],
    InstallSnapshot: [
      { type: "InstallSnapshot", term: 5, snapshot, offset: 2 ** 34, length: 70_000, last: true, round: 2 },
      { type: "InstallSnapshot", term: 5, snapshot, offset: 0, length: 0, last: false, round: 3 },
    ],
    InstallSnapshotReply: (["more", "installed", "failed"] as const).map((status) => ({
      type: "InstallSnapshotReply",
      term: 5,
      id: snapshot.id,
      round: 2,
      status,
      nextOffset: 2 ** 35,
    })),
    ReadIndex: [{ type: "ReadIndex", term: 5, bootId: 2 ** 32 - 1, number: 3 }],
    ReadIndexReply: [null, 0, 8].map((readIndex) => ({
      type: "ReadIndexReply",
      term: 5,
      bootId: 2,
      number: 3,
      readIndex,
    })),
    ForwardProposal: [{ type: "ForwardProposal", term: 5, ref: 1, bootId: 2, payloads: commands }],
    ForwardProposalReply: [
      {
        type: "ForwardProposalReply",
        term: 5,
        ref: 1,
        bootId: 2,
        outcome: { type: "ProposalAppended", first: 3, term: 4 },
      },
      ...(
        [
          "notLeader",
          "noLeader",
          "busy",
          "tooLarge",
          "spaceLow",
          "exhausted",
          "transferring",
          "notReady",
          "changePending",
          "invalidChange",
        ] as const
      ).map((reason) => ({
        type: "ForwardProposalReply" as const,
        term: 5,
        ref: 1,
        bootId: 2,
        outcome: { type: "ProposalRefused" as const, reason, leader: reason === "busy" ? leader : null },
      })),
      { type: "ForwardProposalReply", term: 5, ref: 1, bootId: 2, outcome: { type: "ProposalUnknown", leader } },
    ],
    TimeoutNow: [{ type: "TimeoutNow", term: 5 }],
  }
  return Object.values(all).flatMap((messages: readonly Message[]) =>
    messages.map((message) => ({
      message,
      chunk: message.type === "InstallSnapshot" ? randomBytesOf(random, message.length) : null,
    })),
  )
}

export const connected = (...nodes: readonly Node[]): Promise<void> =>
  until(`${nodes.map(({ member: { name } }) => name).join(", ")} are connected with one another`, () =>
    nodes.every((node) => nodes.every((other) => node === other || node.isConnected(other.member))),
  )
/** Sends repeatedly, because messages may be lost. */
export const arrives = async (from: Node, to: Node, round: number): Promise<void> => {
  for (let tries = 0; tries < 400 && !roundsOf(to.got).includes(round); tries++) {
    from.say(to, appendOfRound(round))
    await sleep(tries < 20 ? 5 : 50)
  }
  demand(roundsOf(to.got).includes(round), () => `nothing that ${from.member.name} says arrives at ${to.member.name}`)
}
/** Waits long enough for something that must not happen: as long as the rest took, and longer. */
export const waitMuchLonger = async (since: number): Promise<void> => {
  await sleep(100 + 2 * (performance.now() - since))
  await eventLoopTurns()
}
