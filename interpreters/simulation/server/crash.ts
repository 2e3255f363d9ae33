/** How a node's process ends. */
import { freshTimers } from "./clockwork.ts"
import { cloneOf } from "../state/clone.ts"
import { crashDisk } from "./disk.ts"
import { nodeOf, writableNode, type Fold } from "../state/fold.ts"
import { draw, RANDOM_KINDS, hashOfPlace } from "../state/hash.ts"
import { notice } from "./network.ts"
import type { Keep, NodeState, StopReason } from "../state/types.ts"

/** Tells all other nodes that this one started or stopped. */
export const noticeAll = (fold: Fold, node: NodeState, connected: boolean): void => {
  const { world } = fold
  if (!world.connections) return
  const place = hashOfPlace(world.seed, RANDOM_KINDS.notice, node.slot, connected ? 1 : 0, node.boot)
  for (const name of world.names) {
    const other = nodeOf(world, name)
    if (other === node || other.core === null) continue
    notice(fold, other, node, connected, place)
    if (connected) notice(fold, node, other, connected, place)
  }
}

/** The part of the state machine that was not durable may be lost: all of it or nothing, as with a write-ahead log. */
const crashMachine = (fold: Fold, node: NodeState, keep: Keep): void => {
  const kept =
    keep === "all" ||
    (keep === "random" && draw(hashOfPlace(fold.world.seed, RANDOM_KINDS.crash, node.slot, 1, node.boot), 0, 2) === 0)
  if (!kept) node.machine = cloneOf(node.durable)
}

export const crash = (fold: Fold, name: string, keep: Keep, why: StopReason): void => {
  const node = writableNode(fold, name)
  if (node.core === null) return
  node.core = null
  Object.assign(node, freshTimers())
  node.inbox = []
  node.paused = false
  node.images = []
  node.incoming = null
  node.rounds = []
  // What peers claimed about their disks is written only from time to time.
  node.metTerm = []
  node.metIndex = []
  crashDisk(fold, node, keep)
  crashMachine(fold, node, keep)
  fold.hooks.stopped?.(name, why)
  noticeAll(fold, node, false)
}
