/** Who is at the other end of a TLS socket, and why it must not be believed. */
import type { PeerCertificate, TLSSocket } from "node:tls"
import { shown } from "../text.ts"
import { SERVER_AUTH } from "./certificate.ts"
import { nameIn } from "./names.ts"

/**
 * null: it showed no certificate. Not the detailed form: that searches an issuer for every certificate that was sent,
 * and a stranger who sends two hundred would hold up the node for 50 ms each time.
 */
const certificateOf = (socket: TLSSocket): PeerCertificate | null => {
  const certificate = socket.getPeerCertificate()
  return Object.keys(certificate).length === 0 ? null : certificate
}
/** The name in the other end's certificate, whoever signed it. */
export const certifiedName = (socket: TLSSocket): string | null => {
  const certificate = certificateOf(socket)
  return certificate === null ? null : nameIn(certificate)
}

const WHY: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED:
    "it has expired: replace it (stepraft cert node NAME --replace, or cert client NAME --replace), the node need not be restarted",
  CERT_NOT_YET_VALID:
    "it is not valid yet: check the clocks of both machines; if they are right, wait or make another certificate",
  INVALID_PURPOSE: "it was made for another purpose: make one of the right kind (stepraft cert node, or client)",
}
const elsewhere =
  "no authority that is trusted here has signed it: have it signed by the cluster's (stepraft cert), or add its authority to the file of trusted ones (tls-ca)"

/**
 * Why the other end's certificate does not count; null if it does. This checks the certificate itself, not whose name
 * it carries.
 */
export const certificateProblem = (socket: TLSSocket): string | null => {
  if (certificateOf(socket) === null) return "it showed no certificate: give it one of the cluster's (stepraft cert)"
  if (socket.authorized) return null
  const code = String(socket.authorizationError)
  return `its certificate${quoted(certifiedName(socket))} does not count (${code}): ${WHY[code] ?? elsewhere}`
}
const quoted = (name: string | null): string => (name === null ? "" : ` for ${shown(name, 80)}`)

/** Why the certificate cannot be a member's: it is not trusted, or it does not say that it is a node's. */
export const memberCertificateProblem = (socket: TLSSocket): string | null => {
  const certificate = certificateOf(socket)
  if (certificate === null) return certificateProblem(socket)
  const purposes: readonly string[] | undefined = certificate.ext_key_usage
  if (purposes?.includes(SERVER_AUTH) !== true)
    return `its certificate${quoted(nameIn(certificate))} ${purposes === undefined ? "may be a client's, as it names no purpose" : "is a client's"}: a node needs one of its own (stepraft cert node)`
  return certificateProblem(socket)
}
