/** Commands about the connection itself: PING to HELLO, and the consistency of its reads. CLIENT is in clients.ts. */
import { wrongArity } from "../../machine/index.ts"
import { resetClient, type Client } from "../client.ts"
import type { Handler } from "../contract.ts"
import { array, bulk, err, errorReply, integer, map, ok, pong } from "../wire/encode.ts"
import { redisVersion } from "./version.ts"
import { clientNames, misnamed } from "./clients.ts"
import { own, shown, textAt, wordAt } from "../words.ts"

const syntaxError = err("syntax error")
const noPassword = err(
  "AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
)
const wrongPassword = errorReply("WRONGPASS", "invalid username-password pair or user is disabled.")

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

/** There is one user, default, without a password: as in Redis, any password is accepted if the name is given. */
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
  for (let at = 2; at < words.length;) {
    const option = wordAt(words, at)
    if (option === "auth" && at + 2 < words.length) {
      if (!authenticates(shown(words, at + 1))) return wrongPassword
      at += 3
    } else if (option === "setname" && at + 1 < words.length) {
      const wrong = misnamed(host, clientNames, words[at + 1])
      if (wrong !== null) return wrong
      // As in Redis, it takes effect at once: a later error in the same command does not undo it.
      client.name = textAt(words, at + 1)
      at += 2
    } else return err(`Syntax error in HELLO option '${shown(words, at)}'`)
  }
  client.protocol = protocol
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

const consistency =
  (wanted: Client["consistency"]): Handler =>
  ({ client }) => {
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
  own("readonly", 1, consistency("local")),
  own("readwrite", 1, consistency("linearizable")),
]
