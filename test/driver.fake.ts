/** A driver in a world that the test controls: events for the reducer are recorded, its effects are prepared. */
import {
  origin,
  initialState,
  inPlace,
  defaultSettings,
  type Configuration,
  type Effect,
  type Event,
  type Member,
  type Message,
  type Persist,
  type Runner,
  type Timer,
} from "../core/index.ts"
import type {
  StateMachineHandlers,
  StateMachine,
  Storage,
  StorageHandlers,
  Timers,
  Transport,
  TransportHandlers,
} from "../interpreters/contract.ts"
import { makeDriver, type Driver, type DriverOptions } from "../interpreters/driver/driver.ts"

export const self: Member = { name: "n1", incarnation: "i1" }
export const peer: Member = { name: "n2", incarnation: "i2" }
const configuration: Configuration = {
  voters: [self, peer, { name: "n3", incarnation: "i3" }],
  outgoing: [],
  learners: [],
}

export const heartbeat = (term: number): Message => ({
  type: "AppendEntries",
  term,
  prevLogIndex: 0,
  prevLogTerm: 0,
  prevLogChain: 0,
  entries: [],
  leaderCommit: 0,
  time: 0,
  settled: false,
  round: 1,
})

const freshState = () =>
  initialState(defaultSettings, {
    self,
    bootId: 1,
    hardState: { term: 0, vote: null },
    base: { ...origin, configuration },
    entries: [],
    position: origin,
  })
/** Answers each event with the effects prepared for its type. */
export const scripted = (answers: Partial<Record<Event["type"], (event: Event) => readonly Effect[]>>): Runner => ({
  state: freshState(),
  run: (events) => events.flatMap((event) => answers[event.type]?.(event) ?? []),
})
export const real = (): Runner => inPlace(freshState())

export interface Rig {
  readonly driver: Driver
  readonly batches: (readonly Event[])[]
  readonly events: () => readonly Event[]
  readonly sent: { readonly to: Member; readonly message: Message; readonly chunk: Uint8Array | null }[]
  readonly persisted: Persist[]
  readonly calls: string[]
  readonly fatal: Error[]
  readonly reports: string[]
  storage: StorageHandlers
  machine: StateMachineHandlers
  transport: TransportHandlers
  expire: (timer: Timer) => void
  time: number
  /** The clock of leases. */
  monotonic: number
}

export const rig = (
  runner: Runner,
  parts: Partial<StateMachine> = {},
  timers?: Timers,
  more: Pick<DriverOptions, "machineSilence"> = {},
): Rig => {
  const calls: string[] = []
  const never = (): never => {
    throw new Error("not attached")
  }
  const storage: Storage = {
    stored: { hardState: { term: 0, vote: null }, base: origin, entries: [] },
    attach: (handlers) => (made.storage = handlers),
    persist: (persist) => {
      made.persisted.push(persist)
      calls.push(`persist ${persist.seq}`)
    },
    stats: () => ({ bytes: 0, segments: 0, syncs: 0, bytesWritten: 0 }),
  }
  const machine: StateMachine = {
    position: () => origin,
    attach: (handlers) => (made.machine = handlers),
    apply: (entries) => calls.push(`apply ${entries.map(({ index }) => index).join(",")}`),
    takeSnapshot: () => Promise.reject(new Error("no")),
    openSnapshot: () => Promise.reject(new Error("no")),
    storeChunk: () => Promise.reject(new Error("no")),
    restore: () => Promise.reject(new Error("no")),
    ...parts,
  }
  const transport: Transport = {
    attach: (handlers) => (made.transport = handlers),
    send: (to, message, chunk) => {
      made.sent.push({ to, message, chunk })
      calls.push(`send ${message.type}`)
    },
    flush: () => calls.push("flush"),
  }
  const batches: (readonly Event[])[] = []
  const made: Rig = {
    batches,
    calls,
    sent: [],
    persisted: [],
    fatal: [],
    reports: [],
    time: 1000,
    monotonic: 0,
    events: () => batches.flat(),
    storage: { persisted: never, failed: never },
    machine: { applied: never, damaged: never, failed: never },
    transport: { received: never, connected: never, disconnected: never },
    expire: never,
    driver: makeDriver({
      ...more,
      runner,
      storage,
      transport,
      machine,
      timers: timers ?? {
        attach: (expired) => (made.expire = expired),
        set: (timer) => calls.push(`set ${timer}`),
        cancel: (timer) => calls.push(`cancel ${timer}`),
      },
      clock: { read: () => ({ monotonic: made.time, wall: made.time }) },
      now: () => made.monotonic,
      onFatal: (error) => made.fatal.push(error),
      report: (text) => made.reports.push(text),
      journal: (events) => batches.push(events),
    }),
  }
  return made
}

export { turn, turns } from "./waiting.ts"
export const types = (events: readonly Event[]): string[] =>
  events.map((event) => (event.type === "TimerExpired" ? `TimerExpired ${event.timer}` : event.type))
