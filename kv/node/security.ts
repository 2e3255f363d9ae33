/**
 * How a node proves who it is, which clients it accepts, and which ports go without TLS: as configured, or why that is
 * impossible.
 */
import { exposed, PEERS_EXPOSED } from "../../interpreters/node/index.ts"
import type { Address } from "../../interpreters/tcp/index.ts"
import type { TlsFiles } from "../../interpreters/tls/index.ts"

/** The three ports of a node. */
export type PortName = "peers" | "clients" | "http"
const PORTS: readonly PortName[] = ["peers", "clients", "http"]

export interface Security {
  /** For all three ports, except those in `plaintext`. null: no port uses TLS. */
  readonly tls: TlsFiles | null
  readonly plaintext: readonly PortName[]
  /** Whether clients show a certificate of the cluster's authority: it is not requested, optional, or required. */
  readonly authClients: "no" | "optional" | "yes"
  /** The file of users; null: every client may do everything. */
  readonly users: string | null
}
export const unsecured: Security = { tls: null, plaintext: [], authClients: "no", users: null }

export interface Given {
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly tlsCa?: string
  readonly tlsAuthClients?: Security["authClients"]
  readonly plaintext?: string
  readonly users?: string
}
export interface Ports {
  readonly client: Address
  readonly peer: Address
  readonly peers: readonly Address[]
}

const CLIENTS_EXPOSED =
  "whoever reaches this port, or the network to it, can read and change everything sent there, passwords too"

/** `wrong` makes the error for a field and a reason. */
export const securityOf = (
  given: Given,
  { client, peer, peers }: Ports,
  wrong: (field: keyof Given | "client" | "peer", reason: string) => Error,
): Security => {
  const { tlsCert, tlsKey, tlsCa, tlsAuthClients, users = null } = given
  const parts = { tlsCert, tlsKey, tlsCa }
  const missing = (Object.keys(parts) as (keyof typeof parts)[]).filter((name) => parts[name] === undefined)
  const [first] = missing
  if (first !== undefined && missing.length < 3)
    throw wrong(first, "TLS needs a certificate, its key and the authority (stepraft cert makes all three)")
  const tls =
    tlsCert === undefined || tlsKey === undefined || tlsCa === undefined
      ? null
      : { cert: tlsCert, key: tlsKey, ca: tlsCa }
  const plaintext = (given.plaintext ?? "")
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "")
  const ports = PORTS.filter((port) => plaintext.includes(port))
  const strange = plaintext.find((word) => !PORTS.some((port) => port === word))
  if (strange !== undefined) throw wrong("plaintext", `${JSON.stringify(strange)} is not one of ${PORTS.join(", ")}`)
  if (tls === null && tlsAuthClients !== undefined && tlsAuthClients !== "no")
    throw wrong("tlsAuthClients", "clients show certificates over TLS only: give tlsCert, tlsKey and tlsCa as well")
  const inTheClear = (port: PortName): boolean => tls === null && !ports.includes(port)
  const openly = exposed([peer, ...peers])
  if (inTheClear("peers") && openly !== null)
    throw wrong(
      "peer",
      `${openly} can be reached from other machines, and without TLS ${PEERS_EXPOSED}. Give certificates (--tls-cert, --tls-key, --tls-ca; stepraft cert makes them), or give --plaintext peers if you accept that`,
    )
  if (inTheClear("clients") && exposed([client]) !== null)
    throw wrong(
      "client",
      `it can be reached from other machines, and without TLS ${CLIENTS_EXPOSED}. Give certificates (--tls-cert, --tls-key, --tls-ca; stepraft cert makes them), or give --plaintext clients if you accept that`,
    )
  return {
    tls,
    plaintext: ports,
    // Without users a certificate is all that keeps strangers out.
    authClients:
      tls === null || ports.includes("clients") ? "no" : (tlsAuthClients ?? (users === null ? "yes" : "optional")),
    users,
  }
}

/** For the log: who may come in at the port for clients, and as what. `users`: how many there are; null: no file of them. */
export const clientDoor = ({ tls, plaintext, authClients }: Security, users: number | null): string => {
  const shows = {
    no: "no certificate asked for",
    optional: "a certificate is optional",
    yes: "a certificate is required",
  }
  const how = tls === null || plaintext.includes("clients") ? "in the clear" : `with TLS, ${shows[authClients]}`
  const who = users === null ? "no file of users, so whoever comes in is an administrator" : `${users} users`
  return `the port for clients: ${how}; ${who}`
}
