import type { Settings } from "./types.ts"

const MB = 1024 * 1024

/**
 * Every server of a cluster has the same values of the times and of leaseReads.
 *
 * | setting | default | why |
 * | --- | --- | --- |
 * | heartbeat | 100 ms | a fifth of the shortest election timeout: four may be lost before anybody worries |
 * | electionMin, electionMax | 500–1,000 ms | an order above a round trip with a slow fsync; the spread splits votes rarely (paper §9.3) |
 * | disconnectMax | 150 ms | a reset connection is strong evidence: ask for pre-votes soon, but not all at once |
 * | persistStall | 1,000 ms | a leader whose disk hangs that long serves worse than an election does |
 * | leaseReads | false | reads without a round (thesis §6.4.1). They hang on clocks: no server's monotonic clock may run faster than another's by more than maxClockDriftPermille, nor stand still while the server runs (a suspended machine's does) |
 * | maxClockDriftPermille | 100 | a tenth: far worse than any quartz, so that a lease costs little and forgives much |
 * | maxEntryBytes | 8 MB | the one limit on a command; frames, records and batches derive from it |
 * | maxBatchBytes | 1 MB | one AppendEntries: large enough to amortise, small enough not to delay a heartbeat |
 * | maxInflight, maxInflightBytes | 256, 16 MB | fills a link with a long delay, bounds the leader's memory per follower |
 * | maxUncommittedBytes | 64 MB | a leader without quorum refuses work before it runs out of memory |
 * | maxApplyBytes | 1 MB | one batch of the state machine |
 * | maxPendingReads | 65,536 | the same for reads |
 * | snapshotBytes, tailBytes | 32 MB, 8 MB | the log kept on disk and in memory (there, small entries cost three times their bytes), and what of it a slow follower can still use |
 */
export const defaultSettings: Settings = {
  heartbeat: 100,
  electionMin: 500,
  electionMax: 1000,
  disconnectMax: 150,
  persistStall: 1000,
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
  tailBytes: 8 * MB,
}
