/** What runs the reducer: the contract that every interpreter fulfils, and the event loop that drives it. */
export * from "./contract.ts"
export { payloadOf } from "./payload.ts"
export {
  makeClock,
  makeDriver,
  makeTimers,
  NodeHalted,
  StateMachineFailed,
  type Clock,
  type Driver,
  type DriverOptions,
  type MachineFault,
  type Readings,
} from "./driver/index.ts"
