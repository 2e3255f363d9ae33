/** What clients and tools ask to find out whom they talk to: COMMAND, CONFIG, TIME. */
import { glob } from "../../machine/glob.ts"
import { wrongArity } from "../../machine/index.ts"
import type { Reply } from "../../types.ts"
import type { Context, Handler, Host, Known, Words } from "../contract.ts"
import { array, bulk, err, errorReply, fixed, integer, map, nil, ok } from "../encode.ts"
import { arityFits, keysOf, own, shown, tooManyWords, unknownSubcommand, wordAt } from "../words.ts"

const mostNames = 1024
const mostPatterns = 64
/** Of names of ours, none of which is as long: KEYS and SCAN have their own. */
const longestPattern = 128

const flag = (text: string): Reply => ({ type: "simple", text })

const describe = (known: Known | undefined): Reply =>
  known === undefined
    ? nil
    : array([
        bulk(known.name),
        integer(known.arity),
        array(known.flags.map(flag)),
        integer(known.firstKey),
        integer(known.lastKey),
        integer(known.step),
        array(known.flags.map((name) => flag(`@${name === "readonly" ? "read" : name}`))),
        array([]),
        array([]),
        array([]),
      ])

const getKeys = (host: Host, words: Words): Reply => {
  const call = words.slice(2)
  const known = host.table.find(call[0])
  if (known === undefined) return err("Invalid command specified")
  if (!arityFits(known, call)) return err("Invalid number of arguments specified for command")
  const keys = keysOf(known, call)
  return keys.length === 0 ? err("The command has no key arguments") : array(keys.map((bytes) => ({ type: "bulk", bytes }) as const))
}

const list = (host: Host, words: Words): Reply => {
  if (words.length === 2) return array(host.table.all.map(({ name }) => bulk(name)))
  if (words.length !== 5 || wordAt(words, 2) !== "filterby") return err("syntax error")
  // Neither modules nor ACL categories are here to filter by.
  if (wordAt(words, 3) !== "pattern") return array([])
  if ((words[4]?.length ?? 0) > longestPattern) return errorReply("TOOLARGE", `a pattern has at most ${longestPattern} bytes here`)
  const matches = glob(Buffer.from(wordAt(words, 4)))
  return array(host.table.all.filter(({ name }) => matches(Buffer.from(name))).map(({ name }) => bulk(name)))
}

/** The whole table, made once for each list of commands. */
const whole = new WeakMap<readonly Known[], Reply>()
export const commandReply = (all: readonly Known[]): Reply => {
  let reply = whole.get(all)
  if (reply === undefined) {
    reply = fixed(array(all.map(describe)))
    whole.set(all, reply)
  }
  return reply
}

const command: Handler = ({ host }, words) => {
  const { all } = host.table
  if (words.length === 1) return commandReply(all)
  switch (wordAt(words, 1)) {
    case "count":
      return words.length === 2 ? integer(all.length) : wrongArity("command|count")
    case "info":
      return tooManyWords("COMMAND INFO", words, mostNames) ?? (words.length === 2 ? commandReply(all) : array(words.slice(2).map((name) => describe(host.table.find(name)))))
    // redis-cli asks at its start, for hints while typing; it does without.
    case "docs":
      return map({})
    case "list":
      return list(host, words)
    case "getkeys":
      return words.length < 3 ? wrongArity("command|getkeys") : getKeys(host, words)
    default:
      return unknownSubcommand("command", words[1])
  }
}

/** Settings of Redis that tools look at, as they are true of this server. */
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

const config: Handler = (context, words) => {
  const sub = wordAt(words, 1)
  if (sub === "get") {
    if (words.length < 3) return wrongArity("config|get")
    const many = tooManyWords("CONFIG GET", words, mostPatterns)
    if (many !== null) return many
    if (words.some((word) => word.length > longestPattern)) return errorReply("TOOLARGE", `a pattern has at most ${longestPattern} bytes here`)
    const wanted = words.slice(2).map((word) => glob(Buffer.from(word.toString("latin1").toLowerCase(), "latin1")))
    const found = Object.entries(settings(context)).filter(([name]) => wanted.some((matches) => matches(Buffer.from(name))))
    return map(Object.fromEntries(found.map(([name, value]) => [name, bulk(value)])))
  }
  if (sub === "set") {
    if (words.length < 4) return wrongArity("config|set")
    return err(`CONFIG SET failed (possibly related to argument '${shown(words, 2)}') - settings are given when the node is started`)
  }
  if (sub === "resetstat") return words.length === 2 ? ok : wrongArity("config|resetstat")
  return unknownSubcommand("config", words[1])
}

const time: Handler = () => {
  const micros = Math.floor((performance.timeOrigin + performance.now()) * 1000)
  return array([bulk(String(Math.floor(micros / 1_000_000))), bulk(String(micros % 1_000_000))])
}

export const introspectionCommands = [
  own("command", -1, command, { flags: ["loading", "stale"], underMulti: "refuse" }),
  own("config", -2, config, { flags: ["admin", "noscript", "loading", "stale"], underMulti: "refuse" }),
  own("time", 1, time, { flags: ["loading", "stale", "fast"] }),
]
