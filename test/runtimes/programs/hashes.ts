/**
 * Results of the core and of simulated worlds, as numbers: a runtime that computes anything differently gets different
 * numbers.
 */
import { defaultSettings, initialState, stepAll, type State } from "stepraft/core"
import { actPure, fingerprint, makeWorld, runScript } from "stepraft/interpreters/simulation"
import { generateScript, profileNames, type Profile } from "stepraft/spec"

export interface Hashes {
  readonly steps: number
  /** By the name of what was run. */
  readonly hashes: Readonly<Record<string, number>>
}

const SEEDS = [1, 2, 3, 4]

/** FNV-1a over the characters. */
const mixText = (hash: number, text: string): number => {
  let mixed = hash
  for (let i = 0; i < text.length; i++) mixed = Math.imul(mixed ^ text.charCodeAt(i), 0x01000193)
  return mixed >>> 0
}

const worldOf = (
  profile: Profile,
  seed: number,
): { readonly steps: number; readonly world: number; readonly told: number } => {
  let told = 0
  const world = runScript(generateScript(seed, profile), {
    observe: ({ node, events, effects }) => {
      told = mixText(told, JSON.stringify([node, events, effects]))
    },
  })
  return { steps: world.steps, world: fingerprint(world.data), told: told }
}

/** Runs every start of every server once more with the core's pure interface, which uses immer. */
const coreAlone = (seed: number): number => {
  const script = generateScript(seed, "everything")
  const settings = { ...defaultSettings, ...script.options.settings }
  const lives = new Map<string, State>()
  let told = 0
  runScript(script, {
    started: (node, recovered) => void lives.set(node, initialState(settings, recovered)),
    observe: ({ node, events }) => {
      const bootId = lives.get(node)
      if (bootId === undefined) throw new Error(`${node} acts before it starts`)
      const [next, effects] = stepAll(bootId, events)
      lives.set(node, next)
      told = mixText(told, JSON.stringify([next.currentTerm, next.commitIndex, next.log.lastIndex, effects]))
    },
  })
  return told
}

export const hashes = (): Hashes => {
  const found: Record<string, number> = { "core 1": coreAlone(1), "core 2": coreAlone(2) }
  let sum = 0
  for (const profile of profileNames) {
    for (const seed of SEEDS) {
      const { steps, world, told } = worldOf(profile, seed)
      sum += steps
      found[`${profile} ${seed}`] = world
      found[`${profile} ${seed}, told`] = told
    }
  }
  const { seed, options, actions } = generateScript(5, "everything")
  let world = makeWorld({ ...options, seed })
  for (const action of actions) [world] = actPure(world, action)
  found["everything 5, pure"] = fingerprint(world)
  return { steps: sum, hashes: found }
}
