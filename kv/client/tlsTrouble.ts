/** Why TLS cannot be agreed with a node, and what to do: waiting mends none of this. */
import type { PeerCertificate } from "node:tls"
import { hostsIn, nameIn } from "../../interpreters/tls/names.ts"
import { isMemberName, shown } from "../../interpreters/text.ts"
import type { ClientTlsOptions } from "./access.ts"

/** Of the node's certificate: `host` is not among its hosts, or it `ended`, `has not begun`, is no node's, of another authority. */
export type TlsProblem = "speaks none" | "speaks it" | "host" | "ended" | "not begun" | "purpose" | "authority"
export interface TlsTrouble {
  readonly problem: TlsProblem
  /** With the address, and the way out. */
  readonly text: string
}

/** What a certificate lacks whose authority is not known here, as OpenSSL names it. */
const UNKNOWN_AUTHORITY: ReadonlySet<string> = new Set([
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "CERT_SIGNATURE_FAILURE",
])
const GIVE = "--tls-ca FILE or STEPRAFT_TLS_CA; in a program tls: { ca }"
const WHERE = "where the cluster's ca.key is kept"
/** `stepraft cert node` adds these by itself. */
const HERE: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "::1"])
const MOST = 500

/** Reached without TLS. */
export const speaksTls = (address: string): TlsTrouble => ({
  problem: "speaks it",
  text: `${address} speaks TLS, and this client does not: give the cluster's authority, ca.crt (${GIVE})`,
})

/** What the node showed; empty or null if nothing was seen. */
type Seen = Partial<PeerCertificate> | null
export interface Tried {
  readonly address: string
  /** For which the certificate must be. */
  readonly host: string
  readonly secured: ClientTlsOptions
  readonly seen: Seen
}

const wrongHost = (host: string, name: string | null, seen: Seen): string => {
  const hosts = hostsIn(seen?.subjectaltname).filter((one) => one !== name)
  const listed = shown(hosts.join(", "), MOST)
  const only = hosts.length === 0 ? "" : `, only for ${listed}: dial ${hosts.length === 1 ? "that" : "one of these"}`
  // Those of the former are kept only if none is given.
  const wanted = [...hosts.filter((one) => !HERE.has(one)), host].join(",")
  const command =
    name !== null && isMemberName(name) && /^[\w.:*,-]+$/.test(wanted)
      ? `stepraft cert node ${name} --replace --host ${wanted}`
      : "stepraft cert node NAME --replace --host HOST,HOST"
  return `not for ${host}${only}${only === "" ? ": make" : ", or make"} one that is, ${WHERE} (${command}), and copy its two files over the old ones`
}

/** null: another trouble, that may pass. */
export const tlsTrouble = (
  { code = "", message }: NodeJS.ErrnoException,
  { address, host, secured, seen }: Tried,
): TlsTrouble | null => {
  const name = seen === null || Object.keys(seen).length === 0 ? null : nameIn({ subject: undefined, ...seen })
  const member = name !== null && isMemberName(name) ? name : "NAME"
  const whose = name === null ? "" : ` of ${shown(name, 80)}`
  const now = new Date().toISOString()
  const of = (problem: TlsProblem, text: string): TlsTrouble => ({ problem, text: `${address} (${code}): ${text}` })
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || /wrong version number/i.test(message))
    return {
      problem: "speaks none",
      text: `${address} speaks no TLS: leave TLS out here (--tls, --tls-ca, --tls-cert, --tls-key, rediss://, STEPRAFT_TLS and STEPRAFT_TLS_CA; in a program tls), or give that node certificates (--tls-cert, --tls-key and --tls-ca of stepraft serve)`,
    }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return of("host", `the certificate${whose} is ${wrongHost(host, name, seen)}`)
  if (code === "CERT_HAS_EXPIRED") {
    const ended = new Date(seen?.valid_to ?? "")
    return ended.getTime() > Date.now()
      ? of(
          "ended",
          `an authority of the certificate${whose} has ended, as the clock here has it (${now}): replace the authority (kv/SECURITY.md, Replacing what ends)`,
        )
      : of(
          "ended",
          `the certificate${whose} ${Number.isNaN(ended.getTime()) ? "has ended" : `ended at ${ended.toISOString()}`}, and the clock here says ${now}: make a new one ${WHERE} (stepraft cert node ${member} --replace), and copy its two files over the old ones; the node need not be restarted`,
        )
  }
  if (code === "CERT_NOT_YET_VALID")
    return of(
      "not begun",
      `the certificate${whose}, or its authority's, has not begun, as the clock here has it (${now}): set the clock that is wrong, here or where it was made`,
    )
  if (code === "INVALID_PURPOSE")
    return of(
      "purpose",
      `the certificate${whose} was not made for a node: give the node one of its own (stepraft cert node NAME, ${WHERE})`,
    )
  if (UNKNOWN_AUTHORITY.has(code))
    return of(
      "authority",
      secured.ca === undefined
        ? `none of this system's authorities has signed the certificate${whose}. Give the cluster's, ca.crt (${GIVE})`
        : `the authority that was given has not signed the certificate${whose}: this is a node of another cluster, or the cluster has another authority by now. Give the cluster's, ca.crt (${GIVE})`,
    )
  return null
}
