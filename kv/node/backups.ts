/** Images of this node's data for backups: a few at a time, and each is closed once it is no longer read. */
import type { SnapshotImage } from "../../interpreters/contract.ts"
import type { Alarm, Surroundings } from "../../interpreters/surroundings.ts"
import { aboutOf } from "../backup/file.ts"
import type { KvMachine } from "../machine/index.ts"
import type { Backups, Reply } from "../types.ts"

/** A client that saves an image writes what it has read to its disk before it asks again, so this is long. */
const IDLE_MS = 60_000
/** A pinned image keeps LevelDB from removing data that was overwritten since. */
const MOST = 4

export interface RunningBackups extends Backups {
  readonly stop: () => void
}
export interface BackupsOptions {
  readonly machine: Pick<KvMachine, "openBackup">
  readonly cluster: () => string | null
  readonly node: string
  readonly voters: () => readonly string[]
  readonly surroundings: Pick<Surroundings, "after">
}

const bulk = (bytes: Uint8Array): Reply => ({ type: "bulk", bytes })
const refusal = (code: string, text: string): Reply => ({ type: "error", code, text })
const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
const gone = (id: string): Reply =>
  refusal(
    "SNAPSHOTGONE",
    `no image ${id} is open here: it was not read for ${IDLE_MS / 1_000} s, it was closed, or the node was restarted. The data are untouched; begin with STEPRAFT SNAPSHOT OPEN again.`,
  )

export const makeBackups = ({ machine, cluster, node, voters, surroundings }: BackupsOptions): RunningBackups => {
  const images = new Map<string, { readonly image: SnapshotImage; alarm: Alarm; reading: number }>()
  let opening = 0
  let stopped = false
  const close = async (id: string): Promise<void> => {
    const held = images.get(id)
    images.delete(id)
    held?.alarm.cancel()
    await held?.image.close()
  }
  const idle = (id: string): Alarm => surroundings.after(IDLE_MS, () => void close(id).catch(() => undefined))
  return {
    open: async () => {
      if (stopped || images.size + opening >= MOST)
        return refusal(
          "BUSY",
          `${MOST} backups are being taken from this node already. Wait for one to end, or ask another node.`,
        )
      opening += 1
      try {
        const image = await machine.openBackup()
        if (stopped) {
          await image.close()
          return refusal("BUSY", "this node is stopping. Ask another node.")
        }
        const { id } = image.snapshot
        images.set(id, { image, alarm: idle(id), reading: 0 })
        return bulk(Buffer.from(JSON.stringify({ id, ...aboutOf(cluster() ?? "", node, voters(), image.snapshot) })))
      } catch (error) {
        return refusal("ERR", reasonOf(error))
      } finally {
        opening -= 1
      }
    },
    read: async (id, offset) => {
      const held = images.get(id)
      if (held === undefined) return gone(id)
      held.alarm.cancel()
      held.reading += 1
      try {
        const { bytes, last } = await held.image.read(offset)
        return { type: "array", items: [{ type: "integer", value: last ? 1 : 0 }, bulk(bytes)] }
      } catch (error) {
        await close(id).catch(() => undefined)
        return refusal(
          "SNAPSHOTGONE",
          `${reasonOf(error)} Begin with STEPRAFT SNAPSHOT OPEN again, or ask another node.`,
        )
      } finally {
        held.reading -= 1
        if (held.reading === 0 && images.has(id)) held.alarm = idle(id)
      }
    },
    close: async (id) => {
      const known = images.has(id)
      await close(id)
      return known ? { type: "simple", text: "OK" } : gone(id)
    },
    stop: () => {
      stopped = true
      for (const id of images.keys()) void close(id).catch(() => undefined)
    },
  }
}
