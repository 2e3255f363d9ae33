/**
 * Three replicas of a counter in one process or page, over MessagePorts: each crashes in turn, and nothing is lost or
 * doubled.
 */
import { makeMemoryDisk, foundCluster, type MemoryDisk } from "stepraft/interpreters/memory"
import { makeExchange, makePortTransport } from "stepraft/interpreters/port"
import {
  memoryStore,
  openReplicaMachine,
  runReplica,
  type Machine,
  type RunningReplica,
  type SnapshotStore,
} from "stepraft/interpreters/replica"

interface Counts {
  readonly total: number
}
type Counter = RunningReplica<Counts, number, number>
const machine: Machine<Counts, number, number> = { initial: { total: 0 }, apply: (state, by) => (state.total += by) }
const settings = { heartbeat: 20, electionMin: 150, electionMax: 300, disconnectMax: 30 }

export interface Counted {
  readonly executed: number
  /** As each replica reads it at the end, linearizably. */
  readonly totals: readonly number[]
}

export const overPorts = async (rounds = 30): Promise<Counted> => {
  const ids = ["a", "b", "c"]
  const homes = new Map(ids.map((id) => [id, { disk: makeMemoryDisk({ name: id }), store: memoryStore() }]))
  foundCluster(Array.from(homes.values(), ({ disk }) => disk))
  const exchange = makeExchange(() => new MessageChannel())
  let named = 0
  const start = async (
    id: string,
    { disk, store }: { readonly disk: MemoryDisk; readonly store: SnapshotStore },
  ): Promise<{ readonly replica: Counter; readonly crash: () => void }> => {
    const storage = disk.open()
    const { self, cluster, founding } = storage.identity
    const opened = await openReplicaMachine({ machine, store, newId: () => `${id}${++named}`, report: () => undefined })
    const transport = makePortTransport({
      self,
      sightings: storage.sightings,
      lost: (peer) => exchange.renew(id, peer),
      hello: {
        cluster,
        clientAddress: "",
        empty: false,
        founding,
        start: storage.start,
        recovered: storage.recovered,
        refused: null,
      },
    })
    const replica = runReplica({
      self,
      storage,
      transport,
      definition: machine,
      machine: opened,
      settings,
      compareEvery: 100,
    })
    exchange.join(id, (peer, port) => transport.connect(peer, port))
    const crash = (): void => {
      exchange.leave(id)
      disk.act({ type: "crash" })
      transport.close()
      replica.kill()
    }
    return { replica, crash }
  }
  const running = new Map<string, Awaited<ReturnType<typeof start>>>()
  const begin = async (id: string): Promise<void> => {
    const home = homes.get(id)
    if (home !== undefined) running.set(id, await start(id, home))
  }
  for (const id of ids) await begin(id)
  const replicas = (): readonly Counter[] => Array.from(running.values(), ({ replica }) => replica)
  let executed = 0
  const count = async (): Promise<void> => {
    await Promise.all(replicas().map((replica) => replica.ready()))
    for (let round = 0; round < rounds; round++) {
      await Promise.all(replicas().map((replica) => replica.execute(1)))
      executed += running.size
    }
  }
  await count()
  for (const id of ids) {
    running.get(id)?.crash()
    running.delete(id)
    await count()
    await begin(id)
    await count()
  }
  const totals = await Promise.all(replicas().map((replica) => replica.read(({ total }) => total)))
  for (const { crash } of running.values()) crash()
  return { executed, totals }
}
