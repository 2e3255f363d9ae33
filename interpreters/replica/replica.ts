/**
 * A running replica: driver, state machine and service, connected to a storage and a transport that are already open.
 * On Node `replicate` (node/) opens those; a test or a browser supplies its own.
 */
import {
  sameMember,
  type Index,
  type LogBase,
  type Member,
  type Settings,
  type Stamp,
  type Term,
} from "../../core/index.ts"
import { defaultSettings } from "../../core/index.ts"
import { type Driver, driverFrom, type DriverOptions, type DriverLeadership, positionOf } from "../driver/index.ts"
import type { Storage, Transport } from "../contract.ts"
import type { Features } from "../features.ts"
import { LeaseRefused, type LeaseTable } from "../lease/index.ts"
import { makeMembers, type PeerDirectory, type Autopilot, type Members } from "../members/index.ts"
import type { CommandBody } from "./machine/command.ts"
import { jsonCodec, type Machine } from "./machine/definition.ts"
import { CommandFailed, NotExecuted, NotRead, OutcomeUnknown, ResultForgotten } from "./errors.ts"
import { leaseAnswers } from "./machine/execution.ts"
import { latestValue } from "./latestValue.ts"
import type { RunnableMachine } from "./machine/machine.ts"
import type { ReplicaSettings } from "./session/parts.ts"
import { makeReplicaService, type ServiceAnswer } from "./service.ts"
import { realSurroundings, type Surroundings } from "../surroundings.ts"

export interface Leadership {
  /** The name of the leader; null: none is known. */
  readonly leader: string | null
  readonly term: Term
  /** This replica leads. */
  readonly isLeader: boolean
}
export interface ReplicaStatus extends Leadership {
  readonly id: string
  readonly role: DriverLeadership["role"]
  readonly lastIndex: Index
  readonly commitIndex: Index
  readonly applied: Index
  /** The replicated clock. */
  readonly time: Stamp
  readonly voters: readonly string[]
  readonly learners: readonly string[]
  readonly counters: Readonly<Record<string, number>>
}
export interface ReadOptions {
  /**
   * linearizable (default): includes everything acknowledged anywhere before the call. local: the state here, at once.
   */
  readonly consistency?: "linearizable" | "local"
}

export interface Replica<State, Command, Result> extends LeaseTable {
  /** Resolves once this replica has read its state linearizably: a leader is known, and the state here is current. */
  readonly ready: () => Promise<void>
  /** Executes exactly once, in the order of the calls. Rejects with a ReplicaError, which says whether it was executed. */
  readonly execute: (command: Command) => Promise<Result>
  /** Returns what `select` makes of the state. The state is shared and frozen: do not change it. */
  readonly read: <A>(select: (state: State) => A, options?: ReadOptions) => Promise<A>
  /** The present leadership, and then each change. A slow reader gets only the newest. Ends with the replica. */
  readonly leadership: () => AsyncIterable<Leadership>
  readonly status: () => ReplicaStatus
  /** The members of the cluster, and the operations that change them. They work on any replica: it asks the leader. */
  readonly members: Members
  /** Hands leadership to the replica of that name, or to the most suitable one. The same as members.transfer. */
  readonly transfer: Members["transfer"]
  /** Rejects when this replica has failed. */
  readonly failure: Promise<never>
  /** Hands leadership over first, and answers pending calls. */
  readonly close: () => Promise<void>
}
/** For the code that owns the storage and transport under it. */
export interface RunningReplica<State, Command, Result> extends Replica<State, Command, Result> {
  readonly driver: Driver
  readonly counters: () => Readonly<Record<string, number>>
  /** Stops the replica, for a reason that was found elsewhere. */
  readonly fail: (error: Error) => void
  /** Ends the replica at once without handing over, as a crash does. */
  readonly kill: () => void
}

export interface RunOptions<State, Command, Result> {
  readonly self: Member
  readonly storage: Storage
  readonly transport: Transport & Partial<PeerDirectory>
  /** Where others find this server, as host:port; null: they use their own lists. */
  readonly address?: string | null
  readonly cluster?: () => string | null
  readonly definition: Pick<Machine<State, Command, Result>, "commands" | "results">
  readonly machine: RunnableMachine<State>
  /** The position of the state machine, if the caller knows more than the machine itself. */
  readonly position?: LogBase | null
  readonly settings?: Partial<Settings>
  readonly service?: Partial<ReplicaSettings>
  readonly surroundings?: Surroundings
  /**
   * The interval in milliseconds at which the leader's results are compared with everybody's (NotDeterministic); null:
   * never.
   */
  readonly compareEvery?: number | null
  readonly report?: (text: string) => void
  /** What it does about members automatically while it leads. Default: nothing. */
  readonly autopilot?: Autopilot
  /** What this server says about itself. */
  readonly features?: () => Features
  /** Called with the driver before it starts. */
  readonly made?: (driver: Driver) => void
  readonly driver?: Partial<Pick<DriverOptions, "timers" | "clock" | "journal">>
}

const READY_PAUSE_MS = 50

