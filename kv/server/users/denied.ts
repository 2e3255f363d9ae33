/** What a client may not do, in words. */
import type { Reply } from "../../types.ts"
import type { Context, KnownCommand, Words } from "../contract.ts"
import { nameOf } from "../usage.ts"
import { errorReply } from "../wire/encode.ts"
import { isOpen, neededFor, suffices } from "./roles.ts"

const nobody = errorReply("NOAUTH", "Authentication required.")
/** null: it may. */
export const denied = (
  { client: { user }, host }: Pick<Context, "client" | "host">,
  known: KnownCommand | undefined,
  words: Words,
): Reply | null => {
  if (user?.role === "admin" || (known !== undefined && isOpen(known))) return null
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
    `${user.name} has the role ${user.role}, and ${nameOf(known, words).replace("|", " ").toUpperCase()} needs ${needed}. Nothing was executed.`,
  )
}
