/**
 * The part of replicateTogether (together.ts) that is loaded on demand: replicas over disks and a network in memory.
 */
import { emptyConfiguration, type Settings } from "../../core/index.ts"
import { foundCluster, makeMemoryDisk, makeMemoryNetwork, type MemoryDisk } from "../memory/index.ts"
import { openReplicaMachine } from "./machine/machine.ts"
import { runReplica, type Replica } from "./replica.ts"
import { memoryStore, type SnapshotStore } from "./machine/store.ts"
import type { ReplicaGroup, ReplicaGroupOptions } from "./group.ts"
import { realSurroundings } from "../surroundings.ts"

/** Short timeouts: there is no network to wait for. */
const QUICK: Partial<Settings> = { heartbeat: 20, electionMin: 150, electionMax: 300, disconnectMax: 30 }

interface Home<State, Command, Result> {
  disk: MemoryDisk
  store: SnapshotStore
  running: { readonly replica: Replica<State, Command, Result>; readonly kill: () => void } | null
}

export const openMemoryReplicas = async <State, Command, Result>(
  options: ReplicaGroupOptions<State, Command, Result>,
): Promise<ReplicaGroup<State, Command, Result>> => {
  const { ids = ["a", "b", "c"], surroundings = realSurroundings } = options
  const network = makeMemoryNetwork()
  const homes = new Map<string, Home<State, Command, Result>>(
    ids.map((id) => [id, { disk: makeMemoryDisk({ name: id }), store: memoryStore(), running: null }]),
  )
  foundCluster(Array.from(homes.values(), ({ disk }) => disk))
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
  /** Waits until the cluster speaks to this incarnation: then its configuration names the incarnation. */
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
  /** How to stop the replicas that wait to be added. */
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
