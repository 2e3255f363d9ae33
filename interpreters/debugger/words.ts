/** Events, effects and values in words, one line each, built only from the notes of the core. */
import {
  haltText,
  Log,
  rules,
  type Configuration,
  type Effect,
  type Entry,
  type Event,
  type Member,
  type Message,
  type Payload,
  type State,
} from "../../core/index.ts"
import type { Action, MachineWords, WorldStep } from "../simulation/index.ts"
import type { WorldDifference } from "./diff.ts"

const names = (members: readonly Member[]): string => members.map(({ name }) => name).join(" ")

export const configurationText = ({ voters, outgoing, learners, level }: Configuration): string =>
  `${outgoing.length > 0 ? `joint: ${names(outgoing)} → ` : ""}${names(voters) || "nobody"}${learners.length > 0 ? `, learners ${names(learners)}` : ""}${level === undefined ? "" : `, level ${level}`}`

/** Describes a user's commands; null: they are shown by their checksums. */
type Words = MachineWords | null
const commandText = ({ bytes, checksum }: Payload, words: Words): string =>
  words?.command(bytes) ?? `command ${checksum}`

export const entryText = (entry: Entry, words: Words = null): string => {
  const place = `${entry.index}·t${entry.term}`
  if (entry.kind === "noop") return `${place} no-op`
  return entry.kind === "configuration"
    ? `${place} configuration (${configurationText(entry.configuration)})`
    : `${place} ${commandText(entry.payload, words)}`
}

const entriesText = (entries: readonly Entry[], words: Words): string => {
  const [first] = entries
  if (first === undefined) return "nothing"
  return entries.length === 1
    ? entryText(first, words)
    : `${entries.length} entries ${first.index}–${first.index + entries.length - 1}`
}

export const messageText = (message: Message, words: Words = null): string => {
  switch (message.type) {
    case "RequestVote":
    case "RequestPreVote":
      return `${message.type} term ${message.term}, log ends at ${message.lastLogIndex}·t${message.lastLogTerm}`
    case "RequestVoteReply":
    case "RequestPreVoteReply":
      return `${message.type} term ${message.term}: ${message.granted ? "granted" : "refused"}`
    case "AppendEntries":
      return `AppendEntries term ${message.term}, after ${message.prevLogIndex}·t${message.prevLogTerm}: ${message.entries.length === 0 ? "heartbeat" : entriesText(message.entries, words)}, commit ${message.leaderCommit}`
    case "AppendAccepted":
      return `AppendAccepted term ${message.term}: matches through ${message.matchIndex}${message.condition === "ready" ? "" : `, ${message.condition}`}`
    case "AppendRejected":
      return `AppendRejected term ${message.term}: not after ${message.prevLogIndex}, try ${message.conflictIndex}`
    case "InstallSnapshot":
      return `InstallSnapshot term ${message.term}, through ${message.snapshot.index}, chunk at ${message.offset}${message.last ? ", the last" : ""}`
    case "InstallSnapshotReply":
      return `InstallSnapshotReply term ${message.term}: ${message.status}`
    case "ReadIndex":
      return `ReadIndex ${message.number}`
    case "ReadIndexReply":
      return `ReadIndexReply ${message.number}: ${message.readIndex ?? "cannot tell"}`
    case "ForwardProposal":
      return `ForwardProposal of ${payloadsText(message.payloads, words)}`
    case "ForwardProposalReply":
      return `ForwardProposalReply: ${message.outcome.type}`
    case "TimeoutNow":
      return `TimeoutNow term ${message.term}`
  }
}

const payloadsText = (payloads: readonly Payload[], words: Words): string => {
  const [first] = payloads
  return payloads.length === 1 && first !== undefined ? commandText(first, words) : `${payloads.length} commands`
}

