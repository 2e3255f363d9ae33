/**
 * Plaintext is allowed only on addresses of this machine, unless the operator has accepted the risk in so many words.
 */
import { isIPv4 } from "node:net"
import { addressText, type Address } from "./socket.ts"

export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127.")) || host.startsWith("::ffff:127.")

/** The first address that other machines can reach; null: there is none. */
export const exposed = (addresses: readonly Address[]): string | null => {
  const found = addresses.find(({ host }) => !isLoopback(host))
  return found === undefined ? null : addressText(found)
}

export const PEERS_EXPOSED =
  "whoever reaches the port for peers, or the line between two nodes, can read and change everything and destroy the cluster"
