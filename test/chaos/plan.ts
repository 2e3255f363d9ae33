/** Which faults happen when: a list made from a seed alone, before anything is started. */
import { makeRandom, type Random } from "../../interpreters/simulation/index.ts"

/** The targets: the first `count` of `order`, in which the present leader is put first, last, or nowhere special. */
export interface Targets {
  readonly count: number
  readonly order: readonly string[]
  readonly leader: "first" | "last" | "anywhere"
}
export type Fault =
  /** kill -9, started again at the end. */
  | { readonly type: "kill"; readonly targets: Targets }
  /** SIGTERM: a leader first transfers leadership. Started again at the end. */
  | { readonly type: "stop"; readonly targets: Targets }
  /** SIGSTOP, SIGCONT at the end. */
  | { readonly type: "pause"; readonly targets: Targets }
  /** No byte passes between the targets and the others. */
  | { readonly type: "partition"; readonly targets: Targets; readonly end: End }
  /** No byte passes between the first two of the order; all others reach both. */
  | { readonly type: "unlink"; readonly targets: Targets; readonly end: End }
  /** Bytes stop in one direction: from the targets to the others, or to the targets from the others. */
  | { readonly type: "mute" | "deafen"; readonly targets: Targets; readonly end: End }
  /** Connections of the targets are reset, `times` times. */
  | { readonly type: "reset"; readonly targets: Targets; readonly times: number }
  /** Milliseconds. */
  | { readonly type: "delay"; readonly targets: Targets; readonly delay: number; readonly jitter: number }
  | { readonly type: "throttle"; readonly targets: Targets; readonly bytesPerSecond: number }
  /** kill -9, the disk is emptied, started again and replaced by one verb. */
  | { readonly type: "wipe"; readonly targets: Targets }
  /** kill -9, a bit in the middle of the log is flipped, started again without further help. */
  | { readonly type: "damage"; readonly targets: Targets }
  /** Removed while it runs; then its disk is emptied, and it is added and promoted. */
  | { readonly type: "rejoin"; readonly targets: Targets }
  /** Leadership is transferred to the target. */
  | { readonly type: "transfer"; readonly targets: Targets }
/** How a cut ends: what was sent meanwhile arrives in a burst, or is lost with its connections. */
export type End = "burst" | "reset"

export interface Step {
  readonly number: number
  /** Milliseconds since the start, and how long it lasts. */
  readonly at: number
  readonly ms: number
  readonly fault: Fault
}

const describeTargets = ({ count, order, leader }: Targets, most = count): string => {
  const named = order.slice(0, most).join(", ")
  if (count >= order.length) return "all nodes"
  switch (leader) {
    case "first":
      return most === 1 ? `the leader (or ${named})` : `the leader and ${most - 1} of ${order.join(", ")}`
    case "last":
      return most === 1 ? `a follower of ${order.join(", ")}` : `${most} followers of ${order.join(", ")}`
    case "anywhere":
      return named
  }
}
export const describeFault = (fault: Fault): string => {
  const who = describeTargets(fault.targets)
  switch (fault.type) {
    case "kill":
      return `kill -9 ${who}`
    case "stop":
      return `SIGTERM ${who}`
    case "pause":
      return `SIGSTOP ${who}`
    case "partition":
      return `cut off ${who}; ends with a ${fault.end}`
    case "unlink":
      return `cut the link between ${describeTargets(fault.targets, 2)}; ends with a ${fault.end}`
    case "mute":
      return `no byte from ${who} to the others; ends with a ${fault.end}`
    case "deafen":
      return `no byte to ${who} from the others; ends with a ${fault.end}`
    case "reset":
      return `reset the connections of ${who}, ${fault.times}×`
    case "delay":
      return `delay ${fault.delay}–${fault.delay + fault.jitter} ms around ${who}`
    case "throttle":
      return `${fault.bytesPerSecond / 1000} kB/s around ${who}`
    case "wipe":
      return `wipe the disk of ${who}, replace it`
    case "damage":
      return `damage the log of ${who}`
    case "rejoin":
      return `remove ${who}, add and promote it with an empty disk`
    case "transfer":
      return `hand leadership over to ${who}`
  }
}
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
export const describeStep = ({ number, at, ms, fault }: Step): string =>
  `${String(number).padStart(3)}  at ${seconds(at).padStart(7)}  for ${seconds(ms).padStart(6)}  ${describeFault(fault)}`

