/**
 * A cluster in one process: the shipped driver over disks, a network and state machines in memory. Faults are actions
 * as plain data.
 */
import { defaultSettings, initialState, inPlace, type Settings } from "../core/index.ts"
import { type Driver, makeClock, makeDriver, makeTimers } from "../interpreters/driver/index.ts"
import { isPermanent } from "../interpreters/hello.ts"
import type { Logger } from "../interpreters/log.ts"
import type { PortLimits, PortTransport } from "../interpreters/port/index.ts"
import {
  foundCluster,
  makeMemoryDisk,
  makeMemoryNetwork,
  randomWord,
  type DiskAction,
  type MemoryDisk,
  type NetworkAction,
} from "../interpreters/memory/index.ts"
import { makeMachineDisk, type MachineDisk, type MemoryMachine, type MemoryMachineOptions } from "./memory.machine.ts"

export type ClusterAction =
  | { readonly type: "start"; readonly node: string }
  /** Its process dies: what was not durable in its log and its state is lost, or kept as far as `keep` says. */
  | { readonly type: "crash"; readonly node: string; readonly keep?: "none" | "all" }
  /** To its disk. */
  | ({ readonly node: string } & Exclude<DiskAction, { readonly type: "crash" }>)
  | NetworkAction

export interface MemoryClusterOptions<S> {
  readonly machine: MemoryMachineOptions<S>
  /** Of the nodes, all voters. Default n1, n2, n3. */
  readonly names?: readonly string[]
  readonly settings?: Partial<Settings>
  readonly limits?: PortLimits
  /** Lines for people, of all nodes. */
  readonly log?: Logger
}
export interface MemoryReplica<S> {
  readonly name: string
  /** null: it is down. */
  readonly driver: () => Driver | null
  /** The content of its state machine; if it is down, what the next start will find. */
  readonly state: () => S
  /** Why it stopped by itself, or null. */
  readonly failure: () => Error | null
}
export interface MemoryCluster<S> {
  readonly nodes: readonly MemoryReplica<S>[]
  readonly node: (name: string) => MemoryReplica<S>
  /** The driver that leads in the highest term, as far as its own process knows; null: none. */
  readonly leader: () => Driver | null
  readonly act: (action: ClusterAction) => void
  /** Every node goes down. */
  readonly close: () => void
}

interface Running<S> {
  readonly driver: Driver
  readonly machine: MemoryMachine<S>
  readonly transport: PortTransport
}

class Replica<S> implements MemoryReplica<S> {
  readonly name: string
  readonly disk: MemoryDisk
  private readonly machines: MachineDisk<S>
  private readonly join: ReturnType<typeof makeMemoryNetwork>["join"]
  private readonly options: MemoryClusterOptions<S>
  private running: Running<S> | null = null
  private failed: Error | null = null

  constructor(name: string, options: MemoryClusterOptions<S>, join: ReturnType<typeof makeMemoryNetwork>["join"]) {
    this.name = name
    this.options = options
    this.join = join
    this.disk = makeMemoryDisk({ name })
    this.machines = makeMachineDisk(options.machine)
  }
  driver(): Driver | null {
    return this.running?.driver ?? null
  }
  state(): S {
    return this.machines.state()
  }
  failure(): Error | null {
    return this.failed
  }

  start(): void {
    if (this.running !== null) return
    const { settings, limits, log = () => undefined } = this.options
    const storage = this.disk.open()
    const { identity, stored, start, recovered, sightings, refused } = storage
    const { self, cluster, founding } = identity
    const machine = this.machines.open()
    const say: Logger = (level, text) => log(level, `${this.name}: ${text}`)
    const hello = {
      cluster,
      clientAddress: "",
      empty: false,
      founding,
      start,
      recovered,
      refused: refused?.detail ?? null,
    }
    const transport = this.join({ self, hello, sightings, log: say, ...(limits === undefined ? {} : { limits }) })
    const position = machine.position()
    const state = initialState(
      { ...defaultSettings, ...settings },
      // The founding configuration is no entry, so the state machine has not seen it.
      {
        self,
        bootId: randomWord(),
        ...stored,
        position:
          position !== null && position.configuration.voters.length === 0
            ? { ...position, configuration: stored.base.configuration }
            : position,
      },
    )
    const fail = (error: Error): void => {
      this.failed = error
      say("error", error.message)
      this.stop("none")
    }
    const driver = makeDriver({
      runner: inPlace(state),
      storage,
      transport,
      machine,
      timers: makeTimers(),
      clock: makeClock(),
      onFatal: fail,
      report: (text) => say("warn", text),
    })
    transport.onRefused((by, refusal) => {
      if (!isPermanent(refusal)) return
      storage.refuse({ by, reason: refusal.reason, detail: refusal.detail })
      fail(new Error(`${refusal.reason}: ${by} refuses this node: ${refusal.detail}`))
    })
    this.failed = null
    this.running = { driver, machine, transport }
    if (refused === null) driver.start()
    else fail(new Error(`${refused.reason}: ${refused.by} has refused this node: ${refused.detail}`))
  }
  stop(keep: "none" | "all"): void {
    const { running } = this
    this.running = null
    running?.driver.abandon()
    running?.transport.close()
    this.disk.act({ type: "crash", keep })
    this.machines.crash(keep)
  }
}

/** Founds a cluster, with every node up. */
export const makeMemoryCluster = <S>(options: MemoryClusterOptions<S>): MemoryCluster<S> => {
  const { names = ["n1", "n2", "n3"] } = options
  const network = makeMemoryNetwork()
  const nodes = names.map((name) => new Replica(name, options, network.join))
  const node = (name: string): Replica<S> => {
    const found = nodes.find((each) => each.name === name)
    if (found === undefined) throw new RangeError(`there is no node ${name}: the nodes are ${names.join(", ")}`)
    return found
  }
  foundCluster(nodes.map(({ disk }) => disk))
  for (const each of nodes) each.start()
  return {
    nodes,
    node,
    leader: () => {
      const leaders = nodes
        .flatMap((each) => each.driver() ?? [])
        .filter((driver) => driver.leadership().role === "leader")
      return leaders.toSorted((a, b) => b.leadership().term - a.leadership().term)[0] ?? null
    },
    act: (action) => {
      switch (action.type) {
        case "start":
          return node(action.node).start()
        case "crash":
          return node(action.node).stop(action.keep ?? "none")
        case "stall":
        case "resume":
        case "fail":
        case "space":
          return node(action.node).disk.act(action)
        case "cut":
        case "join":
        case "isolate":
        case "partition":
        case "heal":
          return network.act(action)
      }
    },
    close: () => {
      for (const each of nodes) each.stop("all")
    },
  }
}
