/** Everything that can be done to a world: one case for each action. */
import {
  configurationOf,
  emptyConfiguration,
  sameMember,
  type Event,
  type Member,
  type Payload,
} from "../../core/index.ts"
import { crash } from "./server/crash.ts"
import { cancelTimer, skewClock, TIMER_PLACE } from "./server/clockwork.ts"
import { copyDirectory, cutLog, swapDirectory } from "./server/directories.ts"
import { resumeDisk } from "./server/disk.ts"
import { receive } from "./server/effects.ts"
import { nodeOf, writableNode, resolveNode, type Fold } from "./state/fold.ts"
import { completePersist, deliver, executePlanned, nextPlannedAt } from "./planned.ts"
import { RANDOM_KINDS, hashOfPlace } from "./state/hash.ts"
import { addPlanned, takePlanned } from "./state/agenda.ts"
import { clog, cutLink, findFlight, joinLink, networks, notice } from "./server/network.ts"
import { add, resume, start, wipe } from "./server/nodes.ts"
import type { Action, Flight, NodeRef, NodeState, Planned } from "./state/types.ts"

/** Runs all events up to and including `end`. */
export const runTo = (fold: Fold, end: number): void => {
  const { world } = fold
  for (let at = nextPlannedAt(fold); at !== undefined && at <= end; at = nextPlannedAt(fold)) executePlanned(fold)
  world.now = end
}
/** Runs the next event that is not stale; false if none is planned through `end`. */
export const stepOne = (fold: Fold, end = Number.POSITIVE_INFINITY): boolean => {
  const { world } = fold
  const { now } = world
  for (let at = nextPlannedAt(fold); at !== undefined && at <= end; at = nextPlannedAt(fold))
    if (executePlanned(fold)) return true
  // Stale events are dropped without advancing time.
  world.now = now
  return false
}

const fromHex = (hex: string): Uint8Array =>
  Uint8Array.from({ length: hex.length >> 1 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16))

/** Blank payloads share their immutable bytes: a typed array of their own would be expensive. */
const blanks = new Map<number, Uint8Array>()
const MOST_BLANKS = 1000
const blank = (size: number): Uint8Array => {
  let bytes = blanks.get(size)
  if (bytes === undefined) {
    bytes = new Uint8Array(size)
    if (blanks.size < MOST_BLANKS) blanks.set(size, bytes)
  }
  return bytes
}

const payloadsOf = ({
  id,
  bytes = 8,
  count = 1,
  payloads,
}: Extract<Action, { type: "propose" }>): readonly Payload[] => {
  if (payloads !== undefined) return payloads.map(({ hex, checksum }) => ({ bytes: fromHex(hex), checksum }))
  const out: Payload[] = []
  for (let i = 0; i < count; i++) out.push({ bytes: blank(bytes), checksum: id + i })
  return out
}

/** Hands the core an event from a client, an operator or the node itself. */
const tell = (fold: Fold, node: NodeState, event: Event): void => receive(fold, node, { event, cause: -1, image: null })

/**
 * Calls `then` with the node of the action, to be changed; not if there is no such node, or (by default) if it is down.
 */
const withNode = (fold: Fold, ref: NodeRef, then: (node: NodeState) => void, downToo = false): void => {
  const name = resolveNode(fold.world, ref)
  if (name === undefined || (!downToo && nodeOf(fold.world, name).core === null)) return
  then(writableNode(fold, name))
}
const withTwo = (fold: Fold, a: NodeRef, b: NodeRef, then: (a: NodeState, b: NodeState) => void): void => {
  const [first, second] = [resolveNode(fold.world, a), resolveNode(fold.world, b)]
  if (first !== undefined && second !== undefined && first !== second)
    then(nodeOf(fold.world, first), nodeOf(fold.world, second))
}

const changeLinks = (fold: Fold, change: typeof cutLink, chosen: (a: NodeState, b: NodeState) => boolean): void => {
  const { world } = fold
  for (const from of world.names)
    for (const to of world.names)
      if (from !== to && chosen(nodeOf(world, from), nodeOf(world, to)))
        change(world, nodeOf(world, from), nodeOf(world, to))
}

/** Removes a message in flight from the agenda. */
const takeFlight = (fold: Fold, name: string): (Planned & { readonly what: Flight }) | undefined => {
  const { agenda } = fold.world
  const place = findFlight(agenda, name)
  const taken = place < 0 ? undefined : takePlanned(agenda, place)
  return taken?.what.type === "deliver" ? { ...taken, what: taken.what } : undefined
}

