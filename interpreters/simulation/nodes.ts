/** The lives of nodes: made, started, crashed, paused, wiped. */
import { emptyConfiguration, initialState, type Configuration, type LogBase, type Member, type Recovered } from "../../core/index.ts"
import { catchUp, EPOCH, freshTimers, monotonicTime, TIMERS } from "./clockwork.ts"
import { crashDisk, entriesOf, freshDisk } from "./disk.ts"
import { feed } from "./effects.ts"
import { nodeOf, own, type Fold } from "./fold.ts"
import { draw, LUCK, placeOf } from "./hash.ts"
import { DigestMachine } from "./machine.ts"
import { countStart, freshDirectory, greet, hasLostTail } from "./directories.ts"
import { notice } from "./network.ts"
import type { Arrival, Keep, NodeState, StopReason, WorldHooks, WorldMachine } from "./types.ts"

/** Links are bits of a 32-bit number. */
export const MOST_NODES = 31

const baseOf = (configuration: Configuration): LogBase => ({ index: 0, term: 0, time: 0, chain: 0, configuration })
const incarnationOf = (slot: number, wipes: number): string => `i${slot + 1}${wipes === 0 ? "" : `.${wipes}`}`
const newMachine = (hooks: WorldHooks, base: LogBase): WorldMachine => hooks.machine?.(base) ?? new DigestMachine(base)

export const founders = (names: readonly string[]): readonly Member[] => names.map((name, slot) => ({ name, incarnation: incarnationOf(slot, 0) }))

export const newNode = (hooks: WorldHooks, name: string, slot: number, configuration: Configuration): NodeState => {
  if (slot >= MOST_NODES) throw new Error(`a world has at most ${MOST_NODES} nodes`)
  const base = baseOf(configuration)
  const machine = newMachine(hooks, base)
  return {
    name,
    slot,
    member: { name, incarnation: incarnationOf(slot, 0) },
    wipes: 0,
    life: 0,
    core: null,
    disk: freshDisk(base),
    machine,
    durable: machine.clone(),
    damaged: false,
    ...freshDirectory(),
    found: { term: 0, index: 0 },
    copy: null,
    apply: null,
    paused: false,
    inbox: [],
    clock: { since: 0, wall: EPOCH, wallDriftPermille: 0, monotonic: 0, driftPermille: 0 },
    bornAt: 0,
    ...freshTimers(),
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

const noticeAll = (fold: Fold, node: NodeState, connected: boolean): void => {
  const { world } = fold
  if (!world.connections) return
  const place = placeOf(world.seed, LUCK.notice, node.slot, connected ? 1 : 0, node.life)
  for (const name of world.names) {
    const other = nodeOf(world, name)
    if (other === node || other.core === null) continue
    notice(fold, other, node, connected, place)
    if (connected) notice(fold, node, other, connected, place)
  }
}

export const start = (fold: Fold, name: string): void => {
  const node = own(fold, name)
  if (node.core !== null || node.disk.corrupt || node.refused) return
  if (hasLostTail(node)) {
    // It stops by name, and is to be replaced.
    node.disk.corrupt = true
    return
  }
  node.life += 1
  countStart(fold, node)
  if (!greet(fold, name)) return
  node.bornAt = monotonicTime(node.clock, fold.world.now)
  const { disk, machine, member, life } = node
  const recovered: Recovered = {
    self: member,
    life: draw(placeOf(fold.world.seed, LUCK.life, node.slot, node.wipes, life), 0, 0x40000000),
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

/** What was not made durable of the state machine may be gone: all of it or nothing, as a write-ahead log would have it. */
const crashMachine = (fold: Fold, node: NodeState, keep: Keep): void => {
  const kept = keep === "all" || (keep === "random" && draw(placeOf(fold.world.seed, LUCK.crash, node.slot, 1, node.life), 0, 2) === 0)
  if (!kept) node.machine = node.durable.clone()
}

export const crash = (fold: Fold, name: string, keep: Keep, why: StopReason): void => {
  const node = own(fold, name)
  if (node.core === null) return
  node.core = null
  Object.assign(node, freshTimers())
  node.inbox = []
  node.paused = false
  node.images = []
  node.incoming = null
  node.rounds = []
  // What peers said of their disks is written down now and then only.
  node.metTerm = []
  node.metIndex = []
  crashDisk(fold, node, keep)
  crashMachine(fold, node, keep)
  fold.hooks.stopped?.(name, why)
  noticeAll(fold, node, false)
}

export const wipe = (fold: Fold, name: string): void => {
  crash(fold, name, "none", "wiped")
  const node = own(fold, name)
  const base = baseOf(emptyConfiguration)
  node.wipes += 1
  node.member = { name, incarnation: incarnationOf(node.slot, node.wipes) }
  node.disk = freshDisk(base)
  node.machine = newMachine(fold.hooks, base)
  node.durable = node.machine.clone()
  node.damaged = false
  node.copy = null
  Object.assign(node, freshDirectory())
}

export const add = (fold: Fold, name: string): void => {
  const { world } = fold
  if (world.nodes[name] !== undefined) return
  world.nodes = { ...world.nodes, [name]: newNode(fold.hooks, name, world.names.length, emptyConfiguration) }
  world.names = [...world.names, name]
  start(fold, name)
}

/** First what waited, all at once; then the timers that are still due. */
export const resume = (fold: Fold, name: string): void => {
  const node = own(fold, name)
  if (!node.paused) return
  node.paused = false
  const waiting = node.inbox
  node.inbox = []
  if (waiting.length > 0) feed(fold, node, waiting)
  catchUp(fold, node)
}
