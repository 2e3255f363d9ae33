/** Commands with which clients and tools inspect the server: COMMAND, CONFIG, FUNCTION, TIME. */
import { err, errorReply, integer } from "../../machine/reply.ts"
import { glob } from "../../machine/commands/glob.ts"
import { wrongArity } from "../../machine/index.ts"
import type { Reply } from "../../types.ts"
import { container, sub } from "./container.ts"
import type { Context, ServerHandler, Host, KnownCommand, Subcommand, Words } from "../contract.ts"
import { array, bulkText, fixed, map, nil, ok } from "../wire/encode.ts"
import { arityFits, keysOf, serverCommand, quotedWord, tooManyWords, wordAt } from "../words.ts"
import { docsOf } from "./docs.ts"

const syntaxError = err("syntax error")
const mostNames = 1024
const mostPatterns = 64
/** Longer than any of our names. KEYS and SCAN have their own limit. */
const longestPattern = 128

const flag = (text: string): Reply => ({ type: "simple", text })

const described = (
  name: string,
  { arity, firstKey, lastKey, step, flags }: Pick<KnownCommand, "arity" | "firstKey" | "lastKey" | "step" | "flags">,
  members: readonly Reply[],
): Reply =>
  array([
    bulkText(name),
    integer(arity),
    array(flags.map(flag)),
    integer(firstKey),
    integer(lastKey),
    integer(step),
    array(categoriesOf(flags).map((category) => flag(`@${category}`))),
    array([]),
    array([]),
    array(members),
  ])
const categoriesOf = (flags: readonly string[]): readonly string[] => [
  ...flags.filter((name) => categories.has(name)).map((name) => (name === "readonly" ? "read" : name)),
  ...(flags.includes("fast") ? [] : ["slow"]),
]
const categories: ReadonlySet<string> = new Set(["write", "readonly", "admin", "fast"])
/** A member of a family has no keys unless the family says so. */
const describeMember = (known: KnownCommand, { name, arity }: Subcommand): Reply =>
  described(
    `${known.name}|${name}`,
    { ...known, arity, ...(name === "help" ? { firstKey: 0, lastKey: 0, step: 0 } : {}) },
    [],
  )
const describe = (known: KnownCommand): Reply =>
  described(
    known.name,
    known,
    (known.subcommands ?? []).map((one) => describeMember(known, one)),
  )

/** The command of this name; for a member of a family both names: client|list. */
const describeNamed = (host: Host, word: Buffer): Reply => {
  const bar = word.indexOf("|")
  const known = host.table.find(bar < 0 ? word : word.subarray(0, bar))
  if (known === undefined) return nil
  if (bar < 0) return describe(known)
  const name = word.toString("latin1", bar + 1, bar + 1 + longestPattern).toLowerCase()
  const member = known.subcommands?.find((one) => one.name === name)
  return member === undefined ? nil : describeMember(known, member)
}

/** `flags`: also return how the command uses each key. */
const getKeys = ({ table }: Host, words: Words, flags: boolean): Reply => {
  const call = words.slice(2)
  const known = table.find(call[0])
  if (known === undefined) return err("Invalid command specified")
  const member = known.subcommands?.find(({ name }) => name === wordAt(call, 1))
  if (known.subcommands !== undefined && member === undefined && call.length > 1)
    return err("Invalid command specified")
  if (!arityFits(member ?? known, call)) return err("Invalid number of arguments specified for command")
  const keys = keysOf(known, call)
  if (keys.length === 0) return err("The command has no key arguments")
  return array(
    keys.map((bytes, at) =>
      flags
        ? array([{ type: "bulk", bytes }, array(accessOf(known, call, at).split(" ").map(flag))])
        : { type: "bulk", bytes },
    ),
  )
}
/**
 * How each command uses its keys, in Redis' terms; if two keys are used differently, the second entry is that of the
 * second key.
 */
