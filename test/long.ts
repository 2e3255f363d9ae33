import { test } from "vitest"
import { full } from "./cluster.ts"

/** Registered by `npm run test:all` only: `npm test` holds one short run of each suite with real processes. */
export const longTest = (name: string, body: () => Promise<void>): void => {
  if (full) test(name, body)
}
