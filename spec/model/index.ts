/** An abstract specification of Raft: what is allowed, not what is done. See possible.ts. */
export { after, startingPoint, type Possible, type Scene } from "./possible.ts"
export { settle } from "./settle.ts"
export { hear } from "./heard.ts"
export { heardByQuorum, justify, owesWrite, type ServerStep } from "./justify.ts"
export { bornFrom, couldBeLeft, same, type AbstractServer } from "./server.ts"
export { cutFrom, dropThrough, lastOf, pushEntry, termIn, wordIn, wordOf } from "./log.ts"
