/**
 * STEPRAFT: commands that Redis does not have.
 *
 *   STEPRAFT STATUS                                          state of the node, as JSON
 *   STEPRAFT MEMBER …, STEPRAFT TRANSFER [name]              who belongs to the cluster, who leads it (members.ts)
 *   STEPRAFT SNAPSHOT OPEN | READ | CLOSE                    the data, for a backup (snapshot.ts)
 *   STEPRAFT VERSION key [key …]                             versions for the watches of STEPRAFT EXEC (linearizable)
 *   STEPRAFT SESSION OPEN owner | CLOSE session              a session of the client's own: exactly-once across nodes.
 *                                                            What OPEN returns is the session's key: whoever has it is in
 *   STEPRAFT DO session sequence lowest command [arg …]      one command within a session
 *   STEPRAFT EXEC session sequence lowest watches [key version …] {count command [arg …]}…
 *                                                            several at once, all or nothing; `watches` is how many
 *                                                            pairs follow, `count` how many words a command has
 *
 * If the command was executed under its number and ended in an error, DO and EXEC answer RESULT and then that error:
 * `-RESULT ERR value is not an integer or out of range`. With any other error this copy was not executed, unless
 * its first word says otherwise (UNKNOWN, FORGOTTEN).
 */
import { err, integer } from "../../machine/reply.ts"
import { unknownCommand, wrongArity } from "../../machine/index.ts"
import { Slices } from "../../machine/slices.ts"
import { LONGEST_KEY, parseSessionKey } from "../../sessionKey.ts"
import type { Call, Reply, SessionKey, Watch } from "../../types.ts"
import { denied } from "../denied.ts"
import { container, sub } from "./container.ts"
import { memberHandler, transferHandler } from "./members.ts"
import type { Context, ServerHandler, Host, Words } from "../contract.ts"
import { snapshot } from "./snapshot.ts"
import { array, bulkText } from "../wire/encode.ts"
import { movedReply } from "./redirect.ts"
import { arityFits, keysOf, naturalAt, textAt, tooManyWords, unknownSubcommand, wordAt } from "../words.ts"

/** VERSION of more keys than this is queued with other long reads. */
const keysAtOnce = 64

const notNumbers = err("STEPRAFT: sequence and lowest are whole numbers below 2^48, sequence from 1")
const notKey = err("STEPRAFT: the session is the word that STEPRAFT SESSION OPEN returned")
const malformed = err("STEPRAFT EXEC session sequence lowest watches [key version ...] {count command [arg ...]} ...")

interface Place {
  readonly session: SessionKey
  readonly sequence: number
  readonly lowest: number
}
const isReply = (value: Place | Reply): value is Reply => "type" in value
/** Parses a session key; words longer than a key are not parsed. */
const keyAt = (words: Words, at: number): SessionKey | null => {
  const word = words[at]
  return word === undefined || word.length > LONGEST_KEY ? null : parseSessionKey(word.toString("latin1"))
}
/** The parsed words, or the reply that refuses them. */
const placeOf = (words: Words): Place | Reply => {
  const session = keyAt(words, 2)
  if (session === null) return notKey
  const sequence = naturalAt(words, 3)
  const lowest = naturalAt(words, 4)
  return sequence === null || sequence === 0 || lowest === null ? notNumbers : { session, sequence, lowest }
}

/** Why a call may not enter the log, or null. */
const refusal = (context: Context, call: Words): Reply | null => {
  const known = context.host.table.find(call[0])
  if (known === undefined) return unknownCommand(call)
  const barred = denied(context, known, call)
  if (barred !== null) return barred
  if (!arityFits(known, call)) return wrongArity(known.name)
  if (typeof known.does !== "string" || known.underMulti === "refuse")
    return err(`${known.name.toUpperCase()} cannot run within a session`)
  return movedReply(context, keysOf(known, call)[0])
}

const write = (
  host: Host,
  { session, sequence, lowest }: Place,
  calls: readonly Call[],
  exec: boolean,
  watches: readonly Watch[],
): ReturnType<ServerHandler> => ({
  type: "work.write",
  exec,
  inOrder: false,
  calls,
  start: (done) => {
    host.service.writeInSession(session, sequence, lowest, calls, exec, watches, done)
    return undefined
  },
})

const one: ServerHandler = (context, words) => {
  if (words.length < 6) return wrongArity("stepraft|do")
  const place = placeOf(words)
  if (isReply(place)) return place
  const call = words.slice(5)
  return refusal(context, call) ?? write(context.host, place, [call], false, [])
}

