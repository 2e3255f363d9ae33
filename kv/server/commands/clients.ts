/** CLIENT: who is connected, the names of connections, and how they are answered. */
import { err, errorReply, integer } from "../../machine/reply.ts"
import { Slices } from "../../machine/slices.ts"
import type { Reply } from "../../types.ts"
import type { ClientState } from "../client.ts"
import { container, sub } from "./container.ts"
import type { Context, ServerHandler, Host, Words } from "../contract.ts"
import { bulkText, nil, ok, noReply, verbatim } from "../wire/encode.ts"
import { naturalAt, quotedWord, textAt, tooManyWords, wordAt } from "../words.ts"
import { clientKill, isType, unknownType } from "./kill.ts"

const syntaxError = err("syntax error")
const mostIds = 1024
/** Describing a client takes some microseconds. */
const atOnce = 200

/** The reason why a word cannot be a name; null if it can. */
export const nameProblem = ({ limits }: Host, what: string, name: Buffer | undefined): Reply | null => {
  const bytes = name?.length ?? 0
  if (bytes > limits.maxNameBytes)
    return errorReply(
      "TOOLARGE",
      `${what} has ${bytes} bytes, ${limits.maxNameBytes} are allowed. Nothing was changed.`,
    )
  return /^[!-~]*$/u.test(name?.toString("latin1") ?? "")
    ? null
    : err(`${what} cannot contain spaces, newlines or special characters.`)
}

export const clientNames = "Client names"

/** The bytes of a request in the form in which clients send it. */
const sizeOf = (words: Words): number =>
  words.reduce((sum, { length }) => sum + `$${length}`.length + length + 4, `*${words.length}`.length + 2)

/** One line of CLIENT LIST, with the fields of Redis; fields that do not exist here are 0. */
const describe = (client: ClientState, asks: ClientState, request: Words): string => {
  const now = Date.now()
  const { input, output, total } = client.load()
  const { transaction } = client
  const flags = `${transaction === null ? "" : "x"}${client.consistency === "local" ? "r" : ""}`
  const fields: Readonly<Record<string, string | number>> = {
    id: client.id,
    addr: client.address,
    laddr: client.localAddress,
    fd: -1,
    name: client.name,
    age: Math.floor((now - client.connectedAt) / 1000),
    idle: Math.floor((now - client.activeAt) / 1000),
    flags: flags === "" ? "N" : flags,
    db: 0,
    sub: 0,
    psub: 0,
    ssub: 0,
    multi: transaction === null ? -1 : transaction.calls.length + transaction.local.size,
    qbuf: input + (client === asks ? sizeOf(request) : 0),
    "qbuf-free": 0,
    "argv-mem": 0,
    "multi-mem": transaction?.weight ?? 0,
    rbs: 0,
    rbp: 0,
    obl: 0,
    oll: output > 0 ? 1 : 0,
    omem: output,
    "tot-mem": total,
    events: "r",
    cmd: client.lastCommand,
    user: client.user?.name ?? "(none)",
    redir: -1,
    resp: client.protocol,
    "lib-name": client.library,
    "lib-ver": client.libraryVersion,
    consistency: client.consistency,
  }
  return `${Object.entries(fields)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ")}\n`
}

/** The list is made in slices: ten thousand clients take a while. */
const listed = async (
  { host, client: asks }: Context,
  words: Words,
  fits: (client: ClientState) => boolean,
): Promise<Reply> => {
  const slices = new Slices()
  const parts: Buffer[] = []
  let lines = ""
  for (const client of Array.from(host.clients())) {
    if (fits(client)) lines += describe(client, asks, words)
    if (!slices.due()) continue
    parts.push(Buffer.from(lines))
    lines = ""
    await slices.giveWay()
  }
  parts.push(Buffer.from(lines))
  return verbatim(Buffer.concat(parts))
}

