/** MULTI, EXEC and WATCH: what is queued becomes one log entry, all or nothing. */
import type { Reply } from "../../types.ts"
import { noWatches, type Transaction } from "../client.ts"
import type { Context, Handler, Known, Words } from "../contract.ts"
import { array, err, errorReply, ok, queued } from "../encode.ts"
import { own } from "../words.ts"

const aborted = errorReply("EXECABORT", "Transaction discarded because of previous errors.")
const unwatched = errorReply("EXECABORT", "Transaction discarded because WATCH failed before it.")

const multi: Handler = ({ client }) => {
  if (client.transaction !== null) return err("MULTI calls can not be nested")
  client.transaction = { calls: [], local: new Map(), bytes: 0, aborted: false }
  return ok
}

const discard: Handler = ({ client }) => {
  if (client.transaction === null) return err("DISCARD without MULTI")
  client.transaction = null
  client.watching = noWatches()
  return ok
}

const exec: Handler = ({ client, host }) => {
  const { transaction, watching } = client
  if (transaction === null) return err("EXEC without MULTI")
  client.transaction = null
  client.watching = noWatches()
  if (transaction.aborted) return aborted
  return {
    type: "work.write",
    exec: true,
    start: (done) => {
      if (watching.failed) return unwatched
      if (transaction.calls.length === 0 && watching.watches.length === 0) return merge(transaction, array([]))
      host.service.write(transaction.calls, true, watching.watches, (reply) => done(merge(transaction, reply)))
      return undefined
    },
  }
}

/** Puts the answers of the connection's own commands between those of the state machine. */
const merge = ({ calls, local }: Transaction, reply: Reply): Reply => {
  if (local.size === 0 || reply.type !== "array") return reply
  const rest = reply.items[Symbol.iterator]()
  return array(Array.from({ length: calls.length + local.size }, (_, at) => local.get(at)?.() ?? rest.next().value ?? err("no reply")))
}

const watch: Handler = ({ client, host }, words) => {
  if (client.transaction !== null) return err("WATCH inside MULTI is not allowed")
  const { watching } = client
  return {
    type: "work.read",
    barrier: true,
    run: () => {
      // Copied: a watch may last, and would hold on to the chunk that its key came in.
      for (const key of words.slice(1)) watching.watches.push({ key: Buffer.from(key), version: host.service.reader.version(key) })
      return ok
    },
    refused: () => {
      watching.failed = true
    },
  }
}

const unwatch: Handler = ({ client }) => {
  client.watching = noWatches()
  return ok
}

/** Takes a command into the open transaction. */
export const enqueue = (context: Context, transaction: Transaction, known: Known, words: Words, bytes: number): Reply => {
  const { does } = known
  if (known.underMulti === "refuse") {
    transaction.aborted = true
    return err(`${known.name.toUpperCase()} inside MULTI is not allowed`)
  }
  transaction.bytes += bytes
  if (transaction.bytes > context.host.limits.maxEntryBytes) {
    transaction.aborted = true
    transaction.calls.length = 0
    return errorReply("TOOLARGE", `Transaction is larger than ${context.host.limits.maxEntryBytes} bytes`)
  }
  if (transaction.aborted) return queued
  if (typeof does === "string") transaction.calls.push(words)
  else transaction.local.set(transaction.calls.length + transaction.local.size, () => atOnce(context, known.name, does, words))
  return queued
}

/** Called after EXEC was executed: whatever it throws, the other replies are due. */
const atOnce = (context: Context, name: string, does: Handler, words: Words): Reply => {
  try {
    const answer = does(context, words)
    return answer.type === "work.read" || answer.type === "work.write" ? err("this command cannot run inside MULTI") : answer
  } catch (thrown) {
    context.host.faults.report(`${name.toUpperCase()} of a client, inside MULTI`, thrown)
    return err("internal error")
  }
}

export const transactionCommands = [
  own("multi", 1, multi, { underMulti: "now" }),
  own("exec", 1, exec, { underMulti: "now" }),
  own("discard", 1, discard, { underMulti: "now" }),
  own("watch", -2, watch, { underMulti: "now", firstKey: 1, lastKey: -1, step: 1 }),
  own("unwatch", 1, unwatch),
]
