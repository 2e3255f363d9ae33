/** The Redis protocol over TCP: the side of a node that its clients see. */
export { defaultLimits, type Limits } from "./limits/limits.ts"
export { keySlot, slotCount } from "./commands/keyslot.ts"
export { makeServer, ClientPortUnavailable, type RespServer, type ServerOptions } from "./server.ts"
