/** Commands about the connection itself: PING to RESET, and the consistency of its reads. CLIENT is in clients.ts, AUTH and HELLO in auth.ts. */
import { err } from "../../machine/reply.ts"
import { wrongArity } from "../../machine/index.ts"
import { resetClient, type ClientState } from "../client.ts"
import type { ServerHandler } from "../contract.ts"
import { ok, pong } from "../wire/encode.ts"
import { serverCommand, quotedWord } from "../words.ts"

const ping: ServerHandler = (_, words) => {
  if (words.length > 2) return wrongArity("ping")
  const message = words[1]
  return message === undefined ? pong : { type: "bulk", bytes: message }
}

const echo: ServerHandler = (_, words) => ({ type: "bulk", bytes: words[1] ?? Buffer.alloc(0) })

const quit: ServerHandler = ({ client }) => {
  client.leaving = true
  return ok
}

const reset: ServerHandler = ({ client, host }) => {
  resetClient(client)
  // The permissions with which the client connected may have been withdrawn since.
  if (client.user !== null && host.users !== null) client.user = host.users.still(client.user)
  host.named(client)
  return { type: "simple", text: "RESET" }
}

const select: ServerHandler = (_, words) => {
  const index = quotedWord(words, 1)
  if (!/^-?\d{1,18}$/u.test(index)) return err("value is not an integer or out of range")
  return Number(index) === 0 ? ok : err("DB index is out of range")
}

const consistency =
  (wanted: ClientState["consistency"]): ServerHandler =>
  ({ client }) => {
    client.consistency = wanted
    return ok
  }

export const connectionCommands = [
  serverCommand("ping", -1, ping),
  serverCommand("echo", 2, echo),
  serverCommand("quit", -1, quit, { underMulti: "now" }),
  serverCommand("reset", 1, reset, { underMulti: "now" }),
  serverCommand("select", 2, select),
  serverCommand("readonly", 1, consistency("local")),
  serverCommand("readwrite", 1, consistency("linearizable")),
]
