/** The life cycle of nodes: created, started, crashed, paused, wiped. */
import {
  emptyConfiguration,
  initialState,
  origin,
  originOf,
  type Configuration,
  type LogBase,
  type Member,
  type Recovered,
} from "../../../core/index.ts"
import { cloneOf } from "../state/clone.ts"
import { crash, noticeAll } from "./crash.ts"
import { catchUp, EPOCH, freshTimers, monotonicTime, TIMERS } from "./clockwork.ts"
import { entriesOf, freshDisk } from "./disk.ts"
import { feed } from "./effects.ts"
import { writableNode, type Fold } from "../state/fold.ts"
import { draw, RANDOM_KINDS, hashOfPlace } from "../state/hash.ts"
import { DigestMachine } from "./machine.ts"
import { countStart, freshDirectory, handshakeWithAll, hasLostTail } from "./directories.ts"
import type { Arrival, NodeState, WorldHooks, WorldMachine } from "../state/types.ts"

/** Links are bits of a 32-bit number. */
export const MOST_NODES = 31

const incarnationOf = (slot: number, wipes: number): string => `i${slot + 1}${wipes === 0 ? "" : `.${wipes}`}`
const newMachine = (hooks: WorldHooks, base: LogBase): WorldMachine => hooks.machine?.(base) ?? new DigestMachine(base)

export const founders = (names: readonly string[]): readonly Member[] =>
  names.map((name, slot) => ({ name, incarnation: incarnationOf(slot, 0) }))

export const newNode = (hooks: WorldHooks, name: string, slot: number, configuration: Configuration): NodeState => {
  if (slot >= MOST_NODES) throw new Error(`a world has at most ${MOST_NODES} nodes`)
  const base = originOf(configuration)
  const machine = newMachine(hooks, base)
  const { start, metOf, met, metTerm, metIndex, begins, refused, wentBack } = freshDirectory()
  const { due, alarm, setBy } = freshTimers()
  // A literal with the same fields in the same order as in copyNode (state/copies.ts says why).
  return {
    name,
    slot,
    member: { name, incarnation: incarnationOf(slot, 0) },
    wipes: 0,
    boot: 0,
    core: null,
    disk: freshDisk(base),
    machine,
    durable: cloneOf(machine),
    damaged: false,
    start,
    found: { term: 0, index: 0 },
    metOf,
    met,
    metTerm,
    metIndex,
    begins,
    refused,
    wentBack,
    copy: null,
    apply: null,
    paused: false,
    inbox: [],
    clock: { since: 0, wall: EPOCH, wallDriftPermille: 0, monotonic: 0, driftPermille: 0 },
    bornAt: 0,
    due,
    alarm,
    setBy,
    sets: TIMERS.map(() => 0),
    sent: [],
    persists: 0,
    applies: 0,
    snapshots: 0,
    images: [],
    incoming: null,
    rounds: [],
  }
}

export const start = (fold: Fold, name: string): void => {
  const node = writableNode(fold, name)
  if (node.core !== null || node.disk.corrupt || node.refused) return
  if (hasLostTail(node)) {
    // The node stops with that reason, and must be replaced.
    node.disk.corrupt = true
    return
  }
  node.boot += 1
  countStart(fold, node)
  if (!handshakeWithAll(fold, name)) return
  node.bornAt = monotonicTime(node.clock, fold.world.now)
  const { disk, machine, member, boot } = node
  const recovered: Recovered = {
    self: member,
    bootId: draw(hashOfPlace(fold.world.seed, RANDOM_KINDS.boot, node.slot, node.wipes, boot), 0, 0x40000000),
    hardState: disk.hardState,
    base: disk.log.base,
    entries: entriesOf(disk),
    position: node.damaged ? null : machine.position(),
  }
  fold.hooks.started?.(name, recovered, node.wentBack)
  node.wentBack = false
  node.core = initialState(fold.world.settings, recovered)
  const arrivals: Arrival[] = [{ event: { type: "Started" }, cause: -1, image: null }]
  if (disk.full) arrivals.push({ event: { type: "SpaceChanged", low: true }, cause: -1, image: null })
  feed(fold, node, arrivals)
  noticeAll(fold, node, true)
}

export const wipe = (fold: Fold, name: string): void => {
  crash(fold, name, "none", "wiped")
  const node = writableNode(fold, name)
  const base = origin
  node.wipes += 1
  node.member = { name, incarnation: incarnationOf(node.slot, node.wipes) }
  node.disk = freshDisk(base)
  node.machine = newMachine(fold.hooks, base)
  node.durable = cloneOf(node.machine)
  node.damaged = false
  node.copy = null
  Object.assign(node, freshDirectory())
}

export const add = (fold: Fold, name: string): void => {
  const { world } = fold
  if (world.nodes[name] !== undefined) return
  world.nodes[name] = newNode(fold.hooks, name, world.names.length, emptyConfiguration)
  world.names = [...world.names, name]
  start(fold, name)
}

/** Delivers first everything that waited, as one batch; then the timers that are still due. */
export const resume = (fold: Fold, name: string): void => {
  const node = writableNode(fold, name)
  if (!node.paused) return
  node.paused = false
  const waiting = node.inbox
  node.inbox = []
  if (waiting.length > 0) feed(fold, node, waiting)
  catchUp(fold, node)
}
