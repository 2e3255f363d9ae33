/** What a server has heard and may rely on later: votes, acknowledgements, rounds, requests, and its own disk. */
import type { Event, Member, Message, State } from "../../core/index.ts"
import { applyToDisk, keyOf, same, type AbstractServer } from "./server.ts"

const add = (poll: AbstractServer["votes"], term: number, from: Member): AbstractServer["votes"] => {
  if (poll.term > term) return poll
  if (poll.term < term) return { term, by: [from] }
  if (!poll.by.some((one) => same(one, from))) poll.by.push(from)
  return poll
}
/** A leader may lead for months: an older request was answered, or will be repeated. */
const MOST_KEPT = 256
const keep = <T>(map: Map<string, T>, key: string, value: T): void => {
  map.set(key, value)
  if (map.size <= MOST_KEPT) return
  const [oldest] = map.keys()
  if (oldest !== undefined) map.delete(oldest)
}
const raise = (map: Map<string, number>, member: Member, value: number): void => {
  const key = keyOf(member)
  if (value > (map.get(key) ?? -1)) map.set(key, value)
}

/** An acknowledgement of more than the leader's log holds, or of different entries, does not count; chains distinguish logs of equal terms. */
const speaksOfThisLog = (message: Extract<Message, { type: "AppendAccepted" }>, { log }: State): boolean =>
  message.verifiedIndex <= log.lastIndex &&
  (log.chainAt(message.verifiedIndex) ?? message.verifiedChain) === message.verifiedChain

const hearMessage = (server: AbstractServer, from: Member, message: Message, state: State): void => {
  const leads = server.role === "leader" && message.term === server.term
  switch (message.type) {
    case "RequestVoteReply":
      if (message.granted) server.votes = add(server.votes, message.term, from)
      return
    case "RequestPreVoteReply":
      if (message.granted) server.preVotes = add(server.preVotes, message.term, from)
      return
    case "AppendAccepted":
      if (!leads) return
      raise(server.answered, from, message.round)
      if (!speaksOfThisLog(message, state)) return
      raise(server.matched, from, message.matchIndex)
      raise(server.shared, from, message.matchIndex)
      if (message.condition === "rebuild") server.lost.add(keyOf(from))
      // A reply that arrives late says nothing about the present.
      if (message.round < (server.answered.get(keyOf(from)) ?? 0)) return
      if (message.condition === "ready") server.unfit.delete(keyOf(from))
      else server.unfit.add(keyOf(from))
      return
    case "AppendRejected":
      if (leads) raise(server.answered, from, message.round)
      return
    case "InstallSnapshotReply":
      if (!leads) return
      raise(server.answered, from, message.round)
      if (message.status === "installed") raise(server.matched, from, server.images.get(message.id) ?? 0)
      return
    case "ReadIndex": {
      if (server.role !== "leader") return
      const leased = server.lease === "held" && server.commit >= server.termStart
      // A duplicate may be answered as either copy.
      const key = `${keyOf(from)} ${message.bootId} ${message.number}`
      const now = leased
        ? { least: server.commit, round: 0 }
        : { least: Math.max(server.commit, server.termStart), round: server.round + 1 }
      const before = server.questions.get(key) ?? now
      keep(server.questions, key, {
        least: Math.min(before.least, now.least),
        round: Math.min(before.round, now.round),
      })
      return
    }
    case "ReadIndexReply":
      if (message.bootId !== state.bootId || message.readIndex === null) return
      for (const read of server.reads.values())
        if (read.asked === message.number && read.confirmed === null) read.confirmed = message.readIndex
      return
    case "InstallSnapshot":
    case "RequestVote":
    case "RequestPreVote":
    case "AppendEntries":
    case "ForwardProposal":
    case "ForwardProposalReply":
    case "TimeoutNow":
      return
  }
}

/** Returns what is wrong with the event itself, or null. */
export const hear = (server: AbstractServer, event: Event, state: State): string | null => {
  switch (event.type) {
    case "MessageReceived":
      hearMessage(server, event.from, event.message, state)
      return null
    case "Persisted": {
      const { queue } = server.disk
      while (queue[0] !== undefined && queue[0].seq <= event.seq) {
        applyToDisk(server.disk, queue[0])
        queue.shift()
      }
      return null
    }
    case "Applied":
      server.applied = Math.max(server.applied, Math.min(event.index, server.applying))
      return null
    case "ReadRequested": {
      const leased = server.role === "leader" && server.lease === "held" && server.commit >= server.termStart
      const question =
        server.role === "leader" ? { least: Math.max(server.commit, server.termStart), round: server.round + 1 } : null
      server.reads.set(event.ref, { question, asked: 0, confirmed: leased ? server.commit : null })
      return null
    }
    case "SnapshotOpened":
      keep(server.images, event.snapshot.id, event.snapshot.index)
      return event.snapshot.index > server.applying
        ? `opened snapshot ${event.snapshot.id} of ${event.snapshot.index}, but only ${server.applying} is executed`
        : null
    case "SnapshotRestored":
      keep(server.images, event.snapshot.id, event.snapshot.index)
      server.install = null
      server.working = true
      server.applying = event.snapshot.index
      server.applied = event.snapshot.index
      return null
    case "TimerExpired":
      if (event.timer === "lease" && server.lease === "held") server.lease = "none"
      return null
    case "PeerConnected":
      // The peer may hold less than before, so it must report again what the two logs share.
      server.shared.delete(keyOf(event.peer))
      return null
    case "ChunkStored":
      if (server.install?.id === event.id) server.install.next = event.nextOffset
      return null
    case "SnapshotRejected":
      server.install = null
      return null
    case "MachineDamaged":
      server.working = false
      return null
    case "Started":
    case "Proposed":
    case "ConfigurationChangeProposed":
    case "ClockAdvanced":
    case "PeerDisconnected":
    case "SnapshotTaken":
    case "SnapshotTakeFailed":
    case "SnapshotOpenFailed":
    case "SpaceChanged":
    case "TransferRequested":
      return null
  }
}
