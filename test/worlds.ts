/** Random worlds for tests: one seed decides the cluster, its network and every fault. */
import { type Recovered, type Settings } from "../core/index.ts"
import { lossyNetwork, makeRandom, reliableNetwork, World, type Random, type WorldStep } from "../interpreters/simulation/index.ts"
import { makeInvariantChecker } from "../spec/index.ts"

/** Small enough that snapshots, windows and refusals happen all the time. */
export const tightSettings: Partial<Settings> = {
  snapshotBytes: 2000,
  tailBytes: 400,
  maxBatchBytes: 300,
  maxInflight: 4,
  maxInflightBytes: 1000,
  maxUncommittedBytes: 4000,
  maxApplyBytes: 300,
}

/** The same with every switch in either position: a rule that another one shields must hold by itself. */
export const settingsOf = (seed: number): Partial<Settings> => ({
  ...tightSettings,
  preVote: seed % 3 !== 0,
  checkQuorum: seed % 5 !== 0,
  forwardProposals: seed % 2 === 0,
})

export const payload = (id: number, size = 10): { bytes: Uint8Array; checksum: number } => ({ bytes: new Uint8Array(size), checksum: id })

/** Machines at the same position must have executed the same history. */
const digestChecker = (world: () => World): (() => void) => {
  const digests = new Map<number, number>()
  return () => {
    for (const node of world().nodes.values()) {
      const { index } = node.machine.position()
      const digest = node.machine.digest()
      const known = digests.get(index)
      if (known === undefined) digests.set(index, digest)
      else if (known !== digest) throw new Error(`state machines differ at ${index}, seen at ${node.name}`)
    }
  }
}

export interface ChaosOptions {
  readonly seed: number
  readonly nodes?: number
  readonly rounds?: number
  readonly settings?: Partial<Settings>
  readonly observe?: (step: WorldStep) => void
  readonly started?: (node: string, recovered: Recovered) => void
}

export const checkedWorld = ({ seed, nodes = 3, settings = {}, observe, started }: ChaosOptions, lossy: boolean): World => {
  const check = makeInvariantChecker()
  // eslint-disable-next-line prefer-const
  let world: World | undefined
  const digests = digestChecker(() => {
    if (world === undefined) throw new Error("too early")
    return world
  })
  world = new World({
    seed,
    nodes,
    settings,
    ...(started === undefined ? {} : { started }),
    network: lossy ? lossyNetwork : reliableNetwork,
    disk: { min: 1, max: lossy ? (seed % 7 === 0 ? 300 : 20) : 1 },
    observe: (step) => {
      observe?.(step)
      check(step)
      if (world !== undefined) digests()
    },
  })
  return world
}

const somebody = (world: World, random: Random): string => random.pick(world.names) ?? "n1"

const disturb = (world: World, random: Random): void => {
  const victim = random.chance(400) ? (world.leader()?.member.name ?? somebody(world, random)) : somebody(world, random)
  switch (random.below(9)) {
    case 0:
      world.crash(victim)
      break
    case 1:
    case 2:
      for (const name of world.names) if (random.chance(600)) world.start(name)
      break
    case 3:
      world.isolate(victim)
      break
    case 4:
      world.heal()
      break
    case 5:
      world.cutOneWay(victim, somebody(world, random))
      break
    case 6:
      if (random.chance(300)) world.damage(victim)
      break
    case 7:
      world.pause(victim)
      break
    case 8:
      world.inject(victim, { type: "TransferRequested", to: null })
      for (const name of world.names) world.resume(name)
      break
  }
}

/** Faults and load for a while, then everything is mended; answers the world at rest. */
export const chaos = (options: ChaosOptions): World => {
  const world = checkedWorld(options, true)
  const random = makeRandom(options.seed ^ 0x5bd1e995)
  let id = 1
  const rounds = options.rounds ?? 40
  for (let i = 0; i < rounds; i++) {
    world.run(random.below(400))
    for (let k = random.below(4); k > 0; k--) world.propose(somebody(world, random), [payload(id++, random.below(120))])
    if (random.chance(400)) world.read(somebody(world, random))
    if (random.chance(100)) world.inject(somebody(world, random), { type: "SpaceChanged", low: random.chance(300) })
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

/** Everybody has executed the same, everything that the leader holds. */
export const settled = (world: World): boolean => {
  const leader = world.leader()?.runner?.state
  if (leader === undefined || leader.commitIndex !== leader.log.lastIndex) return false
  return world.names.every((name) => {
    const state = world.state(name)
    return state !== undefined && state.applied === leader.commitIndex && state.machine === "ready" && state.currentTerm === leader.currentTerm
  })
}
