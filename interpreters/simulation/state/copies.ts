/**
 * Copies for the immutable interface, and structural sharing: the reducer runs in place on a copy (copyState), and parts
 * that come out equal are taken from the state before, so that the worlds of a long history share nearly everything.
 *
 * Copies are written out as literals, in the order of the originals, for the reason that core/copy.ts gives.
 */
import type { State } from "../../../core/index.ts"
import type { DiskState, NodeState, WorldState } from "./types.ts"

const copyDisk = (disk: DiskState): DiskState => ({
  hardState: disk.hardState,
  log: disk.log,
  pending: disk.pending.slice(),
  speed: disk.speed,
  busyUntil: disk.busyUntil,
  stalled: disk.stalled,
  fails: disk.fails,
  full: disk.full,
  corrupt: disk.corrupt,
})

/** The core and the state machine stay shared. */
export const copyNode = (node: NodeState): NodeState => ({
  name: node.name,
  slot: node.slot,
  member: node.member,
  wipes: node.wipes,
  boot: node.boot,
  core: node.core,
  disk: copyDisk(node.disk),
  machine: node.machine,
  durable: node.durable,
  damaged: node.damaged,
  start: node.start,
  found: node.found,
  metOf: node.metOf.slice(),
  met: node.met.slice(),
  metTerm: node.metTerm.slice(),
  metIndex: node.metIndex.slice(),
  begins: node.begins,
  refused: node.refused,
  wentBack: node.wentBack,
  copy: node.copy,
  apply: node.apply,
  paused: node.paused,
  inbox: node.inbox.slice(),
  clock: node.clock,
  bornAt: node.bornAt,
  due: node.due.slice(),
  alarm: node.alarm.slice(),
  setBy: node.setBy.slice(),
  sets: node.sets.slice(),
  sent: node.sent.slice(),
  persists: node.persists,
  applies: node.applies,
  snapshots: node.snapshots,
  images: node.images,
  incoming: node.incoming,
  rounds: node.rounds,
})

/** A copy of the world with a copy, or the original, of each node. */
export const copyWorldRecord = (world: WorldState, nodeFor: (node: NodeState) => NodeState): WorldState => {
  const nodes: Record<string, NodeState> = {}
  for (const name in world.nodes) {
    const node = world.nodes[name]
    if (node !== undefined) nodes[name] = nodeFor(node)
  }
  return {
    seed: world.seed,
    settings: world.settings,
    names: world.names,
    nodes,
    now: world.now,
    agenda: world.agenda.slice(),
    cuts: world.cuts,
    clogs: world.clogs,
    network: world.network,
    disk: world.disk,
    apply: world.apply,
    snapshots: world.snapshots,
    connections: world.connections,
    planned: world.planned,
    steps: world.steps,
    messages: world.messages,
    entriesSent: world.entriesSent,
    refs: world.refs,
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

/** Logs and bytes are equal only if they are the same. */
const equal = (a: unknown, b: unknown): boolean => {
  if (a === b) return true
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false
    for (let i = 0; i < a.length; i++) if (!equal(a[i], b[i])) return false
    return true
  }
  if (!isRecord(a) || !isRecord(b)) return false
  for (const key in a) if (!equal(a[key], b[key])) return false
  for (const key in b) if (!(key in a)) return false
  return true
}
const shared = <A>(before: A, after: A): A => (equal(before, after) ? before : after)

/** Takes equal parts of `before` over into `after`, which copyState made; so its records belong to nobody else. */
export const shareCore = (before: State, after: State): State => {
  const { role } = before
  if (role.type === "leader" && after.role.type === "leader") {
    const { progress } = after.role
    for (const name in progress) {
      const known = role.progress[name]
      const now = progress[name]
      if (known !== undefined && now !== undefined) progress[name] = shared(known, now)
    }
  }
  after.role = shared(role, after.role)
  after.configurations = shared(before.configurations, after.configurations)
  after.durability = shared(before.durability, after.durability)
  after.confirmedReads = shared(before.confirmedReads, after.confirmedReads)
  after.forwarded = shared(before.forwarded, after.forwarded)
  after.clock = shared(before.clock, after.clock)
  return after
}
