/** The face of a node to its clients: the Redis protocol over TCP. */
export { defaultLimits, type Limits } from "./limits/limits.ts"
export { keySlot, slotCount } from "./commands/keyslot.ts"
export { makeServer, ServerError, type Server, type ServerOptions } from "./server.ts"
