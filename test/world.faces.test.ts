/** One body of code, two faces: in place and immutable worlds are equal, and so is every run of one script. */
import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { Log } from "../core/index.ts"
import {
  actPure,
  DigestMachine,
  fingerprint,
  flights,
  makeWorld,
  recordedWorld,
  runScript,
  World,
  type Action,
  type WorldState,
} from "../interpreters/simulation/index.ts"
import { randomScript, scripted } from "./worlds.ts"

const all = process.env["STEPRAFT_ALL"] !== undefined
const seeds = fc.integer({ min: 1, max: 0x7fffffff })

/** All of a world as text. */
const plain = (world: WorldState): string =>
  JSON.stringify(world, (_, part: unknown) => {
    if (part instanceof Log) return { base: part.base, entries: part.toArray() }
    if (part instanceof DigestMachine) return { position: part.position(), digest: part.digest() }
    return part instanceof Uint8Array ? part.length : part
  })

const freeze = (value: unknown): void => {
  if (
    typeof value !== "object" ||
    value === null ||
    Object.isFrozen(value) ||
    ArrayBuffer.isView(value) ||
    value instanceof Log
  )
    return
  Object.freeze(value)
  Object.values(value).forEach(freeze)
}

describe("two faces", () => {
  test(
    "every action does the same to a world in place and to an immutable one, and changes nothing of the world it is given",
    () => {
      fc.assert(
        fc.property(seeds, (seed) => {
          const script = randomScript(seed, 60)
          const world = new World({ ...script.options, seed })
          let state = makeWorld({ ...script.options, seed })
          let steps = state.steps
          for (const action of script.actions) {
            freeze(state)
            world.act(action)
            const [next, taken] = actPure(state, action)
            steps += taken.length
            expect(taken.at(-1)?.i ?? next.steps - 1).toBe(next.steps - 1)
            state = next
            expect(fingerprint(state)).toBe(world.hash())
          }
          expect(plain(state)).toBe(plain(world.data))
          expect(steps).toBe(world.steps)
        }),
        { numRuns: all ? 1000 : 15 },
      )
    },
    all ? 900_000 : 30_000,
  )

  test("a branch leaves its origin alone: the same future can be had again, and another one beside it", () => {
    const start = makeWorld({ seed: 5, nodes: 3, network: "lossy" })
    const [led] = actPure(start, { type: "run", ms: 3000 })
    const one = actPure(led, { type: "run", ms: 2000 })[0]
    const other = actPure(actPure(led, { type: "crash", node: "leader" })[0], { type: "run", ms: 2000 })[0]
    expect(fingerprint(other)).not.toBe(fingerprint(one))
    expect(plain(actPure(led, { type: "run", ms: 2000 })[0])).toBe(plain(one))
  })

  test("an immutable world goes on in place, and the other way about", () => {
    const world = scripted(9)
    const taken = world.snapshot()
    const before = fingerprint(taken)
    world.run(3000)
    expect(fingerprint(taken)).toBe(before)
    const [state] = actPure(taken, { type: "run", ms: 3000 })
    const again = new World({ seed: 9 }, taken)
    again.run(3000)
    expect([fingerprint(state), again.hash()]).toEqual([world.hash(), world.hash()])
  })
})

describe("scripts", () => {
  test("the same script gives the same world, and it survives JSON", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const script = randomScript(seed, 40)
        const copy: unknown = JSON.parse(JSON.stringify(script))
        expect(runScript(copy as typeof script).hash()).toBe(runScript(script).hash())
      }),
      { numRuns: 20 },
    )
  })
  test("what was done to a world, recorded, gives that world again", () => {
    const { world, script } = recordedWorld({ seed: 3, nodes: 3, network: "lossy" })
    world.runUntil(() => world.leader() !== undefined, 10_000)
    world.propose(world.leader()?.name ?? "", [{ bytes: new Uint8Array([1, 2, 3]), checksum: 77 }])
    world.propose("n1", [
      { bytes: new Uint8Array(9), checksum: 5 },
      { bytes: new Uint8Array(9), checksum: 6 },
    ])
    world.read("n2")
    world.isolate("n3")
    world.step()
    world.run(700)
    world.runUntil(() => false, 300)
    const copy: unknown = JSON.parse(JSON.stringify(script()))
    expect(runScript(copy as ReturnType<typeof script>).hash()).toBe(world.hash())
  })
  test("the hash of a known script is what it was on every engine before", () => {
    expect(runScript(randomScript(1234, 80)).hash()).toMatchInlineSnapshot(`1837343299`)
  })
  test("the fate of a message depends on its link and its number there, not on what else was done: leaving an action out leaves the luck of the others alone", () => {
    const fates = (actions: readonly Action[]): ReadonlyMap<string, boolean> => {
      const lost = new Map<string, boolean>()
      const counts = new Map<string, number>()
      const name = (link: string): string => `${link} ${counts.get(link) ?? 0}`
      const world = new World({
        seed: 11,
        network: "lossy",
        sent: (from, to) => {
          const link = `${from.name} ${to.name}`
          counts.set(link, (counts.get(link) ?? 0) + 1)
          lost.set(name(link), false)
        },
        lost: (from, to, _, why) => why === "chance" && lost.set(name(`${from.name} ${to.name}`), true),
      })
      actions.forEach((action) => world.act(action))
      return lost
    }
    const calm = fates([{ type: "run", ms: 8000 }])
    const busy = fates([
      { type: "run", ms: 2000 },
      { type: "propose", node: "leader", id: 1, count: 3 },
      { type: "run", ms: 300 },
      { type: "pause", node: "follower1" },
      { type: "run", ms: 6000 },
    ])
    const both = [...calm.keys()].filter((key) => busy.has(key))
    expect(both.length).toBeGreaterThan(200)
    expect(both.filter((key) => calm.get(key) === true).length).toBeGreaterThan(10)
    expect(both.map((key) => busy.get(key))).toEqual(both.map((key) => calm.get(key)))
  })
  test("messages under way have names that an action can use", () => {
    const world = new World({ seed: 2, disk: { min: 2, max: 2 } })
    world.runUntil(() => flights(world.data).length > 1, 5000)
    const [first, second] = flights(world.data).map(({ name }) => name)
    world.act({ type: "drop", message: first ?? "" })
    world.act({ type: "duplicate", message: second ?? "" })
    expect(flights(world.data).map(({ name }) => name)).toEqual([second, `${second}.1`])
    world.act({ type: "deliver", message: `${second}.1` })
    expect(flights(world.data).map(({ name }) => name)).not.toContain(`${second}.1`)
  })
})
