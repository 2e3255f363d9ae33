/** MULTI, EXEC and WATCH: the queued commands become one log entry, all or nothing. */
import { err, errorReply } from "../../machine/reply.ts"
import type { Reply } from "../../types.ts"
import { noWatches, type ClientState, type QueuedTransaction } from "../client.ts"
import type { Context, ServerHandler, KnownCommand, Words } from "../contract.ts"
import { array, ok, queued, noReply } from "../wire/encode.ts"
import { serverCommand } from "../words.ts"
import { Slices } from "../../machine/slices.ts"

const aborted = errorReply("EXECABORT", "Transaction discarded because of previous errors.")
const unwatched = errorReply("EXECABORT", "Transaction discarded because WATCH failed before it.")

const watchNothing = "The next EXEC will be discarded; UNWATCH starts again."
/** A WATCH of more keys than this is queued with other long reads. */
const watchedAtOnce = 64
const watchWeight = 320

const multi: ServerHandler = ({ client }) => {
  if (client.transaction !== null) return err("MULTI calls can not be nested")
  client.transaction = { calls: [], local: new Map(), bytes: 0, weight: 0, aborted: false, silencing: false }
  return ok
}

const discard: ServerHandler = ({ client }) => {
  if (client.transaction === null) return err("DISCARD without MULTI")
  client.transaction = null
  client.watching = noWatches()
  return ok
}

const exec: ServerHandler = ({ client, host }) => {
  const { transaction, watching } = client
  if (transaction === null) return err("EXEC without MULTI")
  client.transaction = null
  client.watching = noWatches()
  if (transaction.aborted) return aborted
  const { silencing } = transaction
  const skipped = client.skip === "this"
  if (silencing) client.settling = true
  const answer = (reply: Reply): Reply =>
    silencing ? settle(client, transaction, skipped, reply) : merge(transaction, reply)
  return {
    type: "work.write",
    exec: true,
    calls: transaction.calls,
    weight: transaction.weight + watching.weight,
    inOrder: true,
    start: (done, before) => {
      if (watching.failed) return answer(unwatched)
      const watches = [...watching.watches.values()]
      if (transaction.calls.length === 0 && watches.length === 0) return answer(array([]))
      host.service.write(transaction.calls, true, watches, (reply) => done(answer(reply)), before)
      return undefined
    },
  }
}

/** Merges the replies of the connection's own commands with those of the state machine. */
const merge = ({ calls, local }: QueuedTransaction, reply: Reply): Reply => {
  if (local.size === 0 || reply.type !== "array") return reply
  const rest = reply.items[Symbol.iterator]()
  return array(
    Array.from(
      { length: calls.length + local.size },
      (_, at) => local.get(at)?.() ?? rest.next().value ?? err("no reply"),
    ),
  )
}

/**
 * The same for a transaction that contains CLIENT REPLY. As in Redis the header counts all commands, including those
 * without a reply: a client that turns replies off in a transaction must expect that.
 */
const settle = (client: ClientState, { calls, local }: QueuedTransaction, skipped: boolean, reply: Reply): Reply => {
  client.settling = false
  if (skipped) client.skip = "this"
  const muted = (): boolean => client.replies === "off" || client.skip === "this"
  const unheard = muted()
  const executed = reply.type === "array"
  const rest = (executed ? reply.items : [])[Symbol.iterator]()
  const all = executed ? calls.length + local.size : 0
  const items: Reply[] = []
  for (let at = 0; at < all; at++) {
    const item = local.get(at)?.() ?? rest.next().value ?? err("no reply")
    if (item !== noReply && !muted()) items.push(item)
  }
  // A SKIP in the transaction applies to the command after the EXEC.
  client.skip = client.skip === "next" ? "this" : "none"
  return !executed && !unheard ? reply : { type: "array", items, announced: unheard ? null : all }
}

/** A refused EXEC ends its transaction. */
export const execRefused = (client: ClientState, why: string): Reply => {
  client.transaction = null
  client.watching = noWatches()
  return errorReply("EXECABORT", `Transaction discarded because of: ${why}`)
}

