/**
 * The frames that are sent over a port: plain data that a structured clone copies. The other end may be another
 * version, or anybody who was given the port, so everything that arrives is treated as unknown data.
 */
import {
  flawOfMessage,
  isCount,
  type AppendAccepted,
  type AppendEntries,
  type AppendRejected,
  type CommandEntry,
  type Configuration,
  type ConfigurationEntry,
  type Entry,
  type ForwardProposal,
  type ForwardProposalReply,
  type DurablePosition,
  type InstallSnapshot,
  type InstallSnapshotReply,
  type Member,
  type Message,
  type MessageType,
  type NoOpEntry,
  type Payload,
  type ProposalOutcome,
  type ProposalRefusal,
  type ReadIndex,
  type ReadIndexReply,
  type RequestPreVote,
  type RequestPreVoteReply,
  type RequestVote,
  type RequestVoteReply,
  type SnapshotRef,
  type Start,
  type TimeoutNow,
} from "../../core/index.ts"
import { MAX_SERVICE_BYTES, type ServiceMessage } from "../contract.ts"
import type { Features } from "../features.ts"
import type { Hello, Refusal, HelloRefusalReason } from "../hello.ts"

/** A frame of another version closes the port with that reason. */
export const PORT_PROTOCOL = 3

export interface Sent {
  readonly message: Message
  /** The bytes of an InstallSnapshot. */
  readonly chunk: Uint8Array | null
}
export type PortFrame =
  | { readonly kind: "hello"; readonly protocol: number; readonly hello: Hello }
  /** The hello is accepted: messages may be sent. */
  | { readonly kind: "welcome" }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  /** `sent`: the weight of all batches on this port, including this one. `taken`: the last `sent` that was received. */
  | { readonly kind: "batch"; readonly items: readonly Sent[]; readonly sent: number; readonly taken: number }
  | { readonly kind: "service"; readonly message: ServiceMessage }
  /** A keep-alive. */
  | { readonly kind: "alive"; readonly taken: number }

// ------------------------------------------------------------------------------------------------ shapes

type Check<A> = (value: unknown) => value is A
const isNumber: Check<number> = (value) => typeof value === "number"
const isText: Check<string> = (value) => typeof value === "string"
const isFlag: Check<boolean> = (value) => typeof value === "boolean"
const isBytes: Check<Uint8Array> = (value) => value instanceof Uint8Array
const one = <A extends string>(...names: readonly A[]): Check<A> => {
  const all: ReadonlySet<unknown> = new Set(names)
  return (value): value is A => all.has(value)
}
const nullable =
  <A>(check: Check<A>): Check<A | null> =>
  (value): value is A | null =>
    value === null || check(value)
/** An array may have holes, which some ways of iterating skip. */
const listOf =
  <A>(check: Check<A>): Check<readonly A[]> =>
  (value): value is readonly A[] =>
    Array.isArray(value) && value.findIndex((item) => !check(item)) < 0
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null
const record = <A extends object>(fields: { readonly [K in keyof A]-?: Check<A[K]> }): Check<A> => {
  const checks = Object.entries<(value: unknown) => boolean>(fields)
  return (value): value is A => isRecord(value) && checks.every(([name, check]) => check(value[name]))
}
const either =
  <A, B>(a: Check<A>, b: Check<B>): Check<A | B> =>
  (value): value is A | B =>
    a(value) || b(value)

const isMember = record<Member>({ name: isText, incarnation: isText })
const haveTexts: Check<Readonly<Record<string, string>>> = (value): value is Readonly<Record<string, string>> =>
  isRecord(value) && Object.values(value).every(isText)
const hasMembers = record<Omit<Configuration, "addresses" | "level">>({
  voters: listOf(isMember),
  outgoing: listOf(isMember),
  learners: listOf(isMember),
})
const isConfiguration: Check<Configuration> = (value): value is Configuration =>
  isRecord(value) &&
  (value["addresses"] === undefined || haveTexts(value["addresses"])) &&
  (value["level"] === undefined || isCountOf(value["level"])) &&
  hasMembers(value)
const isPayload = record<Payload>({ bytes: isBytes, checksum: isNumber })
const place = { index: isNumber, term: isNumber, time: isNumber, chain: isNumber }
const isEntry: Check<Entry> = either(
  record<CommandEntry>({ kind: one("command"), ...place, payload: isPayload }),
  either(
    record<NoOpEntry>({ kind: one("noop"), ...place }),
    record<ConfigurationEntry>({ kind: one("configuration"), ...place, configuration: isConfiguration }),
  ),
)
const isSnapshot = record<SnapshotRef>({ ...place, configuration: isConfiguration, id: isText })
const isRefusalOfProposal = one<ProposalRefusal>(
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
)
type Outcome<Type extends ProposalOutcome["type"]> = Extract<ProposalOutcome, { type: Type }>
const isOutcome: Check<ProposalOutcome> = either(
  record<Outcome<"ProposalAppended">>({ type: one("ProposalAppended"), first: isNumber, term: isNumber }),
  either(
    record<Outcome<"ProposalRefused">>({
      type: one("ProposalRefused"),
      reason: isRefusalOfProposal,
      leader: nullable(isMember),
    }),
    record<Outcome<"ProposalUnknown">>({ type: one("ProposalUnknown"), leader: nullable(isMember) }),
  ),
)

