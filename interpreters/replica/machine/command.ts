/** The commands in the log of a replica, as bytes. */
import { MalformedBytes } from "../../malformed.ts"
import { RecordReader, RecordWriter } from "./record.ts"
import type { LeaseRequest } from "../../lease/index.ts"

/** What a numbered command of a session asks for. */
export type CommandBody =
  /** A command for the user's machine, encoded by its codec. */
  { readonly type: "command"; readonly bytes: Uint8Array } | { readonly type: "lease"; readonly request: LeaseRequest }

export type ReplicaCommand =
  /** A server opens a session, in which it numbers its commands. Its earlier session ends. */
  | { readonly type: "Open"; readonly owner: string; readonly secret: string }
  /** Command number `sequence` of `session`. The server has received all results below `lowest`. */
  | {
      readonly type: "Execute"
      readonly session: number
      readonly sequence: number
      readonly lowest: number
      readonly body: CommandBody
    }
  /** The digest of all results of one server through `index`: a server with another digest has got other results. */
  | { readonly type: "Compare"; readonly owner: string; readonly index: number; readonly digest: number }

const OPEN = 1
const EXECUTE = 2
const COMPARE = 3
const COMMAND = 1
const TAKE = 2
const RELEASE = 3

const writeBody = (w: RecordWriter, body: CommandBody): void => {
  if (body.type === "command") {
    w.u8(COMMAND)
    w.bytes(body.bytes)
    return
  }
  const { request } = body
  w.u8(request.type === "take" ? TAKE : RELEASE)
  w.text(request.name)
  w.text(request.holder)
  if (request.type === "take") w.u48(request.ttl)
}
const readBody = (r: RecordReader): CommandBody => {
  const kind = r.u8()
  switch (kind) {
    case COMMAND:
      return { type: "command", bytes: r.bytes() }
    case TAKE:
      return { type: "lease", request: { type: "take", name: r.text(), holder: r.text(), ttl: r.u48() } }
    case RELEASE:
      return { type: "lease", request: { type: "release", name: r.text(), holder: r.text() } }
    default:
      throw new MalformedBytes(`there is no body of kind ${kind}`)
  }
}

export const encodeReplicaCommand = (command: ReplicaCommand): Uint8Array => {
  const w = new RecordWriter(
    command.type === "Execute" && command.body.type === "command" ? command.body.bytes.length + 32 : 128,
  )
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
      writeBody(w, command.body)
      break
    case "Compare":
      w.u8(COMPARE)
      w.text(command.owner)
      w.u48(command.index)
      w.u32(command.digest)
      break
  }
  return w.take()
}

/** Throws MalformedBytes. */
export const decodeReplicaCommand = (bytes: Uint8Array): ReplicaCommand => {
  const r = new RecordReader(bytes)
  const kind = r.u8()
  const command = ((): ReplicaCommand => {
    switch (kind) {
      case OPEN:
        return { type: "Open", owner: r.text(), secret: r.text() }
      case EXECUTE:
        return { type: "Execute", session: r.u48(), sequence: r.u48(), lowest: r.u48(), body: readBody(r) }
      case COMPARE:
        return { type: "Compare", owner: r.text(), index: r.u48(), digest: r.u32() }
      default:
        throw new MalformedBytes(`there is no command of kind ${kind}`)
    }
  })()
  r.done()
  return command
}
