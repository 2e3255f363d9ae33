import { test } from "vitest"
import { full } from "./cluster.ts"

/** Registered by `npm run test:all` only: `npm test` holds one short run of each suite with real processes. */
/** Counts of random cases: for `npm run soak`, which takes as long as it takes, and for `npm run test:all`, which CI runs. */
export const many = (soak: number, all: number): number => (process.env["STEPRAFT_SOAK"] === undefined ? all : soak)

/** Registered by `npm run soak` only. */
export const soakTest = (name: string, body: () => Promise<void>): void => {
  if (process.env["STEPRAFT_SOAK"] !== undefined) test(name, body)
}

export const longTest = (name: string, body: () => Promise<void>): void => {
  if (full) test(name, body)
}
