/**
 * Messages that no correct server sends: each said by somebody else than it was. What the others do with them must be
 * steps that the specification allows, as if that were true, or an error that stops the server by name.
 */
import { expect, test } from "vitest"
import type { Member, Message } from "../core/index.ts"
import { makeRandom, World } from "../interpreters/simulation/index.ts"
import { generateScript, makeRefinementChecker } from "../spec/index.ts"
import { full } from "./cluster.ts"
import { many } from "./long.ts"

interface Said {
  readonly to: Member
  readonly message: Message
}

/** Lies keep some worlds busy for ever. */
class Busy extends Error {}
const MOST_STEPS = 10_000

test("what is said in another's name is believed or refused, as the specification has it", () => {
  let forged = 0
  let stopped = 0
  for (let seed = 1; seed <= (full ? many(3000, 150) : 60); seed++) {
    const random = makeRandom(seed)
    const check = makeRefinementChecker()
    const said: Said[] = []
    const script = generateScript(seed, seed % 2 === 0 ? "partitions" : "lossy", { nodes: 3 + (seed % 3) })
    const world = new World({
      ...script.options,
      seed,
      started: check.started,
      // Whoever is shown what cannot be true stops by name.
      stopped: (_, why) => {
        if (why === "twoLeaders" || why === "committedConflict") stopped += 1
      },
      observe: (step) => {
        check(step)
        if (step.i > MOST_STEPS) throw new Busy("long enough")
      },
      sent: (_, to, message) => {
        // The bytes of a chunk come with its frame; they cannot be said again.
        if (message.type !== "InstallSnapshot") said.unshift({ to, message })
        if (said.length > 8) said.pop()
      },
    })
    try {
      for (const action of script.actions) {
        world.act(action)
        const { to, message } = random.pick(said) ?? {}
        const name = random.pick(world.names)
        if (to === undefined || message === undefined || name === undefined || name === to.name || random.chance(600))
          continue
        const { member } = world.node(name)
        world.act({ type: "inject", node: to.name, event: { type: "MessageReceived", from: member, message } })
        forged += 1
      }
    } catch (error) {
      if (error instanceof Busy) continue
      throw error
    }
  }
  expect(forged).toBeGreaterThan(100)
  expect(stopped).toBeGreaterThan(0)
}, 3_600_000)
