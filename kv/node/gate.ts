/**
 * The service as connections see it while the node starts, and after it stops: as long as there is no running service
 * behind the gate, every command that needs data is answered with the reason.
 */
import { refusedBarrier } from "../../interpreters/replica/index.ts"
import { NO_VERSION } from "../machine/index.ts"
import type { FlushListener, NodeStatus, Reply, Service } from "../types.ts"

export interface Gate extends Service {
  readonly open: (service: Service) => void
  readonly shut: () => void
}

export interface GateOptions {
  readonly status: () => NodeStatus
  readonly members?: NonNullable<Service["members"]>
  readonly backups?: NonNullable<Service["backups"]>
  readonly leader: Service["leader"]
  /** Called for each refusal, so that the reason is up to date. */
  readonly refusal: () => Reply
}

export const makeGate = (options: GateOptions): Gate => {
  let behind: Service | null = null
  let flushing: FlushListener = () => undefined
  const { refusal } = options
  const refuse = (done: (reply: Reply) => void): void => {
    const reply = refusal()
    queueMicrotask(() => done(reply))
  }
  return {
    open: (service) => {
      behind = service
      service.reader.onFlush?.((fits, version) => flushing(fits, version))
    },
    shut: () => {
      behind = null
    },
    write: (calls, exec, watches, done, before) => {
      if (behind === null) refuse(done)
      else behind.write(calls, exec, watches, done, before)
    },
    writeInSession: (session, sequence, lowest, calls, exec, watches, done) => {
      if (behind === null) refuse(done)
      else behind.writeInSession(session, sequence, lowest, calls, exec, watches, done)
    },
    openSession: (owner, done) => {
      if (behind === null) refuse(done)
      else behind.openSession(owner, done)
    },
    closeSession: (session, done) => {
      if (behind === null) refuse(done)
      else behind.closeSession(session, done)
    },
    barrier: (opened) => (behind === null ? refusedBarrier(refusal(), queueMicrotask, opened) : behind.barrier(opened)),
    reader: {
      read: (call, most) => (behind === null ? refusal() : behind.reader.read(call, most)),
      keyspace: () => (behind === null ? Promise.resolve(null) : behind.reader.keyspace()),
      lengthOf: (key) => behind?.reader.lengthOf?.(key) ?? 0,
      // A watch must fail while nothing can be read.
      version: (key) => (behind === null ? NO_VERSION : behind.reader.version(key)),
      onFlush: (listener) => {
        flushing = listener
      },
      now: () => (behind === null ? 0 : behind.reader.now()),
    },
    status: options.status,
    members: () => options.members?.() ?? null,
    backups: () => (behind === null ? null : (options.backups?.() ?? null)),
    leader: options.leader,
  }
}
