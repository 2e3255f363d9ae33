/**
 * The StateMachine of a replica: the state is in memory, its snapshots in a store. At start it is restored from the
 * last snapshot, and the entries after that are executed again, so no entry is executed twice on one state.
 */
import type { Entry, LogBase, SnapshotRef } from "../../../core/index.ts"
import type { SnapshotImage, StateMachine, StateMachineHandlers } from "../../contract.ts"
import type { Machine } from "./definition.ts"
import type { Execution, ExecutionReport } from "./execution.ts"
import { Executor } from "./executor.ts"
import { makePacer } from "./slices.ts"
import { readSnapshot, SnapshotDamaged, writeSnapshot } from "./snapshot.ts"
import type { Draft, Snapshot, SnapshotStore } from "./store.ts"

/** What a running replica needs of a state machine, wherever its state is kept. */
export interface RunnableMachine<State> extends StateMachine {
  readonly executor: () => Pick<Execution, "position" | "digest" | "outcomeOf"> & { readonly state: State }
  /**
   * Calls the listener in the order of the log, before `applied`. `null`: a snapshot replaced the state, and some
   * reports may be missing.
   */
  readonly listen: (listener: (told: readonly ExecutionReport[] | null) => void) => void
  /** The last entry in the snapshot from which it started or was restored. */
  readonly beginsAt: () => number
  readonly close: () => Promise<void>
}
export interface ReplicaMachine<State, Command, Result> extends RunnableMachine<State> {
  readonly executor: () => Executor<State, Command, Result>
}
export interface ReplicaMachineOptions<State, Command, Result> {
  readonly machine: Machine<State, Command, Result>
  readonly store: SnapshotStore
  /** Random text that was never used before, for the names of snapshots. */
  readonly newId: () => string
  readonly report: (text: string) => void
}

const CHUNK = 1 << 19

const baseOf = ({ index, term, time, chain, configuration }: LogBase): LogBase => ({
  index,
  term,
  time,
  chain,
  configuration,
})

export const openReplicaMachine = async <State, Command, Result>({
  machine,
  store,
  newId,
  report,
}: ReplicaMachineOptions<State, Command, Result>): Promise<ReplicaMachine<State, Command, Result>> => {
  let executor = new Executor(machine)
  let lost = false
  /** Refers to the snapshot in the store. */
  let standing: SnapshotRef | null = null
  let handlers: StateMachineHandlers | null = null
  let listener: (told: readonly ExecutionReport[] | null) => void = () => {}
  let receiving: { readonly id: string; readonly draft: Draft; offset: number } | null = null
  /** Only one operation at a time is run on the store. */
  let queue: Promise<unknown> = Promise.resolve()
  const next = <A>(work: () => Promise<A>): Promise<A> => {
    const done = queue.then(work, work)
    queue = done.catch(() => undefined)
    return done
  }

  const load = async (
    snapshot: Snapshot,
  ): Promise<{ readonly executor: Executor<State, Command, Result>; readonly ref: SnapshotRef }> => {
    const { id, executor: image, state } = await readSnapshot(snapshot, machine.states)
    return { executor: new Executor(machine, { state, image }), ref: { ...image.position, id } }
  }
  const found = await store.open()
  if (found !== null) {
    try {
      const loaded = await load(found)
      executor = loaded.executor
      standing = loaded.ref
    } catch (error) {
      if (!(error instanceof SnapshotDamaged)) throw error
      lost = true
      const aside = await store.setAside()
      report(
        `the snapshot of the state machine is damaged (${error.message}); it is kept in ${aside}. The state will be rebuilt from a peer, or from the log if that holds every entry. Check the disk.`,
      )
    } finally {
      await found.close()
    }
  }

  const takeSnapshot = (): Promise<LogBase> =>
    next(async () => {
      // This content does not change any more: later entries make another state.
      const content = { id: newId(), executor: executor.image(), state: executor.state }
      if (standing !== null && standing.index === content.executor.position.index) return baseOf(standing)
      const draft = await store.begin("own")
      try {
        await writeSnapshot(draft, content, machine.states)
      } catch (error) {
        await draft.discard()
        throw error
      }
      await draft.commit()
      standing = { ...baseOf(content.executor.position), id: content.id }
      return baseOf(standing)
    })

  const apply = async (entries: readonly Entry[]): Promise<void> => {
    const pace = makePacer()
    const told: ExecutionReport[] = []
    for (const entry of entries) {
      const answer = executor.execute(entry)
      if (answer !== null) told.push(answer)
      const pause = pace()
      if (pause === null) continue
      handlers?.progress?.()
      await pause
    }
    // The listeners must never be called before the call that caused it has returned.
    await Promise.resolve()
    listener(told)
    handlers?.applied(entries.at(-1)?.index ?? executor.position.index)
  }

  return {
    executor: () => executor,
    beginsAt: () => standing?.index ?? 0,
    listen: (to) => void (listener = to),
    position: () => (lost ? null : executor.position),
    attach: (to) => void (handlers = to),
    apply: (entries) =>
      void apply(entries).catch((error: unknown) =>
        handlers?.failed(error instanceof Error ? error : new Error(String(error))),
      ),
    takeSnapshot,
    openSnapshot: async (): Promise<SnapshotImage> => {
      if (standing === null) await takeSnapshot()
      const [snapshot, ref] = await next(async () => [await store.open(), standing] as const)
      if (snapshot === null || ref === null) throw new Error("there is no snapshot to open")
      return {
        snapshot: ref,
        read: async (offset) => {
          const bytes = await snapshot.read(offset, CHUNK)
          return { bytes, last: offset + bytes.length >= snapshot.size }
        },
        close: snapshot.close,
      }
    },
    storeChunk: (snapshot, offset, bytes) =>
      next(async () => {
        if (offset === 0) {
          await receiving?.draft.discard()
          receiving = { id: snapshot.id, draft: await store.begin("received"), offset: 0 }
        }
        if (receiving === null || receiving.id !== snapshot.id) return 0
        if (offset !== receiving.offset) return receiving.offset
        await receiving.draft.write(bytes)
        receiving.offset += bytes.length
        return receiving.offset
      }),
    restore: (snapshot) =>
      next(async () => {
        if (receiving === null || receiving.id !== snapshot.id)
          throw new SnapshotDamaged("nothing of this snapshot was received")
        const { draft } = receiving
        receiving = null
        let loaded
        try {
          const look = await draft.look()
          try {
            loaded = await load(look)
          } finally {
            await look.close()
          }
          const { ref } = loaded
          if (ref.index !== snapshot.index || ref.term !== snapshot.term || ref.chain !== snapshot.chain)
            throw new SnapshotDamaged(
              `it ends at entry ${ref.index} of term ${ref.term}, but the leader announced entry ${snapshot.index} of term ${snapshot.term}`,
            )
          await draft.commit()
        } catch (error) {
          await draft.discard().catch(() => undefined)
          throw error
        }
        executor = loaded.executor
        standing = loaded.ref
        lost = false
        listener(null)
      }),
    close: async () => {
      await next(async () => receiving?.draft.discard())
    },
  }
}
