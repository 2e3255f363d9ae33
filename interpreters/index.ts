/** What runs the reducer: the contract that an interpreter fulfils. */
export * from "./contract.ts"
export { payloadOf } from "./bytes.ts"
