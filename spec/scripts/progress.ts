/**
 * Liveness: after faults stop there is progress within a bound. First, while a minority of voters is left as it is
 * (down, paused, cut off, or with a stalled disk), the others must commit and execute something. Then all servers are
 * repaired, lost disks are replaced by membership changes, and all must end with the same state.
 */
import type { Configuration, Event, Member, Settings, State } from "../../core/index.ts"
import {
  toHex,
  foundersOf,
  isCut,
  nodeOf,
  type DiskState,
  type Script,
  type World,
} from "../../interpreters/simulation/index.ts"
import { quietNetwork } from "./generate/options.ts"

/** Virtual milliseconds: a few elections of the slowest timeouts, and the transfer of a snapshot in between. */
export const defaultBound = 60_000

export interface ProgressChecks {
  /** Virtual milliseconds within which there must be progress. */
  readonly bound: number
  /** The bytes of a command, for a state machine that reads them. */
  readonly command: ((id: number) => Uint8Array) | undefined
}

/** Different from all command ids that scripts use. */
const PROBE = 0x60000000
/** Virtual milliseconds between a client's polls, and the number of polls after which it writes again. */
const PATIENCE = 500
const RETRY = 8

const configurationAt = (state: State): Configuration =>
  state.configurations.at(-1)?.configuration ?? state.log.base.configuration
const isToday = (world: World, { name, incarnation }: Member): boolean =>
  world.data.nodes[name]?.member.incarnation === incarnation
const live = (world: World): readonly { readonly name: string; readonly state: State }[] =>
  world.names.flatMap((name) => {
    const state = world.state(name)
    return state === undefined ? [] : [{ name, state }]
  })

/**
 * Whether progress may be demanded: what a script loses for good (disks, state machines) is a minority of the founders,
 * and of the voters of each change.
 */
export const isTolerable = ({ options, actions }: Script): boolean => {
  const lost = new Set<string>()
  for (const action of actions)
    if (
      action.type === "wipe" ||
      action.type === "corruptDisk" ||
      action.type === "damage" ||
      action.type === "swapDirectory" ||
      action.type === "cutLog" ||
      (action.type === "crash" && action.keep === "corrupt")
    )
      lost.add(action.node)
  const isMinority = (names: readonly string[]): boolean =>
    names.filter((name) => lost.has(name)).length * 2 < names.length
  const founders = foundersOf(options)
  const known = [...lost].every((name) => founders.includes(name))
  return (
    known && isMinority(founders) && actions.every((action) => action.type !== "change" || isMinority(action.voters))
  )
}

/** It receives nothing from any server. */
const isDeaf = ({ data }: World, name: string): boolean =>
  data.names.length > 1 &&
  data.names.every((other) => other === name || isCut(data, nodeOf(data, other), nodeOf(data, name)))
/** Cut off in both directions from all others. */
const isAlone = ({ data }: World, name: string): boolean =>
  data.names.length > 1 &&
  data.names.every(
    (other) =>
      other === name ||
      (isCut(data, nodeOf(data, name), nodeOf(data, other)) && isCut(data, nodeOf(data, other), nodeOf(data, name))),
  )

/** The last configuration on its disk. */
const configurationOnDisk = ({ log }: DiskState): Configuration => {
  for (let index = log.lastIndex; index > log.base.index; index--) {
    const entry = log.entry(index)
    if (entry?.kind === "configuration") return entry.configuration
  }
  return log.base.configuration
}
const carriesChange = (event: Event): boolean =>
  event.type === "MessageReceived" &&
  (event.message.type === "InstallSnapshot" ||
    (event.message.type === "AppendEntries" && event.message.entries.some(({ kind }) => kind === "configuration")))
/** Some server may still learn of another configuration. */
const changesUnderWay = ({ data }: World): boolean =>
  data.agenda.some(
    ({ what }) =>
      what.type === "restore" ||
      (what.type === "deliver" && carriesChange({ type: "MessageReceived", from: what.from, message: what.message })),
  ) || data.names.some((name) => nodeOf(data, name).inbox.some(({ event }) => carriesChange(event)))

/**
 * A server that hears no other but is heard: without CheckQuorum it stays leader, and without PreVote the others vote
 * for it again and again, if its clock is the fastest (thesis §9.6). Then nothing is guaranteed.
 */
const endures = ({ checkQuorum, preVote }: Settings): boolean => checkQuorum && preVote