const messages: { readonly [T in MessageType]: Check<Extract<Message, { readonly type: T }>> } = {
  RequestVote: record<RequestVote>({
    type: one("RequestVote"),
    term: isNumber,
    lastLogIndex: isNumber,
    lastLogTerm: isNumber,
    transfer: isFlag,
  }),
  RequestVoteReply: record<RequestVoteReply>({
    type: one("RequestVoteReply"),
    term: isNumber,
    granted: isFlag,
    wall: isNumber,
    time: isNumber,
  }),
  RequestPreVote: record<RequestPreVote>({
    type: one("RequestPreVote"),
    term: isNumber,
    lastLogIndex: isNumber,
    lastLogTerm: isNumber,
  }),
  RequestPreVoteReply: record<RequestPreVoteReply>({
    type: one("RequestPreVoteReply"),
    term: isNumber,
    granted: isFlag,
  }),
  AppendEntries: record<AppendEntries>({
    type: one("AppendEntries"),
    term: isNumber,
    prevLogIndex: isNumber,
    prevLogTerm: isNumber,
    prevLogChain: isNumber,
    entries: listOf(isEntry),
    leaderCommit: isNumber,
    round: isNumber,
    time: isNumber,
    settled: isFlag,
  }),
  AppendAccepted: record<AppendAccepted>({
    type: one("AppendAccepted"),
    term: isNumber,
    verifiedIndex: isNumber,
    verifiedChain: isNumber,
    matchIndex: isNumber,
    round: isNumber,
    condition: one("ready", "rebuild", "full"),
    wall: isNumber,
    leaderTime: isNumber,
  }),
  AppendRejected: record<AppendRejected>({
    type: one("AppendRejected"),
    term: isNumber,
    prevLogIndex: isNumber,
    conflictTerm: isNumber,
    conflictIndex: isNumber,
    round: isNumber,
  }),
  InstallSnapshot: record<InstallSnapshot>({
    type: one("InstallSnapshot"),
    term: isNumber,
    snapshot: isSnapshot,
    offset: isNumber,
    length: isNumber,
    last: isFlag,
    round: isNumber,
  }),
  InstallSnapshotReply: record<InstallSnapshotReply>({
    type: one("InstallSnapshotReply"),
    term: isNumber,
    id: isText,
    round: isNumber,
    status: one("more", "installed", "failed"),
    nextOffset: isNumber,
  }),
  ReadIndex: record<ReadIndex>({ type: one("ReadIndex"), term: isNumber, bootId: isNumber, number: isNumber }),
  ReadIndexReply: record<ReadIndexReply>({
    type: one("ReadIndexReply"),
    term: isNumber,
    bootId: isNumber,
    number: isNumber,
    readIndex: nullable(isNumber),
  }),
  ForwardProposal: record<ForwardProposal>({
    type: one("ForwardProposal"),
    term: isNumber,
    ref: isNumber,
    bootId: isNumber,
    payloads: listOf(isPayload),
  }),
  ForwardProposalReply: record<ForwardProposalReply>({
    type: one("ForwardProposalReply"),
    term: isNumber,
    ref: isNumber,
    bootId: isNumber,
    outcome: isOutcome,
  }),
  TimeoutNow: record<TimeoutNow>({ type: one("TimeoutNow"), term: isNumber }),
}
const checkOf = (type: unknown): Check<Message> | undefined =>
  typeof type === "string" && Object.hasOwn(messages, type) ? messages[type as MessageType] : undefined
const isMessage: Check<Message> = (value): value is Message =>
  isRecord(value) && checkOf(value["type"])?.(value) === true
const areSent = listOf(record<Sent>({ message: isMessage, chunk: nullable(isBytes) }))

const isStart = record<Start>({ number: isCountOf, words: listOf(isCountOf) })
function isCountOf(value: unknown): value is number {
  return isNumber(value) && isCount(value)
}
const isHeld = record<DurablePosition>({ term: isCountOf, index: isCountOf })
const isHello = record<Hello>({
  member: isMember,
  target: isText,
  cluster: nullable(isText),
  clientAddress: isText,
  empty: isFlag,
  founding: nullable(isConfiguration),
  start: isStart,
  recovered: isHeld,
  refused: nullable(isText),
  features: record<Features>({ version: isText, level: isCountOf, clusterLevel: isCountOf }),
})
const isRefusal = record<Refusal>({
  reason: one<HelloRefusalReason>(
    "WrongVersion",
    "WrongCluster",
    "WrongTarget",
    "OwnName",
    "UnknownPeer",
    "DuplicateName",
    "RolledBack",
    "Superseded",
    "StartedTwice",
    "LevelTooLow",
  ),
  detail: isText,
})