const watch: ServerHandler = ({ client, host }, words) => {
  if (client.transaction !== null) return err("WATCH inside MULTI is not allowed")
  const { watching } = client
  const { maxWatched } = host.limits
  const refused = (): void => {
    watching.failed = true
  }
  if (words.length - 1 > maxWatched) {
    refused()
    return errorReply(
      "TOOLARGE",
      `WATCH of ${words.length - 1} keys: a client may watch ${maxWatched}. ${watchNothing}`,
    )
  }
  const one = (key: Buffer): Reply | null => {
    const name = key.toString("latin1")
    // As in Redis, watching a key again changes nothing.
    if (watching.watches.has(name)) return null
    if (watching.watches.size >= maxWatched) {
      refused()
      return errorReply(
        "TOOLARGE",
        `WATCH: this client already watches ${maxWatched} keys, the most that it may. ${watchNothing}`,
      )
    }
    // Copied: a watch may last long, and a view would keep the whole received chunk alive.
    watching.watches.set(name, { key: Buffer.from(key), version: host.service.reader.version(key) })
    watching.weight += watchWeight + 2 * key.length
    return null
  }
  const long = words.length > watchedAtOnce
  const inSlices = async (): Promise<Reply> => {
    const slices = new Slices()
    for (const key of words.slice(1)) {
      const refusal = one(key)
      if (refusal !== null) return refusal
      if (slices.due()) await slices.giveWay()
    }
    return ok
  }
  const atOnce = (): Reply => {
    for (const key of words.slice(1)) {
      const refusal = one(key)
      if (refusal !== null) return refusal
    }
    return ok
  }
  return { type: "work.read", barrier: true, long, run: long ? inSlices : atOnce, refused }
}

const unwatch: ServerHandler = ({ client }) => {
  client.watching = noWatches()
  return ok
}

/**
 * Commands that change or report the connection's state: those after the EXEC must see their effects, and they must not
 * see the effects of later commands.
 */
const ofConnection: ReadonlySet<string> = new Set(["client", "readonly", "readwrite"])

/** Queues a command in the open transaction. */
export const enqueue = (
  context: Context,
  transaction: QueuedTransaction,
  known: KnownCommand,
  words: Words,
  bytes: number,
): Reply => {
  const { does } = known
  if (known.underMulti === "refuse") {
    transaction.aborted = true
    return err(`${known.name.toUpperCase()} inside MULTI is not allowed`)
  }
  const { maxEntryBytes, maxQueued } = context.host.limits
  transaction.bytes += bytes
  if (transaction.bytes > maxEntryBytes)
    return abandon(transaction, `Transaction is larger than ${maxEntryBytes} bytes`)
  if (transaction.aborted) return queued
  if (transaction.calls.length + transaction.local.size >= maxQueued)
    return abandon(transaction, `Transaction has more than ${maxQueued} commands`)
  if (ofConnection.has(known.name)) transaction.silencing = true
  if (typeof does === "string") transaction.calls.push(words)
  else
    transaction.local.set(transaction.calls.length + transaction.local.size, () =>
      local(context, known.name, does, words),
    )
  return queued
}

/** EXEC will discard the transaction: release what is queued now. */
const abandon = (transaction: QueuedTransaction, why: string): Reply => {
  transaction.aborted = true
  transaction.calls.length = 0
  transaction.local.clear()
  transaction.weight = 0
  return errorReply("TOOLARGE", why)
}

/** Called after EXEC was executed: even if one throws, the other replies must be sent. */
const local = (context: Context, name: string, does: ServerHandler, words: Words): Reply => {
  try {
    const answer = does(context, words)
    if (answer.type !== "work.read" && answer.type !== "work.write") return answer
    // An AUTH whose password would have to be checked: here it is not checked, so nothing has to wait for it.
    context.client.proving = false
    return err("this command cannot run inside MULTI")
  } catch (thrown) {
    context.host.faults.report(`${name.toUpperCase()} of a client, inside MULTI`, thrown)
    return err("internal error")
  }
}

export const transactionCommands = [
  serverCommand("multi", 1, multi, { underMulti: "now" }),
  serverCommand("exec", 1, exec, { underMulti: "now" }),
  serverCommand("discard", 1, discard, { underMulti: "now" }),
  serverCommand("watch", -2, watch, { underMulti: "now", firstKey: 1, lastKey: -1, step: 1 }),
  serverCommand("unwatch", 1, unwatch),
]
