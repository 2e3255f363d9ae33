/**
 * The one loop of a node: events in → reducer → effects out, in order.
 *
 * Sockets, disk, state machine and clients push events. One turn (turns.ts; in Node a setImmediate, so after the sockets were
 * polled) takes all of them, runs the reducer once and executes its effects. Everything that a turn produces shares one
 * Persist, one frame per peer and one flush.
 *
 * A stalled loop must not campaign against a live leader whose heartbeat waits in the socket. So a timer that means "nothing
 * was heard" is not handled at once, but only after the sockets have been polled once more and the resulting batch has not
 * restarted it. A heartbeat timer is handled at once, because it means that this node has to send.
 */
import { checkSettings, replicatedTime, rules } from "../../core/index.ts"
import type {
  Configuration,
  Effect,
  Event,
  Index,
  Member,
  Message,
  Payload,
  ProposalOutcome,
  ReadOutcome,
  Rule,
  Runner,
  Stamp,
  State,
  Term,
  Timer,
} from "../../core/index.ts"
import { makeApplier, MACHINE_SILENCE } from "./applier.ts"
import { makePendingRequests, type ConfigurationChange } from "./requests.ts"
import type { Clock } from "./clock.ts"
import type { ServiceMessage, StateMachine, Storage, Timers, Transport } from "../contract.ts"
import { NodeHalted } from "./halted.ts"
import { makeImages } from "./images.ts"
import { makeMeasures, type Measures } from "./measures.ts"
import { watchStalls } from "./stalls.ts"
import { nextTurn } from "../turns.ts"

export interface DriverOptions {
  readonly runner: Runner
  readonly storage: Storage
  readonly transport: Transport
  readonly machine: StateMachine
  readonly timers: Timers
  readonly clock: Clock
  /** Monotonic milliseconds, for leases. */
  readonly now?: () => number
  /** How long the state machine may execute without reporting progress before the node stops, in milliseconds. Default: two minutes. */
  readonly machineSilence?: number
  /** Called once if the storage, the state machine or the reducer itself fails. Nothing is executed afterwards. */
  readonly onFatal: (error: Error) => void
  /** One log line about something that went wrong and was handled. */
  readonly report?: (text: string) => void
  /** Called with every batch of events just before the reducer. */
  readonly journal?: (events: readonly Event[]) => void
  /** Called after every batch, once its effects were executed. */
  readonly trace?: (events: readonly Event[], state: State) => void
}

export interface DriverLeadership {
  readonly role: State["role"]["type"]
  readonly term: Term
  readonly leader: Member | null
}

export interface Driver {
  /** Attach to all interpreters and give the reducer its first event. */
  readonly start: () => void
  /** In the order of the calls. `done` is called once, in a later turn; never if the node fails or stops first. */
  readonly propose: (payloads: readonly Payload[], done: (outcome: ProposalOutcome) => void) => void
  readonly read: (done: (outcome: ReadOutcome) => void) => void
  readonly transfer: (to: Member | null) => void
  /** Make this the configuration. Refused unless this node leads (paper §6). `done` as for propose. */
  readonly change: (change: ConfigurationChange, done: (outcome: ProposalOutcome) => void) => void
  readonly state: () => Readonly<State>
  /** The replicated clock at this moment: the state knows what it showed at the last batch. */
  readonly replicatedTime: () => Stamp
  readonly leadership: () => DriverLeadership
  /** Schedule a turn; listeners of `beforeTurn` may propose in it. */
  readonly wake: () => void
  readonly beforeTurn: (listener: () => void) => void
  readonly onChange: (listener: (now: DriverLeadership) => void) => void
  /** The state machine has executed through the index, and its results were delivered. Not called after a restore. */
  readonly onApplied: (listener: (index: Index) => void) => void
  /**
   * The configuration in force has changed. Until the new one is committed, the earlier one may come into force again.
   */
  readonly onConfiguration: (listener: (now: Configuration) => void) => void
  /** Messages from the services of other members. */
  readonly onService: (listener: (from: Member, message: ServiceMessage) => void) => void
  /** How often each rule of core/notes.ts was applied, and the loop's own counts. */
  readonly counters: Readonly<Record<string, number>>
  readonly measures: Measures
  /** Stops executing at once and answers no request: nothing that this node says may count any more. */
  readonly abandon: () => void
  /** A leader first transfers its leadership, for one second at most. Afterwards nothing is executed. */
  readonly stop: () => Promise<void>
}

