/** Random worlds for tests: one seed decides the cluster, its network and every fault. */
import { defaultSettings, type Recovered, type Settings } from "../core/index.ts"
import {
  networks,
  runScript,
  type Action,
  type Keep,
  type NetworkName,
  type Random,
  makeRandom,
  type Script,
  type World,
  violationName,
  type WorldStep,
} from "../interpreters/simulation/index.ts"
import {
  withMending,
  checkScript,
  generateScript,
  hasOwnChecks,
  saveFailure,
  type Profile,
  type SavedFailure,
  type ScriptChecks,
  type ScriptPassed,
} from "../spec/index.ts"

/** Small enough that snapshots, windows and refusals happen all the time. */
export const tightSettings: Partial<Settings> = {
  snapshotBytes: 2000,
  trailingLogBytes: 400,
  maxBatchBytes: 300,
  maxInflight: 4,
  maxInflightBytes: 1000,
  maxUncommittedBytes: 4000,
  maxApplyBytes: 300,
}

/** The same with every switch in both positions: a rule that is normally backed up by another one must hold alone. */
export const settingsOf = (seed: number): Partial<Settings> => ({
  ...tightSettings,
  preVote: seed % 3 !== 0,
  checkQuorum: seed % 5 !== 0,
  forwardProposals: seed % 2 === 0,
})

export const payload = (id: number, size = 10): { bytes: Uint8Array; checksum: number } => ({
  bytes: new Uint8Array(size),
  checksum: id,
})

export interface ScriptedOptions {
  readonly nodes?: number
  readonly steps?: number
  readonly profile?: Profile
  readonly observe?: (step: WorldStep) => void
  /** With the settings of that world. */
  readonly started?: (node: string, recovered: Recovered, settings: Settings) => void
}

/** A random script of all actions, unchecked, seen step by step. Faults are not healed at its end. */
export const scripted = (
  seed: number,
  { nodes = 1 + (seed % 5), steps = 40, profile = "everything", observe, started }: ScriptedOptions = {},
): World => {
  const script = generateScript(seed, profile, { nodes, steps })
  const settings = { ...defaultSettings, ...script.options.settings }
  let at = 0
  try {
    return runScript(script, {
      observe: (step) => {
        at = step.i
        observe?.(step)
      },
      ...(started === undefined ? {} : { started: (node, recovered) => started(node, recovered, settings) }),
    })
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new Error(
      `${message}\n  ${openWith(saveFailure({ script, mended: null }, { violation: violationName(error), message, at }, { own: true }))}`,
      { cause: error },
    )
  }
}

const openWith = ({ file, command }: SavedFailure): string => `saved as ${file}; open it with: ${command}`

/**
 * Runs a script that should pass. If it does not, it is saved, and the error names the command that opens it at the
 * violation.
 */
export const passing = (script: Script, checks: ScriptChecks = {}): ScriptPassed => {
  const verdict = checkScript(script, checks)
  if (verdict.ok) return verdict
  throw new Error(
    `${verdict.message}\n  ${openWith(saveFailure(withMending(script, verdict, checks), verdict, { own: hasOwnChecks(checks) }))}`,
  )
}

/** All servers have executed the same: everything that the leader holds. */
export const settled = (world: World): boolean => {
  const leader = world.leader()?.runner?.state
  if (leader === undefined || leader.commitIndex !== leader.log.lastIndex) return false
  return world.names.every((name) => {
    const state = world.state(name)
    return (
      state !== undefined &&
      state.applied === leader.commitIndex &&
      state.machine === "ready" &&
      state.currentTerm === leader.currentTerm
    )
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
    { type: "corruptDisk", node },
    { type: "damage", node },
    { type: "apply", node, min: 0, max: random.pick([2, 50]) ?? 2 },
    {
      type: "snapshots",
      profile: {
        chunksMax: 1 + random.below(6),
        takeFailPermille: random.below(300),
        openFailPermille: random.below(300),
        rejectPermille: random.below(300),
      },
    },
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
  const options = {
    nodes,
    settings: { ...settingsOf(seed), leaseReads: seed % 7 === 0 },
    network: random.pick(NETWORKS) ?? "lossy",
    disk: { min: 1, max: random.pick([1, 20]) ?? 1 },
    connections: random.chance(500),
  }
  return {
    seed,
    options,
    actions: [{ type: "run", ms: 1500 }, ...Array.from({ length }, (_, i) => randomAction(random, 10 * i + 1, names))],
  }
}
