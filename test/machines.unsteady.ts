/**
 * Machines that are not deterministic, each in its own way, and the expected report. The only file in test/ that uses
 * real randomness.
 */
import type { Machine } from "../interpreters/replica/index.ts"

export type State = Readonly<Record<string, unknown>>
export type Apply = Machine<State, number, unknown>["apply"]

let calls = 0
const shared = { count: 0 }

export const unsteady: readonly (readonly [string, Apply, RegExp])[] = [
  [
    "that asks the clock for its result",
    () => Date.now(),
    /the result is 1700000000000, and then .* It uses Date\.now\(\)\./,
  ],
  [
    "that keeps today's date",
    (state) => void Object.assign(state, { day: new Date().getFullYear() }),
    /state\.day becomes 2023, and then 2096\. It uses new Date\(\)/,
  ],
  [
    "that hangs on a deadline",
    (state) => void Object.assign(state, { late: Date.now() > 1_800_000_000_000 }),
    /state\.late becomes false, and then true\. It uses Date\.now\(\)/,
  ],
  [
    "that draws lots",
    (state, n) => void Object.assign(state, { lot: Math.random() < 0.5 ? n : -n - 1 }),
    /It uses Math\.random\(\)/,
  ],
  [
    "that hardly ever draws one",
    () => Math.random() < 1e-9,
    /the result is false, and then true\. It uses Math\.random\(\)/,
  ],
  [
    "that makes names",
    (state) => void Object.assign(state, { name: crypto.randomUUID() }),
    /It uses crypto\.randomUUID\(\)/,
  ],
  ["that measures", () => Math.floor(performance.now()), /It uses performance\.now\(\)/],
  [
    "that counts its calls",
    () => ++calls,
    /the result is \d+, and then \d+\. It uses no known source of differences: look for a variable outside of the state/,
  ],
  [
    "that keeps part of its state in its module",
    (state) => void Object.assign(state, { kept: (shared.count += 1) }),
    /state\.kept becomes \d+, and then \d+/,
  ],
]
