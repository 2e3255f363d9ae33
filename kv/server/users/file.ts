/**
 * The file of users: one in a line, `name role password`. The password is a hash (stepraft user hash), `nopass` (whoever gives
 * the name is let in; that of the user default need not be given) or `-` (only by a certificate of that name). After # is a note.
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

/** Or what is wrong, with its line. */
export const parseUsers = (text: string): UserList | string => {
  const users = new Map<string, User>()
  for (const [at, line] of text.split("\n").entries()) {
    const words = line.replace(/(^|\s)#.*$/, "").trim()
    if (words === "") continue
    const wrong = (what: string): string => `line ${at + 1}: ${what}`
    const [name = "", role, password = "", ...more] = words.split(/\s+/)
    const known = ROLES.find((one) => one === role)
    if (!NAME.test(name)) return wrong("a name has 1 to 128 printable characters")
    if (known === undefined) return wrong(`after the name stands a role: ${ROLES.join(", ")}`)
    if (password !== "nopass" && password !== "-" && parseHash(password) === null)
      return wrong("after the role stands a hash (stepraft user hash), nopass, or - for a certificate only")
    if (more.length > 0) return wrong("nothing stands after the password")
    if (users.has(name)) return wrong(`${name} stands there twice`)
    users.set(name, { name, role: known, password })
  }
  if (![...users.values()].some(({ role }) => role === "admin")) return "no user has the role admin"
  return users
}
