/** The addresses of simulated nodes for clients: the node's name is its host. */
import type { Endpoint } from "../client/endpoints.ts"

export const PORT = 1
export const endpointOf = (host: string): Endpoint => ({ host, port: PORT })
