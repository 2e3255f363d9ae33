/** How a client proves who it is, and which nodes it trusts. */
import { TlsUnusable } from "../../interpreters/tls/errors.ts"
import { certificates, pairIn, type Pair } from "../../interpreters/tls/pair.ts"

export interface ClientTlsOptions {
  /** PEM: the certificate authorities to trust. Default: those of the system. */
  readonly ca?: string | Uint8Array
  /** PEM: the client's certificate and its key. */
  readonly cert?: string | Uint8Array
  readonly key?: string | Uint8Array
  /** The name that the nodes' certificates must have. Default: the host that is dialled. */
  readonly servername?: string
}
export interface Access {
  /** null: no TLS. */
  readonly tls: ClientTlsOptions | null
  /** null: no login. */
  readonly login: { readonly username: string; readonly password: string } | null
}
export const inTheClear: Access = { tls: null, login: null }

export interface AccessOptions {
  /** With `true` the certificate authorities of the system are trusted. */
  readonly tls?: boolean | ClientTlsOptions
  /** Default if there is a password: `default`. */
  readonly username?: string
  readonly password?: string
}

/** The beginning of an address: redis://, rediss://, with user and password as in a URL. */
const BEGINNING = /^rediss?:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?/
export const withoutAccess = (address: string): string => address.trim().replace(BEGINNING, "")

/** TLS and login from the addresses; `options` take precedence. */
export const accessOf = (addresses: readonly string[], { tls, username, password }: AccessOptions): Access => {
  const secure = addresses.some((address) => address.trim().startsWith("rediss://"))
  const [, user, secret] =
    addresses.map((address) => BEGINNING.exec(address.trim()) ?? []).find(([, , it]) => it !== undefined) ?? []
  const word = password ?? (secret === undefined ? undefined : decodeURIComponent(secret))
  const name = username ?? (user === undefined || user === "" ? "default" : decodeURIComponent(user))
  return {
    tls: tls === undefined || tls === true ? (secure || tls === true ? {} : null) : tls === false ? null : tls,
    login: word === undefined ? null : { username: name, password: word },
  }
}

const textOf = (pem: string | Uint8Array): string => (typeof pem === "string" ? pem : Buffer.from(pem).toString())
/** As errors name them. */
const IN_PROGRAMS = { ca: "tls.ca", cert: "tls.cert", key: "tls.key" } as const
/**
 * The client's certificate, if it has one. Throws TlsUnusable for what could not be dialled with, before anything is:
 * a part that is missing or cannot be read, a key that is another certificate's.
 */
export const usablePair = (
  { ca, cert, key }: ClientTlsOptions,
  named: Readonly<Record<keyof typeof IN_PROGRAMS, string>> = IN_PROGRAMS,
): Pair | null => {
  if (ca !== undefined) certificates(named.ca, textOf(ca))
  if (cert === undefined && key === undefined) return null
  if (cert === undefined)
    throw new TlsUnusable({ file: named.cert, reason: `it is missing, and ${named.key} is given` })
  if (key === undefined) throw new TlsUnusable({ file: named.key, reason: `it is missing, and ${named.cert} is given` })
  return pairIn(named, { cert: textOf(cert), key: textOf(key) })
}
