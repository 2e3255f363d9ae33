/**
 * Schedules that chance alone rarely finds: each is a situation in which real implementations went wrong. Roles are looked
 * up as the script runs, so a story meets whatever leader there is.
 */
import type { Action } from "../../../interpreters/simulation/index.ts"
import {
  failingDisk,
  fullDisks,
  jointUnderFire,
  liveCopy,
  lostDisk,
  lostMachine,
  cutShort,
  newServer,
  putBack,
  removed,
  replacedChange,
  stalledDisk,
} from "./stories.disks.ts"
import { quietNetwork } from "./options.ts"
import {
  firstQuestions,
  leaseEdge,
  leaseAfterHandOver,
  leaseAndRestart,
  muteLeader,
  newLeader,
  oldAnswers,
  staleAndFast,
} from "./readers.ts"
import {
  between,
  chance,
  crashAction,
  keeps,
  times,
  burst,
  configuration,
  election,
  everybody,
  few,
  follower,
  moment,
  propose,
  runAction,
  somebody,
  startAll,
  startSome,
  type Story,
  type Teller,
} from "./teller.ts"

/** Paper Figure 8: leaders that append and crash before, or just as, another server holds the entry; repeatedly. */
const figure8: Story = (teller) => [
  ...times(teller.random.between(2, 5), () => [
    few(teller, "leader"),
    between(teller, 0, 4),
    ...(teller.random.chance(600) ? [crashAction(teller, "leader")] : [{ type: "isolate", node: "leader" } as const]),
    election(teller),
    ...chance(teller, 400, { type: "heal" }),
    ...startSome(teller),
  ]),
  { type: "heal" },
  ...startAll(teller),
]

/** A leader crashes as soon as it has won: the no-op that opens its term is on few disks or none. */
const wonAndLost: Story = (teller) => [
  ...times(teller.random.between(2, 6), () => [
    crashAction(teller, "leader"),
    between(teller, 30, teller.settings.electionMin),
    ...startSome(teller),
  ]),
  ...startAll(teller),
]

/** Slow disks, and then a power failure: a server that reports too early has reported much that is not durable. */
const persistBoundary: Story = (teller) => {
  const slow = [somebody(teller), somebody(teller)]
  const most = teller.random.pick([50, 400, 1500]) ?? 50
  return [
    ...slow.map((node): Action => ({ type: "disk", node, min: most >> 2, max: most })),
    ...times(teller.random.between(1, 4), () => [
      burst(teller, "leader"),
      between(teller, 0, most),
      crashAction(teller, teller.random.pick(slow) ?? "leader"),
      moment(teller),
      ...startSome(teller),
    ]),
    ...slow.map((node): Action => ({ type: "disk", node, min: 1, max: 5 })),
    ...startAll(teller),
  ]
}

/**
 * A leader, alone or with one follower, is cut off from the rest and still accepts commands, with queued writes when it
 * learns of its successor; then it is back, with a log that must be overwritten.
 */
const minoritySide: Story = (teller) => {
  const { random } = teller
  const side = random.chance(500) ? ["leader"] : ["leader", "follower1"]
  const slow = random.chance(500)
  return [
    few(teller, "leader"),
    moment(teller),
    ...(slow
      ? side.map((node): Action => ({ type: "disk", node, min: 300, max: random.pick([600, 3000]) ?? 600 }))
      : []),
    { type: "partition", side },
    ...times(random.between(1, 4), () => [few(teller, "leader"), between(teller, 0, 60)]),
    election(teller),
    ...times(random.between(0, 2), () => [few(teller, somebody(teller)), between(teller, 0, 60)]),
    { type: "heal" },
    moment(teller),
    ...chance(teller, 400, crashAction(teller, somebody(teller))),
    moment(teller),
    ...(slow ? everybody(teller).map((node): Action => ({ type: "disk", node, min: 1, max: 5 })) : []),
    ...startAll(teller),
  ]
}

/** One server after another is cut off, so that logs differ over many terms (paper Figure 7). */
const manyTerms: Story = (teller) => [
  ...times(teller.random.between(3, 6), () => [
    { type: "partition", side: teller.random.chance(500) ? ["leader"] : ["leader", "follower2"] } as const,
    ...times(teller.random.between(1, 3), () => [few(teller, "leader")]),
    election(teller),
    { type: "heal" } as const,
    between(teller, 0, 8),
  ]),
  moment(teller),
]

/** All servers crash at once, in the middle of whatever was going on, also of snapshots. */
const powerCut: Story = (teller) => {
  const { random } = teller
  const all = everybody(teller)
  const first = random.below(all.length)
  const victims = [...all.slice(first), ...all.slice(0, first)].slice(
    0,
    random.chance(500) ? all.length : (all.length >> 1) + 1,
  )
  const keep = random.pick(keeps) ?? "random"
  return [
    ...chance(teller, 700, burst(teller, "leader"), between(teller, 0, 60)),
    ...victims.map((node): Action => ({ type: "crash", node, keep })),
    ...chance(teller, 500, moment(teller)),
    ...(random.chance(300) ? startSome(teller) : []),
    moment(teller),
    ...startAll(teller),
  ]
}