const several: ServerHandler = (context, words) => {
  if (words.length < 6) return wrongArity("stepraft|exec")
  const place = placeOf(words)
  if (isReply(place)) return place
  const watches: Watch[] = []
  const watchCount = naturalAt(words, 5)
  let at = 6
  if (watchCount === null || watchCount > words.length) return malformed
  for (; watches.length < watchCount; at += 2) {
    const key = words[at]
    const version = naturalAt(words, at + 1)
    if (key === undefined || version === null) return malformed
    watches.push({ key, version })
  }
  const calls: Words[] = []
  while (at < words.length) {
    const count = naturalAt(words, at)
    if (count === null || count === 0 || at + 1 + count > words.length) return malformed
    const call = words.slice(at + 1, at + 1 + count)
    const refused = refusal(context, call)
    if (refused !== null) return refused
    calls.push(call)
    at += 1 + count
  }
  return calls.length === 0 ? malformed : write(context.host, place, calls, true, watches)
}

const session: ServerHandler = ({ host }, words) => {
  const sub = wordAt(words, 2)
  if (words.length !== 4) return wrongArity("stepraft|session")
  if (sub === "open") {
    const owner = textAt(words, 3)
    if (owner === "" || owner.length > 256) return err("the owner of a session is a name of 1 to 256 characters")
    return {
      type: "work.write",
      exec: false,
      inOrder: false,
      start: (done) => {
        host.service.openSession(owner, done)
        return undefined
      },
    }
  }
  if (sub !== "close") return unknownSubcommand("stepraft|session", words[2])
  const key = keyAt(words, 3)
  if (key === null) return notKey
  return {
    type: "work.write",
    exec: false,
    inOrder: false,
    start: (done) => {
      host.service.closeSession(key, done)
      return undefined
    },
  }
}

const version: ServerHandler = (context, words) => {
  const keys = words.slice(2)
  if (keys.length === 0) return wrongArity("stepraft|version")
  const {
    service: { reader },
    limits,
  } = context.host
  const refused = tooManyWords("STEPRAFT VERSION", words, limits.maxWatched + 2) ?? movedReply(context, keys[0])
  if (refused !== null) return refused
  const inSlices = async (): Promise<Reply> => {
    const slices = new Slices()
    const versions: Reply[] = []
    for (const key of keys) {
      versions.push(integer(reader.version(key)))
      if (slices.due()) await slices.giveWay()
    }
    return array(versions)
  }
  const long = keys.length > keysAtOnce
  return {
    type: "work.read",
    barrier: context.client.consistency === "linearizable",
    long,
    run: () => (long ? inSlices() : array(keys.map((key) => integer(reader.version(key))))),
  }
}

export const stepraftCommands = [
  container(
    "stepraft",
    {
      status: sub("", "The state of the node, as JSON.", ({ host }) => bulkText(JSON.stringify(host.service.status()))),
      version: sub("key [key]...", "Versions of keys, for the watches of STEPRAFT EXEC.", version),
      member: sub(
        "LIST|ADD name [AT address] [WAIT milliseconds]|PROMOTE name [EVENIFQUORUMISLOST] [WAIT milliseconds]|REMOVE name [EVENIFQUORUMISLOST] [WAIT milliseconds]|REPLACE name [BY other] [AT address] [EVENIFQUORUMISLOST] [WAIT milliseconds]",
        "The members of the cluster: lists them, or changes them and answers once that is done.",
        memberHandler,
      ),
      transfer: sub(
        "[name] [WAIT milliseconds]",
        "Makes another node the leader: the one of that name, or any that is up to date.",
        transferHandler,
      ),
      snapshot: sub(
        "OPEN [LOCAL]|READ id offset|CLOSE id",
        "A consistent copy of the data, in pieces, for a backup.",
        snapshot,
      ),
      session: sub(
        "OPEN owner|CLOSE session",
        "Opens a session of the client and returns its key, or closes it.",
        session,
      ),
      do: sub(
        "session sequence lowest command [arg]...",
        "One command within a session: executed once, however often it is sent.",
        one,
      ),
      exec: sub(
        "session sequence lowest watches [part]...",
        "Several commands within a session, all or nothing.",
        several,
      ),
    },
    { flags: ["write"], underMulti: "refuse" },
  ),
]
