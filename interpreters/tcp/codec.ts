/** Messages in binary. The first byte of a frame's body says what it is; handshake.ts owns the kinds from 0x40 on. */
import { crc32 } from "node:zlib"
import { flawOfMessage } from "../../core/index.ts"
import type {
  AppendEntries,
  Condition,
  Entry,
  InstallSnapshotReply,
  Member,
  Message,
  Payload,
  ProposalOutcome,
  ProposalRefusal,
} from "../../core/index.ts"
import { MAX_SERVICE_BYTES, type ServiceMessage } from "../contract.ts"
import {
  MalformedBytes,
  NumberOutOfDomain,
  ByteReader,
  ByteWriter,
  readBase,
  readEntries,
  readMember,
  readPayload,
  writeBase,
  writeEntries,
  writeMember,
  writePayload,
} from "../bytes.ts"

const KIND = {
  RequestVote: 1,
  RequestVoteReply: 2,
  RequestPreVote: 3,
  RequestPreVoteReply: 4,
  AppendEntries: 5,
  AppendAccepted: 6,
  AppendRejected: 7,
  InstallSnapshot: 8,
  InstallSnapshotReply: 9,
  ReadIndex: 10,
  ReadIndexReply: 11,
  ForwardProposal: 12,
  ForwardProposalReply: 13,
  TimeoutNow: 14,
} as const satisfies Record<Message["type"], number>

const SERVICE_QUESTION = 32
const SERVICE_ANSWER = 33
export const writeService = (w: ByteWriter, { type, bootId, ref, bytes }: ServiceMessage): void => {
  w.u8(type === "ServiceQuestion" ? SERVICE_QUESTION : SERVICE_ANSWER)
  w.u48(bootId)
  w.u48(ref)
  w.bytes(bytes)
}
/** null: it is another message. Throws MalformedBytes. */
export const readService = (buffer: Buffer, from: number, to: number): ServiceMessage | null => {
  const kind = buffer[from]
  if (kind !== SERVICE_QUESTION && kind !== SERVICE_ANSWER) return null
  const r = new ByteReader(buffer, from + 1, to)
  const message: ServiceMessage = {
    type: kind === SERVICE_QUESTION ? "ServiceQuestion" : "ServiceAnswer",
    bootId: r.u48(),
    ref: r.u48(),
    bytes: new Uint8Array(r.bytes()),
  }
  r.done()
  if (message.bytes.length > MAX_SERVICE_BYTES)
    throw new MalformedBytes(`a service message of ${message.bytes.length} bytes`)
  return message
}

export interface Received {
  readonly message: Message
  /** The bytes of an InstallSnapshot. */
  readonly chunk: Uint8Array | null
}

/**
 * AppendEntries bodies begin with the kind and the entries, so that this part and its CRC are the same for every
 * follower: a leader encodes the entries of a batch and computes their CRC once, and copies the bytes for each peer.
 *
 * Encoded entries are recognised by their first and last entry, as objects, and by their number: each follower's
 * entries are a slice of the same log, and if two slices of a log have equal ends, they are equal in between (paper
 * §5.3, Log Matching).
 */
export class EncodedEntriesCache {
  private writer = new ByteWriter()
  /** Encoded entries, by the last entry. */
  private readonly blocks = new Map<Entry, EncodedEntries>()
  block(entries: readonly Entry[]): EncodedEntries {
    const first = entries[0]
    const last = entries[entries.length - 1]
    if (first === undefined || last === undefined) throw new RangeError("a block has entries")
    const known = this.blocks.get(last)
    if (known !== undefined && known.first === first && known.count === entries.length) return known
    const from = this.writer.length
    this.writer.u8(KIND.AppendEntries)
    writeEntries(this.writer, entries)
    const bytes = this.writer.view(from)
    // The view stays valid: the writer only appends, and when it grows it does not touch the old memory.
    const block = { first, count: entries.length, bytes, crc: crc32(bytes) }
    this.blocks.set(last, block)
    return block
  }
  /** The batch has been sent: forgets the encoded entries. */
  clear(): void {
    if (this.blocks.size === 0) return
    this.blocks.clear()
    if (this.writer.length > 1 << 20) this.writer = new ByteWriter()
    else this.writer.reset()
  }
}
/** For a few small entries sharing costs more than it saves (measured: 0.6 µs). */
export const worthSharing = (entries: readonly Entry[]): boolean => {
  if (entries.length > 3) return true
  const first = entries[0]
  return first?.kind === "command" && first.payload.bytes.length > 2048
}
export interface EncodedEntries {
  readonly first: Entry
  readonly count: number
  readonly bytes: Buffer
  readonly crc: number
}

