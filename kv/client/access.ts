/** How a client proves who it is, and whom it believes. */
export interface ClientTlsOptions {
  /** PEM: whom to believe. Default: the authorities of the system. */
  readonly ca?: string | Uint8Array
  /** PEM: what the client proves itself with, and its key. */
  readonly cert?: string | Uint8Array
  readonly key?: string | Uint8Array
  /** The name that the nodes' certificates must have. Default: the host that is dialled. */
  readonly servername?: string
}
export interface Access {
  /** null: in the clear. */
  readonly tls: ClientTlsOptions | null
  /** null: nothing is said. */
  readonly login: { readonly username: string; readonly password: string } | null
}
export const inTheClear: Access = { tls: null, login: null }

export interface AccessOptions {
  /** With `true` the authorities of the system are believed. */
  readonly tls?: boolean | ClientTlsOptions
  /** Default, with a password: `default`. */
  readonly username?: string
  readonly password?: string
}

/** The beginning of an address: redis://, rediss://, with user and password as in a URL. */
const BEGINNING = /^rediss?:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?/
export const withoutAccess = (address: string): string => address.trim().replace(BEGINNING, "")

/** What the addresses say themselves; `options` say it louder. */
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