/** Both nodes must be owned by the fold. */
const reset = (fold: Fold, a: NodeState, b: NodeState): void => {
  const { world } = fold
  const between = (what: Planned["what"]): boolean =>
    what.type === "deliver" &&
    ((what.from.name === a.name && what.to.name === b.name) || (what.from.name === b.name && what.to.name === a.name))
  const kept = world.agenda.filter(({ what }) => !between(what))
  world.agenda = []
  for (const planned of kept) addPlanned(world.agenda, planned)
  for (const [node, peer] of [
    [a, b],
    [b, a],
  ] as const) {
    if (node.core === null) continue
    tell(fold, node, { type: "PeerDisconnected", peer: peer.member })
    if (peer.core !== null)
      notice(
        fold,
        node,
        peer,
        true,
        hashOfPlace(world.seed, RANDOM_KINDS.notice, node.slot, peer.slot, node.sent[peer.slot] ?? 0),
      )
  }
}

const withLearners = (
  { core }: NodeState,
  added: readonly Member[],
): { readonly voters: readonly Member[]; readonly learners: readonly Member[] } => {
  const { voters, learners } = core === null ? emptyConfiguration : configurationOf(core)
  // A new incarnation replaces the earlier one.
  const isKept = (member: Member): boolean => added.every((one) => one.name !== member.name || sameMember(one, member))
  const kept = { voters: voters.filter(isKept), learners: learners.filter(isKept) }
  return {
    voters: kept.voters,
    learners: [
      ...kept.learners,
      ...added.filter((one) => ![...kept.voters, ...kept.learners].some((member) => sameMember(member, one))),
    ],
  }
}

