import { MAX_COUNT } from "./domain.ts"
import type { Millis } from "./entry.ts"

/** Times, sizes and switches. */
export interface Settings {
  readonly heartbeat: Millis
  readonly electionMin: Millis
  readonly electionMax: Millis
  readonly disconnectMax: Millis
  readonly diskStallTimeout: Millis
  readonly preVote: boolean
  readonly checkQuorum: boolean
  readonly forwardProposals: boolean
  readonly leaseReads: boolean
  readonly maxClockDriftPermille: number
  readonly maxEntryBytes: number
  readonly maxBatchBytes: number
  readonly maxInflight: number
  readonly maxInflightBytes: number
  readonly maxUncommittedBytes: number
  readonly maxApplyBytes: number
  readonly maxPendingReads: number
  readonly snapshotBytes: number
  readonly trailingLogBytes: number
}

const MB = 1024 * 1024

/**
 * Every server of a cluster has the same values of the times and of leaseReads.
 *
 * | setting | default | why |
 * | --- | --- | --- |
 * | heartbeat | 100 ms | a fifth of the shortest election timeout: four in a row may be lost |
 * | electionMin, electionMax | 500–1,000 ms | ten times a round trip with a slow fsync; with this spread votes are rarely split (paper §9.3) |
 * | disconnectMax | 150 ms | a reset connection is strong evidence that the leader is gone: ask for pre-votes soon, but not all at once. Likewise when a voter is connected and no leader is known |
 * | diskStallTimeout | 1,000 ms | a leader whose disk stalls this long is worse than an election |
 * | preVote | true | a server that was away does not depose a leader that serves the others (thesis §9.6) |
 * | checkQuorum | true | a leader that a majority cannot answer says so, and its clients go elsewhere (thesis §6.2) |
 * | forwardProposals | true | every node takes writes; without it a follower refuses them and names the leader |
 * | leaseReads | false | reads without a round (thesis §6.4.1). They depend on clocks: no server's monotonic clock may run faster than another's by more than maxClockDriftPermille, or stop while the server runs (as on a suspended machine) |
 * | maxClockDriftPermille | 100 | a tenth: far worse than any quartz clock, and it shortens a lease only a little |
 * | maxEntryBytes | 8 MB | the limit on a command, from which the limits of frames, records and batches are derived |
 * | maxBatchBytes | 1 MB | one AppendEntries: large enough to amortise, small enough not to delay a heartbeat |
 * | maxInflight, maxInflightBytes | 256, 16 MB | enough to fill a link with a long delay; bounds the leader's memory per follower |
 * | maxUncommittedBytes | 64 MB | a leader without quorum refuses work before it runs out of memory |
 * | maxApplyBytes | 1 MB | one batch of the state machine |
 * | maxPendingReads | 65,536 | likewise for reads that wait for a round |
 * | snapshotBytes, trailingLogBytes | 32 MB, 8 MB | how much log is kept on disk and in memory (where small entries take three times their bytes), and how much of it remains after trimming for slow followers |
 */
export const defaultSettings: Settings = {
  heartbeat: 100,
  electionMin: 500,
  electionMax: 1000,
  disconnectMax: 150,
  diskStallTimeout: 1000,
  preVote: true,
  checkQuorum: true,
  forwardProposals: true,
  leaseReads: false,
  maxClockDriftPermille: 100,
  maxEntryBytes: 8 * MB,
  maxBatchBytes: MB,
  maxInflight: 256,
  maxInflightBytes: 16 * MB,
  maxUncommittedBytes: 64 * MB,
  maxApplyBytes: MB,
  maxPendingReads: 65_536,
  snapshotBytes: 32 * MB,
  trailingLogBytes: 8 * MB,
}

/** A setting with which no cluster could work. Nothing was started. */
export class SettingsInvalid extends Error {
  override readonly name = "SettingsInvalid"
  readonly setting: string
  readonly found: unknown
  readonly expected: string
  constructor(setting: string, found: unknown, expected: string) {
    super(
      `setting ${setting} is ${String(found)}, expected ${expected}. Nothing was started; core/settings.ts lists all settings with their defaults`,
    )
    this.setting = setting
    this.found = found
    this.expected = expected
  }
}

/** The minimum of each; all are whole numbers. To lift a limit give a large number, not Infinity. */
const LEAST = {
  heartbeat: 1,
  electionMin: 1,
  electionMax: 1,
  disconnectMax: 0,
  diskStallTimeout: 1,
  maxClockDriftPermille: 0,
  maxEntryBytes: 1,
  maxBatchBytes: 1,
  maxInflight: 1,
  maxInflightBytes: 1,
  maxUncommittedBytes: 1,
  maxApplyBytes: 1,
  maxPendingReads: 1,
  snapshotBytes: 1,
  trailingLogBytes: 0,
} as const satisfies Partial<Record<keyof Settings, number>>
/** 1,000 would leave a lease no time at all. */
const MOST: Partial<Record<keyof Settings, number>> = { maxClockDriftPermille: 999 }
const TIMES: readonly string[] = ["heartbeat", "electionMin", "electionMax", "disconnectMax", "diskStallTimeout"]

/** Throws SettingsInvalid. `longest`: the longest time in milliseconds that the interpreter's timers support. */
export const checkSettings = (settings: Settings, longest = MAX_COUNT): void => {
  const given = new Map<string, unknown>(Object.entries(settings))
  for (const [setting, usual] of Object.entries(defaultSettings)) {
    const found = given.get(setting)
    if (typeof usual === "boolean" && typeof found !== "boolean")
      throw new SettingsInvalid(setting, found, "true or false")
  }
  for (const [setting, least] of Object.entries(LEAST) as [keyof typeof LEAST, number][]) {
    const found = given.get(setting)
    const most = MOST[setting] ?? (TIMES.includes(setting) ? longest : MAX_COUNT)
    if (typeof found !== "number" || !Number.isInteger(found) || found < least || found > most)
      throw new SettingsInvalid(setting, found, `a whole number from ${least} to ${most}`)
  }
  const { heartbeat, electionMin, electionMax } = settings
  if (heartbeat >= electionMin)
    throw new SettingsInvalid(
      "heartbeat",
      heartbeat,
      `less than electionMin (${electionMin}): followers would campaign against a live leader`,
    )
  if (electionMax < electionMin)
    throw new SettingsInvalid("electionMax", electionMax, `at least electionMin (${electionMin})`)
}
