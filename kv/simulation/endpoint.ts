/** Where simulated nodes serve clients: their name is their host. */
import type { Endpoint } from "../client/endpoints.ts"

export const PORT = 1
export const endpointOf = (host: string): Endpoint => ({ host, port: PORT })
