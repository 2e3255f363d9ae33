/**
 * Directories that go back in time or exist twice, and how they are recognised (interpreters/starts.ts). Nodes do the
 * handshake when one of them starts, and before a message is delivered, as they do over TCP.
 */
import { holdsLess, lineage, NO_START, startAfter, type Message } from "../../../core/index.ts"
import { nodeOf, writableNode, type Fold } from "../state/fold.ts"
import { draw, RANDOM_KINDS, hashOfPlace } from "../state/hash.ts"
import { isCut } from "./network.ts"
import { cloneOf } from "../state/clone.ts"
import { crash } from "./crash.ts"
import type { DirectoryState, Flight, NodeState } from "../state/types.ts"

export const freshDirectory = (): Pick<
  NodeState,
  "start" | "metOf" | "met" | "metTerm" | "metIndex" | "begins" | "refused" | "wentBack"
> => ({ start: NO_START, metOf: [], met: [], metTerm: [], metIndex: [], begins: 0, refused: false, wentBack: false })

/** Records the start on the disk before the node sends anything. The node must be owned by the fold. */
export const countStart = (fold: Fold, node: NodeState): void => {
  const { disk } = node
  node.start = startAfter(
    node.start,
    draw(hashOfPlace(fold.world.seed, RANDOM_KINDS.start, node.slot, node.wipes, node.boot), 0, 0x40000000),
  )
  node.found = { term: disk.hardState.term, index: disk.log.lastIndex }
}

/** The machine has executed entries that the log does not hold, or different ones, and no snapshot explains it. */
export const hasLostTail = ({ machine, damaged, disk, begins }: NodeState): boolean => {
  const { index, term, chain } = machine.position()
  if (damaged || index <= disk.log.base.index || index === begins) return false
  const entry = disk.log.entry(index)
  return entry === undefined || entry.term !== term || entry.chain !== chain
}

/** True if nothing that `listener` has seen contradicts the start of `speaker`; then it records that start. */
const acceptsStart = (fold: Fold, listener: NodeState, speaker: NodeState): boolean => {
  const { slot, start } = speaker
  const met = listener.metOf[slot] === speaker.member.incarnation ? listener.met[slot] : undefined
  if (met === start) return true
  const how = met === undefined ? "later" : lineage(met, start)
  if (how === "same") return true
  if (how !== "later") return false
  if (
    met !== undefined &&
    holdsLess(speaker.found, { term: listener.metTerm[slot] ?? 0, index: listener.metIndex[slot] ?? 0 })
  )
    return false
  const node = writableNode(fold, listener.name)
  if (met === undefined) {
    node.metTerm[slot] = 0
    node.metIndex[slot] = 0
  }
  node.metOf[slot] = speaker.member.incarnation
  node.met[slot] = start
  return true
}

/** From now on the node's directory counts as lost, at every start. */
const refuse = (fold: Fold, name: string, by: string): void => {
  writableNode(fold, name).refused = true
  fold.hooks.refused?.(name, by)
  crash(fold, name, "all", "refused")
}

/**
 * A starting node first does the handshake with every node that it reaches. Returns false if one of them refused it.
 */
export const handshakeWithAll = (fold: Fold, name: string): boolean => {
  const { world } = fold
  for (const other of world.names) {
    const node = nodeOf(world, name)
    const peer = nodeOf(world, other)
    if (other === name || peer.core === null || peer.paused || isCut(world, node, peer) || isCut(world, peer, node))
      continue
    if (!acceptsStart(fold, peer, node)) {
      refuse(fold, name, other)
      return false
    }
    if (!acceptsStart(fold, nodeOf(world, name), nodeOf(world, other))) refuse(fold, other, name)
  }
  return true
}

/** May the message be delivered? The receiver is up. */
export const isAdmitted = (
  fold: Fold,
  { from, to, start }: Flight,
  sender: NodeState,
  receiver: NodeState,
): boolean => {
  const { world } = fold
  // A late message from a directory that no longer exists.
  if (sender.member.incarnation !== from.incarnation) return true
  if (sender.start !== start) {
    // The message is from an earlier start, or from a directory that was swapped out and whose connections are closed.
    const how = lineage(sender.start, start)
    return how === "same" || how === "superseded"
  }
  if (receiver.met[sender.slot] === start && sender.met[receiver.slot] === receiver.start) return true
  if (!acceptsStart(fold, receiver, sender)) {
    if (sender.core !== null) refuse(fold, from.name, to.name)
    return false
  }
  if (sender.core !== null && !acceptsStart(fold, nodeOf(world, from.name), nodeOf(world, to.name))) {
    refuse(fold, to.name, from.name)
    return false
  }
  return true
}

/** Records what a member has claimed that its disk holds. The receiver is owned. */
export const recordClaimOf = (receiver: NodeState, sender: NodeState, message: Message): void => {
  if (message.type !== "AppendAccepted" && !(message.type === "RequestVoteReply" && message.granted)) return
  const { slot } = sender
  const index = message.type === "AppendAccepted" ? message.matchIndex : 0
  const term = receiver.metTerm[slot] ?? 0
  if (message.term < term) return
  receiver.metIndex[slot] = message.term > term ? index : Math.max(index, receiver.metIndex[slot] ?? 0)
  receiver.metTerm[slot] = message.term
}

// ------------------------------------------------------------------------------------------------ actions

const directoryOf = (node: NodeState): DirectoryState => {
  const { hardState, log, corrupt } = node.disk
  const { start, metOf, met, begins, refused, damaged } = node
  return {
    hardState,
    log,
    corrupt,
    machine: cloneOf(node.durable),
    start,
    metOf: metOf.slice(),
    met: met.slice(),
    begins,
    refused,
    damaged,
  }
}

/** Makes a copy of what is durable in the directory at this moment. The node must be owned by the fold. */
export const copyDirectory = (node: NodeState): void => {
  node.copy = directoryOf(node)
}

/** The process ends; directory and copy are swapped. */
export const swapDirectory = (fold: Fold, name: string): void => {
  if (nodeOf(fold.world, name).copy === null) return
  crash(fold, name, "all", "crash")
  const node = writableNode(fold, name)
  const { copy } = node
  if (copy === null) return
  node.copy = directoryOf(node)
  const { hardState, log, corrupt, machine, ...rest } = copy
  Object.assign(node.disk, { hardState, log, corrupt })
  Object.assign(node, {
    ...rest,
    machine: cloneOf(machine),
    durable: machine,
    metTerm: [],
    metIndex: [],
    wentBack: true,
  })
}

/** The process ends, and its log loses its last entries, with the term and vote written after them. */
export const cutLog = (fold: Fold, name: string, entries: number): void => {
  crash(fold, name, "all", "crash")
  const node = writableNode(fold, name)
  const { disk } = node
  const { base, lastIndex } = disk.log
  disk.log = disk.log.truncateFrom(Math.max(base.index, lastIndex - entries) + 1)
  disk.hardState = { term: disk.log.lastTerm, vote: null }
  node.wentBack = true
}