/** What follows the entries in the body of an AppendEntries. */
export const writeAppendTail = (w: ByteWriter, message: AppendEntries): void => {
  w.u48(message.term)
  w.u48(message.prevLogIndex)
  w.u48(message.prevLogTerm)
  w.i32(message.prevLogChain)
  w.u48(message.leaderCommit)
  w.u48(message.round)
  w.u48(message.time)
  w.u8(message.settled ? 1 : 0)
}

const STATUS = ["more", "installed", "failed"] as const satisfies readonly InstallSnapshotReply["status"][]
const CONDITION = ["ready", "rebuild", "full"] as const satisfies readonly Condition[]
const REFUSAL = [
  "notLeader",
  "noLeader",
  "busy",
  "tooLarge",
  "spaceLow",
  "transferring",
  "notReady",
  "changePending",
  "invalidChange",
  "exhausted",
] as const satisfies readonly ProposalRefusal[]
const OUTCOME = [
  "ProposalAppended",
  "ProposalRefused",
  "ProposalUnknown",
] as const satisfies readonly ProposalOutcome["type"][]

const pick = <A>(names: readonly A[], at: number, what: string): A => {
  const name = names[at]
  if (name === undefined) throw new MalformedBytes(`an unknown ${what}, number ${at}`)
  return name
}

const writeLeader = (w: ByteWriter, member: Member | null): void => {
  w.u8(member === null ? 0 : 1)
  if (member !== null) writeMember(w, member)
}
const readLeader = (r: ByteReader): Member | null => (r.flag() ? readMember(r) : null)

const writeOutcome = (w: ByteWriter, outcome: ProposalOutcome): void => {
  w.u8(OUTCOME.indexOf(outcome.type))
  switch (outcome.type) {
    case "ProposalAppended":
      w.u48(outcome.first)
      w.u48(outcome.term)
      return
    case "ProposalRefused":
      w.u8(REFUSAL.indexOf(outcome.reason))
      writeLeader(w, outcome.leader)
      return
    case "ProposalUnknown":
      writeLeader(w, outcome.leader)
  }
}
const readOutcome = (r: ByteReader): ProposalOutcome => {
  const type = pick(OUTCOME, r.u8(), "proposal outcome")
  switch (type) {
    case "ProposalAppended":
      return { type, first: r.u48(), term: r.u48() }
    case "ProposalRefused":
      return { type, reason: pick(REFUSAL, r.u8(), "refusal"), leader: readLeader(r) }
    case "ProposalUnknown":
      return { type, leader: readLeader(r) }
  }
}

const flag = (w: ByteWriter, value: boolean): void => w.u8(value ? 1 : 0)

/**
 * Throws NumberOutOfDomain, and writes nothing, for a message that readMessage would refuse: the core never sends one.
 */
export const writeMessage = (w: ByteWriter, message: Message, chunk: Uint8Array | null): void => {
  const flaw = flawOfMessage(message)
  if (flaw !== null) throw new NumberOutOfDomain(`${message.type} with ${flaw}`)
  const from = w.length
  try {
    write(w, message, chunk)
  } catch (error) {
    w.length = from
    throw error
  }
}