/**
 * A server is so far behind that it gets a snapshot; meanwhile leaders change, and chunks arrive late, twice, or after
 * a restart.
 */
const snapshotInFlight: Story = (teller) => {
  const { random } = teller
  const late = follower(teller)
  return [
    { type: "isolate", node: late },
    ...times(random.between(1, 3), () => [propose(teller, "leader", 20, 40), between(teller, 20, 150)]),
    ...chance(teller, 400, {
      type: "network",
      profile: { ...quietNetwork, delayMax: 30, duplicatePermille: 400, longDelayPermille: 300, longDelayMax: 2000 },
    }),
    { type: "heal" },
    ...chance(teller, 500, between(teller, 0, 30)),
    ...times(random.between(0, 2), () => [
      random.pick<Action>([
        crashAction(teller, "leader"),
        { type: "isolate", node: "leader" },
        { type: "transfer", node: "leader", to: null },
        crashAction(teller, late),
        { type: "clog", from: "leader", to: late, ms: 700 },
        burst(teller, "leader"),
      ]) ?? runAction(1),
      moment(teller),
    ]),
    { type: "heal" },
    ...startAll(teller),
    moment(teller),
  ]
}

/** A server is still taking its own snapshot when one of the leader's, which reaches further, is installed. */
const overtaken: Story = (teller) => {
  const late = teller.random.pick(teller.founders) ?? "n1"
  return [
    { type: "apply", node: late, min: 2, max: 6 },
    propose(teller, "leader", 25, 40),
    between(teller, 2, 15),
    few(teller, "leader"),
    between(teller, 2, 6),
    { type: "isolate", node: late },
    propose(teller, "leader", 20, 40),
    between(teller, 15, 60),
    { type: "heal" },
    few(teller, "leader"),
    between(teller, 50, 250),
  ]
}

/** Connections that break right after they were made: what was asked twice is answered twice. */
const resets: Story = (teller) => {
  const other = follower(teller)
  return times(teller.random.between(1, 4), () => [
    { type: "reset", a: "leader", b: teller.random.chance(700) ? other : follower(teller) },
    between(teller, 0, 20),
    ...chance(teller, 500, few(teller, "leader")),
  ])
}

/** A leader that is paused and resumes after the others have elected another one. */
const pausedLeader: Story = (teller) => [
  ...chance(teller, 500, few(teller, "leader")),
  { type: "pause", node: somebody(teller) },
  ...chance(teller, 500, few(teller, "leader"), { type: "read", node: somebody(teller) }),
  election(teller),
  few(teller, "leader"),
  between(teller, 0, 30),
  ...everybody(teller).map((node): Action => ({ type: "resume", node })),
  ...everybody(teller).map((node): Action => ({ type: "read", node })),
]

/** Reads at a server that may not lead any more, while others write. */
const staleReads: Story = (teller) => [
  { type: "partition", side: teller.random.chance(500) ? ["leader"] : ["leader", "follower1"] },
  ...everybody(teller).map((node): Action => ({ type: "read", node })),
  election(teller),
  ...everybody(teller).map((node) => few(teller, node)),
  between(teller, 0, 40),
  ...everybody(teller).map((node): Action => ({ type: "read", node })),
  ...chance(teller, 500, between(teller, 0, 20)),
  { type: "heal" },
  ...chance(teller, 500, between(teller, 0, 10)),
  ...everybody(teller).map((node): Action => ({ type: "read", node })),
]

/** Links work one way only, or only between some servers: a server that one can hear is not heard by another. */
const partial: Story = (teller) => {
  const { random } = teller
  const two = (): readonly [string, string] => [somebody(teller), random.pick(everybody(teller)) ?? "n1"]
  return [
    ...times(random.between(1, 3), () => {
      const [from, to] = two()
      return [{ type: "cut", from, to } as const, ...chance(teller, 500, { type: "cut", from: to, to: from })]
    }),
    election(teller),
    few(teller, somebody(teller)),
    moment(teller),
    { type: "heal" },
  ]
}

/** A transfer, and something that disturbs it. */
const handOver: Story = (teller) => [
  ...chance(teller, 500, burst(teller, "leader")),
  { type: "transfer", node: "leader", to: teller.random.chance(500) ? null : follower(teller) },
  between(teller, 0, 5),
  ...chance(
    teller,
    600,
    teller.random.pick<Action>([
      few(teller, "leader"),
      { type: "read", node: "leader" },
      { type: "isolate", node: "leader" },
      crashAction(teller, "follower1"),
      { type: "pause", node: "leader" },
    ]) ?? runAction(0),
  ),
  between(teller, 0, 100),
  ...chance(teller, 500, { type: "read", node: somebody(teller) }, few(teller, somebody(teller))),
  { type: "heal" },
  ...everybody(teller).map((node): Action => ({ type: "resume", node })),
]

