/** Snapshots: images of state machines, pinned by the sender, sent in chunks, assembled by the receiver. */
import type { Member, SnapshotRef } from "../../../core/index.ts"
import { cloneOf, restoredCopyOf } from "../state/clone.ts"
import { schedule, scheduleEvent, type Fold } from "../state/fold.ts"
import { drawBetween, drawChance, RANDOM_KINDS, hashOfPlace } from "../state/hash.ts"
import type { Arrival, Image, NodeState, SnapshotProfile } from "../state/types.ts"

export const defaultSnapshots: SnapshotProfile = {
  chunksMin: 1,
  chunksMax: 5,
  takeFailPermille: 0,
  openFailPermille: 0,
  rejectPermille: 0,
}

const luckOf = (fold: Fold, node: NodeState): number =>
  hashOfPlace(fold.world.seed, RANDOM_KINDS.snapshot, node.slot, 0, node.snapshots++)

export const takeSnapshot = (fold: Fold, node: NodeState): void => {
  const { world } = fold
  const place = luckOf(fold, node)
  const delay = drawBetween(place, 0, 1, 20)
  if (drawChance(place, 1, world.snapshots.takeFailPermille))
    scheduleEvent(fold, node, delay, { type: "SnapshotTakeFailed" })
  else
    schedule(fold, world.now + delay, {
      type: "taken",
      node: node.name,
      boot: node.boot,
      machine: restoredCopyOf(node.machine),
      cause: fold.cause,
    })
}

export const openSnapshot = (fold: Fold, node: NodeState, to: Member): void => {
  const { chunksMin, chunksMax, openFailPermille } = fold.world.snapshots
  const place = luckOf(fold, node)
  if (node.damaged || drawChance(place, 0, openFailPermille)) {
    scheduleEvent(fold, node, 1, { type: "SnapshotOpenFailed", to })
    return
  }
  const id = `${node.member.incarnation}.${node.snapshots}`
  const machine = restoredCopyOf(node.machine)
  node.images = [...node.images, { id, machine, chunks: drawBetween(place, 1, chunksMin, chunksMax) }]
  scheduleEvent(fold, node, 1, { type: "SnapshotOpened", to, snapshot: { id, ...machine.position() } })
}

export const closeSnapshot = (node: NodeState, id: string): void => {
  node.images = node.images.filter((image) => image.id !== id)
}

/** `arrivals`: the messages of this step, one of which brought the chunk. */
export const storeChunk = (
  fold: Fold,
  node: NodeState,
  { id }: SnapshotRef,
  offset: number,
  last: boolean,
  arrivals: readonly Arrival[],
): void => {
  const image = arrivals.find((arrival) => arrival.image?.id === id)?.image ?? null
  const known = offset === 0 || node.incoming?.image.id === id
  if (image === null || !known || drawChance(luckOf(fold, node), 0, fold.world.snapshots.rejectPermille)) {
    node.incoming = null
    scheduleEvent(fold, node, 1, { type: "SnapshotRejected", id })
    return
  }
  node.incoming = { image, complete: last }
  scheduleEvent(fold, node, 1, { type: "ChunkStored", id, nextOffset: offset + 1, last })
}

/** The earlier machine stays until the new one is complete and durable. */
export const restoreSnapshot = (fold: Fold, node: NodeState, snapshot: SnapshotRef): void => {
  const { incoming } = node
  node.incoming = null
  if (incoming === null || !incoming.complete || incoming.image.id !== snapshot.id) {
    scheduleEvent(fold, node, 1, { type: "SnapshotRejected", id: snapshot.id })
    return
  }
  const at = fold.world.now + drawBetween(luckOf(fold, node), 0, 1, 10)
  schedule(fold, at, {
    type: "restore",
    node: node.name,
    boot: node.boot,
    snapshot,
    image: incoming.image,
    cause: fold.cause,
  })
}

/** After a crash the snapshot is there, but perhaps with a log that was not adapted to it yet. */
export const adoptSnapshot = (fold: Fold, node: NodeState, image: Image, snapshot: SnapshotRef): void => {
  node.machine = cloneOf(image.machine)
  node.durable = image.machine
  node.damaged = false
  node.begins = image.machine.position().index
  fold.hooks.restored?.(node.name, image.machine.position())
  scheduleEvent(fold, node, drawBetween(luckOf(fold, node), 0, 0, 3), { type: "SnapshotRestored", snapshot })
}
