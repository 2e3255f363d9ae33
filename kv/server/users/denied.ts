/** Refuses commands that a client's role does not allow. */
import { errorReply } from "../../machine/reply.ts"
import type { Reply } from "../../types.ts"
import type { Context, KnownCommand, Words } from "../contract.ts"
import type { Slot } from "../queue.ts"
import { usageName } from "../usage.ts"
import { needsNoLogin, neededFor, suffices } from "./roles.ts"

const nobody = errorReply("NOAUTH", "Authentication required.")
/** null: the command is allowed. */
export const denied = (
  { client: { user }, host }: Pick<Context, "client" | "host">,
  known: KnownCommand | undefined,
  words: Words,
): Reply | null => {
  if (user?.role === "admin" || (known !== undefined && needsNoLogin(known))) return null
  if (user === null) {
    host.stats.denied++
    return nobody
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
