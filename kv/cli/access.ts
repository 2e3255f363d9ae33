/** The TLS files and the login that this program uses with a cluster. One run of the program talks to one cluster. */
import { readFileSync } from "node:fs"
import { exitCodes, failure } from "../../interpreters/cli/runtime.ts"
import { accessOf, type Access, inTheClear } from "../client/access.ts"

export interface AccessFlags {
  readonly tls: boolean
  readonly tlsCa: string | null
  readonly tlsCert: string | null
  readonly tlsKey: string | null
  readonly user: string | null
}

let mine: Access = inTheClear
export const access = (): Access => mine
export const useAccess = (as: Access): void => {
  mine = as
}

const read = (flag: string, file: string | undefined): string | undefined => {
  if (file === undefined) return undefined
  try {
    return readFileSync(file, "utf8")
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw failure(`${flag}: ${file} cannot be read (${why})`, exitCodes.usage)
  }
}
const ON: ReadonlySet<string | undefined> = new Set(["1", "true", "yes"])

/** To the bare refusal of a node: how this program is told who it is. */
export const advised = (code: string, text: string): string =>
  code === "NOAUTH" && text.endsWith("Authentication required.")
    ? `${text} Say who you are: --user NAME with STEPRAFT_PASSWORD, or --tls-cert FILE and --tls-key FILE.`
    : text

/** Flags take precedence, then the environment, then what the addresses say. */
export const useGivenAccess = (flags: AccessFlags, addresses: readonly string[], env = process.env): void => {
  const ca = read("--tls-ca", flags.tlsCa ?? env["STEPRAFT_TLS_CA"])
  const cert = read("--tls-cert", flags.tlsCert ?? env["STEPRAFT_TLS_CERT"])
  const key = read("--tls-key", flags.tlsKey ?? env["STEPRAFT_TLS_KEY"])
  const material = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
  const secure =
    flags.tls ||
    ON.has(env["STEPRAFT_TLS"]) ||
    ca !== undefined ||
    addresses.some((address) => address.trim().startsWith("rediss://"))
  const username = flags.user ?? env["STEPRAFT_USER"]
  const password = env["STEPRAFT_PASSWORD"]
  const as = accessOf(addresses, {
    ...(secure ? { tls: material } : {}),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  })
  if (flags.user !== null && as.login === null)
    throw failure(
      `--user ${flags.user}: the password is taken from STEPRAFT_PASSWORD, which is not set`,
      exitCodes.usage,
    )
  useAccess(as)
}