interface Leftover {
  readonly bad: readonly string[]
  readonly good: readonly string[]
}
/** A minority of voters that is not healthy, if the others are certainly a majority; otherwise null. */
const leftoverOf = (world: World): Leftover | null => {
  const { data } = world
  const configurations = data.names.map((name) => {
    const { core, disk } = nodeOf(data, name)
    return core === null ? configurationOnDisk(disk) : configurationAt(core)
  })
  const [first] = configurations
  if (
    first === undefined ||
    changesUnderWay(world) ||
    configurations.some((one) => JSON.stringify(one) !== JSON.stringify(first))
  )
    return null
  if (first.outgoing.length > 0 || !first.voters.every((voter) => isToday(world, voter))) return null
  const names = first.voters.map(({ name }) => name)
  const bad = names.filter((name) => {
    const node = nodeOf(data, name)
    return (
      node.core === null ||
      node.paused ||
      node.disk.stalled ||
      isAlone(world, name) ||
      (endures(data.settings) && isDeaf(world, name))
    )
  })
  const good = names.filter((name) => !bad.includes(name))
  const usable =
    bad.length > 0 && good.length > names.length >> 1 && good.every((name) => world.state(name)?.machine === "ready")
  return usable ? { bad, good } : null
}

/**
 * Its directory cannot be used: bits have flipped, its log has lost its end, or a peer has seen a later start of it.
 */
const isLost = ({ data }: World, name: string): boolean => {
  const { disk, refused } = nodeOf(data, name)
  return disk.corrupt || refused
}

const replaceLost = (world: World, node: string): void => {
  if (!isLost(world, node)) return
  world.act({ type: "wipe", node })
  world.act({ type: "start", node })
}

/** Repairs everything except the servers in `bad`. */
const mend = (world: World, bad: readonly string[]): void => {
  const alone = bad.filter((name) => isAlone(world, name))
  const deaf = bad.filter((name) => isDeaf(world, name) && !alone.includes(name) && endures(world.settings))
  world.act({ type: "heal" })
  world.act({ type: "network", profile: quietNetwork })
  world.act({ type: "snapshots", profile: { takeFailPermille: 0, openFailPermille: 0, rejectPermille: 0 } })
  for (const node of alone) world.act({ type: "isolate", node })
  for (const to of deaf) for (const from of world.names) if (from !== to) world.act({ type: "cut", from, to })
  for (const node of world.names) {
    const { clock, disk } = nodeOf(world.data, node)
    if (clock.driftPermille < -100 || clock.driftPermille > 100)
      world.act({ type: "skew", node, offset: 0, driftPermille: 0 })
    world.act({ type: "apply", node, min: 0, max: 5 })
    if (bad.includes(node)) continue
    // A planned write failure may still happen; it ends at the next start.
    if (disk.fails !== null) world.act({ type: "crash", node, keep: "all" })
    // Damaged bits that were not read yet count as lost.
    if (disk.corrupt) world.act({ type: "wipe", node })
    world.act({ type: "disk", node, min: 1, max: 5 })
    world.act({ type: "resumeDisk", node })
    world.act({ type: "resume", node })
    world.act({ type: "start", node })
    replaceLost(world, node)
    world.act({ type: "freeDisk", node })
  }
}

/** Lost disks and servers that left come back as learners first, then as the voters that they were. */
const repairMembership = (world: World, state: State, wanted: readonly string[]): void => {
  // A server that was unreachable when it started from an old directory may be noticed only now.
  for (const name of world.names) replaceLost(world, name)
  const { voters, outgoing, learners } = configurationAt(state)
  if (outgoing.length > 0) return
  const names = (members: readonly Member[]): readonly string[] => members.map(({ name }) => name)
  const today = [...voters, ...learners].filter((member) => isToday(world, member))
  const back = new Set([...names([...voters, ...learners]), ...wanted])
  if (today.length < back.size) world.act({ type: "addLearners", node: state.self.name, names: [...back] })
  else if (!wanted.every((name) => names(voters).includes(name)))
    world.change(
      state.self.name,
      [...new Set([...names(voters), ...wanted])],
      names(learners).filter((name) => !wanted.includes(name)),
    )
}

/** The entry appended at this index in this term was executed there. */
interface Mark {
  readonly index: number
  readonly term: number
}
const hasExecuted = (world: World, name: string, { index, term }: Mark): boolean => {
  const state = world.state(name)
  return (
    state !== undefined &&
    state.machine === "ready" &&
    state.applied >= index &&
    (state.log.termAt(index) ?? term) === term
  )
}
const agrees = (leader: State, state: State | undefined): boolean =>
  state !== undefined &&
  state.machine === "ready" &&
  state.applied === leader.commitIndex &&
  state.currentTerm === leader.currentTerm

