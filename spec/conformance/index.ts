/**
 * The guarantees of interpreters/contract.ts as checks, for authors of a Storage, a Transport or a StateMachine. Each
 * check has a name, says what it demands and why, and needs no test runner:
 *
 *     const checks = storageConformance(makeSubject)
 *     for (const { name, run } of checks) test(name, run)      // vitest, node:test, …
 *     console.log((await runConformance(checks)).text)         // or no runner at all
 */
export {
  ConformanceFailed,
  runConformance,
  type ConformanceOptions,
  type ConformanceCheck,
  type ConformanceReport,
  type ConformanceResult,
} from "./check.ts"
export { stateMachineConformance, type StateMachineKit, type StateMachineSubject } from "./machine.ts"
export { storageConformance, type StorageSubject } from "./storage.ts"
export type { Joined, Joining, TransportSubject } from "./joined.ts"
export { transportConformance } from "./transport.ts"
