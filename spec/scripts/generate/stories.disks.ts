/**
 * Schedules that lose something: disks that become full, fail, stall or go back in time, state machines, and members
 * that come and go.
 */
import type { Action } from "../../../interpreters/simulation/index.ts"
import {
  between,
  chance,
  crashAction,
  times,
  burst,
  configuration,
  election,
  everybody,
  everybodyReturns,
  everybodyVotes,
  few,
  moment,
  propose,
  runAction,
  somebody,
  startAll,
  startSome,
  type Story,
  type Teller,
} from "./teller.ts"

export const fullDisks: Story = (teller) => {
  const nodes = [somebody(teller), ...(teller.random.chance(400) ? [somebody(teller)] : [])]
  return [
    ...nodes.map((node): Action => ({ type: "fullDisk", node })),
    ...times(teller.random.between(1, 3), () => [few(teller, somebody(teller)), moment(teller)]),
    ...chance(teller, 400, { type: "read", node: "leader" }, crashAction(teller, "leader"), election(teller)),
    ...everybody(teller).map((node): Action => ({ type: "freeDisk", node })),
    ...startAll(teller),
  ]
}

export const failingDisk: Story = (teller) => [
  { type: teller.random.chance(500) ? "failWrite" : "failSync", node: somebody(teller) },
  few(teller, "leader"),
  moment(teller),
  ...startSome(teller),
]

/** A leader's disk hangs, but its heartbeats go on. */
export const stalledDisk: Story = (teller) => [
  { type: "stallDisk", node: somebody(teller) },
  few(teller, "leader"),
  election(teller),
  few(teller, somebody(teller)),
  moment(teller),
  ...chance(teller, 700, ...everybody(teller).map((node): Action => ({ type: "resumeDisk", node }))),
]

/** Something is lost for good: a disk, or a state machine. */
export const lostDisk: Story = (teller) => {
  const victim = teller.random.pick(teller.expendable)
  if (victim === undefined) return []
  const lose = teller.random.pick<readonly Action[]>([
    [{ type: "wipe", node: victim }],
    [{ type: "crash", node: victim, keep: "corrupt" }, moment(teller), { type: "wipe", node: victim }],
    [
      { type: "corruptDisk", node: victim },
      moment(teller),
      { type: "crash", node: victim, keep: "random" },
      { type: "wipe", node: victim },
    ],
  ])
  return [
    ...chance(teller, 500, few(teller, "leader"), between(teller, 0, 5)),
    ...(lose ?? []),
    moment(teller),
    { type: "start", node: victim },
    moment(teller),
    ...chance(
      teller,
      600,
      { type: "addLearners", node: "leader", names: [victim] },
      moment(teller),
      ...chance(teller, 700, everybodyVotes(teller, "leader"), moment(teller)),
    ),
  ]
}

/** All servers are up and connected, so that all of them see whichever server starts now. */
const together = (teller: Teller): readonly Action[] => [
  { type: "heal" },
  ...everybody(teller).map((node): Action => ({ type: "resume", node })),
  ...startAll(teller),
  election(teller),
]
/** The server waits under its new incarnation, and is made a member again. */
const replacedMember = (teller: Teller, victim: string): readonly Action[] => [
  { type: "wipe", node: victim },
  { type: "start", node: victim },
  moment(teller),
  ...chance(
    teller,
    700,
    { type: "addLearners", node: "leader", names: [victim] },
    moment(teller),
    ...chance(teller, 700, everybodyVotes(teller, "leader"), moment(teller)),
  ),
]

/**
 * A copy of a directory is made, the node runs on and is restarted, and the copy is put in its place: once, or in turn
 * with the first directory.
 */
export const putBack: Story = (teller) => {
  const { random } = teller
  const victim = random.pick(teller.expendable)
  if (victim === undefined) return []
  return [
    ...chance(teller, 800, ...together(teller)),
    ...chance(teller, 500, crashAction(teller, victim)),
    { type: "copyDirectory", node: victim },
    moment(teller),
    ...times(random.between(1, 2), () => [
      crashAction(teller, victim),
      moment(teller),
      { type: "start", node: victim } as const,
      few(teller, "leader"),
      moment(teller),
    ]),
    ...chance(teller, 250, { type: "isolate", node: random.pick(teller.founders) ?? "n1" }),
    ...times(random.between(1, 3), () => [
      { type: "swapDirectory", node: victim } as const,
      ...chance(teller, 300, moment(teller)),
      { type: "start", node: victim } as const,
      ...chance(teller, 500, few(teller, "leader")),
      moment(teller),
    ]),
    { type: "heal" },
    ...chance(teller, 500, election(teller)),
    ...chance(teller, 700, ...replacedMember(teller, victim)),
  ]
}

