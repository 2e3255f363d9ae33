/** Random worlds for tests: one seed decides the cluster, its network and every fault. */
import { type Recovered, type Settings } from "../core/index.ts"
import { lossyNetwork, makeRandom, networks, reliableNetwork, World, type Action, type Keep, type NetworkName, type Random, type Script, type WorldStep } from "../interpreters/simulation/index.ts"
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

const KEEPS: readonly Keep[] = ["random", "random", "all", "none", "torn"]
const NETWORKS = Object.keys(networks).sort() as readonly NetworkName[]

/** Any action, the frequent ones often. Worlds survive all of them, but need not make progress. */
export const randomAction = (random: Random, id: number, names: readonly string[]): Action => {
  const node = random.pick(["leader", "leader", "follower1", "follower2", ...names]) ?? "n1"
  const to = random.pick(names) ?? "n1"
  const common: readonly Action[] = [
    { type: "run", ms: random.below(300) },
    { type: "run", ms: random.below(30) },
    { type: "step", count: 1 + random.below(20) },
    { type: "propose", node, id, bytes: random.below(100), count: 1 + random.below(3) },
    { type: "propose", node: "leader", id, bytes: random.below(100) },
    { type: "read", node },
  ]
  const rare: readonly Action[] = [
    { type: "start", node: to },
    { type: "start", node: to },
    { type: "crash", node, keep: random.pick(KEEPS) ?? "all" },
    { type: "pause", node },
    { type: "resume", node: to },
    { type: "skew", node, offset: random.between(-5000, 5000), driftPermille: random.between(-200, 200) },
    { type: "transfer", node: "leader", to: random.chance(500) ? null : to },
    { type: "change", node: "leader", voters: names.filter(() => random.chance(800)), learners: [] },
    { type: "wipe", node: to },
    { type: "add", name: `n${names.length + 1 + random.below(2)}` },
    { type: "disk", node, min: 1, max: random.pick([1, 20, 300]) ?? 1 },
    { type: "stallDisk", node },
    { type: "resumeDisk", node: to },
    { type: "failWrite", node },
    { type: "failSync", node },
    { type: "fullDisk", node },
    { type: "freeDisk", node: to },
    { type: "flipBit", node },
    { type: "damage", node },
    { type: "apply", node, min: 0, max: random.pick([2, 50]) ?? 2 },
    { type: "snapshots", profile: { chunksMax: 1 + random.below(6), takeFailPermille: random.below(300), openFailPermille: random.below(300), rejectPermille: random.below(300) } },
    { type: "cut", from: node, to },
    { type: "join", from: node, to },
    { type: "isolate", node },
    { type: "reconnect", node: to },
    { type: "partition", side: [node, to] },
    { type: "heal" },
    { type: "network", profile: random.pick(NETWORKS) ?? "lossy" },
    { type: "clog", from: node, to, ms: random.below(1000) },
    { type: "reset", a: node, b: to },
    { type: "fire", node, timer: random.pick(["election", "heartbeat", "quorum", "transfer"] as const) ?? "election" },
    { type: "persist", node },
  ]
  return random.pick(random.chance(700) ? common : rare) ?? { type: "heal" }
}

export const randomScript = (seed: number, length: number): Script => {
  const random = makeRandom(seed)
  const nodes = random.between(1, 5)
  const names = Array.from({ length: nodes }, (_, i) => `n${i + 1}`)
  const options = { nodes, settings: { ...settingsOf(seed), leaseReads: seed % 7 === 0 }, network: random.pick(NETWORKS) ?? "lossy", disk: { min: 1, max: random.pick([1, 20]) ?? 1 }, connections: random.chance(500) }
  return { seed, options, actions: [{ type: "run", ms: 1500 }, ...Array.from({ length }, (_, i) => randomAction(random, 10 * i + 1, names))] }
}