/** Weights: crashes and pauses as often as the network. */
const kinds = [
  "kill",
  "kill",
  "kill",
  "pause",
  "pause",
  "partition",
  "partition",
  "unlink",
  "mute",
  "deafen",
  "reset",
  "delay",
  "throttle",
  "stop",
] as const satisfies readonly Fault["type"][]
/** Faults that change the members: if one loses a disk, a majority of three or more must remain. */
const memberKinds = ["wipe", "damage", "rejoin", "transfer"] as const satisfies readonly Fault["type"][]
type Kind = (typeof kinds)[number] | (typeof memberKinds)[number]

/** Mostly at most a minority; now and then a majority, or all. */
const countOf = (random: Random, nodes: number): number => {
  const minority = Math.max(1, Math.floor((nodes - 1) / 2))
  if (random.chance(750)) return random.between(1, minority)
  return random.chance(500) ? nodes : random.between(minority + 1, nodes)
}

const shuffled = <T>(random: Random, ids: readonly T[]): T[] => {
  const out = [...ids]
  for (let i = out.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    const a = out[i]
    const b = out[j]
    if (a !== undefined && b !== undefined) [out[i], out[j]] = [b, a]
  }
  return out
}

const draw = (random: Random, ids: readonly string[], type: Kind): { readonly fault: Fault; readonly ms: number } => {
  const leader = random.chance(500) ? "first" : random.chance(300) ? "last" : "anywhere"
  const count = countOf(random, ids.length)
  const targets: Targets = { count, order: shuffled(random, ids), leader }
  /** A group that holds all nodes is no partition. */
  const side: Targets = { ...targets, count: Math.min(count, ids.length - 1) }
  const end: End = random.chance(500) ? "burst" : "reset"
  // Longer than the election timeout (1 s at most), and sometimes than the 5 s after which a silent link is closed.
  const cutFor = random.chance(250) ? random.between(5500, 7000) : random.between(700, 4000)
  switch (type) {
    case "kill":
      return { fault: { type, targets }, ms: random.chance(300) ? random.between(20, 200) : random.between(200, 3500) }
    case "stop":
      return { fault: { type, targets: side }, ms: random.between(300, 2000) }
    case "pause":
      return { fault: { type, targets }, ms: random.chance(500) ? random.between(20, 450) : random.between(1200, 4000) }
    case "partition":
    case "mute":
    case "deafen":
      return { fault: { type, targets: side, end }, ms: cutFor }
    case "unlink":
      return { fault: { type, targets: { ...targets, count: 2 }, end }, ms: cutFor }
    case "reset": {
      const times = random.between(1, 6)
      return { fault: { type, targets, times }, ms: times * random.between(50, 500) }
    }
    case "delay":
      return {
        fault: { type, targets, delay: random.between(1, 250), jitter: random.between(0, 300) },
        ms: random.between(1500, 4000),
      }
    case "throttle":
      return { fault: { type, targets, bytesPerSecond: random.between(2, 60) * 1000 }, ms: random.between(1500, 4000) }
    case "wipe":
    case "damage":
    case "rejoin":
    case "transfer":
      return { fault: { type, targets: { ...targets, count: 1 } }, ms: random.between(500, 2000) }
  }
}

export interface PlanOptions {
  readonly seed: number
  readonly ids: readonly string[]
  /** All faults begin and end within this time. */
  readonly ms: number
  /** Before the first fault. */
  readonly lead?: number
  /** Also replace, remove and add members. */
  readonly members?: boolean
}

/** Faults of every kind come in rounds, each in random order; a third of them begin while another one lasts. */
export const makePlan = ({ seed, ids, ms, lead = 1500, members = false }: PlanOptions): readonly Step[] => {
  const random = makeRandom(seed)
  const steps: Step[] = []
  const drawn: readonly Kind[] = members && ids.length > 2 ? [...kinds, ...memberKinds] : kinds
  let round: Kind[] = []
  for (let at = lead; at < ms;) {
    if (round.length === 0) round = shuffled(random, drawn)
    const type = round.pop() ?? "kill"
    const { fault, ms: wanted } = draw(random, ids, type)
    const length = Math.min(wanted, ms - at)
    steps.push({ number: steps.length + 1, at, ms: length, fault })
    at += random.chance(350) ? Math.floor(length / 2) : length + random.between(600, 3000)
  }
  return steps
}
