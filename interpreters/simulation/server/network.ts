/** The network between nodes: one-way frames that may be lost, doubled, late and out of order. */
import type { Member, Message, MessageType } from "../../../core/index.ts"
import { nodeOf, schedule, scheduleEvent, type Fold } from "../state/fold.ts"
import { draw, drawBetween, drawChance, RANDOM_KINDS, hashOfPlace } from "../state/hash.ts"
import { recordRoundStart } from "./clockwork.ts"
import type { Flight, Image, NetworkName, NetworkProfile, NodeState, Planned, WorldState } from "../state/types.ts"

export const reliableNetwork: NetworkProfile = {
  lossPermille: 0,
  duplicatePermille: 0,
  delayMin: 1,
  delayMax: 1,
  longDelayPermille: 0,
  longDelayMax: 0,
}
export const lossyNetwork: NetworkProfile = {
  lossPermille: 100,
  duplicatePermille: 50,
  delayMin: 1,
  delayMax: 26,
  longDelayPermille: 30,
  longDelayMax: 800,
}
export const unreliableNetwork: NetworkProfile = { ...reliableNetwork, lossPermille: 100, delayMin: 1, delayMax: 27 }
export const networks: Readonly<Record<NetworkName, NetworkProfile>> = {
  reliable: reliableNetwork,
  unreliable: unreliableNetwork,
  lossy: lossyNetwork,
  longReordering: { ...reliableNetwork, longReordering: true },
  unreliableLongReordering: { ...unreliableNetwork, longReordering: true },
  longDelays: { ...reliableNetwork, longDelays: true },
}

const IS_REPLY: Readonly<Record<MessageType, boolean>> = {
  RequestVote: false,
  RequestVoteReply: true,
  RequestPreVote: false,
  RequestPreVoteReply: true,
  AppendEntries: false,
  AppendAccepted: true,
  AppendRejected: true,
  InstallSnapshot: false,
  InstallSnapshotReply: true,
  ReadIndex: false,
  ReadIndexReply: true,
  ForwardProposal: false,
  ForwardProposalReply: true,
  TimeoutNow: false,
}
/** A request, which counts as one RPC. */
export const isRequest = (message: Message): boolean => !IS_REPLY[message.type]

const ENTRY_HEAD = 28
/** The approximate size of a frame on the wire; for a snapshot chunk only the header counts. */
export const messageBytes = (message: Message): number => {
  let bytes = 40
  if (message.type === "AppendEntries")
    for (const entry of message.entries)
      bytes += ENTRY_HEAD + (entry.kind === "command" ? entry.payload.bytes.length : 0)
  else if (message.type === "ForwardProposal") for (const payload of message.payloads) bytes += 8 + payload.bytes.length
  return bytes
}

// -------------------------------------------------------------------------------------------------- links

export const isCut = ({ cuts }: WorldState, from: NodeState, to: NodeState): boolean =>
  (((cuts[from.slot] ?? 0) >>> to.slot) & 1) === 1

const setLink = (world: WorldState, from: NodeState, to: NodeState, cut: boolean): void => {
  const cuts = world.cuts.slice()
  const mask = cuts[from.slot] ?? 0
  cuts[from.slot] = cut ? mask | (1 << to.slot) : mask & ~(1 << to.slot)
  world.cuts = cuts
}
/** Cuts the direction from `from` to `to`, including messages in flight; the other direction stays as it is. */
export const cutLink = (world: WorldState, from: NodeState, to: NodeState): void => setLink(world, from, to, true)
export const joinLink = (world: WorldState, from: NodeState, to: NodeState): void => setLink(world, from, to, false)

export const clog = (world: WorldState, from: string, to: string, ms: number): void => {
  world.clogs = [...world.clogs.filter(({ until }) => until > world.now), { from, to, until: world.now + ms }]
}
/** The time at which a message that would arrive now may arrive, with clogged links. */
export const clearAt = ({ clogs, now }: WorldState, from: string, to: string): number => {
  let at = now
  for (const clogged of clogs) if (clogged.from === from && clogged.to === to) at = Math.max(at, clogged.until)
  return at
}

