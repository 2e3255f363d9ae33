/** What happens in the measured worlds: frequent commands, and occasional faults that end. */
import { makeRandom, type Action, type WorldOptions } from "../../interpreters/simulation/index.ts"
import { randomAction, settingsOf } from "../worlds.ts"

export const faultyWorld = (nodes: number, seed: number): WorldOptions => ({
  seed,
  nodes,
  settings: { ...settingsOf(7), snapshotBytes: 20_000, trailingLogBytes: 4000 },
  network: "lossy",
  disk: { min: 1, max: 20 },
})

export const storyFor = (nodes: number, ms: number): readonly Action[] => {
  const random = makeRandom(3)
  const names = Array.from({ length: nodes }, (_, i) => `n${i + 1}`)
  const actions: Action[] = [{ type: "run", ms: 2000 }]
  for (let now = 0, id = 1; now < ms; now += 10, id++) {
    actions.push({ type: "propose", node: "leader", id, bytes: 100 }, { type: "run", ms: 10 })
    if (now % 500 === 0) {
      const fault = randomAction(random, id, names)
      const calm = ["corruptDisk", "wipe", "add", "change", "network", "failWrite", "failSync"].includes(fault.type)
      if (!calm) actions.push(fault)
      actions.push(
        { type: "heal" },
        ...names.flatMap((node): Action[] => [
          { type: "resume", node },
          { type: "start", node },
          { type: "resumeDisk", node },
          { type: "freeDisk", node },
        ]),
      )
    }
  }
  return actions
}