/** A copy of a running node: no start was missed, so only a server that was told of more can notice it. */
export const liveCopy: Story = (teller) => {
  const victim = teller.random.pick(teller.expendable)
  if (victim === undefined) return []
  return [
    ...chance(teller, 800, ...together(teller)),
    { type: "copyDirectory", node: victim },
    ...chance(teller, 600, burst(teller, "leader"), between(teller, 0, 100)),
    { type: "swapDirectory", node: victim },
    { type: "start", node: victim },
    moment(teller),
    few(teller, "leader"),
    ...chance(teller, 500, ...replacedMember(teller, victim)),
  ]
}

export const cutShort: Story = (teller) => {
  const { random } = teller
  const victim = random.pick(teller.expendable)
  if (victim === undefined) return []
  return [
    ...chance(teller, 800, ...together(teller)),
    ...chance(teller, 600, burst(teller, "leader"), between(teller, 0, 60)),
    { type: "cutLog", node: victim, entries: random.pick([1, 2, 5, 1000]) ?? 1 },
    ...chance(teller, 300, moment(teller)),
    { type: "start", node: victim },
    moment(teller),
    ...chance(teller, 600, ...replacedMember(teller, victim)),
  ]
}

export const lostMachine: Story = (teller) => {
  const victim = teller.random.pick(teller.expendable)
  return victim === undefined
    ? []
    : [
        { type: "damage", node: victim },
        moment(teller),
        ...chance(teller, 400, crashAction(teller, victim), { type: "start", node: victim }),
        ...chance(teller, 400, burst(teller, "leader")),
        moment(teller),
      ]
}

export const newServer: Story = (teller) => {
  if (teller.added.length >= 2) return []
  const name = `n${teller.founders.length + teller.added.length + 1}`
  const voters = everybody(teller)
  teller.added = [...teller.added, name]
  const learner: Action = { type: "addLearners", node: "leader", names: [name] }
  // A cluster of one server must not depend on one that knows nothing yet.
  const votes: readonly Action[] = voters.length === 1 ? [learner] : [everybodyVotes(teller, "leader")]
  return [{ type: "add", name }, ...chance(teller, 850, learner, moment(teller)), ...votes, moment(teller)]
}

/**
 * A joint configuration without a majority in one of its halves: leaders crash, and their successors must complete the
 * change.
 */
export const jointUnderFire: Story = (teller) => [
  configuration(teller, "leader"),
  between(teller, 0, 12),
  teller.random.pick<Action>([
    { type: "partition", side: ["leader", "follower1"] },
    { type: "isolate", node: "leader" },
    crashAction(teller, "leader"),
    { type: "transfer", node: "leader", to: null },
    { type: "partition", side: ["leader"] },
    few(teller, "leader"),
  ]) ?? runAction(0),
  ...chance(teller, 500, few(teller, "leader")),
  election(teller),
  ...chance(teller, 500, configuration(teller, "leader"), between(teller, 0, 40)),
  ...chance(teller, 400, few(teller, "leader")),
  { type: "heal" },
  ...startAll(teller),
  moment(teller),
]

/**
 * A leader that is cut off fills its log and ends it with a change; the others commit less, but trim their logs beyond
 * the fork. A snapshot then replaces its log, and the change at the end of that must be gone too.
 */
export const replacedChange: Story = (teller) => [
  few(teller, "leader"),
  moment(teller),
  { type: "partition", side: ["leader"] },
  propose(teller, "leader", teller.random.between(20, 40), 1),
  configuration(teller, "leader"),
  election(teller),
  ...times(teller.random.between(1, 3), () => [propose(teller, "leader", 6, 150), between(teller, 40, 200)]),
  { type: "heal" },
  moment(teller),
  ...startAll(teller),
  ...chance(teller, 500, election(teller)),
]

/** Servers that left keep asking for votes. */
export const removed: Story = (teller) => [
  configuration(teller, "leader"),
  election(teller),
  few(teller, "leader"),
  election(teller),
  ...everybodyReturns(teller),
  moment(teller),
]
