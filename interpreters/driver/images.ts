/**
 * Snapshots between the core, which only knows their ids, and the state machine, which has the bytes: taking, sending and
 * receiving them. A failure becomes the event that the core expects.
 */
import type { Configuration, Effect, Event, Index, InstallSnapshot, Member, SnapshotRef } from "../../core/index.ts"
import type { SnapshotImage, StateMachine, Transport } from "../contract.ts"

type Of<Type extends Effect["type"]> = Extract<Effect, { type: Type }>

export interface ImagesOptions {
  readonly machine: StateMachine
  readonly transport: Transport
  readonly push: (event: Event) => void
  /** The configuration in force at that index; null if the log no longer has it. */
  readonly configurationAt: (index: Index) => Configuration | null
  readonly report: (text: string) => void
  readonly count: (name: "snapshot.sent" | "snapshot.sendFailed") => void
}

/** One pinned image. Its reads are queued, because the machine allows one at a time. */
interface Pinned {
  readonly image: SnapshotImage
  reads: Promise<void>
}

export interface Images {
  readonly take: () => void
  readonly open: (effect: Of<"OpenSnapshot">) => void
  readonly close: (id: string) => void
  readonly send: (to: Member, message: InstallSnapshot) => void
  readonly received: (message: InstallSnapshot, chunk: Uint8Array) => void
  readonly store: (effect: Of<"StoreChunk">) => void
  readonly restore: (snapshot: SnapshotRef) => void
  /** The driver's batch is complete: chunks that the core did not ask for are dropped. */
  readonly batchOver: () => void
  readonly stop: () => void
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
const placeOf = (id: string, offset: number): string => `${offset} ${id}`

export const makeImages = ({ machine, transport, push, configurationAt, count, report }: ImagesOptions): Images => {
  const pinned = new Map<string, Pinned>()
  const chunks = new Map<string, Uint8Array>()
  let stopped = false

  const release = (image: SnapshotImage): void => {
    image.close().catch((error: unknown) => report(`a snapshot image could not be released: ${textOf(error)}`))
  }
  const close = (id: string): void => {
    const held = pinned.get(id)
    if (held === undefined) return
    pinned.delete(id)
    // A read in progress still holds the image.
    void held.reads.then(() => release(held.image))
  }

  const readAndSend = async (held: Pinned, to: Member, message: InstallSnapshot): Promise<void> => {
    const id = message.snapshot.id
    if (pinned.get(id) !== held) return
    try {
      const { bytes, last } = await held.image.read(message.offset)
      if (stopped || pinned.get(id) !== held) return
      transport.send(to, { ...message, length: bytes.length, last }, bytes)
      transport.flush()
      if (last) count("snapshot.sent")
    } catch (error) {
      if (stopped || pinned.get(id) !== held) return
      count("snapshot.sendFailed")
      // The core asks again if no answer comes; a machine that can no longer read its data reports damage.
      report(
        `snapshot ${id} could not be read at ${message.offset} for ${to.name}: ${textOf(error)}; it will be tried again`,
      )
    }
  }

  return {
    take: () => {
      machine.takeSnapshot().then(
        (base) => push({ type: "SnapshotTaken", base }),
        (error: unknown) => {
          report(`the state machine could not be made durable: ${textOf(error)}; the log is kept`)
          push({ type: "SnapshotTakeFailed" })
        },
      )
    },
    open: ({ to }) => {
      machine.openSnapshot().then(
        (image) => {
          if (stopped) return release(image)
          const { snapshot } = image
          pinned.set(snapshot.id, { image, reads: Promise.resolve() })
          // A state machine only knows configurations that came as entries, which the founding one did not.
          const configuration = configurationAt(snapshot.index) ?? snapshot.configuration
          push({ type: "SnapshotOpened", to, snapshot: { ...snapshot, configuration } })
        },
        (error: unknown) => {
          count("snapshot.sendFailed")
          report(`no snapshot could be opened for ${to.name}: ${textOf(error)}`)
          push({ type: "SnapshotOpenFailed", to })
        },
      )
    },
    close,
    send: (to, message) => {
      const held = pinned.get(message.snapshot.id)
      // Already released: the transfer was given up in the meantime.
      if (held === undefined) return
      held.reads = held.reads.then(() => readAndSend(held, to, message))
    },
    received: (message, chunk) => {
      chunks.set(placeOf(message.snapshot.id, message.offset), chunk)
    },
    store: ({ snapshot, offset, last }) => {
      const bytes = chunks.get(placeOf(snapshot.id, offset))
      if (bytes === undefined) {
        report(`chunk ${offset} of snapshot ${snapshot.id} came without its bytes`)
        push({ type: "SnapshotRejected", id: snapshot.id })
        return
      }
      machine.storeChunk(snapshot, offset, bytes, last).then(
        (nextOffset) => push({ type: "ChunkStored", id: snapshot.id, nextOffset, last }),
        (error: unknown) => {
          report(`chunk ${offset} of snapshot ${snapshot.id} could not be stored: ${textOf(error)}`)
          push({ type: "SnapshotRejected", id: snapshot.id })
        },
      )
    },
    restore: (snapshot) => {
      machine.restore(snapshot).then(
        () => push({ type: "SnapshotRestored", snapshot }),
        (error: unknown) => {
          report(`snapshot ${snapshot.id} was received and refused: ${textOf(error)}; the state is unchanged`)
          push({ type: "SnapshotRejected", id: snapshot.id })
        },
      )
    },
    batchOver: () => {
      if (chunks.size > 0) chunks.clear()
    },
    stop: () => {
      stopped = true
      for (const id of Array.from(pinned.keys())) close(id)
      chunks.clear()
    },
  }
}
