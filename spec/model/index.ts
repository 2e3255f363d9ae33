/** An abstract specification of Raft: what is allowed, not what is done. See possible.ts. */
export { after, startingPoint, type Possible, type Scene } from "./possible.ts"
export { settle } from "./settle.ts"
export { hear } from "./heard.ts"
export { heardByQuorum, justify, checkWritesIssued, type ServerStep } from "./justify.ts"
export { restartedFrom, isPossibleAfterCrash, same, type AbstractServer } from "./server.ts"
export { cutFrom, dropThrough, lastOf, pushEntry, termIn, contentIn, contentOf } from "./log.ts"
