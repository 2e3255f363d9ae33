/** The sockets of clients: plaintext, or with TLS and perhaps client certificates. */
import { errorReply } from "../machine/reply.ts"
import { createServer, type Server, type Socket } from "node:net"
import { limitedLog } from "../../interpreters/log.ts"
import { networkOf } from "../../interpreters/strangers.ts"
import { certificateProblem, certifiedName, secureServer, type Tls } from "../../interpreters/tls/index.ts"
import type { Reply } from "../types.ts"
import { failedHandshake } from "./handshakes.ts"

export interface ClientTls {
  readonly keeper: Tls
  /** Whether a client shows a certificate: it is not requested, optional, or required. */
  readonly authClients: "no" | "optional" | "yes"
}
export interface ListenerHandlers {
  /** `certified`: the name in the client's certificate, if it showed a valid one. */
  readonly accepted: (socket: Socket, certified: string | null) => void
  readonly refused: (socket: Socket, refusal: Reply) => void
  readonly unsecured: () => void
  readonly maxHandshakes: number
  readonly log: (message: string) => void
}

const OPTIONS = { noDelay: true, allowHalfOpen: true, keepAlive: true, keepAliveInitialDelay: 300_000 } as const
/** Clients may be older than the node, so TLS 1.2 is allowed. */
const VERSION = "TLSv1.2"
const PATIENCE_MS = 10_000

/** Where a certificate is optional, a client with a bad one may come in without it. */
const uncertified = (why: string, needed: boolean): Reply =>
  errorReply(
    "NOAUTH",
    needed
      ? `this node serves clients with a certificate of its authority: ${why}. Nothing was executed; see stepraft cert client.`
      : `${why}. Nothing was executed. This node takes a password too: leave the certificate out and log in with that, or show one that counts (stepraft cert client).`,
  )

export const makeListener = (
  tls: ClientTls | null,
  { accepted, refused, unsecured, maxHandshakes, log }: ListenerHandlers,
): Server => {
  if (tls === null) return createServer(OPTIONS, (socket) => accepted(socket, null))
  const { keeper, authClients } = tls
  const tell = limitedLog((_, text) => log(text))
  return secureServer(
    keeper,
    { ...OPTIONS, minVersion: VERSION, ask: authClients !== "no", patienceMs: PATIENCE_MS, handshakes: maxHandshakes },
    {
      secured: (socket) => {
        const shown = Object.keys(socket.getPeerCertificate()).length > 0
        const why = authClients === "yes" || (authClients === "optional" && shown) ? certificateProblem(socket) : null
        if (why === null) return accepted(socket, shown && authClients !== "no" ? certifiedName(socket) : null)
        tell(
          `refused ${networkOf(socket.remoteAddress ?? "")} ${String(socket.authorizationError)}`,
          "warn",
          `refused a client at ${socket.remoteAddress ?? "?"}: ${why}`,
        )
        return refused(socket, uncertified(why, authClients === "yes"))
      },
      failed: ({ host }, code, heard) => {
        // Probably something that only checks whether the port is open.
        if (code === "ECONNRESET") return
        unsecured()
        tell(
          `failed ${networkOf(host)}`,
          "warn",
          failedHandshake({ host, code, heard, ends: keeper.ends(), now: Date.now() }),
        )
      },
    },
  )
}