const access: Readonly<Record<string, string | readonly [string, string]>> = {
  set: "OW update",
  setex: "OW update",
  psetex: "OW update",
  mset: "OW update",
  setnx: "OW insert",
  msetnx: "OW insert",
  append: "RW insert",
  setrange: "RW update",
  del: "RM delete",
  unlink: "RM delete",
  getdel: "RW access delete",
  expire: "RW update",
  pexpire: "RW update",
  expireat: "RW update",
  pexpireat: "RW update",
  persist: "RW update",
  rename: ["RW access delete", "OW update"],
  renamenx: ["RW access delete", "OW insert"],
  copy: ["RO access", "OW update"],
  strlen: "RO",
  exists: "RO",
  touch: "RO",
  type: "RO",
  object: "RO",
  memory: "RO",
  watch: "RO",
}
const accessOf = (known: KnownCommand, call: Words, at: number): string => {
  // SET … GET also reads.
  if (known.name === "set" && call.slice(3).some((_, i) => wordAt(call, i + 3) === "get")) return "RW access update"
  const found = access[known.name] ?? (known.flags.includes("write") ? "RW access update" : "RO access")
  return typeof found === "string" ? found : found[at === 0 ? 0 : 1]
}

const filtered = (words: Words): ((name: string, known: KnownCommand) => boolean) | Reply => {
  if (words.length === 2) return () => true
  if (words.length !== 5 || wordAt(words, 2) !== "filterby") return syntaxError
  if ((words[4]?.length ?? 0) > longestPattern)
    return errorReply("TOOLARGE", `a pattern has at most ${longestPattern} bytes here`)
  const wanted = wordAt(words, 4)
  switch (wordAt(words, 3)) {
    case "module":
      return () => false
    case "aclcat":
      return (_, { flags }) => categoriesOf(flags).includes(wanted)
    case "pattern": {
      const matches = glob(Buffer.from(wanted, "latin1"))
      return (name) => matches(Buffer.from(name))
    }
    default:
      return syntaxError
  }
}
const list = (host: Host, words: Words): Reply => {
  const filter = filtered(words)
  if (typeof filter !== "function") return filter
  const all = host.table.all.flatMap((known) =>
    [known.name, ...(known.subcommands ?? []).map(({ name }) => `${known.name}|${name}`)].map((name) => ({
      name,
      known,
    })),
  )
  return array(all.filter(({ name, known }) => filter(name, known)).map(({ name }) => bulkText(name)))
}

/** The whole table, built once for each list of commands. */
const whole = new WeakMap<readonly KnownCommand[], Reply>()
export const commandReply = (all: readonly KnownCommand[]): Reply => {
  let reply = whole.get(all)
  if (reply === undefined) {
    reply = fixed(array(all.map(describe)))
    whole.set(all, reply)
  }
  return reply
}

const family = container(
  "command",
  {
    count: sub("", "How many commands there are.", ({ host }) => integer(host.table.all.length)),
    docs: sub(
      "[command]...",
      "What each command is for, and how it is written.",
      ({ host }, words) => tooManyWords("COMMAND DOCS", words, mostNames) ?? docsOf(host.table, words.slice(2)),
    ),
    getkeys: sub("command arg [arg]...", "The keys that a whole command names.", ({ host }, words) =>
      getKeys(host, words, false),
    ),
    getkeysandflags: sub(
      "command arg [arg]...",
      "The keys that a whole command names, and what it does with them.",
      ({ host }, words) => getKeys(host, words, true),
    ),
    info: sub(
      "[command]...",
      "Arity, flags and places of the keys of each command.",
      ({ host }, words) =>
        tooManyWords("COMMAND INFO", words, mostNames) ??
        (words.length === 2
          ? commandReply(host.table.all)
          : array(words.slice(2).map((name) => describeNamed(host, name)))),
    ),
    list: sub(
      "[FILTERBY [MODULE name|ACLCAT category|PATTERN pattern]]",
      "The names of the commands.",
      ({ host }, words) => list(host, words),
    ),
  },
  { flags: ["loading", "stale"], underMulti: "refuse" },
)
/** COMMAND alone is COMMAND INFO of all commands. */
const command: KnownCommand = {
  ...family,
  arity: -1,
  does: (context, words) =>
    words.length === 1 || typeof family.does === "string"
      ? commandReply(context.host.table.all)
      : family.does(context, words),
  wrong: (words) => (words.length === 1 ? null : (family.wrong?.(words) ?? null)),
}

