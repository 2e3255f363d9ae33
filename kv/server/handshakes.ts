/** What a failed TLS handshake of a client says: who did not like what. */

/** What OpenSSL says when the first bytes are no TLS. */
const PLAIN: ReadonlySet<string> = new Set([
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_HTTP_REQUEST",
  "ERR_SSL_HTTPS_PROXY_REQUEST",
])
/** The client's own last word, such as ERR_SSL_TLSV1_ALERT_UNKNOWN_CA. */
const ALERT = /_ALERT_(\w+)$/

const WRONG_HOST =
  "it may have dialled a host that is not in the certificate (stepraft cert node NAME --replace --host HOST, with all its hosts)"
const WRONG_AUTHORITY = "it may trust another authority than the cluster's (give it ca.crt: --tls-ca)"
const REASONS: Readonly<Record<string, string>> = {
  UNKNOWN_CA: "it trusts another authority than the cluster's: give it ca.crt (--tls-ca)",
  BAD_CERTIFICATE: `${WRONG_HOST}, or ${WRONG_AUTHORITY}`,
  CERTIFICATE_UNKNOWN: `${WRONG_HOST}, or ${WRONG_AUTHORITY}`,
  UNSUPPORTED_CERTIFICATE: "it wants a certificate that was made for a server",
  CERTIFICATE_REVOKED: "it takes the certificate for a revoked one",
}

export interface FailedHandshake {
  readonly host: string
  readonly code: string
  /** The client has sent at least a byte. */
  readonly heard: boolean
  /** When the node's certificate ends, and the time now. */
  readonly ends: Date
  readonly now: number
}
const expired = (ends: Date, now: number): string =>
  ends.getTime() <= now
    ? `it ended at ${ends.toISOString()} (replace it: stepraft cert node NAME --replace)`
    : `it ends at ${ends.toISOString()}, so the client's clock is wrong`
export const failedHandshake = ({ host, code, heard, ends, now }: FailedHandshake): string => {
  const failed = `the TLS handshake with a client at ${host} failed (${code}): closed its connection`
  if (PLAIN.has(code)) return `${failed}. It needs TLS, as with an address that begins with rediss://`
  if (code === "ERR_TLS_HANDSHAKE_TIMEOUT")
    return heard
      ? `${failed}. It began and did not go on: a client that does not accept this node's certificate may leave without a word (Node.js does), and then its own error says why`
      : `${failed}. It sent nothing`
  const alert = ALERT.exec(code)?.[1]
  if (alert === undefined) return failed
  const why = alert === "CERTIFICATE_EXPIRED" ? expired(ends, now) : REASONS[alert]
  return why === undefined
    ? `${failed}. The client ended it`
    : `a client at ${host} did not accept this node's certificate (${code}): ${why}. Closed its connection`
}
