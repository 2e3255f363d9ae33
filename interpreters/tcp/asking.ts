/** Asks who listens at the address of a member, from outside the cluster, without a certificate. */
import { randomBytes } from "node:crypto"
import { NO_START } from "../../core/index.ts"
import { shown } from "../text.ts"
import { Connection } from "./connection.ts"
import { ConnectFailed, ForeignPeer, HandshakeRefused, HelloTimeout, type LinkError } from "./errors.ts"
import { addressText, certificateAt, dialSocket, type Address } from "./socket.ts"

export type Listener =
  /** No process listens there, or the machine is gone. */
  | { readonly type: "absent" }
  /** A node: of that cluster, or of none so far. */
  | { readonly type: "node" }
  /** A node of another cluster, or no node. `found` says what it is. */
  | { readonly type: "other"; readonly found: string }
  /** `found` says why nothing is known of it. */
  | { readonly type: "unknown"; readonly found: string }

/**
 * Errors that show that no process listens there, or that the machine is gone. Other errors prove nothing: a name that
 * is not found may be mistyped.
 */
const ABSENT: ReadonlySet<string> = new Set([
  "no answer",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "ENETUNREACH",
  "ETIMEDOUT",
])

const frameBytes = 1 << 20
/**
 * The question is a hello in the member's own name, under another incarnation: no node answers that otherwise than with a
 * refusal, and none notes it as a newcomer. Which refusal it is tells who refuses.
 */
const hail = (address: Address, name: string, cluster: string, timeout: number): Promise<LinkError | null> =>
  new Promise((ended) => {
    const connection = new Connection(
      dialSocket(address, null),
      name,
      addressText(address),
      { name, incarnation: randomBytes(8).toString("hex") },
      () => ({
        cluster,
        clientAddress: "",
        empty: true,
        founding: null,
        start: NO_START,
        recovered: { term: 0, index: 0 },
        refused: null,
        listens: "",
        advertises: "",
        dials: addressText(address),
      }),
      { frameBytes, connectMs: timeout, helloMs: timeout },
      {
        // It was heard, so it is a node.
        hello: () => {
          connection.end()
          ended(null)
        },
        sign: () => {},
        message: () => {},
        closed: (_, error) => ended(error),
      },
    )
  })

export const whoListens = async (
  address: Address,
  name: string,
  cluster: string,
  members: readonly string[],
  timeout: number,
): Promise<Listener> => {
  const error = await hail(address, name, cluster, timeout)
  if (error === null) return { type: "node" }
  if (error instanceof ConnectFailed)
    return ABSENT.has(error.code) ? { type: "absent" } : { type: "unknown", found: error.code }
  if (error instanceof HandshakeRefused)
    return error.reason === "WrongCluster"
      ? { type: "other", found: `a node of another cluster (${error.refusal.detail.split(":")[0] ?? ""})` }
      : { type: "node" }
  // A suspended process is one of those: its system accepts what it does not read.
  if (error instanceof HelloTimeout)
    return { type: "unknown", found: "a process accepts the connection and says nothing: it may be a node that hangs" }
  const certified = await certificateAt(address, timeout)
  if (certified !== null)
    return members.includes(certified)
      ? { type: "node" }
      : { type: "other", found: `TLS with a certificate of ${certified === "" ? "nobody" : shown(certified, 80)}` }
  return {
    type: "other",
    found: error instanceof ForeignPeer ? "no stepraft node" : "what ends the connection when a node speaks to it",
  }
}
