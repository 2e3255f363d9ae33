/**
 * Writes of connections without a session of their own use the node's session, so that they too are executed exactly
 * once.
 */
import { payloadOf } from "../../interpreters/payload.ts"
import { ServerSession } from "../../interpreters/replica/index.ts"
import { encodeCommand } from "../machine/command.ts"
import { secretOf } from "../sessionKey.ts"
import type { Call, ReadHere, Reply, Watch } from "../types.ts"
import { argumentsIn, commandSize, commandWeight, type ServiceParts } from "./parts.ts"
import { tooLarge, tooMany } from "./replies.ts"

export interface Write {
  readonly calls: readonly Call[]
  readonly exec: boolean
  readonly watches: readonly Watch[]
  /** Called just before this node executes the write. */
  readonly before: ((read: ReadHere) => void) | undefined
}

export const openOwnSession = (parts: ServiceParts, owner: string): ServerSession<Write, Reply> =>
  new ServerSession(parts, {
    owner,
    opening: (secret) => payloadOf(encodeCommand({ type: "OpenSession", owner, secret: secretOf(secret) })),
    command: ({ exec, watches, calls }, session, sequence, lowest) =>
      payloadOf(encodeCommand({ type: "Execute", session, secret: null, sequence, lowest, exec, watches, calls })),
    outcomeOf: (session, sequence) => parts.machine.replyOf(session, null, sequence),
  })

/** `done` is called once, never before this call has returned. */
export const writeInOwnSession = (
  parts: ServiceParts,
  session: ServerSession<Write, Reply>,
  write: Write,
  done: (reply: Reply) => void,
): void => {
  const { settings, soon } = parts
  const words = argumentsIn(write.calls, write.watches)
  const size = commandSize(write.calls, write.watches)
  if (words > settings.maxArguments) soon(() => done(tooMany(settings.maxArguments)))
  else if (size > settings.maxEntryBytes) soon(() => done(tooLarge(settings.maxEntryBytes)))
  else session.execute(write, commandWeight(size, words), done)
}
