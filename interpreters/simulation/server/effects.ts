/** One step of one node: events in, the shipped reducer, effects executed. */
import type { Effect, Event } from "../../../core/index.ts"
import { cancelTimer, leaseOver, monotonicTime, setTimer, wallTime } from "./clockwork.ts"
import { startPersist } from "./disk.ts"
import { advance, schedule, type Fold } from "../state/fold.ts"
import { executeBatch } from "./machine.ts"
import { transmit } from "./network.ts"
import { closeSnapshot, openSnapshot, restoreSnapshot, storeChunk, takeSnapshot } from "./snapshots.ts"
import type { Arrival, NodeState } from "../state/types.ts"

const carryOut = (fold: Fold, node: NodeState, effect: Effect, arrivals: readonly Arrival[]): void => {
  switch (effect.type) {
    case "Send":
      return transmit(fold, node, effect.to, effect.message)
    case "Persist":
      return startPersist(fold, node, effect)
    case "Apply":
      return executeBatch(fold, node, effect.entries)
    case "Respond":
      fold.hooks.responded?.(node.name, effect.ref, effect.outcome)
      return
    case "SetTimer":
      return setTimer(fold, node, effect)
    case "CancelTimer":
      return cancelTimer(node, effect.timer)
    case "TakeSnapshot":
      return takeSnapshot(fold, node)
    case "OpenSnapshot":
      return openSnapshot(fold, node, effect.to)
    case "CloseSnapshot":
      return closeSnapshot(node, effect.id)
    case "StoreChunk":
      return storeChunk(fold, node, effect.snapshot, effect.offset, effect.last, arrivals)
    case "RestoreSnapshot":
      return restoreSnapshot(fold, node, effect.snapshot)
    case "Halt":
      schedule(fold, fold.world.now, { type: "halted", node: node.name, boot: node.boot, reason: effect.halted.reason })
      return
    case "Note":
      return
  }
}

/** What the core is told: the clocks, the end of a lease, and what arrived. */
const eventsFor = (fold: Fold, node: NodeState, arrivals: readonly Arrival[]): readonly Event[] => {
  const { clock } = node
  const { now } = fold.world
  const advanced: Event = {
    type: "ClockAdvanced",
    monotonic: monotonicTime(clock, now) - node.bornAt,
    wall: Math.max(0, wallTime(clock, now)),
  }
  const over = leaseOver(fold, node)
  const [only] = arrivals
  // Nearly all steps. A list that grows would be allocated with room for 17.
  if (only !== undefined && arrivals.length === 1 && !over) return [advanced, only.event]
  const events = arrivals.map(({ event }) => event)
  return over ? [advanced, { type: "TimerExpired", timer: "lease" }, ...events] : [advanced, ...events]
}

/** Runs the events of a batch as one step. The node must be up, and owned by the fold. */
export const feed = (fold: Fold, node: NodeState, arrivals: readonly Arrival[]): void => {
  const { core } = node
  const { world } = fold
  if (core === null) return
  const events = eventsFor(fold, node, arrivals)
  const effects = advance(fold, node, core, events)
  const state = node.core
  if (state === null) return
  const i = world.steps++
  if (node.rounds.length > 0 && state.role.type !== "leader") node.rounds = []
  fold.hooks.observe?.({ i, at: world.now, node: node.name, events, state, effects, cause: arrivals[0]?.cause ?? -1 })
  fold.cause = i
  for (const effect of effects) carryOut(fold, node, effect, arrivals)
  fold.cause = -1
}

/** Delivers an event: a node that is down misses it, a paused one gets it later. The node must be owned by the fold. */
export const receive = (fold: Fold, node: NodeState, arrival: Arrival): void => {
  if (node.core === null) return
  if (node.paused) node.inbox.push(arrival)
  else feed(fold, node, [arrival])
}
