/** Commands about the connection itself: PING to HELLO, CLIENT and the consistency of its reads. */
import { wrongArity } from "../../machine/index.ts"
import type { Reply } from "../../types.ts"
import { Slices } from "../../machine/slices.ts"
import { resetClient, type Client } from "../client.ts"
import type { Handler, Host, Words } from "../contract.ts"
import { array, bulk, err, errorReply, integer, map, nil, ok, pong, unsaid } from "../encode.ts"
import { redisVersion } from "../version.ts"
import { clientKill } from "./kill.ts"
import { own, shown, textAt, unknownSubcommand, wordAt } from "../words.ts"

const syntaxError = err("syntax error")
const noPassword = err("AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
const wrongPassword = errorReply("WRONGPASS", "invalid username-password pair or user is disabled.")

/** Why a word cannot be a name; null if it can. */
const misnamed = ({ limits }: Host, what: string, name: Buffer | undefined): Reply | null => {
  const bytes = name?.length ?? 0
  if (bytes > limits.maxNameBytes) return errorReply("TOOLARGE", `${what} has ${bytes} bytes, ${limits.maxNameBytes} are allowed. Nothing was changed.`)
  return /^[!-~]*$/u.test(name?.toString("latin1") ?? "") ? null : err(`${what} cannot contain spaces, newlines or special characters.`)
}

const clientNames = "Client names"

const ping: Handler = (_, words) => {
  if (words.length > 2) return wrongArity("ping")
  const message = words[1]
  return message === undefined ? pong : { type: "bulk", bytes: message }
}

const echo: Handler = (_, words) => ({ type: "bulk", bytes: words[1] ?? Buffer.alloc(0) })

const quit: Handler = ({ client }) => {
  client.leaving = true
  return ok
}

const reset: Handler = ({ client }) => {
  resetClient(client)
  return { type: "simple", text: "RESET" }
}

const select: Handler = (_, words) => {
  const index = shown(words, 1)
  if (!/^-?\d{1,18}$/u.test(index)) return err("value is not an integer or out of range")
  return Number(index) === 0 ? ok : err("DB index is out of range")
}

/** There is one user, default, and he has no password: as Redis, any password will do for him where a name is given. */
const authenticates = (user: string): boolean => user === "default"

const auth: Handler = (_, words) => {
  if (words.length > 3) return syntaxError
  if (words.length === 2) return noPassword
  return authenticates(shown(words, 1)) ? ok : wrongPassword
}

const hello: Handler = (context, words) => {
  const { client, host } = context
  let protocol = client.protocol
  if (words.length > 1) {
    const asked = shown(words, 1)
    if (!/^-?\d{1,18}$/u.test(asked)) return err("Protocol version is not an integer or out of range")
    if (asked !== "2" && asked !== "3") return errorReply("NOPROTO", "unsupported protocol version")
    protocol = asked === "3" ? 3 : 2
  }
  let name = client.name
  for (let at = 2; at < words.length; ) {
    const option = wordAt(words, at)
    if (option === "auth" && at + 2 < words.length) {
      if (!authenticates(shown(words, at + 1))) return wrongPassword
      at += 3
    } else if (option === "setname" && at + 1 < words.length) {
      const wrong = misnamed(host, clientNames, words[at + 1])
      if (wrong !== null) return wrong
      name = textAt(words, at + 1)
      at += 2
    } else return err(`Syntax error in HELLO option '${shown(words, at)}'`)
  }
  client.protocol = protocol
  client.name = name
  return map({
    server: bulk("redis"),
    version: bulk(redisVersion),
    proto: integer(protocol),
    id: integer(client.id),
    mode: bulk(host.redirect ? "cluster" : "standalone"),
    role: bulk(host.service.leader()?.id === host.self ? "master" : "replica"),
    modules: array([]),
  })
}

/** In slices: ten thousand clients take a while. */
const listed = async (host: Host): Promise<Reply> => {
  const slices = new Slices()
  const parts: Buffer[] = []
  let lines = ""
  for (const client of Array.from(host.clients())) {
    lines += describe(client)
    if (!slices.due()) continue
    parts.push(Buffer.from(lines))
    lines = ""
    await slices.giveWay()
  }
  parts.push(Buffer.from(lines))
  return { type: "bulk", bytes: Buffer.concat(parts) }
}

/** One line of CLIENT LIST. */
const describe = (client: Client): string => {
  const now = Date.now()
  const fields: Readonly<Record<string, string | number>> = {
    id: client.id,
    addr: client.address,
    laddr: client.localAddress,
    name: client.name,
    age: Math.floor((now - client.connectedAt) / 1000),
    idle: Math.floor((now - client.activeAt) / 1000),
    flags: client.transaction === null ? (client.consistency === "local" ? "r" : "N") : "x",
    db: 0,
    sub: 0,
    psub: 0,
    multi: client.transaction === null ? -1 : client.transaction.calls.length + client.transaction.local.size,
    cmd: client.lastCommand,
    user: "default",
    resp: client.protocol,
    "lib-name": client.library,
    "lib-ver": client.libraryVersion,
    consistency: client.consistency,
  }
  return `${Object.entries(fields).map(([key, value]) => `${key}=${value}`).join(" ")}\n`
}

const onOff = (words: Words, set: (on: boolean) => void): Reply => {
  const word = wordAt(words, 2)
  if (word !== "on" && word !== "off") return syntaxError
  set(word === "on")
  return ok
}

type Subcommand = readonly [arity: number, answer: Handler]

const subcommands: Readonly<Record<string, Subcommand>> = {
  id: [2, ({ client }) => integer(client.id)],
  info: [2, ({ client }) => bulk(describe(client))],
  kill: [-3, clientKill],
  list: [-2, ({ host }) => ({ type: "work.read", barrier: false, long: true, run: () => listed(host) })],
  getname: [2, ({ client }) => (client.name === "" ? nil : bulk(client.name))],
  setname: [3, ({ host, client }, words) => {
    const wrong = misnamed(host, clientNames, words[2])
    if (wrong === null) client.name = textAt(words, 2)
    return wrong ?? ok
  }],
  setinfo: [4, ({ host, client }, words) => {
    const option = wordAt(words, 2)
    const value = textAt(words, 3)
    if (option !== "lib-name" && option !== "lib-ver") return err(`Unrecognized option '${shown(words, 2)}'`)
    const wrong = misnamed(host, option, words[3])
    if (wrong !== null) return wrong
    if (option === "lib-name") client.library = value
    else client.libraryVersion = value
    return ok
  }],
  // There is no eviction to be spared from, and nothing that a touch would change.
  "no-evict": [3, (_, words) => onOff(words, () => {})],
  "no-touch": [3, (_, words) => onOff(words, () => {})],
  reply: [3, ({ client }, words) => {
    const mode = wordAt(words, 2)
    if (mode !== "on" && mode !== "off" && mode !== "skip") return syntaxError
    if (mode === "skip") {
      if (client.replies === "on") client.skip = "next"
      return unsaid
    }
    client.replies = mode
    if (mode === "on" && client.skip === "this") client.skip = "none"
    return mode === "on" ? ok : unsaid
  }],
  consistency: [-2, ({ client }, words) => {
    const wanted = wordAt(words, 2)
    if (words.length === 2) return bulk(client.consistency)
    if (words.length > 3 || (wanted !== "linearizable" && wanted !== "local")) return err("CLIENT CONSISTENCY takes linearizable or local")
    client.consistency = wanted
    return ok
  }],
}

const subcommandOf = (words: Words): Subcommand | undefined => {
  const sub = wordAt(words, 1)
  return Object.hasOwn(subcommands, sub) ? subcommands[sub] : undefined
}
const wrongSubcommand = (words: Words): Reply | null => {
  const found = subcommandOf(words)
  if (found === undefined) return unknownSubcommand("client", words[1])
  const [arity] = found
  return (arity >= 0 ? words.length === arity : words.length >= -arity) ? null : wrongArity(`client|${wordAt(words, 1)}`)
}
const clientCommand: Handler = (context, words) => subcommandOf(words)?.[1](context, words) ?? unknownSubcommand("client", words[1])

const consistency = (wanted: Client["consistency"]): Handler => ({ client }) => {
  client.consistency = wanted
  return ok
}

export const connectionCommands = [
  own("ping", -1, ping),
  own("echo", 2, echo),
  own("quit", -1, quit, { underMulti: "now" }),
  own("reset", 1, reset, { underMulti: "now" }),
  own("select", 2, select),
  own("auth", -2, auth),
  own("hello", -1, hello, { underMulti: "refuse" }),
  own("client", -2, clientCommand, { wrong: wrongSubcommand }),
  own("readonly", 1, consistency("local")),
  own("readwrite", 1, consistency("linearizable")),
]
