/** Which role a command needs, and the refusal of a client that does not have it. */
import { shown } from "../../interpreters/text.ts"
import { errorReply } from "../machine/reply.ts"
import type { Reply } from "../types.ts"
import type { Context, KnownCommand, Words } from "./contract.ts"
import type { Slot } from "./queue.ts"
import { usageName } from "./usage.ts"
import { suffices, type UserRole } from "./users/index.ts"
import { wordAt } from "./words.ts"

/** The roles that the server's own commands need. A family whose members are not listed is listed as a whole. */
const NEEDED: Readonly<Record<string, UserRole>> = {
  flushall: "admin",
  flushdb: "admin",
  config: "admin",
  monitor: "admin",
  function: "admin",
  "client|kill": "admin",
  "client|list": "admin",
  stepraft: "admin",
  "stepraft|help": "read",
  "stepraft|status": "read",
  "stepraft|version": "read",
  "stepraft|session": "write",
  "stepraft|do": "write",
  "stepraft|exec": "write",
}

export const neededFor = (known: KnownCommand, words: Words): UserRole => {
  const told = NEEDED[`${known.name}|${wordAt(words, 1)}`] ?? NEEDED[known.name]
  return told ?? (known.does === "write" ? "write" : "read")
}
/** Commands that are allowed before a login. */
const OPEN: ReadonlySet<string> = new Set(["auth", "hello", "quit", "reset"])
const needsNoLogin = ({ name }: KnownCommand): boolean => OPEN.has(name)

const nobody = errorReply("NOAUTH", "Authentication required.")
/**
 * For a refusal of a client that has not logged in: what its certificate was no use for. Nobody else is told which names
 * there are.
 */
export const certificateNote = ({ certified, arrived }: Context["client"]): string =>
  certified === null || arrived !== null
    ? ""
    : ` Your certificate says ${shown(certified, 80)}, and no user has that name: log in with a password, or show a user's certificate.`

/** null: the command is allowed. */
export const denied = (
  { client, host }: Pick<Context, "client" | "host">,
  known: KnownCommand | undefined,
  words: Words,
): Reply | null => {
  const { user } = client
  if (user?.role === "admin" || (known !== undefined && needsNoLogin(known))) return null
  if (user === null) {
    host.stats.denied++
    const note = certificateNote(client)
    return note === "" ? nobody : errorReply("NOAUTH", `Authentication required.${note}`)
  }
  if (known === undefined) return null
  const needed = neededFor(known, words)
  if (suffices(user.role, needed)) return null
  host.stats.denied++
  return errorReply(
    "NOPERM",
    `${user.name} has the role ${user.role}, and ${usageName(known, words).replace("|", " ").toUpperCase()} needs ${needed}. Nothing was executed.`,
  )
}

/**
 * The command was allowed when it was sent, and had to wait; meanwhile the user may have lost the role. null: it is
 * still allowed.
 */
export const revoked = (
  { client, host }: Pick<Context, "client" | "host">,
  { user: asked, kind }: Pick<Slot, "user" | "kind">,
): Reply | null => {
  if (kind === "answered" || asked === null || asked === client.user || host.users === null) return null
  const now = host.users.still(asked)
  if (now !== null && (kind === "read" || suffices(now.role, asked.role))) return null
  host.stats.denied++
  return errorReply(
    "NOPERM",
    `${asked.name} has lost the role ${asked.role} while the command waited. Nothing was executed.`,
  )
}
