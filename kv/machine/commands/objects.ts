/** OBJECT and MEMORY: facts about one value. */
import { INLINE } from "../cost.ts"
import { NULL, ONE, bulk, err, help, integer, notAnInteger, quoted, syntaxError, wrongArity } from "../reply.ts"
import { type Arguments, type CommandHandler, MAX_DIGITS, argument, parseInt64, upper } from "./view.ts"
import type { Reply } from "../../types.ts"

/** As in Redis: a string of at most this many bytes is allocated together with its header. */
const EMBEDDED = 44

const unknown = (name: string, args: Arguments): Reply =>
  err(`unknown subcommand '${quoted(argument(args, 1), 128)}'. Try ${name} HELP.`)
const arity = (name: string, args: Arguments): Reply => wrongArity(`${name}|${upper(argument(args, 1))}`)

/**
 * The encoding that Redis reports for a value that was set as a whole. Here all values are bytes, but some programs ask
 * whether a value is an integer.
 */
const encoding: CommandHandler = (view, args) => {
  const key = argument(args, 2)
  const item = view.get(key)
  if (item === undefined) return NULL
  if (item.length <= MAX_DIGITS && parseInt64(view.value(key, item)) !== undefined) return bulk(Buffer.from("int"))
  return bulk(Buffer.from(item.length <= EMBEDDED ? "embstr" : "raw"))
}
const ifThere =
  (answer: Reply): CommandHandler =>
  (view, args) =>
    view.get(argument(args, 2)) === undefined ? NULL : answer

export const objectHelp: Readonly<Record<string, string>> = {
  encoding: "How Redis would hold the value: int, embstr or raw.",
  freq: "An error: nothing is evicted, so accesses are not counted.",
  idletime: "An error: reads leave no trace.",
  refcount: "1.",
}
export const memoryHelp =
  "Bytes of key and value in the database; a string is counted completely, so SAMPLES changes nothing."

const objects: ReadonlyMap<string, CommandHandler> = new Map([
  ["ENCODING", encoding],
  ["REFCOUNT", ifThere(ONE)],
  [
    "FREQ",
    ifThere(err("An LFU maxmemory policy is not selected, access frequency not tracked: nothing is evicted here.")),
  ],
  ["IDLETIME", ifThere(err("idle time is not tracked: a read changes nothing here, on no node."))],
])
export const object: CommandHandler = (view, args) => {
  const sub = upper(argument(args, 1))
  if (sub === "HELP") {
    if (args.length !== 2) return arity("OBJECT", args)
    return help(
      "OBJECT",
      Object.fromEntries(Object.entries(objectHelp).map(([name, text]) => [`${name.toUpperCase()} key`, text])),
    )
  }
  const found = objects.get(sub)
  if (found === undefined) return unknown("OBJECT", args)
  return args.length === 3 ? found(view, args) : arity("OBJECT", args)
}

/**
 * Bytes of a record in the database besides key and value: kind, generation, place, checksum, version, deadline, place.
 */
const RECORD = 30
/** The same for a large value that is stored separately, and for a deadline. */
const APART = 21
const DEADLINE = 13

/** Bytes of the key's records in the database, the same on every node. */
const usage: CommandHandler = (view, args) => {
  for (let i = 3; i < args.length; i += 2) {
    const count = args[i + 1]
    if (upper(argument(args, i)) !== "SAMPLES" || count === undefined) return syntaxError
    const samples = parseInt64(count)
    if (samples === undefined) return notAnInteger
    if (samples < 0n) return syntaxError
  }
  const key = argument(args, 2)
  const item = view.get(key)
  if (item === undefined) return NULL
  return integer(
    RECORD +
      key.length +
      item.length +
      (item.length > INLINE ? APART + key.length : 0) +
      (item.expiry === 0 ? 0 : DEADLINE + key.length),
  )
}
export const memory: CommandHandler = (view, args) => {
  switch (upper(argument(args, 1))) {
    case "USAGE":
      return args.length < 3 ? arity("MEMORY", args) : usage(view, args)
    case "HELP":
      return args.length === 2 ? help("MEMORY", { "USAGE key [SAMPLES count]": memoryHelp }) : arity("MEMORY", args)
    default:
      return unknown("MEMORY", args)
  }
}
