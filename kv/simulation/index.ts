/** The key-value service in a simulated world. */
export { KvWorldMachine, kvWorldMachine, type KvResult } from "./machine.ts"