export const eventText = (event: Event, words: Words = null): string => {
  switch (event.type) {
    case "MessageReceived":
      return `${event.from.name} says ${messageText(event.message, words)}`
    case "Proposed":
      return `a client proposes ${payloadsText(event.payloads, words)}`
    case "ReadRequested":
      return `a client reads (ref ${event.ref})`
    case "Persisted":
      return `its disk has written persist ${event.seq}`
    case "Applied":
      return `its state machine has executed through ${event.index}`
    case "TimerExpired":
      return `its ${event.timer} timer expires`
    case "ClockAdvanced":
      return `its clocks show ${event.wall}, ${event.monotonic} ms after its start`
    case "PeerConnected":
    case "PeerDisconnected":
      return `${event.peer.name} is ${event.type === "PeerConnected" ? "connected" : "disconnected"}`
    case "SnapshotTaken":
      return `its state machine is durable through ${event.base.index}`
    case "ConfigurationChangeProposed":
      return `an operator wants ${configurationText({ ...event, outgoing: [] })}`
    case "SpaceChanged":
      return event.low ? "its disk is nearly full" : "its disk has space again"
    case "Started":
      return "it starts"
    case "SnapshotTakeFailed":
    case "SnapshotOpened":
    case "SnapshotOpenFailed":
    case "ChunkStored":
    case "SnapshotRejected":
    case "SnapshotRestored":
    case "MachineDamaged":
    case "TransferRequested":
      return event.type
  }
}

/** The effects that a person would see; notes are shown separately. */
export const effectText = (effect: Effect, words: Words = null): string | null => {
  switch (effect.type) {
    case "Send":
      return `→ ${effect.to.name} ${messageText(effect.message, words)}`
    case "Persist": {
      const { hardState, truncateFrom, entries, base } = effect
      const parts = [
        hardState === null ? null : `term ${hardState.term}, vote ${hardState.vote?.name ?? "nobody"}`,
        truncateFrom === null ? null : `cut from ${truncateFrom}`,
        entries.length === 0 ? null : entriesText(entries, words),
        base === null ? null : `log starts after ${base.index}`,
      ]
      return `write ${effect.seq}: ${parts.filter((part) => part !== null).join("; ")}`
    }
    case "Apply":
      return `apply ${entriesText(effect.entries, words)}`
    case "Respond":
      return `answer ref ${effect.ref}: ${effect.outcome.type}${"reason" in effect.outcome ? ` (${effect.outcome.reason})` : ""}`
    case "SetTimer":
      return `set the ${effect.timer} timer: ${effect.min === effect.max ? effect.min : `${effect.min}–${effect.max}`} ms`
    case "CancelTimer":
      return `stop the ${effect.timer} timer`
    case "RestoreSnapshot":
    case "StoreChunk":
      return `${effect.type} through ${effect.snapshot.index}`
    case "TakeSnapshot":
    case "OpenSnapshot":
    case "CloseSnapshot":
      return effect.type
    case "Halt":
      return `STOPS: ${haltText(effect.halted)}`
    case "Note":
      return null
  }
}

export const rulesOf = (effects: readonly Effect[]): readonly string[] =>
  [...new Set(effects.flatMap((effect) => (effect.type === "Note" ? [effect.rule] : [])))].map(
    (rule) => `${rule}: ${rules[rule]}`,
  )

const valueText = (value: unknown, words: Words): string => {
  if (value === undefined || value === null) return "–"
  if (value instanceof Log) return `log through ${value.lastIndex}`
  if (typeof value === "string") return value
  if (typeof value !== "object") return JSON.stringify(value)
  if ("kind" in value && "index" in value && "term" in value) return entryText(value as Entry, words)
  if ("name" in value && "incarnation" in value) return String(value.name)
  if ("type" in value) return String(value.type)
  const text = JSON.stringify(value)
  return text.length > 70 ? `${text.slice(0, 67)}…` : text
}
export const changeText = ({ path, before, after }: WorldDifference, words: Words = null): string =>
  `${path}: ${valueText(before, words)} → ${valueText(after, words)}`

/** One sentence for a step. */
export const stepText = ({ node, events }: WorldStep, words: Words = null): string => {
  const told = events.filter(({ type }) => type !== "ClockAdvanced").map((event) => eventText(event, words))
  return `${node}: ${told.join("; ") || "its clock advances"}`
}

const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from({ length: hex.length >> 1 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16))

export const actionText = (action: Action, words: Words = null): string => {
  const { type, ...rest } = action
  if (action.type === "propose" && action.payloads !== undefined && words !== null)
    return `propose node=${action.node}: ${action.payloads.map(({ hex, checksum }) => commandText({ bytes: bytesOf(hex), checksum }, words)).join("; ")}`
  return [
    type,
    ...Object.entries(rest).map(
      ([key, value]) => `${key}=${typeof value === "object" ? JSON.stringify(value) : String(value)}`,
    ),
  ].join(" ")
}

export const roleText = ({ role }: State): string =>
  role.type === "preCandidate"
    ? "pre-candidate"
    : role.type === "follower" && role.leader !== null
      ? `follower of ${role.leader.name}`
      : role.type