const list: ServerHandler = (context, words) => {
  const work = (fits: (client: ClientState) => boolean): ReturnType<ServerHandler> => {
    const { client, host } = context
    // A short list is made at once, so that MULTI can hold it too.
    if (host.clientCount() <= atOnce)
      return verbatim(
        Array.from(host.clients())
          .filter(fits)
          .map((one) => describe(one, client, words))
          .join(""),
      )
    return { type: "work.read", barrier: false, long: true, run: () => listed(context, words, fits) }
  }
  if (words.length === 2) return work(() => true)
  const filter = wordAt(words, 2)
  if (filter === "type" && words.length === 4)
    return isType(wordAt(words, 3)) ? work(() => wordAt(words, 3) === "normal") : unknownType(words, 3)
  if (filter !== "id" || words.length < 4) return syntaxError
  const many = tooManyWords("CLIENT LIST", words, mostIds)
  if (many !== null) return many
  const ids = new Set(words.slice(3).map((_, at) => naturalAt(words, at + 3)))
  return ids.has(null) ? err("Invalid client ID") : work(({ id }) => ids.has(id))
}

const onOff: ServerHandler = (_, words) => (["on", "off"].includes(wordAt(words, 2)) ? ok : syntaxError)

const reply: ServerHandler = ({ client }, words) => {
  const mode = wordAt(words, 2)
  if (mode !== "on" && mode !== "off" && mode !== "skip") return syntaxError
  if (mode === "skip") {
    if (client.replies === "on") client.skip = "next"
    return noReply
  }
  client.replies = mode
  if (mode === "on" && client.skip === "this") client.skip = "none"
  return mode === "on" ? ok : noReply
}

const setname: ServerHandler = ({ host, client }, words) => {
  const wrong = nameProblem(host, clientNames, words[2])
  if (wrong === null) client.name = textAt(words, 2)
  return wrong ?? ok
}

const setinfo: ServerHandler = ({ host, client }, words) => {
  const option = wordAt(words, 2)
  const value = textAt(words, 3)
  if (option !== "lib-name" && option !== "lib-ver") return err(`Unrecognized option '${quotedWord(words, 2)}'`)
  const wrong = nameProblem(host, option, words[3])
  if (wrong !== null) return wrong
  if (option === "lib-name") client.library = value
  else client.libraryVersion = value
  return ok
}

const consistency: ServerHandler = ({ client }, words) => {
  const wanted = wordAt(words, 2)
  if (words.length === 2) return bulkText(client.consistency)
  if (words.length > 3 || (wanted !== "linearizable" && wanted !== "local"))
    return err("CLIENT CONSISTENCY takes linearizable or local")
  client.consistency = wanted
  return ok
}

export const clientCommands = [
  container("client", {
    id: sub("", "The number of this connection.", ({ client }) => integer(client.id)),
    info: sub("", "This connection, as CLIENT LIST shows it.", ({ client }, words) =>
      verbatim(describe(client, client, words)),
    ),
    list: sub("[TYPE type|ID client-id...]", "The connections, one per line.", list),
    kill: sub(
      "address|filter value [filter value]...",
      "Closes connections: the one with an address, or those that match all filters (ID, TYPE, USER, ADDR, LADDR; SKIPME no: also this one).",
      clientKill,
    ),
    getname: sub("", "The name of this connection.", ({ client }) =>
      client.name === "" ? nil : bulkText(client.name),
    ),
    setname: sub("name", "Names this connection.", setname),
    setinfo: sub(
      "attribute value",
      "Names the library (lib-name) of this connection, or its version (lib-ver).",
      setinfo,
    ),
    // Nothing is evicted here, and reads leave no trace, so these settings have nothing to change.
    "no-evict": sub(
      "ON|OFF",
      "Changes nothing: if memory is short, the client that uses the most is closed, whatever its setting.",
      onOff,
    ),
    "no-touch": sub("ON|OFF", "Changes nothing: reads leave no trace.", onOff),
    reply: sub("ON|OFF|SKIP", "Whether commands are answered; SKIP: all but the next.", reply),
    consistency: sub(
      "[LINEARIZABLE|LOCAL]",
      "The consistency of this connection's reads: linearizable over the cluster, or local to this node. Not a command of Redis.",
      consistency,
    ),
  }),
]