// ------------------------------------------------------------------------------------------------- frames

/** Names a message in flight by its link, its number there and its copy: the same in every run of a script. */
export const flightName = ({ from, to, n, copy }: Flight): string =>
  `${from.name}>${to.name}#${n}${copy === 0 ? "" : `.${copy}`}`

export const findFlight = (agenda: readonly Planned[], name: string): number =>
  agenda.findIndex(({ what }) => what.type === "deliver" && flightName(what) === name)

/** Messages in flight, in the order in which they will arrive. */
export const flights = ({
  agenda,
}: WorldState): readonly { readonly at: number; readonly name: string; readonly flight: Flight }[] =>
  agenda
    .flatMap(({ at, order, what }) =>
      what.type === "deliver" ? [{ at, order, name: flightName(what), flight: what }] : [],
    )
    .sort((a, b) => a.at - b.at || a.order - b.order)

const extraDelay = (profile: NetworkProfile, place: number, k: number, message: Message): number => {
  let delay = 0
  if (drawChance(place, k, profile.longDelayPermille)) delay += draw(place, k + 1, profile.longDelayMax + 1)
  if (profile.longReordering === true && IS_REPLY[message.type] && draw(place, k + 2, 3) > 0)
    delay += 200 + draw(place, k + 3, 1 + draw(place, k + 4, 2000))
  return delay
}

/** The image travels with the chunk: releasing it at the sender does not affect messages in flight. */
const imageOf = (node: NodeState, message: Message): Image | null | undefined =>
  message.type === "InstallSnapshot" ? node.images.find(({ id }) => id === message.snapshot.id) : null

export const transmit = (fold: Fold, node: NodeState, to: Member, sent: Message): void => {
  const { world, hooks } = fold
  const from = node.member
  const { network } = world
  const receiver = nodeOf(world, to.name)
  const n = node.sent[receiver.slot] ?? 0
  node.sent[receiver.slot] = n + 1
  world.messages += 1
  if (sent.type === "AppendEntries") world.entriesSent += sent.entries.length
  const image = imageOf(node, sent)
  const message =
    sent.type === "InstallSnapshot" ? { ...sent, length: 1, last: sent.offset >= (image?.chunks ?? 1) - 1 } : sent
  if (world.settings.leaseReads && (message.type === "AppendEntries" || message.type === "InstallSnapshot"))
    recordRoundStart(fold, node, message.round)
  hooks.sent?.(from, to, message)
  const place = hashOfPlace(world.seed, RANDOM_KINDS.message, node.slot, receiver.slot, n)
  if (image === undefined || isCut(world, node, receiver) || drawChance(place, 0, network.lossPermille)) {
    hooks.lost?.(from, to, message, image === undefined ? "noImage" : isCut(world, node, receiver) ? "cut" : "chance")
    return
  }
  const copies = drawChance(place, 1, network.duplicatePermille) ? 2 : 1
  for (let copy = 0; copy < copies; copy++) {
    const delay =
      drawBetween(place, 2 + copy * 8, network.delayMin, network.delayMax) +
      extraDelay(network, place, 3 + copy * 8, message)
    schedule(fold, world.now + delay, {
      type: "deliver",
      from,
      to,
      n,
      copy,
      start: node.start,
      message,
      image,
      cause: fold.cause,
    })
  }
}

// -------------------------------------------------------------------------------------------- connections

/** `node` learns that its connection to `peer` was opened or closed. */
export const notice = (fold: Fold, node: NodeState, peer: NodeState, connected: boolean, place: number): void => {
  const slow = fold.world.network.longDelays === true && !connected
  const delay =
    1 + draw(hashOfPlace(place, RANDOM_KINDS.notice, node.slot, peer.slot, connected ? 1 : 0), 0, slow ? 7000 : 100)
  scheduleEvent(fold, node, delay, { type: connected ? "PeerConnected" : "PeerDisconnected", peer: peer.member })
}
