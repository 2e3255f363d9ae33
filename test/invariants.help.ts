/** Random worlds in which everything happens that the core knows of: faults, load, reads, transfers, changes of members. */
import { defaultSettings, initialState, stepAll, type Recovered, type Settings, type State } from "../core/index.ts"
import { makeRandom, reliableNetwork, type Random, type World, type WorldStep } from "../interpreters/simulation/index.ts"
import type { ObservedStep } from "../spec/index.ts"
import { checkedWorld, payload, settingsOf } from "./worlds.ts"

export interface Eventful {
  readonly seed: number
  readonly nodes?: number
  readonly rounds?: number
  readonly observe?: (step: WorldStep) => void
  readonly started?: (node: string, recovered: Recovered) => void
}

const somebody = (world: World, random: Random): string => random.pick(world.names) ?? "n1"

/** The leader is asked to make a random part of the servers its voters, and some of the others learners. */
const change = (world: World, random: Random): void => {
  const voters = world.names.filter(() => random.chance(700))
  const learners = world.names.filter((name) => !voters.includes(name) && random.chance(600))
  world.act({ type: "change", node: random.chance(800) ? "leader" : somebody(world, random), voters, learners })
}

const disturb = (world: World, random: Random): void => {
  const victim = random.chance(400) ? (world.leader()?.member.name ?? somebody(world, random)) : somebody(world, random)
  switch (random.below(9)) {
    case 0:
      world.crash(victim)
      break
    case 1:
      for (const name of world.names) if (random.chance(600)) world.start(name)
      break
    case 2:
      world.isolate(victim)
      break
    case 3:
      world.heal()
      break
    case 4:
      world.cutOneWay(victim, somebody(world, random))
      break
    case 5:
      if (random.chance(200)) world.damage(victim)
      break
    case 6:
      world.pause(victim)
      break
    case 7:
      for (const name of world.names) world.resume(name)
      break
    case 8:
      // A server that lost its disk is nobody until a change takes it in.
      if (random.chance(200)) world.act({ type: "wipe", node: victim })
      break
  }
}

const eventfulSettings = (seed: number): Partial<Settings> => ({ ...settingsOf(seed), leaseReads: seed % 4 === 0 })

/** Answers the world when everything is mended again; nothing has settled yet. */
export const eventfulWorld = ({ seed, nodes = 1 + (seed % 5), rounds = 40, observe, started }: Eventful): World => {
  const world = checkedWorld({ seed, nodes, settings: eventfulSettings(seed), ...(observe === undefined ? {} : { observe }), ...(started === undefined ? {} : { started }) }, true)
  const random = makeRandom(seed ^ 0x2545f491)
  // In a busy one logs are trimmed all the time, and who is away for a while needs a snapshot.
  const busy = seed % 3 === 0
  let id = 1
  for (let i = 0; i < rounds; i++) {
    world.run(random.below(400))
    for (let k = random.below(busy ? 15 : 4); k > 0; k--) world.propose(somebody(world, random), [payload(id++, random.below(busy ? 300 : 120))])
    for (let k = random.below(3); k > 0; k--) world.read(somebody(world, random))
    if (random.chance(150)) change(world, random)
    if (random.chance(80)) world.inject(somebody(world, random), { type: "TransferRequested", to: null })
    if (random.chance(80)) world.inject(somebody(world, random), { type: "SpaceChanged", low: random.chance(300) })
    if (random.chance(80)) world.inject(somebody(world, random), { type: "PeerDisconnected", peer: world.node(somebody(world, random)).member })
    if (random.chance(50)) world.act({ type: "skew", node: somebody(world, random), offset: random.below(4000) - 2000, driftPermille: 0 })
    if (random.chance(350)) disturb(world, random)
  }
  world.network = reliableNetwork
  world.heal()
  for (const name of world.names) {
    world.resume(name)
    world.start(name)
    world.inject(name, { type: "SpaceChanged", low: false })
  }
  return world
}

/** A recorded step, and what was found if it is the first of a life. */
export interface Recorded extends ObservedStep {
  readonly recovered: Recovered | undefined
}
/** The steps of an eventful world of three, run a second time under immer, so that every state stays as it was. */
export const record = (seed: number): readonly Recorded[] => {
  const steps: Recorded[] = []
  const recovered = new Map<string, Recovered>()
  const states = new Map<string, State>()
  const settings = { ...defaultSettings, ...eventfulSettings(seed) }
  eventfulWorld({
    seed,
    nodes: 3,
    rounds: 60,
    started: (node, found) => {
      recovered.set(node, found)
      states.set(node, initialState(settings, found))
    },
    observe: ({ node, events }) => {
      const before = states.get(node)
      if (before === undefined) throw new Error(`${node} acts before it starts`)
      const [state, effects] = stepAll(before, events)
      states.set(node, state)
      steps.push({ node, events, state, effects, recovered: recovered.get(node) })
      recovered.delete(node)
    },
  }).run(500)
  return steps
}