export const act = (fold: Fold, action: Action): void => {
  const { world } = fold
  fold.hooks.acted?.(action)
  switch (action.type) {
    case "run":
      if (!Number.isInteger(action.ms) || action.ms < 0)
        throw new RangeError(`a world runs for whole milliseconds, not for ${action.ms}`)
      return runTo(fold, world.now + action.ms)
    case "step":
      for (let i = 0; i < action.count && stepOne(fold); i++);
      return
    case "propose":
    case "read":
    case "change":
    case "addLearners": {
      const ref = ++world.refs
      const members = (names: readonly string[]): readonly Member[] =>
        names.flatMap((name) => world.nodes[name]?.member ?? [])
      return withNode(fold, action.node, (node) => {
        if (action.type === "propose") tell(fold, node, { type: "Proposed", ref, payloads: payloadsOf(action) })
        else if (action.type === "read") tell(fold, node, { type: "ReadRequested", ref })
        else if (action.type === "change")
          tell(fold, node, {
            type: "ConfigurationChangeProposed",
            ref,
            voters: members(action.voters),
            learners: members(action.learners),
          })
        else
          tell(fold, node, { type: "ConfigurationChangeProposed", ref, ...withLearners(node, members(action.names)) })
      })
    }
    case "transfer": {
      const to = action.to === null ? null : resolveNode(world, action.to)
      if (to === undefined) return
      return withNode(fold, action.node, (node) =>
        tell(fold, node, { type: "TransferRequested", to: to === null ? null : nodeOf(world, to).member }),
      )
    }
    case "start":
      return withNode(fold, action.node, ({ name }) => start(fold, name), true)
    case "crash":
      return withNode(fold, action.node, ({ name }) => crash(fold, name, action.keep ?? "random", "crash"))
    case "pause":
      return withNode(fold, action.node, (node) => {
        node.paused = true
      })
    case "resume":
      return withNode(fold, action.node, ({ name }) => resume(fold, name))
    case "skew":
      return withNode(
        fold,
        action.node,
        (node) =>
          skewClock(fold, node, action.offset, action.driftPermille, action.wallDriftPermille ?? action.driftPermille),
        true,
      )
    case "wipe":
      return withNode(fold, action.node, ({ name }) => wipe(fold, name), true)
    case "add":
      return add(fold, action.name)
    case "copyDirectory":
      return withNode(fold, action.node, copyDirectory, true)
    case "swapDirectory":
      return withNode(fold, action.node, ({ name }) => swapDirectory(fold, name), true)
    case "cutLog":
      return withNode(fold, action.node, ({ name }) => cutLog(fold, name, action.entries), true)
    case "disk":
      return withNode(
        fold,
        action.node,
        ({ disk }) => {
          disk.speed = { min: action.min, max: action.max }
        },
        true,
      )
    case "stallDisk":
      return withNode(fold, action.node, ({ disk }) => {
        disk.stalled = true
      })
    case "resumeDisk":
      return withNode(fold, action.node, (node) => {
        if (node.disk.stalled) resumeDisk(fold, node)
      })
    case "failWrite":
    case "failSync":
      return withNode(fold, action.node, ({ disk }) => {
        disk.fails = action.type === "failWrite" ? "write" : "sync"
      })
    case "fullDisk":
    case "freeDisk":
      return withNode(
        fold,
        action.node,
        (node) => {
          node.disk.full = action.type === "fullDisk"
          tell(fold, node, { type: "SpaceChanged", low: node.disk.full })
        },
        true,
      )
    case "corruptDisk":
      return withNode(
        fold,
        action.node,
        ({ disk }) => {
          disk.corrupt = true
        },
        true,
      )
    case "damage":
      return withNode(
        fold,
        action.node,
        (node) => {
          node.damaged = true
          tell(fold, node, { type: "MachineDamaged" })
        },
        true,
      )
    case "apply":
      return withNode(
        fold,
        action.node,
        (node) => {
          node.apply = { min: action.min, max: action.max }
        },
        true,
      )
    case "snapshots":
      world.snapshots = { ...world.snapshots, ...action.profile }
      return
    case "cut":
      return withTwo(fold, action.from, action.to, (from, to) => cutLink(world, from, to))
    case "join":
      return withTwo(fold, action.from, action.to, (from, to) => joinLink(world, from, to))
    case "isolate":
    case "reconnect": {
      const name = resolveNode(world, action.node)
      return changeLinks(
        fold,
        action.type === "isolate" ? cutLink : joinLink,
        (a, b) => a.name === name || b.name === name,
      )
    }
    case "partition": {
      const side = new Set(action.side.map((ref) => resolveNode(world, ref)))
      return changeLinks(fold, cutLink, (a, b) => side.has(a.name) !== side.has(b.name))
    }
    case "heal":
      world.cuts = []
      world.clogs = []
      return
    case "network":
      world.network = typeof action.profile === "string" ? networks[action.profile] : action.profile
      return
    case "clog":
      return withTwo(fold, action.from, action.to, (from, to) => clog(world, from.name, to.name, action.ms))
    case "reset":
      return withTwo(fold, action.a, action.b, (a, b) =>
        reset(fold, writableNode(fold, a.name), writableNode(fold, b.name)),
      )
    case "deliver": {
      const taken = takeFlight(fold, action.message)
      if (taken !== undefined) deliver(fold, taken.what)
      return
    }
    case "drop": {
      const { from, to, message } = takeFlight(fold, action.message)?.what ?? {}
      if (from !== undefined && to !== undefined && message !== undefined)
        fold.hooks.lost?.(from, to, message, "dropped")
      return
    }
    case "duplicate": {
      const original = world.agenda[findFlight(world.agenda, action.message)]
      if (original?.what.type !== "deliver") return
      const { from, to, n } = original.what
      const copies = world.agenda.filter(
        ({ what }) =>
          what.type === "deliver" && what.n === n && what.from.name === from.name && what.to.name === to.name,
      )
      const copy = 1 + Math.max(...copies.map(({ what }) => (what.type === "deliver" ? what.copy : 0)))
      addPlanned(world.agenda, { at: original.at, order: world.planned++, what: { ...original.what, copy } })
      return
    }
    case "fire":
      return withNode(fold, action.node, (node) => {
        const cause = node.setBy[TIMER_PLACE[action.timer]] ?? -1
        cancelTimer(node, action.timer)
        receive(fold, node, { event: { type: "TimerExpired", timer: action.timer }, cause, image: null })
      })
    case "persist":
      return withNode(fold, action.node, ({ name, disk }) => {
        const oldest = disk.pending[0]
        if (oldest !== undefined) completePersist(fold, name, oldest.seq, -1)
      })
    case "inject":
      if ("ref" in action.event) world.refs = Math.max(world.refs, action.event.ref)
      return withNode(fold, action.node, (node) => tell(fold, node, action.event))
  }
}
