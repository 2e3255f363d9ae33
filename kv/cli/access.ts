/** The TLS files and the login that this program uses with a cluster. One run of the program talks to one cluster. */
import { readFileSync } from "node:fs"
import { exitCodes, failure, type Failure } from "../../interpreters/cli/runtime.ts"
import { shown } from "../../interpreters/text.ts"
import { TlsUnusable } from "../../interpreters/tls/errors.ts"
import { nameIn } from "../../interpreters/tls/names.ts"
import type { Pair } from "../../interpreters/tls/pair.ts"
import { accessOf, type Access, inTheClear, usablePair } from "../client/access.ts"

export interface AccessFlags {
  readonly tls: boolean
  readonly tlsCa: string | null
  readonly tlsCert: string | null
  readonly tlsKey: string | null
  readonly user: string | null
}

let mine: Access = inTheClear
/** As whom this program comes, for what it says of a refusal. */
interface Identity {
  /** The name in its certificate; null: it shows none. */
  readonly certified: string | null
  /** What would have to be done to come in without the login; null: there is none. */
  readonly noLogin: string | null
}
const nobody: Identity = { certified: null, noLogin: null }
let identity = nobody
export const access = (): Access => mine
export const useAccess = (as: Access, who = nobody): void => {
  mine = as
  identity = who
}

/** To the bare refusal of a node: who this program says that it is, and how it is told to be another. */
export const advised = (code: string, text: string): string => {
  const { certified, noLogin } = identity
  if (code === "NOAUTH" && text.endsWith("Authentication required."))
    return certified === null
      ? `${text} Say who you are: --user NAME with STEPRAFT_PASSWORD, or --tls-cert FILE and --tls-key FILE.`
      : `${text} The certificate that was shown (--tls-cert) is for ${shown(certified, 80)}: the node has no user of that name, or asks for no certificates. Add one there, or say who you are: --user NAME with STEPRAFT_PASSWORD, or the certificate of another user.`
  if (code === "NOPERM" && certified !== null && noLogin !== null)
    return `${text} ${mine.login?.username ?? ""} logged in by name and password, which count before the certificate (--tls-cert) for ${shown(certified, 80)}. To come in with that: ${noLogin}.`
  return text
}

type Part = "ca" | "cert" | "key"
/** What was given, and by what. */
interface Source {
  readonly by: string
  readonly file: string
}
const named = ({ by, file }: Source): string => `${file} (${by})`
const unusable = (file: string, reason: string): Failure =>
  failure(`${file} cannot be used for TLS: ${reason}. Nothing was asked.`, exitCodes.usage)
const read = (source: Source): string => {
  try {
    return readFileSync(source.file, "utf8")
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw unusable(named(source), code === "ENOENT" ? "there is no such file" : message)
  }
}
/** Checked before anything is dialled: a node could say of none of this what is wrong. */
const pairOf = (sources: Readonly<Record<Part, Source | null>>, material: NonNullable<Access["tls"]>): Pair | null => {
  const { cert, key } = sources
  const lone = (flag: string, one: Source): Failure =>
    failure(
      `${one.by} is given without ${flag}: a certificate and its key go together. Nothing was asked. Give both, or neither.`,
      exitCodes.usage,
    )
  if (cert !== null && key === null) throw lone("--tls-key", cert)
  if (key !== null && cert === null) throw lone("--tls-cert", key)
  const called = (one: Source | null): string => (one === null ? "" : named(one))
  try {
    return usablePair(material, { ca: called(sources.ca), cert: called(cert), key: called(key) })
  } catch (error) {
    throw error instanceof TlsUnusable ? unusable(error.file, error.reason) : error
  }
}
const nameOf = ({ own }: Pair): string | null => nameIn(own.toLegacyObject())
const ON: ReadonlySet<string | undefined> = new Set(["1", "true", "yes"])

/** Flags take precedence, then the environment, then what the addresses say. */
export const useGivenAccess = (flags: AccessFlags, addresses: readonly string[], env = process.env): void => {
  const from = (flag: string, file: string | null, variable: string): Source | null => {
    if (file !== null) return { by: flag, file }
    const set = env[variable]
    return set === undefined ? null : { by: variable, file: set }
  }
  const sources = {
    ca: from("--tls-ca", flags.tlsCa, "STEPRAFT_TLS_CA"),
    cert: from("--tls-cert", flags.tlsCert, "STEPRAFT_TLS_CERT"),
    key: from("--tls-key", flags.tlsKey, "STEPRAFT_TLS_KEY"),
  }
  const material = {
    ...(sources.ca === null ? {} : { ca: read(sources.ca) }),
    ...(sources.cert === null ? {} : { cert: read(sources.cert) }),
    ...(sources.key === null ? {} : { key: read(sources.key) }),
  }
  const pair = pairOf(sources, material)
  const secure =
    flags.tls ||
    ON.has(env["STEPRAFT_TLS"]) ||
    sources.ca !== null ||
    pair !== null ||
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
  const noLogin =
    as.login === null
      ? null
      : password === undefined
        ? "leave name and password out of the address"
        : `${flags.user === null ? "" : "leave --user out, and "}unset STEPRAFT_PASSWORD`
  useAccess(as, { certified: pair === null ? null : nameOf(pair), noLogin })
}