const write = (w: ByteWriter, message: Message, chunk: Uint8Array | null): void => {
  w.u8(KIND[message.type])
  if (message.type === "AppendEntries") {
    writeEntries(w, message.entries)
    writeAppendTail(w, message)
    return
  }
  w.u48(message.term)
  switch (message.type) {
    case "RequestVote":
      w.u48(message.lastLogIndex)
      w.u48(message.lastLogTerm)
      flag(w, message.transfer)
      return
    case "RequestPreVote":
      w.u48(message.lastLogIndex)
      w.u48(message.lastLogTerm)
      return
    case "RequestVoteReply":
      flag(w, message.granted)
      w.u48(message.wall)
      w.u48(message.time)
      return
    case "RequestPreVoteReply":
      flag(w, message.granted)
      return
    case "AppendAccepted":
      w.u48(message.verifiedIndex)
      w.i32(message.verifiedChain)
      w.u48(message.matchIndex)
      w.u48(message.round)
      w.u8(CONDITION.indexOf(message.condition))
      w.u48(message.wall)
      w.u48(message.leaderTime)
      return
    case "AppendRejected":
      w.u48(message.prevLogIndex)
      w.u48(message.conflictTerm)
      w.u48(message.conflictIndex)
      w.u48(message.round)
      return
    case "InstallSnapshot":
      writeBase(w, message.snapshot)
      w.text(message.snapshot.id)
      w.u48(message.offset)
      flag(w, message.last)
      w.u48(message.round)
      // `length` is the number of bytes in the frame; with a chunk it is the chunk's.
      flag(w, chunk !== null)
      if (chunk === null) w.u32(message.length)
      else w.bytes(chunk)
      return
    case "InstallSnapshotReply":
      w.text(message.id)
      w.u48(message.round)
      w.u8(STATUS.indexOf(message.status))
      w.u48(message.nextOffset)
      return
    case "ReadIndex":
      w.u48(message.bootId)
      w.u48(message.number)
      return
    case "ReadIndexReply":
      w.u48(message.bootId)
      w.u48(message.number)
      flag(w, message.readIndex !== null)
      if (message.readIndex !== null) w.u48(message.readIndex)
      return
    case "ForwardProposal":
      w.u48(message.ref)
      w.u48(message.bootId)
      w.u32(message.payloads.length)
      for (const payload of message.payloads) writePayload(w, payload)
      return
    case "ForwardProposalReply":
      w.u48(message.ref)
      w.u48(message.bootId)
      writeOutcome(w, message.outcome)
      return
    case "TimeoutNow":
  }
}

/**
 * Memory for received payloads, cut from slabs in the order of arrival. A view of the socket's chunk would keep 64 kB
 * alive for one entry, and an allocation per entry costs 1 µs. Neighbours in a slab are neighbours in the log, and
 * become free together when it is trimmed.
 */
export class Slab {
  private memory = Buffer.alloc(0)
  private used = 0
  copy(buffer: Buffer, from: number, to: number): Buffer {
    const size = to - from
    if (size > 16_384) {
      const own = Buffer.allocUnsafeSlow(size)
      buffer.copy(own, 0, from, to)
      return own
    }
    if (size > this.memory.length - this.used) {
      this.memory = Buffer.allocUnsafeSlow(65_536)
      this.used = 0
    }
    const at = this.used
    this.used = at + size
    buffer.copy(this.memory, at, from, to)
    return this.memory.subarray(at, at + size)
  }
}

const readAppend = (r: ByteReader): AppendEntries => {
  const entries = readEntries(r)
  return {
    type: "AppendEntries",
    entries,
    term: r.u48(),
    prevLogIndex: r.u48(),
    prevLogTerm: r.u48(),
    prevLogChain: r.i32(),
    leaderCommit: r.u48(),
    round: r.u48(),
    time: r.u48(),
    settled: r.flag(),
  }
}

const readInstall = (r: ByteReader): Received => {
  const term = r.u48()
  const base = readBase(r)
  const snapshot = { ...base, id: r.text() }
  const offset = r.u48()
  const last = r.flag()
  const round = r.u48()
  if (!r.flag())
    return { message: { type: "InstallSnapshot", term, snapshot, offset, length: r.u32(), last, round }, chunk: null }
  const view = r.bytes()
  const chunk = Buffer.allocUnsafeSlow(view.length)
  chunk.set(view)
  return { message: { type: "InstallSnapshot", term, snapshot, offset, length: chunk.length, last, round }, chunk }
}

