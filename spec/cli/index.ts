/** The commands for verification. A program adds them to its own, and gives `simulate` the service that it ships. */
export { checkHistoryCommand } from "./check-history.ts"
export { debugCommand } from "./debug-command.ts"
export { simulateCommand } from "./simulate-command.ts"
export type { Simulated } from "./threads.ts"