const DAY = 86_400_000
/** Monotonic clocks within what leases allow for: none is more than a tenth faster than another. */
const quartz = ({ random }: Teller): number => random.between(-47, 47)
/**
 * The wall clocks of a minority show anything and run at any speed; those of the others are right, or nearly. Then the
 * replicated clock keeps its guarantee. Now and then a majority is wrong: then it is only guaranteed that stamps never
 * fall.
 */
const clocks: Story = (teller) => {
  const { random, liars, founders } = teller
  const others = founders.filter((name) => !liars.includes(name))
  const wrong = liars.length > 0 && random.chance(600)
  const node = random.pick(wrong ? liars : others) ?? "n1"
  const offset =
    random.pick(
      wrong
        ? [DAY, -DAY, 400 * DAY, -1e12, 3000, -3000, 1400, 60_000, 0]
        : random.chance(850)
          ? [0, 150, -150]
          : [-5000, 60_000],
    ) ?? 0
  return [
    {
      type: "skew",
      node,
      offset,
      driftPermille: quartz(teller),
      wallDriftPermille: wrong ? (random.pick([0, 0, 100, -100, 3000, -1000, -5000]) ?? 0) : 0,
    },
    ...chance(teller, 500, { type: "read", node: "leader" }, election(teller), few(teller, "leader")),
  ]
}
/** All servers are down for a while; the first one to come back may be the one with the wrong clock. */
const outage: Story = (teller) => {
  const { random } = teller
  const all = everybody(teller)
  const first = random.below(all.length)
  return [
    ...chance(teller, 700, ...clocks(teller)),
    few(teller, "leader"),
    moment(teller),
    ...all.map((node): Action => ({ type: "crash", node, keep: "all" })),
    runAction(random.pick([0, 3000, 20_000, 3_000_000]) ?? 0),
    ...[...all.slice(first), ...all.slice(0, first)].flatMap((node): readonly Action[] => [
      { type: "start", node },
      between(teller, 0, 700),
    ]),
    election(teller),
    few(teller, "leader"),
  ]
}

/** For a while another network, or another speed of the state machine. */
const weather: Story = (teller) => {
  const { random } = teller
  const profile =
    random.pick([
      "reliable",
      "unreliable",
      "lossy",
      "longReordering",
      "unreliableLongReordering",
      "longDelays",
    ] as const) ?? "lossy"
  const storm: Action = {
    type: "network",
    profile: { ...quietNetwork, delayMax: 20, duplicatePermille: 500, longDelayPermille: 250, longDelayMax: 3000 },
  }
  return [
    random.chance(500) ? { type: "network", profile } : storm,
    few(teller, "leader"),
    ...chance(teller, 300, { type: "apply", node: somebody(teller), min: 50, max: 300 }),
    ...chance(teller, 300, { type: "clog", from: somebody(teller), to: somebody(teller), ms: 800 }),
    election(teller),
  ]
}

const calm: readonly Story[] = [
  handOver,
  (teller) => [election(teller)],
  (teller) => [burst(teller, somebody(teller)), moment(teller)],
]
const lossy: readonly Story[] = [
  weather,
  weather,
  resets,
  pausedLeader,
  powerCut,
  wonAndLost,
  handOver,
  clocks,
  clocks,
  outage,
  oldAnswers,
  firstQuestions,
  newLeader,
  leaseAfterHandOver,
]
const partitions: readonly Story[] = [
  minoritySide,
  minoritySide,
  manyTerms,
  staleReads,
  partial,
  figure8,
  pausedLeader,
  snapshotInFlight,
  overtaken,
  handOver,
  clocks,
  leaseEdge,
  leaseAndRestart,
  muteLeader,
  staleAndFast,
]
const disks: readonly Story[] = [
  persistBoundary,
  persistBoundary,
  powerCut,
  fullDisks,
  failingDisk,
  stalledDisk,
  lostDisk,
  lostMachine,
  outage,
  figure8,
  minoritySide,
  snapshotInFlight,
  overtaken,
]
const membership: readonly Story[] = [
  newServer,
  jointUnderFire,
  jointUnderFire,
  jointUnderFire,
  replacedChange,
  replacedChange,
  removed,
  lostDisk,
  handOver,
  clocks,
  minoritySide,
  (teller) => [configuration(teller, "leader"), moment(teller)],
]

export const storiesOf: Readonly<Record<Teller["profile"], readonly Story[]>> = {
  calm,
  lossy,
  partitions,
  disks,
  membership,
  directories: [putBack, putBack, putBack, liveCopy, cutShort, ...lossy],
  everything: [...lossy, ...partitions, ...disks, ...membership],
}