/** Redis settings that tools read, with the values that hold for this server. */
const settings = ({ host }: Context): Readonly<Record<string, string>> => ({
  appendfsync: "always",
  appendonly: "yes",
  "cluster-enabled": host.redirect ? "yes" : "no",
  databases: "1",
  hz: "10",
  maxclients: String(host.limits.maxClients),
  maxmemory: "0",
  "maxmemory-policy": "noeviction",
  port: String(host.port()),
  "proto-max-bulk-len": String(host.limits.maxEntryBytes),
  save: "",
  "tcp-keepalive": "300",
  timeout: String(Math.ceil(host.limits.idleMs / 1000)),
})

const configGet: ServerHandler = (context, words) => {
  const many = tooManyWords("CONFIG GET", words, mostPatterns)
  if (many !== null) return many
  if (words.some((word) => word.length > longestPattern))
    return errorReply("TOOLARGE", `a pattern has at most ${longestPattern} bytes here`)
  const wanted = words.slice(2).map((word) => glob(Buffer.from(word.toString("latin1").toLowerCase(), "latin1")))
  const found = Object.entries(settings(context)).filter(([name]) =>
    wanted.some((matches) => matches(Buffer.from(name))),
  )
  return map(Object.fromEntries(found.map(([name, value]) => [name, bulkText(value)])))
}

/** CONFIG SET of a value that is already in force succeeds. */
const configSet: ServerHandler = (context, words) => {
  const many = tooManyWords("CONFIG SET", words, mostPatterns)
  if (many !== null) return many
  if (words.length % 2 !== 0) return wrongArity("config|set")
  const all = settings(context)
  const failed = (at: number, why: string): Reply =>
    err(`CONFIG SET failed (possibly related to argument '${quotedWord(words, at)}') - ${why}`)
  const places = Array.from({ length: words.length / 2 - 1 }, (_, i) => 2 * i + 2)
  const unknown = places.find((at) => !Object.hasOwn(all, wordAt(words, at)))
  if (unknown !== undefined)
    return err(`Unknown option or number of arguments for CONFIG SET - '${quotedWord(words, unknown)}'`)
  const twice = places.find((at, i) => places.slice(0, i).some((before) => wordAt(words, before) === wordAt(words, at)))
  if (twice !== undefined) return failed(twice, "duplicate parameter")
  const other = places.find((at) => all[wordAt(words, at)] !== quotedWord(words, at + 1))
  return other === undefined
    ? ok
    : failed(other, "can't set immutable config: settings are given when the node is started")
}

const config = container(
  "config",
  {
    get: sub("pattern [pattern]...", "The settings whose names match a pattern.", configGet),
    set: sub(
      "parameter value [parameter value]...",
      "Fails unless the settings already have these values: settings are given when the node is started.",
      configSet,
    ),
    resetstat: sub("", "Resets the counters of INFO.", ({ host }) => {
      host.usage.reset()
      return ok
    }),
  },
  { flags: ["admin", "noscript", "loading", "stale"], underMulti: "refuse" },
)

/**
 * There are no scripts: they would run on one node, but must give the same result on all. Only the requests that tools
 * make at start are answered.
 */
const functions = container(
  "function",
  {
    list: sub("[LIBRARYNAME pattern] [WITHCODE]", "An empty list.", () => array([])),
    flush: sub("[ASYNC|SYNC]", "Does nothing: there are none.", () => ok),
  },
  { flags: ["noscript"], underMulti: "refuse" },
)

const time: ServerHandler = () => {
  const micros = Math.floor((performance.timeOrigin + performance.now()) * 1000)
  return array([bulkText(String(Math.floor(micros / 1_000_000))), bulkText(String(micros % 1_000_000))])
}

export const introspectionCommands = [
  command,
  config,
  functions,
  serverCommand("time", 1, time, { flags: ["loading", "stale", "fast"] }),
]
