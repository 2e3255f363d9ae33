/**
 * The file of users: one per line, `name role password`. The password is a hash (stepraft user hash), `nopass` (every
 * client that gives the name is accepted; the user default need not even be named) or `-` (only with a certificate of
 * that name). After # comes a comment.
 */
import { parseHash } from "./hash.ts"
import { ROLES, type UserRole } from "./roles.ts"

export interface User {
  readonly name: string
  readonly role: UserRole
  readonly password: string
}
export type UserList = ReadonlyMap<string, User>

const NAME = /^[!-~]{1,128}$/

/** The users, or what is wrong and in which line. */
export const parseUsers = (text: string): UserList | string => {
  const users = new Map<string, User>()
  for (const [at, line] of text.split("\n").entries()) {
    const words = line.replace(/(^|\s)#.*$/, "").trim()
    if (words === "") continue
    const wrong = (what: string): string => `line ${at + 1}: ${what}`
    const [name = "", role, password = "", ...more] = words.split(/\s+/)
    const known = ROLES.find((one) => one === role)
    if (!NAME.test(name)) return wrong("a name has 1 to 128 printable ASCII characters without blanks")
    if (known === undefined) return wrong(`the name must be followed by a role: ${ROLES.join(", ")}`)
    if (password !== "nopass" && password !== "-" && parseHash(password) === null)
      return wrong("the role must be followed by a hash (stepraft user hash), nopass, or - for a certificate only")
    if (more.length > 0) return wrong("nothing may follow the password")
    if (users.has(name)) return wrong(`${name} is listed twice`)
    users.set(name, { name, role: known, password })
  }
  if (![...users.values()].some(({ role }) => role === "admin")) return "no user has the role admin"
  return users
}
