/** The hostile process. Its arguments say what to attack, and messages say when. It answers with the result. */
import { setPriority } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { makeFoe } from "./foe.ts"
import { findScenario } from "./scenarios.ts"
import { usualSeconds } from "./scenario.ts"

const [name = "", seed = "1", limit = "", ...ports] = process.argv.slice(2)
const scenario = findScenario(name)
if (scenario === undefined || process.send === undefined) throw new Error(`no scenario ${name}, or nobody to report to`)
const tell = (message: unknown): void => void process.send?.(message)
// In reality clients have machines of their own: here they wait while the nodes need the processor.
setPriority(10)
process.on("disconnect", () => process.exit(0))

const numbers = ports.map(Number)
const seconds = limit === "" ? (scenario.seconds ?? usualSeconds) : Number(limit)
const first = makeFoe(numbers, Number(seed), 60)
await scenario.prepare?.(first.foe)
tell({ type: "prepared" })
await new Promise<void>((resolve) => process.once("message", () => resolve()))
const { foe, outcome } = makeFoe(numbers, Number(seed), seconds)
const began = performance.now()
const whole = await Promise.race([scenario.attack(foe).then(() => true), sleep((seconds + 5) * 1000, false)])
if (!whole) foe.note(`the attack was not over after ${seconds + 5} s, and was broken off: give it more --seconds`)
const { notes, complaints } = first.outcome()
const ended = outcome()
tell({
  type: "ended",
  outcome: {
    ...ended,
    notes: [...notes, ...ended.notes].slice(0, 12),
    complaints: [...complaints, ...ended.complaints].slice(0, 12),
  },
  ms: performance.now() - began,
})
// Its connections stay open until it is told to end.
await new Promise<void>((resolve) => process.once("message", () => resolve()))
process.exit(0)