const hasForm = record<ServiceMessage>({
  type: one("ServiceQuestion", "ServiceAnswer"),
  bootId: isCountOf,
  ref: isCountOf,
  bytes: isBytes,
})
const isService: Check<ServiceMessage> = (value): value is ServiceMessage =>
  hasForm(value) && value.bytes.length <= MAX_SERVICE_BYTES

/** What arrived cannot be a frame of this version: only that port is closed. */
export class UnreadableFrame extends Error {
  override readonly name = "UnreadableFrame"
}
const unreadable = (what: string): never => {
  throw new UnreadableFrame(what)
}

/** Throws only UnreadableFrame. */
export const readFrame = (data: unknown): PortFrame => {
  if (!isRecord(data)) return unreadable("it is no object")
  const { kind } = data
  switch (kind) {
    case "hello": {
      const { protocol, hello } = data
      if (!isNumber(protocol)) return unreadable("a hello without a version")
      // A hello of another version has another form.
      if (protocol !== PORT_PROTOCOL)
        return unreadable(
          `it uses version ${protocol} of this protocol, this end version ${PORT_PROTOCOL}: run the same release on both ends`,
        )
      return isHello(hello) ? { kind, protocol, hello } : unreadable("a hello with missing or wrong fields")
    }
    case "welcome":
      return { kind }
    case "refused": {
      const { refusal } = data
      return isRefusal(refusal) ? { kind, refusal } : unreadable("a refusal for an unknown reason")
    }
    case "service": {
      const { message } = data
      return isService(message) ? { kind, message } : unreadable("what no service says")
    }
    case "alive": {
      const { taken } = data
      return isCountOf(taken) ? { kind, taken } : unreadable("a keep-alive without a count")
    }
    case "batch": {
      const { items, sent, taken } = data
      if (!isCountOf(sent) || !isCountOf(taken)) return unreadable("a batch without its counts")
      if (!areSent(items)) return unreadable("a batch with an item that is no message")
      for (const { message, chunk } of items) {
        const flaw = flawOfMessage(message)
        if (flaw !== null) unreadable(`no correct server sends ${message.type} with ${flaw}`)
        if (
          (chunk !== null && message.type !== "InstallSnapshot") ||
          (message.type === "InstallSnapshot" && chunk !== null && chunk.length !== message.length)
        )
          unreadable(`a ${message.type} with bytes of a snapshot`)
      }
      return { kind, items, sent, taken }
    }
    default:
      return unreadable(`a frame of the unknown kind ${String(kind)}`)
  }
}

// ----------------------------------------------------------------------------------------------- sending

/**
 * A structured clone copies the whole buffer behind a view, so a small payload in a large buffer is copied out first.
 */
const alone = (bytes: Uint8Array): Uint8Array =>
  bytes.byteLength === bytes.buffer.byteLength && Object.getPrototypeOf(bytes) === Uint8Array.prototype
    ? bytes
    : new Uint8Array(bytes)
const payloadAlone = (payload: Payload): Payload => {
  const bytes = alone(payload.bytes)
  return bytes === payload.bytes ? payload : { bytes, checksum: payload.checksum }
}
const entryAlone = (entry: Entry): Entry => {
  if (entry.kind !== "command") return entry
  const payload = payloadAlone(entry.payload)
  return payload === entry.payload ? entry : { ...entry, payload }
}

/** A message as it is posted to a port. The chunk's length is filled in, as over TCP. */
export const sentOf = (message: Message, chunk: Uint8Array | null): Sent => {
  if (message.type === "AppendEntries")
    return { message: { ...message, entries: message.entries.map(entryAlone) }, chunk: null }
  if (message.type === "ForwardProposal")
    return { message: { ...message, payloads: message.payloads.map(payloadAlone) }, chunk: null }
  if (message.type === "InstallSnapshot" && chunk !== null)
    return { message: { ...message, length: chunk.length }, chunk: alone(chunk) }
  return { message, chunk: null }
}

const HEAD = 64
/** Roughly the memory that it takes. */
export const memoryOf = ({ message, chunk }: Sent): number => {
  let bytes = HEAD + (chunk?.length ?? 0)
  if (message.type === "AppendEntries")
    for (const entry of message.entries) bytes += HEAD + (entry.kind === "command" ? entry.payload.bytes.length : 0)
  else if (message.type === "ForwardProposal")
    for (const payload of message.payloads) bytes += HEAD + payload.bytes.length
  return bytes
}
