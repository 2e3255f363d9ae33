/**
 * The part of a node's status that other servers do not have: where its clients reach it, and why it does not serve
 * them.
 */
import { healthOf, factsOf, isLoading, statusOf, type ServerParts } from "../../interpreters/node/index.ts"
import { addressText, type Address } from "../../interpreters/tcp/index.ts"
import type { Users } from "../server/users/index.ts"
import type { ClientAccess, NodeStatus, Reply } from "../types.ts"
import type { NodeConfig } from "./config.ts"
import type { Security } from "./security.ts"

/** The address at which clients reach a node that listens on this port. */
export const advertised = (config: NodeConfig, port: number): Address =>
  config.advertise ?? { host: config.client.host, port }

export const clientAccessOf = ({ tls, plaintext, authClients }: Security, users: Users | null): ClientAccess => ({
  tls: tls !== null && !plaintext.includes("clients"),
  certificates: authClients,
  users: users === null ? null : { count: users.counts().users, digest: users.digest() },
})

export const nodeStatusOf = (alive: ServerParts, client: Address, access: ClientAccess): NodeStatus => ({
  ...statusOf(alive),
  client: addressText(client),
  access,
})

/** The reply to a command while the node serves no data. */
export const refusalOf = (alive: ServerParts): Reply => {
  const health = healthOf(factsOf(alive))
  const loading = isLoading(health)
  return {
    type: "error",
    code: loading ? "LOADING" : "NOLEADER",
    text: `${health.text.replace(/\.$/, "")}. Nothing was executed: ask another node${loading ? ", or wait" : ""}.`,
  }
}
