/** What an entry of a replica's log tells its state machine, as bytes. */
import { MalformedBytes, Reader, Writer } from "../bytes.ts"

export type ReplicaCommand =
  /** A server begins a session: a line of numbers of its own. Its earlier session ends. */
  | { readonly type: "Open"; readonly owner: string; readonly secret: string }
  /** Number `sequence` of `session`. Results below `lowest` have arrived. */
  | { readonly type: "Execute"; readonly session: number; readonly sequence: number; readonly lowest: number; readonly body: Uint8Array }
  /** The leader's digest of all results through `index`: a server with another one does not execute the same. */
  | { readonly type: "Compare"; readonly index: number; readonly digest: number }

const OPEN = 1
const EXECUTE = 2
const COMPARE = 3

export const encodeReplicaCommand = (command: ReplicaCommand): Uint8Array => {
  const w = new Writer(command.type === "Execute" ? command.body.length + 32 : 128)
  switch (command.type) {
    case "Open":
      w.u8(OPEN)
      w.text(command.owner)
      w.text(command.secret)
      break
    case "Execute":
      w.u8(EXECUTE)
      w.u48(command.session)
      w.u48(command.sequence)
      w.u48(command.lowest)
      w.bytes(command.body)
      break
    case "Compare":
      w.u8(COMPARE)
      w.u48(command.index)
      w.u32(command.digest)
      break
  }
  return w.take()
}

/** Throws MalformedBytes. */
export const decodeReplicaCommand = (bytes: Uint8Array): ReplicaCommand => {
  const r = new Reader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
  const kind = r.u8()
  const command = ((): ReplicaCommand => {
    switch (kind) {
      case OPEN:
        return { type: "Open", owner: r.text(), secret: r.text() }
      case EXECUTE:
        return { type: "Execute", session: r.u48(), sequence: r.u48(), lowest: r.u48(), body: r.view() }
      case COMPARE:
        return { type: "Compare", index: r.u48(), digest: r.u32() }
      default:
        throw new MalformedBytes(`there is no command of kind ${kind}`)
    }
  })()
  r.done()
  return command
}
