/**
 * The vocabulary of the algorithm: what the log holds, what can happen to a server (Event), what it asks of the world
 * (Effect), what servers send to each other (Message) and what a server knows (State). Everything is plain tagged data,
 * so a journal of events replays bit for bit.
 *
 * Sources: "Raft paper" is Ongaro & Ousterhout 2014 (extended version); "thesis" is Ongaro 2014.
 */
export type * from "./entry.ts"
export type * from "./outcomes.ts"
export type * from "./messages.ts"
export type * from "./events.ts"
export type * from "./effects.ts"
export type * from "./state.ts"
