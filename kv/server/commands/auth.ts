/** AUTH and HELLO: the client's user, and its protocol version. */
import { err, errorReply, integer } from "../../machine/reply.ts"
import type { Reply } from "../../types.ts"
import { hostOf, type ClientState } from "../client.ts"
import type { Context, ServerHandler, Words, OrderedWork } from "../contract.ts"
import { array, bulkText, map, ok } from "../wire/encode.ts"
import { certificateNote } from "../denied.ts"
import { serverCommand, quotedWord, textAt, wordAt } from "../words.ts"
import { clientNames, nameProblem } from "./clients.ts"
import { redisVersion } from "./version.ts"

const syntaxError = err("syntax error")
const noPassword = err(
  "AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
)
const wrongPassword = errorReply("WRONGPASS", "invalid username-password pair or user is disabled.")
const busy = errorReply("BUSY", "too many passwords are being checked at the moment. Nothing was done: try again.")
const locked = (seconds: number): Reply =>
  errorReply(
    "WRONGPASS",
    `too many wrong passwords came from this address: no password from there is checked for ${seconds} s. Other addresses and clients that are logged in already are served.`,
  )
const HELLO_FIRST =
  "HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"

interface Credentials {
  readonly user: string
  readonly password: Uint8Array
}
/** Later commands wait for the answer: they may be allowed only then. */
const prove = (
  { client, host }: Context,
  { user, password }: Credentials,
  then: () => Reply,
  otherwise: () => void,
): Reply | OrderedWork => {
  const { users } = host
  // There is only the user `default`, without a password: as in Redis, any password is accepted for it if the name is
  // given.
  if (users === null) return user === "default" ? then() : wrongPassword
  client.proving = true
  const end = (done: (reply: Reply) => void, reply: Reply): void => {
    client.proving = false
    done(reply)
  }
  return {
    type: "work.write",
    exec: false,
    inOrder: false,
    proves: true,
    calls: [],
    start: (done) => {
      users.login(user, password, hostOf(client.address)).then(
        (login) => {
          if (login.type === "granted") {
            client.user = login.grant
            host.named(client)
            end(done, then())
            return
          }
          otherwise()
          end(done, login.type === "wrong" ? wrongPassword : login.type === "busy" ? busy : locked(login.seconds))
        },
        (thrown: unknown) => {
          otherwise()
          host.faults.report("AUTH of a client", thrown)
          end(done, err("internal error"))
        },
      )
      return undefined
    },
  }
}

const auth: ServerHandler = (context, words) => {
  if (words.length > 3) return syntaxError
  if (words.length === 2 && context.host.users === null) return noPassword
  const user = words.length === 2 ? "default" : textAt(words, 1)
  const password = words.at(-1) ?? Buffer.alloc(0)
  return prove(
    context,
    { user, password },
    () => ok,
    () => {},
  )
}

const greeting = ({ client, host }: Context): Reply =>
  map({
    server: bulkText("redis"),
    version: bulkText(redisVersion),
    proto: integer(client.protocol),
    id: integer(client.id),
    mode: bulkText(host.redirect ? "cluster" : "standalone"),
    role: bulkText(host.service.leader()?.id === host.self ? "master" : "replica"),
    modules: array([]),
  })

interface Asked {
  readonly protocol: ClientState["protocol"]
  readonly name: string | null
  readonly login: Credentials | null
}
const isAsked = (value: Asked | Reply): value is Asked => "protocol" in value
const askedOf = ({ client, host }: Context, words: Words): Asked | Reply => {
  let { protocol } = client
  let name: string | null = null
  let login: Asked["login"] = null
  if (words.length > 1) {
    const asked = quotedWord(words, 1)
    if (!/^-?\d{1,18}$/u.test(asked)) return err("Protocol version is not an integer or out of range")
    if (asked !== "2" && asked !== "3") return errorReply("NOPROTO", "unsupported protocol version")
    protocol = asked === "3" ? 3 : 2
  }
  for (let at = 2; at < words.length;) {
    const option = wordAt(words, at)
    if (option === "auth" && at + 2 < words.length) {
      const user = textAt(words, at + 1)
      if (host.users === null && user !== "default") return wrongPassword
      login = { user, password: words[at + 2] ?? Buffer.alloc(0) }
      at += 3
    } else if (option === "setname" && at + 1 < words.length) {
      const wrong = nameProblem(host, clientNames, words[at + 1])
      if (wrong !== null) return wrong
      name = textAt(words, at + 1)
      // As in Redis, it takes effect at once: a later error in the same command does not undo it.
      if (client.user !== null) client.name = name
      at += 2
    } else return err(`Syntax error in HELLO option '${quotedWord(words, at)}'`)
  }
  return { protocol, name, login }
}

const hello: ServerHandler = (context, words) => {
  const { client } = context
  const asked = askedOf(context, words)
  if (!isAsked(asked)) return asked
  if (asked.login === null && client.user === null) {
    const note = certificateNote(client)
    return errorReply("NOAUTH", note === "" ? HELLO_FIRST : `${HELLO_FIRST}.${note}`)
  }
  const before = client.protocol
  // The protocol changes first, so that the answer is already encoded in it.
  client.protocol = asked.protocol
  if (asked.login === null) return greeting(context)
  return prove(
    context,
    asked.login,
    () => {
      if (asked.name !== null) client.name = asked.name
      return greeting(context)
    },
    () => {
      client.protocol = before
    },
  )
}

export const authCommands = [
  serverCommand("auth", -2, auth),
  serverCommand("hello", -1, hello, { underMulti: "refuse" }),
]
