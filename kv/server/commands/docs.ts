/** COMMAND DOCS: what redis-cli shows as help and as hints while typing. Families describe their own members. */
import type { Reply } from "../../types.ts"
import type { KnownCommand, Lookup, Subcommand, Words } from "../contract.ts"
import { array, bulkText, map } from "../wire/encode.ts"
import { argumentsOf } from "./syntax.ts"

export interface Doc {
  readonly group: "string" | "generic" | "connection" | "transactions" | "server" | "cluster" | "scripting"
  /** The version of Redis that introduced the command; our own commands have our first version. */
  readonly since: string
  readonly syntax: string
  readonly summary: string
}
type Row = readonly [name: string, since: string, syntax: string, summary: string]
const group = (name: Doc["group"], ...rows: readonly Row[]): readonly (readonly [string, Doc])[] =>
  rows.map(([command, since, syntax, summary]) => [command, { group: name, since, syntax, summary }] as const)

const until = "EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds"

export const docs: ReadonlyMap<string, Doc> = new Map([
  ...group(
    "string",
    ["append", "2.0.0", "key value", "Appends to the value of a key, which is created if it does not exist."],
    [
      "cas",
      "0.1.0",
      "key expected value",
      "Sets the value of a key if it holds the expected one. 1 if it did, otherwise 0.",
    ],
    ["decr", "1.0.0", "key", "Decrements the integer value of a key by one."],
    ["decrby", "1.0.0", "key decrement", "Decrements the integer value of a key by a number."],
    ["get", "1.0.0", "key", "The value of a key."],
    ["getdel", "6.2.0", "key", "The value of a key, which is deleted."],
    ["getex", "6.2.0", `key [${until}|PERSIST]`, "The value of a key, whose time to live is set or removed."],
    ["getrange", "2.4.0", "key start end", "A part of the value, from one byte to another."],
    ["getset", "1.0.0", "key value", "Sets a key and returns its earlier value."],
    ["incr", "1.0.0", "key", "Increments the integer value of a key by one."],
    ["incrby", "1.0.0", "key increment", "Increments the integer value of a key by a number."],
    ["incrbyfloat", "2.6.0", "key float-increment", "Increments the value of a key by a floating-point number."],
    ["mget", "1.0.0", "key [key]...", "The values of several keys."],
    ["mset", "1.0.1", "key value [key value]...", "Sets several keys."],
    ["msetnx", "1.0.1", "key value [key value]...", "Sets several keys if none of them exists."],
    ["psetex", "2.6.0", "key milliseconds value", "Sets a key with its time to live in milliseconds."],
    ["set", "1.0.0", `key value [NX|XX] [GET] [${until}|KEEPTTL]`, "Sets a key."],
    ["setex", "2.0.0", "key seconds value", "Sets a key with its time to live in seconds."],
    ["setnx", "1.0.0", "key value", "Sets a key if it does not exist."],
    ["setrange", "2.2.0", "key offset value", "Overwrites a part of the value, from a byte on."],
    ["strlen", "2.2.0", "key", "The length of the value in bytes."],
    ["substr", "1.0.0", "key start end", "A part of the value: GETRANGE by its old name."],
  ),
  ...group(
    "generic",
    ["copy", "6.2.0", "source destination [DB index] [REPLACE]", "Copies value and time to live to another key."],
    ["del", "1.0.0", "key [key]...", "Deletes keys."],
    ["exists", "1.0.0", "key [key]...", "How many of the keys exist."],
    ["expire", "1.0.0", "key seconds [NX|XX|GT|LT]", "Sets the time to live of a key in seconds."],
    ["expireat", "1.2.0", "key unix-time-seconds [NX|XX|GT|LT]", "Sets the time at which a key expires, in seconds."],
    ["expiretime", "7.0.0", "key", "The time at which a key expires, in seconds."],
    ["keys", "1.0.0", "pattern", "All keys that match a pattern."],
    [
      "lease",
      "0.1.0",
      "key holder milliseconds",
      "Acquires a lease on a key, or renews it, unless another holder has it. Returns the fencing token, the holder, and the time left.",
    ],
    ["object", "2.2.3", "", "Facts about a value."],
    ["persist", "2.2.0", "key", "Removes the time to live of a key."],
    ["pexpire", "2.6.0", "key milliseconds [NX|XX|GT|LT]", "Sets the time to live of a key in milliseconds."],
    [
      "pexpireat",
      "2.6.0",
      "key unix-time-milliseconds [NX|XX|GT|LT]",
      "Sets the time at which a key expires, in milliseconds.",
    ],
    ["pexpiretime", "7.0.0", "key", "The time at which a key expires, in milliseconds."],
    ["pttl", "2.6.0", "key", "The time to live of a key in milliseconds."],
    ["randomkey", "1.0.0", "", "One of the keys."],
    [
      "release",
      "0.1.0",
      "key holder",
      "Releases the lease that the holder has on a key. 1 if it had one, otherwise 0.",
    ],
    ["rename", "1.0.0", "key newkey", "Renames a key; a key with the new name is overwritten."],
    ["renamenx", "1.0.0", "key newkey", "Renames a key if no key has the new name."],
    [
      "scan",
      "2.8.0",
      "cursor [MATCH pattern] [COUNT count] [TYPE type]",
      "Some of the keys, and the cursor for the next ones.",
    ],
    ["touch", "3.2.1", "key [key]...", "How many of the keys exist."],
    ["ttl", "1.0.0", "key", "The time to live of a key in seconds."],
    ["type", "1.0.0", "key", "The type of a value: string, or none."],
    ["unlink", "4.0.0", "key [key]...", "Deletes keys."],
  ),
  ...group(
    "connection",
    ["auth", "1.0.0", "[username] password", "Logs in as the user default; any password is accepted."],
    ["client", "2.4.0", "", "Connections of clients."],
    ["echo", "1.0.0", "message", "Returns its argument."],
    [
      "hello",
      "6.0.0",
      "[protocol-version [AUTH username password] [SETNAME name]]",
      "Chooses the protocol version and describes the server.",
    ],
    ["ping", "1.0.0", "[message]", "Returns PONG, or its argument."],
    ["quit", "1.0.0", "", "Ends the connection."],
    ["reset", "6.2.0", "", "Resets the connection to its initial state."],
    ["select", "1.0.0", "index", "Chooses the database: there is only one, 0."],
  ),
  ...group(
    "transactions",
    ["discard", "2.0.0", "", "Ends a transaction without executing it."],
    ["exec", "1.2.0", "", "Executes a transaction: one entry of the log."],
    ["multi", "1.2.0", "", "Begins a transaction."],
    ["unwatch", "2.2.0", "", "Forgets all watched keys."],
    ["watch", "2.2.0", "key [key]...", "Makes the next EXEC do nothing if one of the keys has changed."],
  ),
  ...group(
    "server",
    ["command", "2.8.13", "", "All commands, or some of them, with their syntax."],
    ["config", "2.0.0", "", "Settings."],
    ["dbsize", "1.0.0", "", "How many keys there are."],
    ["flushall", "1.0.0", "[ASYNC|SYNC]", "Deletes all keys, in one step."],
    ["flushdb", "1.0.0", "[ASYNC|SYNC]", "Deletes all keys, in one step."],
    ["info", "1.0.0", "[section]...", "Facts and counters of the node."],
    ["memory", "4.0.0", "", "What a key takes."],
    ["monitor", "1.0.0", "", "Always an error: no node sees the commands of all clients."],
    ["role", "2.8.12", "", "Whether the node leads, and which node it follows or which nodes follow it."],
    [
      "stepraft",
      "0.1.0",
      "",
      "Commands that Redis does not have: sessions of clients, versions, the state of the node.",
    ],
    ["time", "2.6.0", "", "The clock of the node."],
  ),
  ...group("scripting", [
    "function",
    "7.0.0",
    "",
    "There are no functions; only listing and flushing them is answered.",
  ]),
  ...group(
    "cluster",
    ["cluster", "3.0.0", "", "The cluster as clients of Redis Cluster see it."],
    ["readonly", "3.0.0", "", "Makes the reads of the connection local: fast, and perhaps stale."],
    ["readwrite", "3.0.0", "", "Makes the reads of the connection linearizable again."],
  ),
])

