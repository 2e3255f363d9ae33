/** Executes a planned event. */
import { hasExpired } from "./server/clockwork.ts"
import { markDurable } from "./server/disk.ts"
import { recordClaimOf, isAdmitted } from "./server/directories.ts"
import { receive } from "./server/effects.ts"
import { nodeOf, writable, writableNode, schedule, type Fold } from "./state/fold.ts"
import { clearAt, isCut } from "./server/network.ts"
import { crash } from "./server/crash.ts"
import { adoptSnapshot } from "./server/snapshots.ts"
import { takePlanned } from "./state/agenda.ts"
import { TIMER_PLACE } from "./server/clockwork.ts"
import type { Flight, Happening, LossReason, NodeState } from "./state/types.ts"

const lossOf = (fold: Fold, flight: Flight, sender: NodeState, receiver: NodeState): LossReason | null => {
  if (isCut(fold.world, sender, receiver)) return "cut"
  if (receiver.member.incarnation !== flight.to.incarnation) return "otherIncarnation"
  if (receiver.core === null) return "down"
  return isAdmitted(fold, flight, sender, receiver) ? null : "refused"
}

export const deliver = (fold: Fold, flight: Flight): void => {
  const { from, to, message, cause, image } = flight
  const { world } = fold
  const lost = lossOf(fold, flight, nodeOf(world, from.name), nodeOf(world, to.name))
  if (lost !== null) {
    fold.hooks.lost?.(from, to, message, lost)
    return
  }
  fold.hooks.delivered?.(from, to, message)
  // Looked up again: a handshake may have copied them.
  const node = writableNode(fold, to.name)
  const sender = nodeOf(world, from.name)
  if (sender.start === flight.start) recordClaimOf(node, sender, message)
  receive(fold, node, { event: { type: "MessageReceived", from, message }, cause, image })
}

/** The write through `seq` completes or fails. */
export const completePersist = (fold: Fold, name: string, seq: number, cause: number): boolean => {
  const seen = nodeOf(fold.world, name)
  const { disk } = seen
  const waiting = disk.pending[0]
  if (waiting === undefined || waiting.seq > seq || disk.stalled) return false
  if (disk.fails !== null) {
    // A failed write leaves nothing; after a failed sync any part may be on the disk.
    if (disk.fails === "write") crash(fold, name, "none", "writeFailed")
    else crash(fold, name, "random", "syncFailed")
    return true
  }
  const node = writable(fold, seen)
  markDurable(node.disk, seq)
  receive(fold, node, { event: { type: "Persisted", seq }, cause, image: null })
  return true
}

/** Returns false if the event belonged to an earlier start, or had no effect for another reason. */
const happens = (fold: Fold, what: Happening, at: number): boolean => {
  if (what.type === "deliver") {
    const { world } = fold
    const clear = world.clogs.length === 0 ? at : clearAt(world, what.from.name, what.to.name)
    if (clear > world.now) {
      schedule(fold, clear, what)
      return false
    }
    deliver(fold, what)
    return true
  }
  const seen = nodeOf(fold.world, what.node)
  if (seen.boot !== what.boot || seen.core === null) return false
  switch (what.type) {
    case "event":
      receive(fold, writable(fold, seen), { event: what.event, cause: what.cause, image: null })
      return true
    case "persisted":
      return completePersist(fold, what.node, what.seq, what.cause)
    case "alarm": {
      const node = writable(fold, seen)
      const cause = node.setBy[TIMER_PLACE[what.timer]] ?? -1
      if (!hasExpired(fold, node, what.timer, at)) return false
      receive(fold, node, { event: { type: "TimerExpired", timer: what.timer }, cause, image: null })
      return true
    }
    case "taken": {
      const node = writable(fold, seen)
      node.durable = what.machine
      receive(fold, node, {
        event: { type: "SnapshotTaken", base: what.machine.position() },
        cause: what.cause,
        image: null,
      })
      return true
    }
    case "halted":
      // Outstanding writes may still complete.
      crash(fold, what.node, "random", what.reason)
      return true
    case "restore":
      adoptSnapshot(fold, writable(fold, seen), what.image, what.snapshot)
      return true
  }
}

/** The time of the next planned event, or undefined. */
export const nextPlannedAt = ({ world }: Fold): number | undefined => world.agenda[0]?.at

/** Executes the next planned event, which must exist; false if it had no effect. */
export const executePlanned = (fold: Fold): boolean => {
  const { world } = fold
  const next = takePlanned(world.agenda)
  if (next === undefined) return false
  if (next.at > world.now) world.now = next.at
  return happens(fold, next.what, next.at)
}