export const runReplica = <State, Command, Result>(
  options: RunOptions<State, Command, Result>,
): RunningReplica<State, Command, Result> => {
  const { self, storage, transport, definition, machine, surroundings = realSurroundings } = options
  const commands = definition.commands ?? jsonCodec<Command>()
  const results = definition.results ?? jsonCodec<Result>()
  const settings: Settings = { ...defaultSettings, ...options.settings }
  let closed = false
  /** The first call of `close`: later calls wait for the same. */
  let closing: Promise<void> | null = null
  let failure: Error | null = null
  let reject: (error: Error) => void = () => {}
  const failed = new Promise<never>((_, no) => (reject = no))
  // Nobody has to listen to this promise: every later call rejects with the reason too.
  failed.catch(() => undefined)
  const fail = (error: Error): void => {
    if (failure !== null || closed) return
    failure = error
    options.report?.(error.message)
    driver.abandon()
    service.stop()
    members.stop()
    changes.end()
    reject(error)
  }

  const driver: Driver = driverFrom({
    self,
    settings,
    storage,
    transport,
    machine,
    random: surroundings.random,
    onFatal: fail,
    position: options.position === undefined ? positionOf(machine.position(), storage.stored.base) : options.position,
    ...(options.report === undefined ? {} : { report: options.report }),
    ...options.driver,
  })
  const service = makeReplicaService({
    driver,
    machine,
    owner: `${self.name}:${self.incarnation}`,
    settings: { maxEntryBytes: settings.maxEntryBytes, ...options.service },
    surroundings,
    compareEvery: options.compareEvery ?? null,
    voters: () => driver.state().configurations.at(-1)?.configuration.voters.length ?? 0,
    failed: fail,
  })
  const members = makeMembers({
    driver,
    transport,
    surroundings,
    address: options.address ?? null,
    ...(options.cluster === undefined ? {} : { cluster: options.cluster }),
    ...(options.report === undefined ? {} : { report: options.report }),
    ...(options.autopilot === undefined ? {} : { autopilot: options.autopilot }),
    ...(options.features === undefined ? {} : { features: options.features }),
  })
  const leadershipOf = ({ leader, term }: DriverLeadership): Leadership => ({
    leader: leader?.name ?? null,
    term,
    isLeader: sameMember(leader, self),
  })
  const changes = latestValue(leadershipOf(driver.leadership()))
  driver.onChange((now) => changes.tell(leadershipOf(now)))
  options.made?.(driver)
  driver.start()

  const answer = (body: CommandBody): Promise<Uint8Array> =>
    new Promise((resolve, no) => {
      if (failure !== null) return no(failure)
      service.execute(body, (told: ServiceAnswer) => {
        switch (told.type) {
          case "result":
            return resolve(told.bytes)
          case "undone":
            return no(new CommandFailed(told.text))
          case "forgotten":
            return no(new ResultForgotten())
          case "failed":
            return no(failure ?? told.error)
        }
      })
    })
  const barrier = (): Promise<void> =>
    new Promise((resolve, no) => {
      if (failure !== null) return no(failure)
      service.barrier((refusal) => {
        if (refusal === null) resolve()
        else
          no(
            failure ??
              (refusal.type === "failed" && refusal.error instanceof NotRead ? refusal.error : new NotRead("stopping")),
          )
      })
    })

  const close = async (): Promise<void> => {
    if (closed) return
    closed = true
    members.stop()
    await driver.stop()
    service.stop()
    changes.end()
    await machine.close()
  }

  return {
    id: self.name,
    driver,
    counters: service.counters,
    ready: async () => {
      for (;;) {
        try {
          return await barrier()
        } catch (error) {
          if (!(error instanceof NotRead) || error.reason === "stopping") throw error
          await new Promise<void>((resolve) => void surroundings.after(READY_PAUSE_MS, resolve))
        }
      }
    },
    execute: async (command) => results.decode(await answer({ type: "command", bytes: commands.encode(command) })),
    lease: async (request) => {
      const told = leaseAnswers.decode(await answer({ type: "lease", request }))
      if (told.type === "refused") throw new LeaseRefused(told.text)
      return told
    },
    unanswered: (rejection) => {
      if (rejection instanceof OutcomeUnknown) return "unknown"
      return rejection instanceof NotExecuted && rejection.reason !== "stopping" && rejection.reason !== "failed"
        ? "notExecuted"
        : "final"
    },
    read: async (select, { consistency = "linearizable" } = {}) => {
      if (consistency === "linearizable") await barrier()
      return select(machine.executor().state)
    },
    leadership: changes.follow,
    status: () => {
      const now = driver.state()
      const { voters, learners } = now.configurations.at(-1)?.configuration ?? { voters: [], learners: [] }
      const names = (members: readonly Member[]): readonly string[] => members.map(({ name }) => name)
      return {
        id: self.name,
        role: now.role.type,
        ...leadershipOf(driver.leadership()),
        lastIndex: now.log.lastIndex,
        commitIndex: now.commitIndex,
        applied: now.applied,
        time: machine.executor().position.time,
        voters: names(voters),
        learners: names(learners),
        counters: { ...driver.counters, ...service.counters() },
      }
    },
    members,
    transfer: members.transfer,
    failure: failed,
    fail,
    kill: () => {
      closed = true
      driver.abandon()
      service.stop()
      members.stop()
      changes.end()
    },
    close: () => (closing ??= close()),
  }
}
