/**
 * One server of a space: the state of the shipped reducer, its disk, and what can happen to it. Plain immutable values.
 */
import {
  copyState,
  initialState,
  inPlace,
  Log,
  stepAll,
  type Effect,
  type Entry,
  type Event,
  type LogBase,
  type Member,
  type Message,
  type Payload,
  type Persist,
  type Rule,
  type State,
  type Timer,
} from "../../core/index.ts"
import { checkDisk, checkStep } from "./check.ts"
import type { ExploredDisk } from "./disk.ts"
import { firstBase, memberOf, type Space, type ExploredViolation } from "./space.ts"

export type { ExploredViolation } from "./space.ts"

export interface ServerState {
  readonly state: State
  /** The part that a crash cannot undo. */
  readonly disk: ExploredDisk
  /** Writes that were handed out and are not completed yet, in order. */
  readonly queue: readonly Persist[]
  /** By ref: how much was committed when the open read was requested. */
  readonly asked: Readonly<Record<number, number>>
}

/** What can happen to one server. `crash` keeps the first `kept` outstanding persists and starts the server again. */
export type ServerAction =
  | { readonly type: "deliver"; readonly from: Member; readonly message: Message }
  | { readonly type: "timeout"; readonly timer: Timer }
  | { readonly type: "persist" }
  | { readonly type: "crash"; readonly kept: number }
  /** The clock advances: that changes nothing, but whatever earlier steps still have to send is sent. */
  | { readonly type: "tick" }
  /** `command`: its index among the commands of the space's machine. */
  | { readonly type: "propose"; readonly command?: number }
  | { readonly type: "change"; readonly voters: readonly string[] }
  | { readonly type: "apply" }
  | { readonly type: "snapshot" }
  | { readonly type: "restore" }
  /** `committed`: how much is committed anywhere at that moment; the answer must be at least as recent. */
  | { readonly type: "read"; readonly committed: number }

export interface StepOutcome {
  readonly server: ServerState
  readonly sends: readonly { readonly to: Member; readonly message: Message }[]
  readonly notes: readonly Rule[]
  readonly violation: ExploredViolation | null
}

export const freshServer = (space: Space, name: string): ServerState => {
  const base = firstBase(space)
  const disk: ExploredDisk = { hardState: { term: 0, vote: null }, log: Log.empty(base), machine: base }
  return start(space, memberOf(name), 1, disk)
}

const start = (space: Space, self: Member, bootId: number, disk: ExploredDisk): ServerState => {
  const { hardState, log, machine } = disk
  const fresh = initialState(space.settings, {
    self,
    bootId,
    hardState,
    base: log.base,
    entries: log.toArray(),
    position: machine,
  })
  const [state, effects] = stepAll(fresh, [{ type: "Started" }])
  // A state machine ahead of the log gives the log its base: that must be written like anything else.
  let server: ServerState = { state, disk, queue: effects.filter((effect) => effect.type === "Persist"), asked: {} }
  while (!space.slowDisk && server.queue.length > 0) ({ server } = actOnServer(space, server, { type: "persist" }))
  return server
}

const write = (disk: ExploredDisk, persist: Persist): ExploredDisk => {
  let { log } = disk
  if (persist.truncateFrom !== null) log = log.truncateFrom(persist.truncateFrom)
  if (persist.base !== null)
    log = log.lastIndex >= persist.base.index ? log.trim(persist.base) : Log.empty(persist.base)
  return { hardState: persist.hardState ?? disk.hardState, log: log.append(persist.entries), machine: disk.machine }
}

const baseAt = (state: State, index: number): LogBase => {
  if (index <= state.log.base.index) return state.log.base
  const configuration =
    state.configurations.findLast((known) => known.index <= index)?.configuration ?? state.log.base.configuration
  return { index, term: state.log.termAt(index) ?? 0, time: 0, chain: state.log.chainAt(index) ?? 0, configuration }
}

const countIn = (log: Log, kind: Entry["kind"]): number => log.toArray().filter((entry) => entry.kind === kind).length

