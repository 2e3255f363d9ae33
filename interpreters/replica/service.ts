/**
 * What a running replica does for its callers, on top of driver and state machine: commands exactly once, and
 * linearizable reads.
 */
import type { Payload } from "../../core/index.ts"
import { payloadOf } from "../payload.ts"
import { Barriers } from "./session/barriers.ts"
import { encodeReplicaCommand, type CommandBody } from "./machine/command.ts"
import { Comparing } from "./comparing.ts"
import { NotExecuted, NotRead, OutcomeUnknown } from "./errors.ts"
import type { ExecutionReport } from "./machine/execution.ts"
import type { CommandOutcome } from "./machine/sessionTable.ts"
import type { RunnableMachine } from "./machine/machine.ts"
import {
  defaultReplicaSettings,
  reasonOf,
  type ReplicaDriver,
  type ReplicaParts,
  type ReplicaSettings,
} from "./session/parts.ts"
import { ServerSession } from "./session/session.ts"
import { connectParts } from "./session/connectParts.ts"
import { realSurroundings, type Surroundings } from "../surroundings.ts"

/** The outcome as the session table keeps it, or an error that says what is known instead. */
export type ServiceAnswer =
  | CommandOutcome
  | { readonly type: "failed"; readonly error: NotExecuted | OutcomeUnknown | NotRead }

export interface ReplicaServiceOptions {
  readonly driver: ReplicaDriver
  readonly machine: Pick<RunnableMachine<unknown>, "listen" | "executor">
  /** Identifies this server, across restarts. */
  readonly owner: string
  readonly settings?: Partial<ReplicaSettings>
  readonly surroundings?: Surroundings
  /** Milliseconds between comparisons of results with the leader's; null: never. */
  readonly compareEvery: number | null
  /** The number of voters. */
  readonly voters: () => number
  readonly failed: (error: Error) => void
}
export interface ReplicaService {
  readonly execute: (body: CommandBody, done: (answer: ServiceAnswer) => void) => void
  /** Called with null once this server's state holds every command acknowledged anywhere before this call. */
  readonly barrier: (done: (refusal: ServiceAnswer | null) => void) => void
  readonly counters: () => Readonly<Record<string, number>>
  readonly stop: () => void
}

const failed = (error: NotExecuted | OutcomeUnknown | NotRead): ServiceAnswer => ({ type: "failed", error })
const seconds = (millis: number): string => `${millis / 1000} s`

const weightOf = (body: CommandBody): number => (body.type === "command" ? body.bytes.length + 64 : 256)

export const makeReplicaService = (options: ReplicaServiceOptions): ReplicaService => {
  const { driver, machine, owner, surroundings = realSurroundings, compareEvery } = options
  const settings: ReplicaSettings = { ...defaultReplicaSettings, ...options.settings }
  const counters: Record<string, number> = {}
  const parts: ReplicaParts<ServiceAnswer> = {
    ...surroundings,
    driver,
    settings,
    count: (name, by = 1) => void (counters[name] = (counters[name] ?? 0) + by),
    refusals: {
      notExecuted: (reason) => failed(new NotExecuted(reasonOf(reason))),
      stopping: failed(new NotExecuted("stopping")),
      get unknown() {
        return failed(new OutcomeUnknown(`the outcome was not learnt within ${seconds(settings.writeTimeout)}`))
      },
      get unknownBehind() {
        return failed(
          new OutcomeUnknown(
            "a command before this one ended with an unknown outcome, so this one was not tried again",
          ),
        )
      },
      get unknownStopping() {
        return failed(new OutcomeUnknown("this server is stopping"))
      },
      notRead: (reason) => failed(new NotRead(reason === "rebuilding" || reason === "busy" ? reason : "noLeader")),
    },
  }
  const commandOf = (body: CommandBody, session: number, sequence: number, lowest: number): Payload =>
    payloadOf(encodeReplicaCommand({ type: "Execute", session, sequence, lowest, body }))
  const session = new ServerSession<CommandBody, ServiceAnswer>(parts, {
    owner,
    opening: (secret) => payloadOf(encodeReplicaCommand({ type: "Open", owner, secret })),
    command: commandOf,
    outcomeOf: (id, sequence) => {
      const found = machine.executor().outcomeOf(id, sequence)
      if (found === "ended") return { type: "expired" }
      return found === null ? { type: "notExecuted" } : { type: "kept", reply: found }
    },
  })
  const barriers = new Barriers(parts)
  const comparing = new Comparing({
    owner,
    voters: options.voters,
    propose: (payload) => driver.propose([payload], () => {}),
    failed: options.failed,
  })

  const hear = (told: ExecutionReport): void => {
    switch (told.type) {
      case "opened":
        return session.opened(told.owner, told.secret, told.session)
      case "executed":
        return session.owns(told.session) ? session.executed(told.sequence, told.outcome) : undefined
      case "early":
        return session.owns(told.session) ? session.notExecuted(false) : undefined
      case "ended":
        return session.owns(told.session) ? session.notExecuted(true) : undefined
      case "compared":
        return comparing.hear(told)
    }
  }
  machine.listen((told) => {
    if (told === null) session.restored()
    else for (const one of told) hear(one)
  })
  let comparedAt = parts.now()
  const compare = (): void => {
    if (compareEvery === null || driver.leadership().role !== "leader" || parts.now() < comparedAt + compareEvery)
      return
    comparedAt = parts.now()
    const { position, digest } = machine.executor()
    comparing.ask(position.index, digest)
  }
  const stop = connectParts(parts, [session, barriers, { tick: compare }])

  return {
    execute: (body, done) => {
      const bytes = weightOf(body)
      if (bytes > settings.maxEntryBytes) parts.soon(() => done(failed(new NotExecuted("tooLarge"))))
      else session.execute(body, bytes, done)
    },
    barrier: (done) => void barriers.join(done),
    counters: () => ({ ...counters, "service.waiting": session.waiting, "service.resends": session.resends }),
    stop,
  }
}