const HAND_OVER_MS = 1000
/** Rules that correct peers never trigger; the first time is logged. */
const STRANGE: ReadonlySet<Rule> = new Set([
  "term.outOfDomain",
  "append.chainBroken",
  "progress.diverged",
  "election.exhausted",
])
/** Node's timers fire at once when given a longer time. */
const LONGEST_TIMER = 2 ** 31 - 1
const TIMERS: readonly Timer[] = ["election", "heartbeat", "quorum", "persist", "transfer", "answer"]

const leaderOf = (state: State): Member | null => {
  switch (state.role.type) {
    case "leader":
      return state.self
    case "follower":
      return state.role.leader
    case "preCandidate":
    case "candidate":
      return null
  }
}

export const leadershipOf = (state: State): DriverLeadership => ({
  role: state.role.type,
  term: state.currentTerm,
  leader: leaderOf(state),
})

export const makeDriver = (options: DriverOptions): Driver => {
  const { runner, storage, transport, machine, timers, clock, journal, trace } = options
  const counters: Record<string, number> = {
    "loop.turns": 0,
    "loop.events": 0,
    "loop.busyMs": 0,
    "loop.stalls": 0,
    "loop.stallMs": 0,
    "loop.longestStallMs": 0,
    "loop.lateHeartbeats": 0,
  }
  const count = (name: string, by = 1): void => {
    counters[name] = (counters[name] ?? 0) + by
  }
  checkSettings(runner.state.settings, LONGEST_TIMER)
  const now = options.now ?? (() => performance.now())
  const report = (text: string): void => options.report?.(text)
  const measures = makeMeasures()

  let queue: Event[] = []
  const asked = makePendingRequests()
  /** Expired timers that are not handled yet; the value is true once the sockets have been polled since the expiry. */
  const doubted = new Map<Timer, boolean>()
  let heartbeatDue = false
  /** The latest time at which the next heartbeat should be sent. */
  let heartbeatBy = Number.POSITIVE_INFINITY
  /** For each round of this leader, a time before its first message was sent: a lease is counted from there. */
  const rounds = new Map<number, number>()
  let roundsTerm = 0
  let leaseUntil = Number.POSITIVE_INFINITY
  let scheduled = false
  let running = false
  let dead = false
  let stopping: Promise<void> | null = null
  const told = { monotonic: -1, wall: -1 }
  const before: (() => void)[] = []
  const changed: ((now: DriverLeadership) => void)[] = []
  const applied: ((index: Index) => void)[] = []
  const reconfigured: ((now: Configuration) => void)[] = []
  const services: ((from: Member, message: ServiceMessage) => void)[] = []
  let leadership = leadershipOf(runner.state)
  let configuration = runner.state.configurations.at(-1)?.configuration

  const wake = (): void => {
    if (scheduled || !running || dead) return
    scheduled = true
    nextTurn(turn)
  }
  const push = (event: Event): void => {
    if (dead) return
    asked.seal()
    queue.push(event)
    wake()
  }

  const images = makeImages({
    machine,
    transport,
    push,
    report,
    count,
    configurationAt: (index) =>
      runner.state.configurations.findLast((known) => known.index <= index)?.configuration ?? null,
  })
  const stalls = watchStalls((millis) => {
    count("loop.stalls")
    count("loop.stallMs", Math.round(millis))
    counters["loop.longestStallMs"] = Math.max(counters["loop.longestStallMs"] ?? 0, Math.round(millis))
  })

  const halt = (): void => {
    dead = true
    queue = []
    asked.forget()
    for (const timer of TIMERS) timers.cancel(timer)
    stalls.stop()
    images.stop()
    applying.stop()
  }
  const fail = (error: unknown): void => {
    if (dead) return
    halt()
    options.onFatal(error instanceof Error ? error : new Error(String(error)))
  }

  const applying = makeApplier({
    machine,
    silence: options.machineSilence ?? MACHINE_SILENCE,
    failed: fail,
    report,
    took: (millis) => measures.apply.observe(millis / 1000),
    now,
  })

  const { leaseReads: leases, heartbeat } = runner.state.settings
  /** The time, read before any message of a batch is sent. */
  let sentAt = 0
  const noteRound = (message: Message): void => {
    if (message.type !== "AppendEntries" && message.type !== "InstallSnapshot") return
    if (message.term !== roundsTerm) rounds.clear()
    roundsTerm = message.term
    if (!rounds.has(message.round)) rounds.set(message.round, sentAt)
  }

  const execute = (effect: Effect): void => {
    switch (effect.type) {
      case "Send":
        if (leases) noteRound(effect.message)
        if (effect.message.type === "InstallSnapshot") images.send(effect.to, effect.message)
        else transport.send(effect.to, effect.message, null)
        break
      case "Persist":
        storage.persist(effect)
        break
      case "Apply":
        applying.push(effect)
        break
      case "Respond":
        asked.respond(effect.ref, effect.outcome)
        break
      case "SetTimer":
        if (effect.timer === "lease") {
          const round = effect.since ?? 0
          leaseUntil = (rounds.get(round) ?? Number.NEGATIVE_INFINITY) + effect.min
          for (const earlier of rounds.keys()) if (earlier < round) rounds.delete(earlier)
          break
        }
        if (effect.timer === "heartbeat") heartbeatBy = now() + effect.max
        if (effect.timer === "heartbeat") heartbeatDue = false
        else doubted.delete(effect.timer)
        timers.set(effect.timer, effect.min, effect.max)
        break
      case "CancelTimer":
        if (effect.timer === "lease") leaseUntil = Number.POSITIVE_INFINITY
        if (effect.timer === "heartbeat") heartbeatDue = false
        else doubted.delete(effect.timer)
        timers.cancel(effect.timer)
        break
      case "TakeSnapshot":
        images.take()
        break
      case "OpenSnapshot":
        images.open(effect)
        break
      case "CloseSnapshot":
        images.close(effect.id)
        break
      case "StoreChunk":
        images.store(effect)
        break
      case "RestoreSnapshot":
        images.restore(effect.snapshot)
        break
      case "Halt":
        fail(new NodeHalted(effect.halted))
        break
      case "Note":
        count(effect.rule)
        if (counters[effect.rule] === 1 && STRANGE.has(effect.rule))
          report(`${effect.rule}: ${rules[effect.rule]}. Logged only once; the counter of that name keeps counting`)
        break
    }
  }

  const run = (events: readonly Event[]): void => {
    count("loop.events", events.length)
    journal?.(events)
    if (leases) sentAt = now()
    for (const effect of runner.run(events)) {
      execute(effect)
      if (dead) return
    }
    measures.stepped(runner.state, now())
    trace?.(events, runner.state)
    const { role, currentTerm } = runner.state
    const leader = leaderOf(runner.state)
    if (
      role.type !== leadership.role ||
      currentTerm !== leadership.term ||
      leader?.name !== leadership.leader?.name ||
      leader?.incarnation !== leadership.leader?.incarnation
    ) {
      leadership = { role: role.type, term: currentTerm, leader }
      for (const listener of changed) listener(leadership)
    }
    const inForce = runner.state.configurations.at(-1)?.configuration
    if (inForce !== configuration && inForce !== undefined) {
      configuration = inForce
      for (const listener of reconfigured) listener(inForce)
    }
  }

  const takeBatch = (): Event[] => {
    const events = queue
    queue = []
    asked.seal()
    if (heartbeatDue) {
      heartbeatDue = false
      if (now() > heartbeatBy + heartbeat) count("loop.lateHeartbeats")
      events.unshift({ type: "TimerExpired", timer: "heartbeat" })
    }
    // The events are taken before the clock is read, so no read of this batch is served by an expired lease.
    if (now() >= leaseUntil) {
      leaseUntil = Number.POSITIVE_INFINITY
      events.unshift({ type: "TimerExpired", timer: "lease" })
    }
    if (events.length > 0 || doubted.size > 0) {
      const { monotonic, wall } = clock.read()
      if (monotonic !== told.monotonic || wall !== told.wall) {
        told.monotonic = monotonic
        told.wall = wall
        events.unshift({ type: "ClockAdvanced", monotonic, wall })
      }
    }
    return events
  }

  /** Timers that had expired before the sockets were polled again, and that no batch has restarted since. */
  const believed = (): Event[] => {
    const events: Event[] = []
    for (const [timer, polled] of doubted) {
      if (polled) events.push({ type: "TimerExpired", timer })
      else doubted.set(timer, true)
    }
    for (const event of events) if (event.type === "TimerExpired") doubted.delete(event.timer)
    return events
  }

  const turn = (): void => {
    scheduled = false
    if (dead) return
    const started = performance.now()
    try {
      for (const listener of before) listener()
      const events = takeBatch()
      if (events.length > 0) run(events)
      if (dead) return
      if (doubted.size > 0) {
        const expired = believed()
        if (expired.length > 0) run(expired)
        if (dead) return
        if (doubted.size > 0) wake()
      }
      images.batchOver()
      transport.flush()
    } catch (error) {
      fail(error)
    }
    count("loop.turns")
    count("loop.busyMs", performance.now() - started)
  }

  const attach = (): void => {
    storage.attach({
      persisted: (seq) => push({ type: "Persisted", seq }),
      failed: fail,
      space: (low) => push({ type: "SpaceChanged", low }),
    })
    machine.attach({
      applied: (index) => {
        if (dead) return
        push({ type: "Applied", index })
        try {
          for (const listener of applied) listener(index)
        } catch (error) {
          fail(error)
          return
        }
        applying.applied()
      },
      progress: applying.progress,
      damaged: (error) => {
        report(`the state machine is damaged: ${error.message}; it will be rebuilt from a peer`)
        applying.forget()
        push({ type: "MachineDamaged" })
      },
      failed: fail,
    })
    timers.attach((timer) => {
      if (dead) return
      if (timer === "heartbeat") heartbeatDue = true
      else doubted.set(timer, false)
      wake()
    })
    transport.attach({
      received: (from, message, chunk) => {
        if (dead) return
        if (chunk !== null && message.type === "InstallSnapshot") images.received(message, chunk)
        push({ type: "MessageReceived", from, message })
      },
      connected: (peer) => push({ type: "PeerConnected", peer }),
      disconnected: (peer) => push({ type: "PeerDisconnected", peer }),
      serviceSaid: (from, message) => {
        if (!dead) for (const listener of services) listener(from, message)
      },
    })
  }

  const hasOtherVoters = (): boolean => {
    const configuration = runner.state.configurations.at(-1)?.configuration
    return configuration?.voters.some((voter) => voter.name !== runner.state.self.name) ?? false
  }
  const handOver = async (): Promise<void> => {
    if (dead || !running || leadership.role !== "leader" || !hasOtherVoters()) return
    push({ type: "TransferRequested", to: null })
    await new Promise<void>((resolve) => {
      const late = setTimeout(resolve, HAND_OVER_MS)
      changed.push(({ role }) => {
        if (role === "leader") return
        clearTimeout(late)
        resolve()
      })
    })
  }

  return {
    start: () => {
      if (running) return
      running = true
      queue.unshift({ type: "Started" })
      attach()
      wake()
    },
    propose: (payloads, done) => {
      const event = dead ? null : asked.propose(payloads, done)
      if (event === null) return
      push(event)
      asked.unseal(event)
    },
    read: (done) => {
      if (!dead) push(asked.read(done))
    },
    change: (change, done) => {
      if (!dead) push(asked.change(change, done))
    },
    transfer: (to) => push({ type: "TransferRequested", to }),
    state: () => runner.state,
    replicatedTime: () => replicatedTime(runner.state) + clock.read().monotonic - runner.state.clock.monotonic,
    leadership: () => leadership,
    wake,
    beforeTurn: (listener) => {
      before.push(listener)
    },
    onChange: (listener) => {
      changed.push(listener)
    },
    onApplied: (listener) => {
      applied.push(listener)
    },
    onConfiguration: (listener) => {
      reconfigured.push(listener)
    },
    onService: (listener) => {
      services.push(listener)
    },
    counters,
    measures,
    abandon: () => {
      if (!dead) halt()
    },
    stop: () => {
      stopping ??= handOver().then(() => {
        if (!dead) halt()
      })
      return stopping
    },
  }
}