/** What can happen next, except deliveries. */
export const innerActions = (space: Space, server: ServerState): readonly ServerAction[] => {
  const { state, queue } = server
  const leader = state.role.type === "leader" ? state.role : null
  const runs: Record<Timer, boolean> = {
    election: leader === null,
    heartbeat: leader !== null,
    quorum: leader !== null,
    persist: leader !== null && leader.watchedPersist !== null,
    transfer: leader !== null && leader.transfer !== null,
    answer: state.awaitingAnswer,
    lease: leader !== null,
  }
  const actions: ServerAction[] = [{ type: "tick" }]
  if (queue.length > 0) actions.push({ type: "persist" })
  if (space.bounds.crashes !== 0) for (let kept = 0; kept <= queue.length; kept++) actions.push({ type: "crash", kept })
  for (const timer of space.timers) if (runs[timer]) actions.push({ type: "timeout", timer })
  if (leader !== null && countIn(state.log, "command") < space.bounds.commands)
    actions.push(
      ...(space.machine?.commands.map((_, command): ServerAction => ({ type: "propose", command })) ?? [
        { type: "propose" } as const,
      ]),
    )
  // A change takes two entries: one into the joint configuration, and one out of it.
  if (leader !== null && countIn(state.log, "configuration") < 2 * space.bounds.changes)
    for (const voters of space.targets) actions.push({ type: "change", voters })
  if (state.applying !== state.applied && space.slowMachine) actions.push({ type: "apply" })
  if (state.snapshotting) actions.push({ type: "snapshot" })
  if (state.restoring !== null) actions.push({ type: "restore" })
  if (Object.keys(server.asked).length < space.bounds.reads)
    for (let committed = 0; committed <= state.log.lastIndex + 2; committed++) actions.push({ type: "read", committed })
  return actions
}

/**
 * More outstanding writes than a correct server ever has here: without this limit a server that writes with every
 * message would never end.
 */
const MOST_WRITES = 8

/**
 * The state is beyond a bound, so the step is not taken. A question that is delivered twice waits twice at the leader,
 * so the number of questions is bounded too.
 */
export const outside = ({ bounds, servers, candidates }: Space, { state, queue }: ServerState): boolean => {
  const { role } = state
  if (
    role.type === "candidate" &&
    candidates !== null &&
    candidates[state.self.name]?.includes(state.currentTerm) !== true
  )
    return true
  if (state.currentTerm > bounds.term || state.readNumber > bounds.reads || queue.length > MOST_WRITES) return true
  return role.type === "leader" && (role.round > bounds.rounds || role.reads.length > bounds.reads * servers.length)
}

const payloadFor = ({ machine }: Space, state: State, command: number): Payload =>
  machine?.commands[command] ?? {
    bytes: new Uint8Array(1),
    checksum: state.currentTerm * 16 + countIn(state.log, "command") + 1,
  }

interface Working {
  state: State
  disk: ExploredDisk
  queue: readonly Persist[]
  asked: Readonly<Record<number, number>>
  readonly sends: { to: Member; message: Message }[]
  readonly notes: Rule[]
  violation: ExploredViolation | null
}

/** Executes effects; returns the events that follow at once. */
const carryOut = (space: Space, working: Working, effects: readonly Effect[]): Event[] => {
  const events: Event[] = []
  for (const effect of effects) {
    switch (effect.type) {
      case "Send": {
        const { message } = effect
        // One chunk holds a whole snapshot.
        working.sends.push({
          to: effect.to,
          message: message.type === "InstallSnapshot" ? { ...message, length: 1, last: true } : message,
        })
        break
      }
      case "Persist":
        if (space.slowDisk) working.queue = [...working.queue, effect]
        else {
          const disk = write(working.disk, effect)
          working.violation ??= checkDisk(working.disk, disk)
          working.disk = disk
          events.push({ type: "Persisted", seq: effect.seq })
        }
        break
      case "Apply":
        working.violation ??=
          space.machine?.check(
            working.state.self.name,
            working.state.log.toArray().slice(0, effect.entries.at(-1)?.index),
          ) ?? null
        if (!space.slowMachine) events.push({ type: "Applied", index: effect.entries.at(-1)?.index ?? 0 })
        break
      case "OpenSnapshot": {
        const base = baseAt(working.state, working.state.applied)
        events.push({
          type: "SnapshotOpened",
          to: effect.to,
          snapshot: { ...base, id: `${working.state.self.name}:${base.index}` },
        })
        break
      }
      case "StoreChunk":
        events.push({ type: "ChunkStored", id: effect.snapshot.id, nextOffset: 1, last: effect.last })
        break
      case "Note":
        working.notes.push(effect.rule)
        break
      case "Respond":
        if (effect.outcome.type === "ReadReady") {
          const needed = working.asked[effect.ref] ?? 0
          if (effect.outcome.index < needed)
            working.violation ??= {
              name: "ReadFresh",
              detail: `answers a read at index ${effect.outcome.index}, but entry ${needed} was committed before the read was requested`,
            }
        }
        if (effect.outcome.type === "ReadReady" || effect.outcome.type === "ReadRefused") {
          const { [effect.ref]: _, ...rest } = working.asked
          working.asked = rest
        }
        break
      case "SetTimer":
      case "CancelTimer":
      case "Halt":
      case "TakeSnapshot":
      case "CloseSnapshot":
      case "RestoreSnapshot":
        // Timers can fire at any time, and other effects are actions of their own.
        break
    }
  }
  return events
}

