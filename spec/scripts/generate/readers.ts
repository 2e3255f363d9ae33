/** Schedules about time: reads that may be stale, leases that may have ended, and timers that run fast. */
import type { Action } from "../../../interpreters/simulation/index.ts"
import { quietNetwork } from "./options.ts"
import {
  between,
  election,
  everybody,
  few,
  follower,
  runAction,
  somebody,
  startAll,
  type Story,
  type Teller,
} from "./teller.ts"

const readAll = (teller: Teller): readonly Action[] => everybody(teller).map((node) => ({ type: "read", node }))
const writeAll = (teller: Teller): readonly Action[] => teller.founders.map((node) => few(teller, node))
/**
 * Writes wherever they are accepted and reads everywhere, again and again: a server that was left behind is asked too.
 */
const writeAndRead = (teller: Teller, rounds: number, most: number): readonly Action[] =>
  Array.from({ length: rounds }, () => [
    between(teller, 5, most),
    ...writeAll(teller),
    between(teller, 1, 12),
    ...readAll(teller),
  ]).flat()
const eachWay = (teller: Teller, node: string, direction: "to" | "from"): readonly Action[] =>
  teller.founders.map((other) =>
    direction === "to" ? { type: "cut", from: other, to: node } : { type: "cut", from: node, to: other },
  )

/** Answers that arrive late, so that a lease is still held after the leader was cut off. */
export const leaseEdge: Story = (teller) => [
  ...teller.founders.map((from): Action => ({ type: "clog", from, to: "leader", ms: teller.random.between(200, 450) })),
  between(teller, 150, 460),
  { type: "isolate", node: "leader" },
  between(teller, 200, teller.settings.electionMin),
  ...writeAndRead(teller, 6, 60),
  { type: "heal" },
]

/** A successor is told to campaign, and then its leader hears no one any more. */
export const leaseAfterHandOver: Story = (teller) => [
  { type: "transfer", node: "leader", to: null },
  ...eachWay(teller, "leader", "to"),
  ...writeAndRead(teller, 4, 30),
  { type: "heal" },
]

/** A server that confirmed a leader's lease is restarted, and another server waits for its vote. */
export const leaseAndRestart: Story = (teller) => [
  { type: "cut", from: "leader", to: "follower2" },
  { type: "cut", from: "follower2", to: "leader" },
  election(teller),
  { type: "crash", node: "follower1", keep: "all" },
  ...startAll(teller),
  { type: "isolate", node: "leader" },
  ...writeAndRead(teller, 5, 80),
  { type: "heal" },
]

/** No server hears the leader; the leader hears the others, whose answers take long. */
export const muteLeader: Story = (teller) => [
  { type: "network", profile: "longReordering" },
  between(teller, 50, 400),
  ...eachWay(teller, "leader", "from"),
  election(teller),
  ...writeAndRead(teller, 4, 120),
  { type: "network", profile: quietNetwork },
  { type: "heal" },
]

/** Replies to requests of an earlier start. */
export const oldAnswers: Story = (teller) => {
  const asker = teller.random.chance(500) ? follower(teller) : somebody(teller)
  return [
    { type: "network", profile: "longReordering" },
    { type: "read", node: asker },
    between(teller, 0, 10),
    { type: "crash", node: asker, keep: "all" },
    ...startAll(teller),
    ...Array.from({ length: 4 }, () => [
      between(teller, 50, 300),
      few(teller, "leader"),
      between(teller, 5, 60),
      ...readAll(teller),
    ]).flat(),
    { type: "network", profile: quietNetwork },
  ]
}

/**
 * The first request after a start gets its reply after the next start, and the first request of that start covers more
 * reads.
 */
export const firstQuestions: Story = (teller) => {
  const asker = teller.random.chance(700) ? follower(teller) : somebody(teller)
  const again = (): readonly Action[] => [{ type: "crash", node: asker, keep: "all" }, ...startAll(teller)]
  const asks = (): readonly Action[] => [
    between(teller, 60, 200),
    few(teller, "leader"),
    between(teller, 2, 12),
    { type: "read", node: asker },
    between(teller, 1, 6),
  ]
  return [
    { type: "network", profile: "longReordering" },
    ...again(),
    ...asks(),
    ...again(),
    ...asks(),
    ...again(),
    ...asks(),
    between(teller, 50, 800),
    { type: "network", profile: quietNetwork },
  ]
}

/**
 * Reads while a leader takes over, on slow disks: before its first entry is committed it does not know what is
 * committed (thesis §6.4).
 */
export const newLeader: Story = (teller) => [
  few(teller, "leader"),
  between(teller, 30, 150),
  ...teller.founders.map((node): Action => ({ type: "disk", node, min: 10, max: 60 })),
  { type: "crash", node: "leader", keep: "all" },
  ...startAll(teller),
  ...Array.from({ length: 30 }, () => [
    between(teller, 0, teller.settings.electionMax >> 3),
    ...readAll(teller),
  ]).flat(),
  ...teller.founders.map((node): Action => ({ type: "disk", node, min: 1, max: 5 })),
]

/**
 * The servers that cannot win have the fastest clocks, and the leader crashes: they must not keep the others from
 * campaigning.
 */
export const staleAndFast: Story = (teller) => {
  const { founders, settings } = teller
  const fast = founders.slice(0, (founders.length - 1) >> 1)
  return [
    ...founders.map((node): Action => ({
      type: "skew",
      node,
      offset: 0,
      driftPermille: fast.includes(node) ? 47 : -47,
    })),
    ...fast.map((node): Action => ({ type: "isolate", node })),
    runAction(2 * settings.electionMax),
    few(teller, "leader"),
    between(teller, 50, 200),
    { type: "crash", node: "leader", keep: "all" },
    { type: "heal" },
    between(teller, 0, settings.electionMax),
  ]
}
