/** Leader election and locks over any replicated table of leases. */
export { elect, lock, LeaseLost, type Campaign, type LeaseOptions, type Lock } from "./elect.ts"
export { LeaseRefused, type LeaseAnswer, type LeaseRequest, type LeaseTable, type Unanswered } from "./table.ts"
export type { HeldLease, LeaseEffectOptions, LeasesEffect } from "./effect.ts"