const readPayloads = (r: ByteReader): Payload[] => Array.from({ length: r.count(8) }, () => readPayload(r))

/** Everything but AppendEntries and InstallSnapshot. */
const readOther = (kind: number, r: ByteReader): Message => {
  const term = r.u48()
  switch (kind) {
    case KIND.RequestVote:
      return { type: "RequestVote", term, lastLogIndex: r.u48(), lastLogTerm: r.u48(), transfer: r.flag() }
    case KIND.RequestVoteReply:
      return { type: "RequestVoteReply", term, granted: r.flag(), wall: r.u48(), time: r.u48() }
    case KIND.RequestPreVote:
      return { type: "RequestPreVote", term, lastLogIndex: r.u48(), lastLogTerm: r.u48() }
    case KIND.RequestPreVoteReply:
      return { type: "RequestPreVoteReply", term, granted: r.flag() }
    case KIND.AppendAccepted:
      return {
        type: "AppendAccepted",
        term,
        verifiedIndex: r.u48(),
        verifiedChain: r.i32(),
        matchIndex: r.u48(),
        round: r.u48(),
        condition: pick(CONDITION, r.u8(), "condition"),
        wall: r.u48(),
        leaderTime: r.u48(),
      }
    case KIND.AppendRejected:
      return {
        type: "AppendRejected",
        term,
        prevLogIndex: r.u48(),
        conflictTerm: r.u48(),
        conflictIndex: r.u48(),
        round: r.u48(),
      }
    case KIND.InstallSnapshotReply:
      return {
        type: "InstallSnapshotReply",
        term,
        id: r.text(),
        round: r.u48(),
        status: pick(STATUS, r.u8(), "install status"),
        nextOffset: r.u48(),
      }
    case KIND.ReadIndex:
      return { type: "ReadIndex", term, bootId: r.u48(), number: r.u48() }
    case KIND.ReadIndexReply:
      return { type: "ReadIndexReply", term, bootId: r.u48(), number: r.u48(), readIndex: r.flag() ? r.u48() : null }
    case KIND.ForwardProposal:
      return { type: "ForwardProposal", term, ref: r.u48(), bootId: r.u48(), payloads: readPayloads(r) }
    case KIND.ForwardProposalReply:
      return { type: "ForwardProposalReply", term, ref: r.u48(), bootId: r.u48(), outcome: readOutcome(r) }
    case KIND.TimeoutNow:
      return { type: "TimeoutNow", term }
    default:
      throw new MalformedBytes(`a message of the unknown kind ${kind}`)
  }
}

/** An AppendEntries without entries, the heartbeat, is shorter than any with one. */
const HEARTBEAT = 1 + 4 + 6 * 6 + 4 + 1

/** Reads one body; throws MalformedBytes, and nothing else, if it is not exactly one message. Keeps nothing of `buffer`. */
export const readMessage = (buffer: Buffer, from: number, to: number, slab: Slab): Received => {
  const kind = from < to ? buffer.readUInt8(from) : 0
  const lasting = kind === KIND.ForwardProposal || (kind === KIND.AppendEntries && to - from > HEARTBEAT)
  const body = lasting ? slab.copy(buffer, from, to) : buffer
  const r = lasting ? new ByteReader(body, 1, to - from, true) : new ByteReader(buffer, from + 1, to)
  const received =
    kind === KIND.AppendEntries
      ? { message: readAppend(r), chunk: null }
      : kind === KIND.InstallSnapshot
        ? readInstall(r)
        : { message: readOther(kind, r), chunk: null }
  r.done()
  const flaw = flawOfMessage(received.message)
  if (flaw !== null) throw new MalformedBytes(`no correct server sends ${received.message.type} with ${flaw}`)
  return received
}