/** The membership is as intended, no member is lost, and all have the same state. */
const isWhole = (world: World, wanted: readonly string[]): boolean => {
  const leader = world.leader()?.runner?.state
  if (leader === undefined || leader.commitIndex !== leader.log.lastIndex) return false
  const { voters, outgoing, learners } = configurationAt(leader)
  const members = [...voters, ...learners]
  if (
    outgoing.length > 0 ||
    !members.every((member) => isToday(world, member)) ||
    !wanted.every((name) => voters.some((voter) => voter.name === name))
  )
    return false
  return members.every(({ name }) => agrees(leader, world.state(name)))
}

/**
 * Writes to the leader until `done` holds for the last write that was appended; one write in each term, and another if
 * it has no effect.
 */
const progresses = (
  world: World,
  { bound, command }: ProgressChecks,
  done: (mark: Mark) => boolean,
  repair: (leader: State) => void,
): boolean => {
  const end = world.now + bound
  let mark: Mark | null = null
  for (let round = 0; world.now < end; round++) {
    const leader = world.leader()?.runner?.state
    if (leader !== undefined) {
      repair(leader)
      if (mark === null || mark.term !== leader.currentTerm || round % RETRY === 0) {
        const ref = world.data.refs + 1
        const id = PROBE + ref
        world.act({
          type: "propose",
          node: leader.self.name,
          id,
          ...(command === undefined ? {} : { payloads: [{ hex: toHex(command(id)), checksum: id }] }),
        })
        const outcome = world.outcomes.get(ref)
        if (outcome?.type === "ProposalAppended") mark = { index: outcome.first, term: outcome.term }
      }
    }
    const last = mark
    if (last !== null && world.runUntil(() => done(last), Math.min(PATIENCE, end - world.now))) return true
    if (last === null) world.run(Math.min(PATIENCE, end - world.now))
  }
  return false
}

const picture = (world: World): string =>
  world.names
    .map((name) => {
      const state = world.state(name)
      return state === undefined
        ? `${name} down`
        : `${name} ${state.role.type} of term ${state.currentTerm}, log ${state.log.base.index}–${state.log.lastIndex}, committed ${state.commitIndex}, applied ${state.applied}${state.machine === "ready" ? "" : ", no state machine"}`
    })
    .join("; ")

/** The leader of a healthy majority must stay leader (thesis §4.2.3, §9.6). Returns null, or what happened instead. */
const unrest = (world: World): string | null => {
  // Earlier messages must arrive first: a late TimeoutNow must be obeyed.
  world.run(
    Math.max(
      0,
      ...world.data.agenda.map(({ at, what }) =>
        what.type === "deliver" || what.type === "event" ? at - world.now : 0,
      ),
    ),
  )
  world.run(2 * world.settings.electionMax)
  const before = world.leader()?.runner?.state
  if (before === undefined) return "the leader is gone"
  const { self, currentTerm } = before
  world.run(6 * world.settings.electionMax)
  const after = world.leader()?.runner?.state
  return after !== undefined && after.self.name === self.name && after.currentTerm === currentTerm
    ? null
    : `${self.name}, leader of term ${currentTerm}, is deposed`
}

/** Repairs the world and lets it run; returns null if there was progress, otherwise what happened instead. */
export const checkProgress = (world: World, checks: ProgressChecks): string | null => {
  const { bound } = checks
  const leftover = leftoverOf(world)
  if (leftover !== null) {
    mend(world, leftover.bad)
    if (
      !progresses(
        world,
        checks,
        (mark) =>
          leftover.good.includes(world.leader()?.name ?? "") &&
          leftover.good.every((name) => hasExecuted(world, name, mark)),
        () => {},
      )
    )
      return `${leftover.good.join(", ")} are a healthy majority, and execute no write within ${bound} ms while ${leftover.bad.join(", ")} are not: ${picture(world)}`
    const deposed = unrest(world)
    if (deposed !== null)
      return `${deposed}, although ${leftover.good.join(", ")} are a healthy majority; ${leftover.bad.join(", ")} are not: ${picture(world)}`
  }
  mend(world, [])
  const wanted = configurationOfMost(world)
  if (
    !progresses(
      world,
      checks,
      (mark) => isWhole(world, wanted) && hasExecuted(world, world.leader()?.name ?? "", mark),
      (leader) => repairMembership(world, leader, wanted),
    )
  )
    return `everything is repaired, but after ${bound} ms not all servers have executed the same: ${picture(world)}`
  const deposed = unrest(world)
  return deposed === null ? null : `${deposed}, although everything is repaired: ${picture(world)}`
}

/** The names of the voters, as known by the most advanced server. */
const configurationOfMost = (world: World): readonly string[] => {
  const best = live(world).reduce<State | null>(
    (most, { state }) => (most === null || state.commitIndex > most.commitIndex ? state : most),
    null,
  )
  return best === null ? [] : configurationAt(best).voters.map(({ name }) => name)
}
