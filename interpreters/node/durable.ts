/** The StateMachine of a replica whose state is durable itself (DurableState): transactions, and snapshots as files. */
import * as fs from "node:fs/promises"
import { join } from "node:path"
import type { Entry, LogBase, Member, SnapshotRef } from "../../core/index.ts"
import type { SnapshotImage, StateMachineHandlers } from "../contract.ts"
import { crc32 } from "../payload.ts"
import {
  DurableExecutor,
  makePacer,
  SnapshotDamaged,
  type DurableMachine,
  type RunnableMachine,
  type ExecutionReport,
} from "../replica/index.ts"

export interface DurableOptions<State, Command, Result> {
  readonly machine: DurableMachine<State, Command, Result>
  readonly directory: string
  readonly self: Member
  /** Random text that was never used before, for the names of snapshots. */
  readonly newId: () => string
  /** Bytes of the snapshot in one message. Default: 512 kB. */
  readonly chunkBytes?: number
}

const CHUNK = 1 << 19
/** Prefix of files in the directory of the state that are being sent or received. None of them outlives its process. */
const OURS = "snapshot."

const baseOf = ({ index, term, time, chain, configuration }: LogBase): LogBase => ({
  index,
  term,
  time,
  chain,
  configuration,
})
const crcOf = async (file: fs.FileHandle): Promise<{ readonly size: number; readonly crc: number }> => {
  const buffer = Buffer.allocUnsafe(CHUNK)
  let [size, crc] = [0, 0]
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, CHUNK, size)
    if (bytesRead === 0) return { size, crc }
    crc = crc32(buffer.subarray(0, bytesRead), crc)
    size += bytesRead
  }
}
/** The id of a snapshot contains checksums of its bytes and of its position. */
const idOf = (id: string, { index, term, time, chain }: LogBase, size: number, crc: number): string =>
  `${id}-${size}-${crc.toString(16)}-${crc32(Buffer.from(`${id} ${index} ${term} ${time} ${chain} ${size} ${crc}`)).toString(16)}`
const vouched = (snapshot: SnapshotRef, size: number, crc: number): boolean => {
  const [id = ""] = snapshot.id.split("-")
  return snapshot.id === idOf(id, snapshot, size, crc)
}

export const openDurableMachine = async <State, Command, Result>({
  machine,
  directory,
  self,
  newId,
  chunkBytes = CHUNK,
}: DurableOptions<State, Command, Result>): Promise<RunnableMachine<State>> => {
  await fs.mkdir(directory, { recursive: true, mode: 0o700 })
  for (const name of await fs.readdir(directory))
    if (name.startsWith(OURS)) await fs.rm(join(directory, name), { recursive: true, force: true })
  const own = await machine.open(directory)
  let executor = new DurableExecutor(machine, own, self)
  let handlers: StateMachineHandlers | null = null
  let listener: (told: readonly ExecutionReport[] | null) => void = () => {}
  let receiving: { readonly id: string; readonly file: fs.FileHandle; offset: number } | null = null
  const received = join(directory, `${OURS}received`)
  /** Only one operation at a time is run on the state. */
  let queue: Promise<unknown> = Promise.resolve()
  const next = <A>(work: () => Promise<A>): Promise<A> => {
    const done = queue.then(work, work)
    queue = done.catch(() => undefined)
    return done
  }

  const apply = async (entries: readonly Entry[]): Promise<void> => {
    const told: ExecutionReport[] = []
    for (let at = 0; at < entries.length;) {
      const pace = makePacer()
      const pauses: Promise<void>[] = []
      await own.transaction((write) => {
        for (let entry = entries[at]; entry !== undefined && pauses.length === 0; entry = entries[++at]) {
          const answer = executor.execute(entry)
          if (answer !== null) told.push(answer)
          const pause = pace()
          if (pause !== null) pauses.push(pause)
        }
        executor.writeChanges(write)
      })
      if (at < entries.length) handlers?.progress?.()
      await Promise.all(pauses)
    }
    listener(told)
    handlers?.applied(entries.at(-1)?.index ?? executor.position.index)
  }
  const discard = async (): Promise<void> => {
    await receiving?.file.close()
    receiving = null
    await fs.rm(received, { recursive: true, force: true })
  }

  return {
    executor: () => executor,
    beginsAt: () => executor.beginsAt,
    listen: (to) => void (listener = to),
    position: () => executor.position,
    attach: (to) => void (handlers = to),
    apply: (entries) =>
      void next(() => apply(entries)).catch((error: unknown) =>
        handlers?.failed(error instanceof Error ? error : new Error(String(error))),
      ),
    takeSnapshot: () =>
      next(async () => {
        await own.sync()
        return baseOf(executor.position)
      }),
    openSnapshot: async (): Promise<SnapshotImage> => {
      const id = newId()
      const path = join(directory, `${OURS}${id}`)
      let opened: fs.FileHandle | null = null
      const drop = async (error: unknown): Promise<never> => {
        // Each attempt has its own file name, so files of failed attempts would fill the disk.
        await opened?.close()
        await fs.rm(path, { force: true })
        throw error
      }
      const position = await next(async () => {
        await own.copyTo(path)
        return baseOf(executor.position)
      }).catch(drop)
      const file = (opened = await fs.open(path, "r").catch(drop))
      const { size, crc } = await crcOf(file).catch(drop)
      return {
        snapshot: { ...position, id: idOf(id, position, size, crc) },
        read: async (offset) => {
          const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes, offset)
          return { bytes: buffer.subarray(0, bytesRead), last: offset + bytesRead >= size }
        },
        close: async () => {
          await file.close()
          await fs.rm(path, { force: true })
        },
      }
    },
    storeChunk: (snapshot, offset, bytes) =>
      next(async () => {
        if (offset === 0) {
          await discard()
          receiving = { id: snapshot.id, file: await fs.open(received, "w+", 0o600), offset: 0 }
        }
        if (receiving === null || receiving.id !== snapshot.id) return 0
        if (offset !== receiving.offset) return receiving.offset
        for (let at = 0; at < bytes.length;)
          at += (await receiving.file.write(bytes, at, bytes.length - at, offset + at)).bytesWritten
        receiving.offset += bytes.length
        return receiving.offset
      }),
    restore: (snapshot) =>
      next(async () => {
        if (receiving === null || receiving.id !== snapshot.id)
          throw new SnapshotDamaged("nothing of this snapshot was received")
        try {
          const { size, crc } = await crcOf(receiving.file)
          if (!vouched(snapshot, size, crc))
            throw new SnapshotDamaged(
              `the ${size} bytes that were received are not those of snapshot ${snapshot.id} at entry ${snapshot.index} of term ${snapshot.term}`,
            )
          await receiving.file.sync()
          await own.becomeCopy(received)
          executor = new DurableExecutor(machine, own, self)
          await own.sync()
        } finally {
          await discard()
        }
        listener(null)
      }),
    close: async () => {
      await next(async () => {
        await discard()
        await own.close()
      })
    },
  }
}
