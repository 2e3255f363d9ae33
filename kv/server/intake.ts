/** Decides about an arrived command: refuse it, queue it for EXEC, or let it take its turn. */
import { err, errorReply } from "../machine/reply.ts"
import { unknownCommand, wrongArity } from "../machine/index.ts"
import type { Reply } from "../types.ts"
import { SMALL } from "./limits/budget.ts"
import { enqueue, execRefused } from "./commands/transaction.ts"
import type { Context, ServerHandler, Host, KnownCommand, Words, OrderedWork } from "./contract.ts"
import { movedReply } from "./commands/redirect.ts"
import { isAdministrative } from "./limits/reserve.ts"
import type { RequestParser, RequestTooLarge } from "./wire/resp.ts"
import { usageName } from "./usage.ts"
import { denied } from "./denied.ts"
import { arityFits, keysOf } from "./words.ts"

const failed = err("internal error")

/** Any exception in a client's command is reported and counted, and becomes the command's reply. */
export const internalErrorReply = (host: Host, words: Words, thrown: unknown): Reply => {
  host.faults.report(`${words[0]?.toString("latin1", 0, 32).toUpperCase() ?? "a command"} of a client`, thrown)
  return failed
}

/** The refusal of a command to protect all clients together. */
export const refuseBusy = ({ budget }: Host, why: string): Reply => {
  budget.refused++
  return errorReply(
    "BUSY",
    `${why}, and the clients of this node together hold ${budget.used} of the ${budget.limit} bytes that they may. Nothing was executed: try again later.`,
  )
}

const refuse = (context: Context, known: KnownCommand, words: Words, parser: RequestParser): Reply | null => {
  const { host } = context
  if (!arityFits(known, words)) return wrongArity(known.name)
  const wrong = known.wrong?.(words) ?? null
  if (wrong !== null) return wrong
  if (parser.requestWeight > SMALL && host.budget.tight) return refuseBusy(host, "the request is large")
  return known.firstKey > 0 && host.redirect ? movedReply(context, keysOf(known, words)[0]) : null
}

const handled = (context: Context, handler: ServerHandler, words: Words): Reply | OrderedWork => {
  try {
    return handler(context, words)
  } catch (thrown) {
    return internalErrorReply(context.host, words, thrown)
  }
}
/** A command that is answered at once is counted here; one that waits for its turn is counted when it is answered. */
const run = (context: Context, known: KnownCommand, handler: ServerHandler, words: Words): Reply | OrderedWork => {
  const began = performance.now()
  const answer = handled(context, handler, words)
  if (answer.type !== "work.write" && answer.type !== "work.read")
    context.host.usage.ran(known, words, answer, (performance.now() - began) * 1000)
  return answer
}

/**
 * Returns the answer, or the kind of a command that waits for its turn in the queue. `parser` has just returned the
 * command.
 */
export const beginCommand = (
  context: Context,
  known: KnownCommand | undefined,
  words: Words,
  parser: RequestParser,
): Reply | OrderedWork | "write" | "read" => {
  const { client, host } = context
  const { transaction } = client
  if (client.reserved !== null && !isAdministrative(known, words)) {
    client.leaving = true
    return client.reserved
  }
  const refusal =
    denied(context, known, words) ??
    (known === undefined ? unknownCommand(words) : refuse(context, known, words, parser))
  if (known === undefined || refusal !== null) {
    host.usage.rejected(known, words, refusal ?? failed)
    if (transaction !== null) transaction.aborted = true
    if (known?.name === "exec" && refusal?.type === "error") return execRefused(client, refusal.text)
    // The transaction that depends on this watch must not run. If no key was named, no transaction depends on it.
    if (known?.name === "watch" && words.length > 1) client.watching.failed = true
    return refusal ?? failed
  }
  client.lastCommand = usageName(known, words)
  if (transaction !== null && known.underMulti !== "now")
    return enqueue(context, transaction, known, words, parser.requestBytes)
  return typeof known.does === "string" ? known.does : run(context, known, known.does, words)
}

/** The reply to a command of which only the name was read. */
export const oversizedCommand = ({ client, host }: Context, { name, text }: RequestTooLarge): Reply => {
  const refusal = denied({ client, host }, undefined, [])
  if (refusal !== null) return refusal
  if (client.transaction !== null) client.transaction.aborted = true
  if (host.table.find(name)?.name === "watch") client.watching.failed = true
  return errorReply("TOOLARGE", text)
}
