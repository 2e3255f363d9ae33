/** The options of a random world: sizes, times, network and disks that make every rule fire, by profile. */
import { defaultSettings, type Settings } from "../../../core/index.ts"
import type { Profile } from "./profiles.ts"
import type { NetworkProfile, Random, Range, Script, SnapshotProfile } from "../../../interpreters/simulation/index.ts"

/** Small enough that snapshots, windows and refusals happen all the time. */
const sizes: readonly Partial<Settings>[] = [
  {},
  {
    snapshotBytes: 2000,
    trailingLogBytes: 400,
    maxBatchBytes: 300,
    maxInflight: 4,
    maxInflightBytes: 1000,
    maxUncommittedBytes: 8000,
    maxApplyBytes: 300,
  },
  {
    snapshotBytes: 600,
    trailingLogBytes: 0,
    maxBatchBytes: 1,
    maxInflight: 2,
    maxInflightBytes: 400,
    maxUncommittedBytes: 4000,
    maxApplyBytes: 1,
    maxPendingReads: 3,
  },
  { snapshotBytes: 300, trailingLogBytes: 100, maxInflight: 1, maxUncommittedBytes: 20_000 },
  { maxBatchBytes: 150, maxInflight: 8, maxUncommittedBytes: 10_000, snapshotBytes: 20_000, trailingLogBytes: 20_000 },
]
/** The usual times; times with hardly any spread, so that elections collide; and shorter ones. */
const times: readonly Partial<Settings>[] = [
  {},
  {},
  { electionMin: 500, electionMax: 530 },
  { heartbeat: 40, electionMin: 150, electionMax: 300, disconnectMax: 60, diskStallTimeout: 400 },
]

/** A script may switch to this network: it is reliable except for delays, so it never makes a bound impossible. */
export const quietNetwork: NetworkProfile = {
  lossPermille: 0,
  duplicatePermille: 0,
  delayMin: 1,
  delayMax: 5,
  longDelayPermille: 0,
  longDelayMax: 0,
}
const networksOf: Readonly<Record<Profile, readonly NetworkProfile[]>> = (() => {
  const fast: NetworkProfile = { ...quietNetwork, delayMax: 1 }
  const slow: NetworkProfile = { ...quietNetwork, delayMin: 5, delayMax: 60 }
  const lossy: NetworkProfile = {
    lossPermille: 100,
    duplicatePermille: 50,
    delayMin: 1,
    delayMax: 26,
    longDelayPermille: 30,
    longDelayMax: 800,
  }
  const doubling: NetworkProfile = {
    ...quietNetwork,
    duplicatePermille: 500,
    longDelayPermille: 200,
    longDelayMax: 3000,
  }
  const terrible: NetworkProfile = {
    lossPermille: 300,
    duplicatePermille: 100,
    delayMin: 1,
    delayMax: 100,
    longDelayPermille: 100,
    longDelayMax: 1500,
  }
  return {
    calm: [fast, quietNetwork, slow],
    lossy: [lossy, doubling, terrible, slow],
    partitions: [fast, slow, lossy],
    disks: [fast, quietNetwork, lossy],
    membership: [fast, quietNetwork, lossy, doubling],
    directories: [fast, quietNetwork, slow, lossy],
    everything: [fast, slow, lossy, doubling, terrible],
  }
})()
export const networkOptionsOf = (random: Random, profile: Profile): NetworkProfile =>
  random.pick(networksOf[profile]) ?? quietNetwork

const disks: readonly Range[] = [
  { min: 1, max: 1 },
  { min: 0, max: 0 },
  { min: 1, max: 20 },
  { min: 5, max: 300 },
]
export const diskOf = (random: Random, profile: Profile): Range => {
  const choice =
    profile === "calm" ? disks.slice(0, 2) : profile === "disks" || profile === "everything" ? disks : disks.slice(0, 3)
  return random.pick(choice) ?? { min: 1, max: 1 }
}
export const snapshotsOf = (random: Random, profile: Profile): Partial<SnapshotProfile> => {
  const chunks =
    random.pick([
      { chunksMin: 1, chunksMax: 1 },
      { chunksMin: 1, chunksMax: 5 },
      { chunksMin: 3, chunksMax: 3 },
    ]) ?? {}
  const failing = (profile === "disks" || profile === "everything") && random.chance(400)
  return failing ? { ...chunks, takeFailPermille: 150, openFailPermille: 150, rejectPermille: 50 } : chunks
}

const settingsOf = (random: Random): Partial<Settings> => ({
  ...random.pick(sizes),
  ...random.pick(times),
  preVote: random.chance(500),
  checkQuorum: random.chance(700),
  forwardProposals: random.chance(600),
  leaseReads: random.chance(350),
})

export const optionsOf = (random: Random, profile: Profile, nodes: number): Script["options"] => ({
  nodes,
  settings: settingsOf(random),
  network: networkOptionsOf(random, profile),
  disk: diskOf(random, profile),
  apply: random.pick([
    { min: 0, max: 2 },
    { min: 0, max: 0 },
    { min: 1, max: 60 },
  ]) ?? { min: 0, max: 2 },
  snapshots: snapshotsOf(random, profile),
  connections: random.chance(600),
})

export const settingsIn = (options: Script["options"]): Settings => ({ ...defaultSettings, ...options.settings })
