/**
 * When are two servers, or two messages, the same? Each is written as a text, so that no later event can distinguish
 * two servers or messages with equal texts. Values that only count up (numbers of persists) are left out or written by
 * rank, and so are values that this space never reads: otherwise the same situation would be reached again and again
 * under new numbers.
 */
import { chainAfter, Log, type Configuration, type Entry, type Member, type Message } from "../../core/index.ts"
import type { ServerState } from "./server.ts"
import type { Space } from "./space.ts"

export type Permutation = Readonly<Record<string, string>>

type Plain = Readonly<Record<string, unknown>>
const isMember = (value: Plain): boolean => "incarnation" in value && "name" in value

/**
 * "place.key", where the place of an object is the key under which it, or the list or record that contains it, is
 * found.
 */
const hiddenIn = (space: Space): ReadonlySet<string> => {
  const hidden = ["state.settings", "durability.nextSeq", "outstanding.seq", "queue.seq"]
  // The window is never full, so its contents change nothing.
  if (space.settings.maxInflight > 8) hidden.push("mode.inflight", "mode.inflightBytes")
  const transfers = space.timers.includes("transfer") || space.timers.includes("persist")
  const snapshots = space.settings.snapshotBytes < 1e9
  // This is read only by the quorum check, by the choice of a successor, and before an image is pinned.
  if (!space.settings.checkQuorum && !transfers && !snapshots) hidden.push("progress.active")
  // Rounds that followers have answered confirm reads, and make a successor likely.
  if (space.bounds.reads === 0 && !transfers)
    hidden.push(
      "progress.round",
      "role.confirmedRound",
      "AppendAccepted.round",
      "AppendRejected.round",
      "InstallSnapshotReply.round",
    )
  // Only a follower with waiting clients is sent a commit index before the next round.
  if (space.bounds.reads === 0 && !space.settings.forwardProposals) hidden.push("progress.sentCommit")
  // Written by rank below, or never read.
  hidden.push("role.watchedPersist")
  return new Set(hidden)
}

const namesOf = (members: readonly Member[]): string => members.map(({ name }) => name).join("")
/** Identifies the entry at an index: equal texts, equal entries. */
export const entryIdentity = (entry: Entry): string => {
  if (entry.kind === "command") return `c${entry.term}.${entry.payload.checksum}`
  if (entry.kind === "noop") return `n${entry.term}`
  const { voters, outgoing, learners } = entry.configuration
  return `k${entry.term}.${namesOf(voters)}/${namesOf(outgoing)}/${namesOf(learners)}`
}

/**
 * A chain depends on the entries before it, so it distinguishes exactly the states that differ in those. It includes
 * names of servers (of configurations): its value after a renaming is computed from the entries that it stands for.
 * Every log is registered here before anything that its server says is renamed.
 */
const links = new Map<number, { readonly before: number; readonly entry: Entry }>()
const learnChains = (log: Log): void => {
  let before = log.base.chain
  for (const entry of log.toArray()) {
    if (!links.has(entry.chain)) links.set(entry.chain, { before, entry })
    before = entry.chain
  }
}
export const logIdentity = (log: Log): string => {
  learnChains(log)
  return `${log.base.index}.${log.base.term}:${log.toArray().map(entryIdentity).join(",")}`
}

export interface Identifier {
  readonly server: (server: ServerState) => string
  readonly message: (from: Member, to: Member, message: Message) => string
}

/** For objects with the same keys: which of them are written, and in which order. */
interface Shape {
  readonly mark: string
  readonly keys: readonly string[]
}

