import { test } from "vitest"
import { full } from "./cluster.ts"

const soak = process.env["STEPRAFT_SOAK"] !== undefined

/** Registered by `npm run test:all` and the soak only: `npm test` holds one short run of each suite with real processes. */
export const longTest = (name: string, body: () => Promise<void>): void => {
  if (full) test(name, body)
}

/** Registered by `npm test` only: it takes seconds of real processes and finds no more when it runs again. */
export const shortTest = (name: string, body: () => Promise<void>): void => {
  if (!full) test(name, body)
}

/** Registered by `npm run soak` only. */
export const soakTest = (name: string, body: () => Promise<void>): void => {
  if (soak) test(name, body)
}

/** Counts of random cases: for `npm run soak`, which takes as long as it takes, and for `npm run test:all`, which CI runs. */
export const many = (inSoak: number, inAll: number): number => (soak ? inSoak : inAll)