/** The events of an action, and its effect on the disk. */
const eventsOf = (space: Space, working: Working, action: Exclude<ServerAction, { type: "crash" }>): Event[] => {
  const { state } = working
  switch (action.type) {
    case "deliver":
      return [{ type: "MessageReceived", from: action.from, message: action.message }]
    case "timeout":
      return [{ type: "TimerExpired", timer: action.timer }]
    case "persist": {
      const [first, ...rest] = working.queue
      if (first === undefined) throw new Error("nothing to persist")
      working.disk = write(working.disk, first)
      working.queue = rest
      return [{ type: "Persisted", seq: first.seq }]
    }
    case "tick":
      return [{ type: "ClockAdvanced", monotonic: 0, wall: 0 }]
    case "propose":
      return [{ type: "Proposed", ref: 1, payloads: [payloadFor(space, state, action.command ?? 0)] }]
    case "change":
      return [{ type: "ConfigurationChangeProposed", ref: 1, voters: action.voters.map(memberOf), learners: [] }]
    case "apply":
      return [{ type: "Applied", index: state.applying }]
    case "snapshot": {
      const machine = baseAt(state, state.applied)
      working.disk = { ...working.disk, machine }
      return [{ type: "SnapshotTaken", base: machine }]
    }
    case "restore": {
      const snapshot = state.role.type === "follower" ? state.role.install?.snapshot : undefined
      if (snapshot === undefined || snapshot.id !== state.restoring)
        return [{ type: "SnapshotRejected", id: state.restoring ?? "" }]
      const { id: _, ...machine } = snapshot
      working.disk = { ...working.disk, machine }
      return [{ type: "SnapshotRestored", snapshot }]
    }
    case "read": {
      let ref = 1
      while (working.asked[ref] !== undefined) ref++
      working.asked = { ...working.asked, [ref]: action.committed }
      return [{ type: "ReadRequested", ref }]
    }
  }
}

const crash = (space: Space, server: ServerState, kept: number): ServerState => {
  const { state, queue } = server
  const disk = queue.slice(0, kept).reduce(write, server.disk)
  // Boot ids only matter for replies to requests of earlier starts.
  return start(space, state.self, space.bounds.reads > 0 ? state.bootId + 1 : state.bootId, disk)
}

const isSame = (a: unknown, b: unknown): boolean => {
  if (a === b) return true
  if (
    a === null ||
    b === null ||
    typeof a !== "object" ||
    typeof b !== "object" ||
    a instanceof Log ||
    b instanceof Log
  )
    return false
  if (Array.isArray(a) && Array.isArray(b) && a.length !== b.length) return false
  const [some, others] = [a as Record<string, unknown>, b as Record<string, unknown>]
  let keys = 0
  for (const key in some) {
    if (!isSame(some[key], others[key])) return false
    keys++
  }
  for (const _ in others) keys--
  return keys === 0
}

/**
 * One coarse step of one server: the action, all batches that follow from it within the server, and the answers that
 * come at once.
 */
export const actOnServer = (space: Space, server: ServerState, action: ServerAction): StepOutcome => {
  if (action.type === "crash") {
    const started = crash(space, server, action.kept)
    return { server: started, sends: [], notes: [], violation: checkDisk(server.disk, started.disk) }
  }
  const { state, disk, queue, asked } = server
  const working: Working = { state, disk, queue, asked, sends: [], notes: [], violation: null }
  try {
    let events = eventsOf(space, working, action)
    working.violation = checkDisk(disk, working.disk)
    while (events.length > 0) {
      const before = working.state
      const { state: after, run } = inPlace(copyState(before))
      const effects = run(events)
      working.state = after
      working.violation ??= checkStep(before, after, working.disk, effects)
      events = carryOut(space, working, effects)
    }
  } catch (error) {
    working.violation = { name: "Thrown", detail: error instanceof Error ? error.message : String(error) }
  }
  const { sends, notes, violation } = working
  // Most steps change nothing: then the server is the same object as before.
  if (working.disk === disk && working.queue === queue && working.asked === asked && isSame(state, working.state))
    return { server, sends, notes, violation }
  return {
    server: { state: working.state, disk: working.disk, queue: working.queue, asked: working.asked },
    sends,
    notes,
    violation,
  }
}

/**
 * The progress of a server, by what is durable. Only a hint for the order of the search: events before a term, a vote
 * or an entry becomes durable are explored first, so that the states after it are reached with all their messages at
 * once.
 */
export const searchLevelOf = ({ disk: { hardState, log } }: ServerState): number =>
  8 * (2 * hardState.term + (hardState.vote === null ? 0 : 1)) + log.lastIndex
