/** What a leader knows of one follower, and how it sends to it: probe, replicate, snapshot (thesis §10.2, etcd). */
import { note, type Turn } from "./turn.ts"
import type { Index, Leader, Member, Progress, State } from "./types.ts"

export const newProgress = (member: Member, nextIndex: Index): Progress => ({
  member,
  matchIndex: 0,
  nextIndex,
  active: false,
  condition: "ready",
  round: 0,
  wantsCommit: 0,
  sentCommit: 0,
  sentRound: 0,
  wallOffset: null,
  wallAt: 0,
  mode: { type: "probe", waiting: false },
})

export const progressOf = (leader: Leader, member: Member): Progress | undefined => {
  const progress = leader.progress[member.name]
  return progress !== undefined && progress.member.incarnation === member.incarnation ? progress : undefined
}

/** A round that was never started cannot have been answered; if it were believed, it would confirm every later read. */
export const recordRound = (leader: Leader, progress: Progress, round: number): void => {
  if (round <= leader.round) progress.round = Math.max(progress.round, round)
}

export const closeSentSnapshot = (turn: Turn, progress: Progress): void => {
  const { mode } = progress
  if (mode.type === "snapshot" && mode.snapshot !== null)
    turn.effects.push({ type: "CloseSnapshot", id: mode.snapshot.id })
}

/** Find out how far the logs agree, by one append at `nextIndex`. */
export const probeFrom = (turn: Turn, progress: Progress, nextIndex: Index): void => {
  closeSentSnapshot(turn, progress)
  progress.nextIndex = Math.max(nextIndex, progress.matchIndex + 1)
  progress.mode = { type: "probe", waiting: false }
}

export const replicateFrom = (turn: Turn, progress: Progress, nextIndex: Index): void => {
  if (progress.mode.type !== "replicate") {
    closeSentSnapshot(turn, progress)
    note(turn, "progress.replicate")
    progress.mode = { type: "replicate", inflight: [], inflightBytes: 0 }
  }
  // A reply that arrives late may report less than is already known to match.
  progress.nextIndex = Math.max(progress.nextIndex, nextIndex, progress.matchIndex + 1)
}

export const releaseInflight = (progress: Progress): void => {
  const { mode, matchIndex } = progress
  if (mode.type !== "replicate") return
  const { inflight } = mode
  for (let oldest = inflight[0]; oldest !== undefined && oldest.lastIndex <= matchIndex; oldest = inflight[0]) {
    mode.inflightBytes -= oldest.bytes
    inflight.shift()
  }
}

/** With nothing in flight the window is always open, so an entry larger than the window can still be sent. */
export const isWindowOpen = (state: State, progress: Progress): boolean => {
  const { mode } = progress
  if (mode.type !== "replicate") return false
  const { maxInflight, maxInflightBytes } = state.settings
  return mode.inflight.length === 0 || (mode.inflight.length < maxInflight && mode.inflightBytes < maxInflightBytes)
}
