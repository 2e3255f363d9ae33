/** What a running node does for its connections: connects the parts with the driver and the state machine. */
import type { Driver } from "../../interpreters/driver/index.ts"
import { Barriers, connectParts } from "../../interpreters/replica/index.ts"
import { realSurroundings, type Surroundings } from "../../interpreters/surroundings.ts"
import { Faults } from "../faults.ts"
import type { Call, NodeStatus, Replied, Reply, Service } from "../types.ts"
import { ClientSessions } from "./clientSessions.ts"
import { openOwnSession, writeInOwnSession } from "./ownSession.ts"
import {
  defaultServiceSettings,
  type ServiceParts,
  type ServiceDriver,
  type ServiceMachine,
  type ServiceSettings,
} from "./parts.ts"
import { gated, levelRefusal } from "./gate.ts"
import { replyCode, refusalsOf } from "./replies.ts"
import { Ticks } from "./ticks.ts"
import { hexOf } from "../sessionKey.ts"

export interface ServiceOptions {
  readonly driver: ServiceDriver & Pick<Driver, "state" | "replicatedTime">
  readonly machine: ServiceMachine
  /** The owner of the node's session: the same after each restart of this node, and of no other node. */
  readonly owner: string
  readonly settings?: Partial<ServiceSettings>
  readonly status: () => NodeStatus
  readonly leader: Service["leader"]
  /** Default: those of this process. */
  readonly surroundings?: Surroundings
  /**
   * Called with exceptions that callbacks of connections throw. Without it they are thrown on and end the process, so
   * that a test notices.
   */
  readonly log?: (message: string) => void
}
export interface RunningService extends Service {
  readonly counters: () => Readonly<Record<string, number>>
  /** Answers all pending requests: UNKNOWN if they were proposed, a refusal if not. */
  readonly stop: () => void
}

export const makeService = (options: ServiceOptions): RunningService => {
  const { driver, machine, surroundings = realSurroundings } = options
  const settings = { ...defaultServiceSettings, ...options.settings }
  const counters: Record<string, number> = {}
  const parts: ServiceParts = {
    ...surroundings,
    driver,
    machine,
    settings,
    refusals: refusalsOf(settings),
    count: (name, by = 1) => {
      counters[name] = (counters[name] ?? 0) + by
    },
  }
  const own = openOwnSession(parts, options.owner)
  const clients = new ClientSessions(parts, (index) => driver.state().log.termAt(index))
  const barriers = new Barriers(parts)
  const ticks = new Ticks(parts, driver.replicatedTime)

  const throwLater = (thrown: unknown): void =>
    parts.soon(() => {
      throw thrown
    })
  const faults = options.log === undefined ? null : new Faults(options.log)
  /** An exception in a connection's callback concerns one client only, and must not stop anything here. */
  const safe =
    <A>(done: (answer: A) => void): ((answer: A) => void) =>
    (answer) => {
      try {
        done(answer)
      } catch (thrown) {
        if (faults === null) throwLater(thrown)
        else faults.report("a connection's handler for an answer", thrown)
      }
    }
  /**
   * An error of the service itself must not look like a failure of the state machine: it ends the process with its own
   * reason.
   */
  const guarded = (tell: () => void): void => {
    try {
      tell()
    } catch (thrown) {
      throwLater(thrown)
    }
  }
  /** Called for each write, so it creates no closure. */
  const replied = (told: Replied): void => {
    if (told.secret !== null) clients.replied(told)
    else if (!own.owns(told.session)) return
    else if (told.executed) own.executed(told.sequence, told.reply)
    else own.notExecuted(replyCode(told.reply) === "SESSIONEXPIRED")
  }
  /** How many writes wait whose `before` must be called just before they are executed: usually none. */
  let awaited = 0
  const unwritable = (calls: readonly Call[]): Reply | null =>
    levelRefusal(calls, gated, driver.state(), options.status)
  const write: Service["write"] = (calls, exec, watches, done, before) => {
    const refusal = unwritable(calls)
    if (refusal !== null) return parts.soon(() => safe(done)(refusal))
    if (before === undefined) return writeInOwnSession(parts, own, { calls, exec, watches, before }, safe(done))
    awaited++
    const ended = (reply: Reply): void => {
      awaited--
      done(reply)
    }
    writeInOwnSession(parts, own, { calls, exec, watches, before: safe(before) }, safe(ended))
  }
  machine.listen({
    executing: ({ session, sequence }) =>
      awaited > 0 && own.owns(session) ? own.requestOf(sequence)?.before : undefined,
    replied: (told) => {
      try {
        replied(told)
      } catch (thrown) {
        throwLater(thrown)
      }
    },
    opened: (told) =>
      guarded(() => {
        own.opened(told.owner, hexOf(told.secret), told.session)
        clients.opened(told)
      }),
    closed: (told) => guarded(() => clients.closed(told)),
    restored: () =>
      guarded(() => {
        own.restored()
        clients.restored()
      }),
  })
  const stop = connectParts(parts, [clients, own, barriers, ticks])

  return {
    write,
    writeInSession: (session, sequence, lowest, calls, exec, watches, done) => {
      const refusal = unwritable(calls)
      if (refusal !== null) return parts.soon(() => safe(done)(refusal))
      clients.write(session, sequence, lowest, calls, exec, watches, safe(done))
    },
    openSession: (owner, done) => clients.open(owner, safe(done)),
    closeSession: (session, done) => clients.close(session, safe(done)),
    barrier: (opened) => barriers.join(safe(opened)),
    reader: machine,
    status: options.status,
    leader: options.leader,
    counters: () => ({
      ...counters,
      "service.waiting": own.waiting + clients.waiting,
      "service.resends": own.resends + clients.resends,
      "service.faults": faults?.count ?? 0,
    }),
    stop,
  }
}
