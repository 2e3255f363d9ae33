/** Random scripts: a seed and a profile determine everything. */
import { makeRandom, type Action, type Script } from "../../../interpreters/simulation/index.ts"
import { optionsOf, settingsIn } from "./options.ts"
import type { Profile } from "./profiles.ts"
import { staleAndFast } from "./readers.ts"
import { storiesOf } from "./stories.ts"
import { between, election, everybody, few, follower, load, moment, somebody, startAll, type Teller } from "./teller.ts"

export interface GenerateOptions {
  /** The number of founders, 1 to 7. Default 3. */
  readonly nodes?: number
  /** The approximate number of actions. Default 60. */
  readonly steps?: number
}

/** Several faults at once, each healed after a while, by chance or by the next story. */
const loose = (teller: Teller): readonly Action[] => {
  const { random, profile } = teller
  if (profile === "calm") return []
  const node = somebody(teller)
  const plain: readonly Action[] = [
    { type: "crash", node },
    { type: "pause", node },
    { type: "resume", node },
    ...startAll(teller).slice(0, 2),
  ]
  const cuts: readonly Action[] = [
    { type: "isolate", node },
    { type: "reconnect", node },
    { type: "cut", from: node, to: follower(teller) },
    { type: "heal" },
  ]
  const several = profile === "lossy" || profile === "disks" ? plain : [...plain, ...cuts]
  return [random.pick(several) ?? { type: "heal" }]
}

/** At the end a minority may be left as it is: the others must make progress without it. */
const leftover = (teller: Teller): readonly Action[] => {
  const { random, founders, profile } = teller
  if (profile === "calm" || founders.length < 3 || random.chance(500)) return []
  if (profile !== "disks" && teller.settings.electionMax - teller.settings.electionMin < 100 && random.chance(300))
    return [{ type: "heal" }, ...startAll(teller), election(teller), ...staleAndFast(teller)]
  const node = random.chance(600) ? "leader" : (random.pick(founders) ?? "leader")
  const kinds: readonly Action[] =
    profile === "disks" || profile === "everything"
      ? [
          { type: "stallDisk", node },
          { type: "stallDisk", node },
          { type: "crash", node },
          { type: "pause", node },
          { type: "isolate", node },
        ]
      : [
          { type: "crash", node },
          { type: "pause", node },
          { type: "isolate", node },
        ]
  // The server receives nothing, but its messages arrive.
  const deaf = random.pick(founders) ?? "n1"
  const last: readonly Action[] = random.chance(250)
    ? founders.filter((name) => name !== deaf).map((from) => ({ type: "cut", from, to: deaf }))
    : [random.pick(kinds) ?? { type: "heal" }]
  return [
    ...everybody(teller).map((name): Action => ({ type: "resume", node: name })),
    ...startAll(teller),
    { type: "heal" },
    election(teller),
    ...last,
    few(teller, node),
  ]
}

/** A pure function of its arguments. What a script breaks is repaired when it is checked: see checkScript. */
export const generateScript = (
  seed: number,
  profile: Profile,
  { nodes = 3, steps = 60 }: GenerateOptions = {},
): Script => {
  const random = makeRandom(seed ^ 0x5bd1e995)
  const options = optionsOf(random, profile, nodes)
  const founders = Array.from({ length: nodes }, (_, i) => `n${i + 1}`)
  const first = random.below(nodes)
  const expendable = Array.from({ length: (nodes - 1) >> 1 }, (_, i) => founders[(first + i) % nodes] ?? "n1")
  const liars = Array.from({ length: (nodes - 1) >> 1 }, (_, i) => founders[((seed >>> 3) + i) % nodes] ?? "n1")
  const teller: Teller = {
    random,
    profile,
    settings: settingsIn(options),
    founders,
    expendable,
    liars,
    added: [],
    nextId: 1,
  }
  const stories = storiesOf[profile]
  const actions: Action[] = random.chance(900) ? [election(teller)] : []
  while (actions.length < steps) {
    actions.push(...load(teller), moment(teller))
    if (random.chance(500)) actions.push(...(random.pick(stories)?.(teller) ?? []))
    else if (random.chance(400)) actions.push(...loose(teller))
    if (random.chance(300)) actions.push(between(teller, 0, teller.settings.electionMax))
  }
  actions.push(...leftover(teller))
  return { seed, options, actions }
}