const member = (of: Doc, name: string, { syntax, summary }: Subcommand): readonly [Reply, Reply] => {
  const told = argumentsOf(syntax)
  return [
    bulkText(name),
    map({
      summary: bulkText(summary),
      since: bulkText(of.since),
      group: bulkText(of.group),
      ...(told.length === 0 ? {} : { arguments: array(told) }),
    }),
  ]
}
const described = ({ name, subcommands = [] }: KnownCommand): readonly [Reply, Reply] | null => {
  const doc = docs.get(name)
  if (doc === undefined) return null
  const told = argumentsOf(doc.syntax)
  return [
    bulkText(name),
    map({
      summary: bulkText(doc.summary),
      since: bulkText(doc.since),
      group: bulkText(doc.group),
      ...(told.length === 0 ? {} : { arguments: array(told) }),
      ...(subcommands.length === 0
        ? {}
        : { subcommands: { type: "map", entries: subcommands.map((one) => member(doc, `${name}|${one.name}`, one)) } }),
    }),
  ]
}
const there = <A>(one: A | null): one is A => one !== null

/** The whole reply, built once for each list of commands. */
const whole = new WeakMap<readonly KnownCommand[], Reply>()
export const docsOf = (table: Lookup, names: Words): Reply => {
  if (names.length > 0)
    return {
      type: "map",
      entries: names
        .map((name) => table.find(name))
        .flatMap((known) => (known === undefined ? [] : [described(known)]))
        .filter(there),
    }
  const reply: Reply = whole.get(table.all) ?? { type: "map", entries: table.all.map(described).filter(there) }
  whole.set(table.all, reply)
  return reply
}
