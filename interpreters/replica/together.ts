/** Replicas of one process, without disks and sockets: for unit tests of a machine and of what is built on it. */
import { emptyConfiguration, type Settings } from "../../core/index.ts"
import {
  foundTogether,
  makeMemoryDisk,
  makeMemoryNetwork,
  type MemoryDisk,
  type NetworkAction,
} from "../memory/index.ts"
import type { Machine } from "./machine/definition.ts"
import { openReplicaMachine } from "./machine/machine.ts"
import type { ReplicaSettings } from "./session/parts.ts"
import { runReplica, type Replica } from "./replica.ts"
import { memoryStore, type SnapshotStore } from "./machine/store.ts"
import { realSurroundings, type Surroundings } from "../surroundings.ts"

export interface TogetherOptions<State, Command, Result> {
  /** Names. Default: a, b, c. */
  readonly ids?: readonly string[]
  readonly machine: Machine<State, Command, Result> | ((id: string) => Machine<State, Command, Result>)
  readonly settings?: Partial<Settings>
  readonly service?: Partial<ReplicaSettings>
  readonly surroundings?: Surroundings
  /** As for replicate. Default: every 100 ms, so that a test notices what is not deterministic. */
  readonly compareEvery?: number | null
  readonly report?: (id: string, text: string) => void
}
export interface Together<State, Command, Result> {
  /** The one that runs under that name. Throws if it is down. */
  readonly replica: (id: string) => Replica<State, Command, Result>
  readonly ids: readonly string[]
  /** Its process dies: what its disk had not been told to keep is lost. */
  readonly crash: (id: string) => void
  /** It is down, and its disk is lost. */
  readonly wipe: (id: string) => void
  /** A server with an empty disk waits until the cluster takes it in (`members.add`, or `replace` for one that was wiped). */
  readonly wait: (id: string) => Promise<Replica<State, Command, Result>>
  /** Starts it again, with what its disk holds. */
  readonly start: (id: string) => Promise<Replica<State, Command, Result>>
  /** Cuts, partitions and heals the network. */
  readonly network: (action: NetworkAction) => void
  readonly close: () => Promise<void>
}

/** Short times: nothing waits for a network here. */
const QUICK: Partial<Settings> = { heartbeat: 20, electionMin: 150, electionMax: 300, disconnectMax: 30 }

interface Home<State, Command, Result> {
  disk: MemoryDisk
  store: SnapshotStore
  running: { readonly replica: Replica<State, Command, Result>; readonly kill: () => void } | null
}

export const replicateTogether = async <State, Command, Result>(
  options: TogetherOptions<State, Command, Result>,
): Promise<Together<State, Command, Result>> => {
  const { ids = ["a", "b", "c"], surroundings = realSurroundings } = options
  const network = makeMemoryNetwork()
  const homes = new Map<string, Home<State, Command, Result>>(
    ids.map((id) => [id, { disk: makeMemoryDisk({ name: id }), store: memoryStore(), running: null }]),
  )
  foundTogether(Array.from(homes.values(), ({ disk }) => disk))
  const homeOf = (id: string): Home<State, Command, Result> => {
    const home = homes.get(id)
    if (home === undefined) throw new RangeError(`there is no replica ${id} among ${[...homes.keys()].join(", ")}`)
    return home
  }
  const start = async (id: string): Promise<Replica<State, Command, Result>> => {
    const home = homeOf(id)
    if (home.running !== null) return home.running.replica
    const storage = home.disk.open()
    const { self, cluster, founding } = storage.identity
    const definition = typeof options.machine === "function" ? options.machine(id) : options.machine
    const report = (text: string): void => options.report?.(id, text)
    const machine = await openReplicaMachine({
      machine: definition,
      store: home.store,
      newId: () => surroundings.secret(8),
      report,
    })
    const transport = network.join({
      self,
      hello: {
        cluster,
        clientAddress: "",
        empty: false,
        founding,
        start: storage.start,
        recovered: storage.recovered,
        refused: null,
      },
      sightings: storage.sightings,
    })
    const replica = runReplica({
      self,
      storage,
      transport,
      definition,
      machine,
      surroundings,
      report,
      settings: { ...QUICK, ...options.settings },
      ...(options.service === undefined ? {} : { service: options.service }),
      compareEvery: options.compareEvery === undefined ? 100 : options.compareEvery,
    })
    const down = (): void => {
      transport.close()
      home.running = null
    }
    const close = async (): Promise<void> => {
      await replica.close()
      storage.close()
      down()
    }
    const closing = { ...replica, close }
    home.running = {
      replica: closing,
      kill: () => {
        home.disk.act({ type: "crash" })
        down()
        replica.kill()
      },
    }
    return closing
  }
  const emptyHome = (id: string): Home<State, Command, Result> => ({
    disk: makeMemoryDisk({ name: id }),
    store: memoryStore(),
    running: null,
  })
  /** Until the cluster speaks to this incarnation: its configuration names it then. */
  const takenIn = async (disk: MemoryDisk): Promise<void> => {
    const storage = disk.open()
    const transport = network.join({
      self: storage.identity.self,
      hello: {
        cluster: null,
        clientAddress: "",
        empty: true,
        founding: null,
        start: storage.start,
        recovered: storage.recovered,
        refused: null,
      },
      sightings: storage.sightings,
    })
    const cluster = await new Promise<string>((resolve) => {
      transport.attach({
        received: (from) => {
          const found = transport.peers().find(({ name }) => name === from.name)?.hello?.cluster
          if (found != null) resolve(found)
        },
        connected: () => undefined,
        disconnected: () => undefined,
      })
      unwait.set(disk, () => {
        transport.close()
        storage.close()
      })
    })
    unwait.get(disk)?.()
    unwait.delete(disk)
    disk.found(cluster, emptyConfiguration)
  }
  /** How to end those that wait. */
  const unwait = new Map<MemoryDisk, () => void>()
  await Promise.all(ids.map(start))
  return {
    ids,
    wipe: (id) => {
      homeOf(id).running?.kill()
      homes.set(id, emptyHome(id))
    },
    wait: async (id) => {
      const home = homes.get(id) ?? emptyHome(id)
      homes.set(id, home)
      await takenIn(home.disk)
      return start(id)
    },
    replica: (id) => {
      const { running } = homeOf(id)
      if (running === null) throw new RangeError(`replica ${id} is down: start it first`)
      return running.replica
    },
    crash: (id) => homeOf(id).running?.kill(),
    start,
    network: network.act,
    close: async () => {
      for (const end of unwait.values()) end()
      await Promise.all(Array.from(homes.values(), async ({ running }) => running?.replica.close()))
    },
  }
}
