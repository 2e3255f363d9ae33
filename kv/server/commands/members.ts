/**
 * STEPRAFT MEMBER and STEPRAFT TRANSFER: the members of the cluster and its leader (interpreters/members).
 *
 *   STEPRAFT MEMBER LIST                                       as the leader knows it, as JSON
 *   STEPRAFT MEMBER ADD name [AT host:port]                    a server with an empty directory becomes a learner
 *   STEPRAFT MEMBER PROMOTE name                               a learner becomes a voter, once it has caught up
 *   STEPRAFT MEMBER REMOVE name
 *   STEPRAFT MEMBER REPLACE name [BY other] [AT host:port]     a lost disk, or with BY a lost machine
 *   STEPRAFT TRANSFER [name]                                   another node leads
 *
 * Each takes WAIT milliseconds (60,000 unless given) at its end, and is answered with one line once the change is done.
 * -REFUSED: the leader refuses the change; one that it refuses because the quorum might be lost is forced with
 * EVENIFQUORUMISLOST. -UNFINISHED: not complete yet, with its progress. -NOLEADER: no leader can be asked. After any of
 * these the same command may be sent again.
 */
import { err, errorReply } from "../../machine/reply.ts"
import { wrongArity } from "../../machine/index.ts"
import { parseAddress } from "../../../interpreters/tcp/index.ts"
import { isMemberName } from "../../../interpreters/text.ts"
import type { Goal } from "../../../interpreters/members/index.ts"
import type { Reply } from "../../types.ts"
import type { Context, ServerHandler, Words } from "../contract.ts"
import { bulkText } from "../wire/encode.ts"
import { naturalAt, textAt, unknownSubcommand, wordAt } from "../words.ts"

const WAIT_MS = 60_000
const LONGEST_WAIT_MS = 2 ** 31 - 1

interface Options {
  readonly at: string | null
  readonly by: string | null
  readonly even: boolean
  readonly wait: number
}
type Option = "at" | "by" | "even" | "wait"
const isOptions = (value: Options | Reply): value is Options => "wait" in value

const optionsOf = (words: Words, from: number, allowed: readonly Option[]): Options | Reply => {
  let at: string | null = null
  let by: string | null = null
  let even = false
  let wait = WAIT_MS
  for (let i = from; i < words.length; i++) {
    const word = wordAt(words, i)
    if (word === "at" && allowed.includes("at")) {
      at = textAt(words, ++i)
      if (parseAddress(at) === null) return err("AT is followed by where the node listens to its peers, as host:port")
    } else if (word === "by" && allowed.includes("by")) {
      by = textAt(words, ++i)
      if (!isMemberName(by)) return err("BY is followed by the name of a node")
    } else if (word === "evenifquorumislost" && allowed.includes("even")) even = true
    else if (word === "wait") {
      const millis = naturalAt(words, ++i)
      if (millis === null || millis > LONGEST_WAIT_MS) return err("WAIT is followed by milliseconds")
      wait = millis
    } else return err("syntax error")
  }
  return { at, by, even, wait }
}

const notHere = errorReply(
  "NOLEADER",
  "this node belongs to no cluster yet, so it cannot ask a leader. Nothing was changed: ask a node that is a member.",
)
const codeOf = (name: string): string =>
  name === "MemberRefused"
    ? "REFUSED"
    : name === "MemberUnfinished"
      ? "UNFINISHED"
      : name === "MemberNoLeader"
        ? "NOLEADER"
        : "UNKNOWN"
const told = (error: unknown): Reply =>
  error instanceof Error ? errorReply(codeOf(error.name), error.message) : errorReply("UNKNOWN", String(error))

const later = (
  { host }: Context,
  ask: (members: NonNullable<ReturnType<NonNullable<typeof host.service.members>>>) => Promise<Reply>,
): ReturnType<ServerHandler> => {
  const members = host.service.members?.() ?? null
  if (members === null) return notHere
  return {
    type: "work.write",
    exec: false,
    inOrder: false,
    start: (done) => {
      void ask(members).then(done, (error: unknown) => done(told(error)))
      return undefined
    },
  }
}
const pursue = (context: Context, goal: Goal, timeout: number): ReturnType<ServerHandler> =>
  later(context, (members) => members.pursue(goal, { timeout }).then(({ text }): Reply => ({ type: "simple", text })))

const goalOf = (verb: string, name: string, { at, by, even }: Options): Goal => {
  switch (verb) {
    case "add":
      return { type: "add", name, address: at }
    case "promote":
      return { type: "promote", name, evenIfQuorumIsLost: even }
    case "remove":
      return { type: "remove", name, evenIfQuorumIsLost: even }
    default:
      return { type: "replace", name, by: by ?? name, address: at, evenIfQuorumIsLost: even }
  }
}
const ALLOWED: Readonly<Record<string, readonly Option[]>> = {
  add: ["at"],
  promote: ["even"],
  remove: ["even"],
  replace: ["at", "by", "even"],
}

export const memberHandler: ServerHandler = (context, words) => {
  const verb = wordAt(words, 2)
  if (verb === "list")
    return words.length === 3
      ? later(context, (members) => members.list().then((list) => bulkText(JSON.stringify(list))))
      : wrongArity("stepraft|member")
  if (!Object.hasOwn(ALLOWED, verb)) return unknownSubcommand("stepraft|member", words[2])
  const name = textAt(words, 3)
  if (!isMemberName(name)) return err(`STEPRAFT MEMBER ${verb.toUpperCase()} is followed by the name of a node`)
  const options = optionsOf(words, 4, ALLOWED[verb] ?? [])
  return isOptions(options) ? pursue(context, goalOf(verb, name, options), options.wait) : options
}

export const transferHandler: ServerHandler = (context, words) => {
  const named = words.length > 2 && !(words.length === 4 && wordAt(words, 2) === "wait")
  const to = named ? textAt(words, 2) : null
  if (to !== null && !isMemberName(to)) return err("STEPRAFT TRANSFER is followed by the name of a node, or by none")
  const options = optionsOf(words, named ? 3 : 2, [])
  return isOptions(options) ? pursue(context, { type: "transfer", to, from: null }, options.wait) : options
}
