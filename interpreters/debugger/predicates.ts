/** The conditions of `continue` and `reverse`: a predicate on a frame, from words. */
import type { MessageType, Role } from "../../core/index.ts"
import { rules } from "../../core/index.ts"
import type { SessionFrame, Predicate } from "./session.ts"

export const number = (word: string | undefined, fallback: number): number => {
  const value = word === undefined ? fallback : /^\d+$/.test(word) ? Number(word) : Number.NaN
  return Number.isSafeInteger(value) ? value : Number.NaN
}

const ROLES: Readonly<Record<Role["type"], true>> = {
  follower: true,
  preCandidate: true,
  candidate: true,
  leader: true,
}
export const MESSAGES: Readonly<Record<MessageType, true>> = {
  RequestVote: true,
  RequestVoteReply: true,
  RequestPreVote: true,
  RequestPreVoteReply: true,
  AppendEntries: true,
  AppendAccepted: true,
  AppendRejected: true,
  InstallSnapshot: true,
  InstallSnapshotReply: true,
  ReadIndex: true,
  ReadIndexReply: true,
  ForwardProposal: true,
  ForwardProposalReply: true,
  TimeoutNow: true,
}

const nodesOf = ({ steps }: SessionFrame): readonly string[] => steps.map(({ node }) => node)
const notesRule = (frame: SessionFrame, rule: string): boolean =>
  frame.steps.some(({ effects }) => effects.some((effect) => effect.type === "Note" && effect.rule.startsWith(rule)))
const highest = (frame: SessionFrame, field: "currentTerm" | "commitIndex" | "applied"): number =>
  Math.max(0, ...Object.values(frame.world.nodes).map(({ core }) => core?.[field] ?? 0))

const FIELDS = { term: "currentTerm", commit: "commitIndex", applied: "applied" } as const
const COMPARISON = /^(\S+?)\.(term|commit|applied|last|role)\s*(>=|<=|==|=|>|<)\s*(\S+)$/

/** Or the reason why the words are not understood. */
type Wanted = Predicate | string

const oneOf = (what: string, words: readonly string[], word: string, then: Predicate): Wanted =>
  words.includes(word) ? then : `there is no ${what} ${word}; there are ${words.join(", ")}`

const comparison = (text: string, names: readonly string[]): Wanted => {
  const [, name, field, sign, wanted] = COMPARISON.exec(text) ?? []
  if (name === undefined || field === undefined || sign === undefined || wanted === undefined)
    return `to what? ${PREDICATES}`
  if (field === "role" && !sign.startsWith("=")) return `a role is equal or not: ${name}.role == ${wanted}`
  const other = number(wanted, Number.NaN)
  if (field !== "role" && Number.isNaN(other)) return `${field} is compared with a whole number, not with ${wanted}`
  const holds: Predicate = (_, { world }) => {
    const core = world.nodes[name]?.core
    if (core === undefined || core === null) return false
    if (field === "role") return core.role.type === wanted
    const value =
      field === "last"
        ? core.log.lastIndex
        : field === "term" || field === "commit" || field === "applied"
          ? core[FIELDS[field]]
          : 0
    return sign === ">="
      ? value >= other
      : sign === "<="
        ? value <= other
        : sign === ">"
          ? value > other
          : sign === "<"
            ? value < other
            : value === other
  }
  const known = oneOf("node", names, name, holds)
  return field === "role" && typeof known !== "string" ? oneOf("role", Object.keys(ROLES), wanted, holds) : known
}

/** True where the commit index grows, and passes `least` if that is given. */
const grows = (field: "currentTerm" | "commitIndex", word: string | undefined): Wanted => {
  const least = number(word, 0)
  return Number.isNaN(least)
    ? `${word} is no whole number`
    : (before, after) => highest(after, field) > highest(before, field) && highest(after, field) >= least
}

/** Names are those of all servers. Returns a text if the words are not understood: the reason. */
export const predicateOf = (words: readonly string[], names: readonly string[]): Predicate | string => {
  const [kind = "violation", arg, ...more] = words
  if (arg === undefined) {
    if (kind === "violation") return (_, after) => after.violation !== null
    if (kind === "leader") return (_, after) => notesRule(after, "election.won")
    if (kind === "action") return (_, after) => after.action !== null
    if (kind === "lost") return (_, after) => after.lost.length > 0
  }
  if (more.length > 0) return comparison(words.join(" "), names)
  if (kind === "commit") return grows("commitIndex", arg)
  if (kind === "term") return grows("currentTerm", arg)
  if (arg === undefined) return comparison(kind, names)
  switch (kind) {
    case "rule":
      return Object.keys(rules).some((rule) => rule.startsWith(arg))
        ? (_, after) => notesRule(after, arg)
        : `no rule begins with ${arg}; rules lists them`
    case "node":
      return oneOf("node", names, arg, (_, after) => nodesOf(after).includes(arg))
    case "message":
      return oneOf("message", Object.keys(MESSAGES), arg, (_, after) =>
        after.steps.some(({ events }) =>
          events.some((event) => event.type === "MessageReceived" && event.message.type === arg),
        ),
      )
    default:
      return comparison(words.join(" "), names)
  }
}
export const PREDICATES =
  "violation, leader, commit [N], term [N], rule NAME, node NODE, message TYPE, action, lost, or n2.term > 5 (term, commit, applied, last, role)"
