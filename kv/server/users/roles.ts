/** The roles of users. Each role allows what the ones before it allow, and more. */
import type { KnownCommand, Words } from "../contract.ts"
import { wordAt } from "../words.ts"

export type UserRole = "read" | "write" | "admin"
export const ROLES: readonly UserRole[] = ["read", "write", "admin"]
export const suffices = (role: UserRole, needed: UserRole): boolean => ROLES.indexOf(role) >= ROLES.indexOf(needed)

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
export const needsNoLogin = ({ name }: KnownCommand): boolean => OPEN.has(name)