export const makeIdentifier = (space: Space): Identifier => {
  const hidden = hiddenIn(space)
  const known = new WeakMap<object, string>()
  const shapes = new Map<string, Shape>()
  const marks = new Map<string, string>()

  const shapeOf = (value: Plain, place: string): Shape => {
    const keys = Object.keys(value)
    const signature = `${place} ${keys.join(" ")}`
    const met = shapes.get(signature)
    if (met !== undefined) return met
    const shown = keys.filter((key) => !hidden.has(`${place}.${key}`)).sort()
    const sorted = shown.join(" ")
    const mark = marks.get(sorted) ?? `${marks.size}{`
    marks.set(sorted, mark)
    const shape = { mark, keys: shown }
    shapes.set(signature, shape)
    return shape
  }
  const recordText = (value: Plain, place: string): string => {
    const { mark, keys } = shapeOf(value, place)
    let text = mark
    // The record of followers is keyed by name; the rules refer to its values as "progress".
    for (const key of keys) text += `${textOf(value[key], place === "progress" && key !== "mode" ? place : key)};`
    return `${text}}`
  }
  const listText = (value: readonly unknown[], place: string): string => {
    let text = "["
    for (const item of value) text += `${textOf(item, place)},`
    return `${text}]`
  }
  const textOf = (value: unknown, place: string): string => {
    if (value === null || typeof value !== "object") return String(value)
    const seen = known.get(value)
    if (seen !== undefined) return seen
    const text = Array.isArray(value)
      ? listText(value, place)
      : value instanceof Log
        ? logIdentity(value)
        : value instanceof Uint8Array
          ? String(value.length)
          : isMember(value as Plain)
            ? (value as unknown as Member).name
            : recordText(value as Plain, place)
    if (Object.isFrozen(value) || value instanceof Log) known.set(value, text)
    return text
  }

  const watched = ({ state }: ServerState): number => {
    if (!space.timers.includes("persist") || state.role.type !== "leader" || state.role.watchedPersist === null)
      return -2
    const { watchedPersist } = state.role
    return state.durability.outstanding.findIndex(({ seq }) => seq === watchedPersist)
  }
  return {
    server: (server) =>
      `${textOf(server.state, "state")}|${textOf(server.disk, "server")}|${textOf(server.queue, "queue")}|${textOf(server.asked, "asked")}|${watched(server)}`,
    message: (from, to, message) => `${from.name}>${to.name} ${textOf(message, message.type)}`,
  }
}

const renamedChains = new WeakMap<Permutation, Map<number, number>>()
const renamedChain = (chain: number, names: Permutation): number => {
  if (chain === 0) return 0
  const known = renamedChains.get(names) ?? new Map<number, number>()
  renamedChains.set(names, known)
  const found = known.get(chain)
  if (found !== undefined) return found
  const link = links.get(chain)
  if (link === undefined) throw new Error(`no log had the chain ${chain}`)
  const entry =
    link.entry.kind === "configuration"
      ? { ...link.entry, configuration: renamed(link.entry.configuration, names) as Configuration }
      : link.entry
  const after = chainAfter(renamedChain(link.before, names), entry)
  known.set(chain, after)
  return after
}
const CHAINS: readonly string[] = ["chain", "prevLogChain", "verifiedChain"]

/** Everything in `value` with its servers renamed. Configurations list their members by name. */
const renamed = (value: unknown, names: Permutation): unknown => {
  if (typeof value === "string") return value
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value
  if (Array.isArray(value)) {
    const items = value.map((item) => renamed(item, names))
    const all =
      items.length > 1 && items.every((item) => typeof item === "object" && item !== null && isMember(item as Plain))
    return all ? (items as Member[]).sort((a, b) => (a.name < b.name ? -1 : 1)) : items
  }
  if (value instanceof Log)
    return Log.of(renamed(value.base, names) as Log["base"], renamed(value.toArray(), names) as readonly Entry[])
  const plain = value as Plain
  if (isMember(plain))
    return {
      name: names[String(plain["name"])] ?? plain["name"],
      incarnation: names[String(plain["incarnation"])] ?? plain["incarnation"],
    }
  return Object.fromEntries(
    Object.entries(plain).map(([key, item]) => {
      // Ids of images begin with the name of the server that pinned them.
      if (key === "id" || key === "restoring")
        return [key, typeof item === "string" ? item.replace(/^[^:]+/, (name) => names[name] ?? name) : item]
      if (typeof item === "number" && CHAINS.includes(key)) return [key, renamedChain(item, names)]
      return [names[key] ?? key, key === "settings" ? item : renamed(item, names)]
    }),
  )
}

const freeze = <T>(value: T): T => {
  if (
    value !== null &&
    typeof value === "object" &&
    !(value instanceof Uint8Array) &&
    !(value instanceof Log) &&
    !Object.isFrozen(value)
  ) {
    Object.freeze(value)
    for (const item of Object.values(value)) freeze(item)
  }
  return value
}
export const renameServer = (server: ServerState, names: Permutation): ServerState =>
  freeze(renamed(server, names) as ServerState)
export const renameMember = (member: Member, names: Permutation): Member => renamed(member, names) as Member
export const renameMessage = (message: Message, names: Permutation): Message =>
  freeze(renamed(message, names) as Message)
