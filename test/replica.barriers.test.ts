/** Where linearizable reads wait: the order of barriers when reads of the core are refused. */
import { expect, test } from "vitest"
import type { ReadOutcome } from "../core/index.ts"
import { Barriers } from "../interpreters/replica/session/barriers.ts"
import { defaultReplicaSettings, type ReplicaParts } from "../interpreters/replica/session/parts.ts"
import { realSurroundings } from "../interpreters/surroundings.ts"

test("barriers open in the order in which they came, whatever is refused first; what was confirmed for one holds for those before it", () => {
  const asked: ((outcome: ReadOutcome) => void)[] = []
  let now = 0
  const never = (): void => undefined
  const answers = {
    notExecuted: () => "",
    stopping: "",
    unknown: "",
    unknownBehind: "",
    unknownStopping: "",
    notRead: () => "late",
  }
  const parts: ReplicaParts<string> = {
    ...realSurroundings,
    now: () => now,
    after: () => ({ cancel: never }),
    driver: {
      propose: never,
      read: (done) => asked.push(done),
      wake: never,
      leadership: () => ({ role: "follower", term: 1, leader: { name: "b", incarnation: "1" } }),
      beforeTurn: never,
      onChange: never,
      onApplied: never,
    },
    settings: defaultReplicaSettings,
    refusals: answers,
    count: never,
  }
  const barriers = new Barriers(parts)
  const opened: string[] = []
  const join = (name: string): void => {
    barriers.join((refusal) => opened.push(refusal === null ? name : `${name} ${refusal}`))
    barriers.pump()
  }
  const refused: ReadOutcome = { type: "ReadRefused", reason: "leaderChanged", leader: null }
  const ready: ReadOutcome = { type: "ReadReady", index: 1 }
  for (const name of ["a", "b", "c"]) join(name)
  // Those that came first hear last that they were refused. c is confirmed, and with it all before it.
  asked[1]?.(refused)
  asked[0]?.(refused)
  asked[2]?.(ready)
  expect(opened).toEqual(["a", "b", "c"])

  now = 10_000
  for (const name of ["d", "e"]) join(name)
  asked[4]?.(refused)
  asked[3]?.(refused)
  now += defaultReplicaSettings.backoffMs[1]
  barriers.pump()
  asked[5]?.(ready)
  expect(opened.slice(3)).toEqual(["d", "e"])
})
