/** Every row in simulated worlds: virtual time, so the same figures on every machine. */
import { configurationOf, type Settings } from "../../core/index.ts"
import { cluster, type Cluster, type StoryWork } from "../../interpreters/simulation/index.ts"
import type { RowId, Times } from "./rows.ts"

/** How long a client waits for one write. */
const PATIENCE = 25
/** The longest time that any row may take. */
const LONGEST = 60_000

interface Acknowledged {
  readonly sent: number
  readonly at: number
}
/** A client at each node: it writes while its node is one of those that clients use. */
class Load {
  readonly acknowledged: Acknowledged[] = []
  private readonly cluster: Cluster
  private readonly think: number
  private used: ReadonlySet<string>
  constructor(c: Cluster, think: number) {
    this.cluster = c
    this.think = think
    this.used = new Set(c.names)
    for (const name of c.names) this.join(name)
  }
  join(name: string): void {
    this.used = new Set([...this.used, name])
    this.cluster.go(this.client(name))
  }
  /** From now on clients use these nodes. */
  use(names: readonly string[]): void {
    this.used = new Set(names)
  }
  private *client(name: string): StoryWork<void> {
    const c = this.cluster
    for (;;) {
      if (this.used.has(name) && c.isUp(name)) {
        const sent = c.now
        const { type } = yield* c.submit(name, c.fresh(), PATIENCE)
        if (type === "executed") this.acknowledged.push({ sent, at: c.now })
      }
      yield this.think
    }
  }
  /** From now to the first acknowledgement of a write that was sent from now on. */
  next(): number {
    const c = this.cluster
    const from = c.now
    const found = (): boolean =>
      (this.acknowledged.at(-1)?.at ?? 0) >= from && this.acknowledged.some(({ sent }) => sent >= from)
    if (!c.runUntil(found, LONGEST)) c.fail("no write was acknowledged")
    return c.now - from
  }
  /** The longest time without an acknowledgement since then. */
  gap(from: number): number {
    const times = [from, ...this.acknowledged.filter(({ at }) => at >= from).map(({ at }) => at), this.cluster.now]
    return Math.max(...times.slice(1).map((time, i) => time - (times[i] ?? time)))
  }
}

const committed = (c: Cluster): number => Math.max(...c.live.map((name) => c.state(name).commitIndex))
const hasExecuted = (c: Cluster, name: string, index: number): boolean => c.isUp(name) && c.state(name).applied >= index
/** Milliseconds from now until the condition holds. */
const until = (c: Cluster, what: string, holds: () => boolean): number => {
  const from = c.now
  if (!c.runUntil(holds, LONGEST)) c.fail(`not within ${LONGEST} ms: ${what}`)
  return c.now - from
}
const current = (c: Cluster, ...names: readonly string[]): number => {
  const index = committed(c)
  return until(c, `${names.join()} executed ${index}`, () => names.every((name) => hasExecuted(c, name, index)))
}
/** A write sent from now on is executed by every node. */
const everywhere = (c: Cluster, load: Load): number => load.next() + current(c, ...c.names)

/** A leader that has led for a while, at a random moment. */
const settled = (c: Cluster): string => {
  c.leader()
  c.run(1000 + c.random.below(300))
  return c.leaderNow() ?? c.fail("no leader")
}
const cutTogether = (c: Cluster, from: readonly string[], to: readonly string[]): void => {
  for (const a of from) for (const b of to) if (a !== b) c.world.act({ type: "cut", from: a, to: b })
}
/** As `member replace` does it: the new disk becomes a learner and then a voter; then it has caught up. */
const replaceDisk = (c: Cluster, name: string): number => {
  const from = c.now
  const index = committed(c)
  c.change(c.others(name), [name])
  c.change(c.names)
  until(c, `${name} executed ${index}`, () => hasExecuted(c, name, index))
  return c.now - from
}
const handOver = (c: Cluster, from: string): void => {
  const voters = configurationOf(c.state(from)).voters.map(({ name }) => name)
  const to = c.random.pick(voters.filter((name) => name !== from && c.isUp(name))) ?? c.fail("nobody to hand over to")
  c.world.act({ type: "transfer", node: from, to })
  until(c, `${from} hands over`, () => !c.leads(from) && c.leaderNow() !== undefined)
}
const crash = (c: Cluster, ...names: readonly string[]): void => {
  for (const name of names) c.world.crash(name)
}
const start = (c: Cluster, ...names: readonly string[]): void => {
  for (const name of names) c.world.start(name)
}

interface Scenario {
  readonly rows: readonly RowId[]
  readonly settings?: Partial<Settings>
  readonly story: (c: Cluster, load: Load, leader: string) => Times
}
/** The time that a process takes to start again. */
const DOWN = 300

const scenarios: readonly Scenario[] = [
  {
    rows: ["follower-cut", "follower-return"],
    story: (c, load, leader) => {
      const follower = c.any(c.others(leader))
      const from = c.now
      c.cut(follower)
      load.use(c.others(follower))
      const there = committed(c) + 20
      until(c, "20 more are committed", () => committed(c) >= there)
      c.run(1000)
      const cut = load.gap(from)
      c.join(follower)
      return { "follower-cut": cut, "follower-return": current(c, follower) }
    },
  },
  {
    rows: ["leader-cut-leader", "leader-cut", "old-leader-return"],
    story: (c, load, leader) => {
      const from = c.now
      c.cut(leader)
      load.use(c.others(leader))
      const elected = until(c, "another leads", () => c.others(leader).some((name) => c.leads(name)))
      const write = c.now - from + load.next()
      c.run(1000)
      c.join(leader)
      return { "leader-cut-leader": elected, "leader-cut": write, "old-leader-return": current(c, leader) }
    },
  },
  {
    rows: ["leader-killed"],
    story: (c, load, leader) => {
      crash(c, leader)
      return { "leader-killed": load.next() }
    },
  },
  {
    rows: ["leader-paused", "leader-resumed"],
    story: (c, load, leader) => {
      c.world.pause(leader)
      load.use(c.others(leader))
      const write = load.next()
      c.run(1000)
      c.world.resume(leader)
      return { "leader-paused": write, "leader-resumed": current(c, leader) }
    },
  },
  {
    rows: ["majority-healed"],
    story: (c, load, leader) => {
      const lost = [leader, ...c.others(leader)].slice(c.random.below(2)).slice(0, (c.names.length + 1) / 2)
      c.cut(...lost)
      load.use([])
      c.run(3000)
      c.heal()
      load.use(c.names)
      return { "majority-healed": everywhere(c, load) }
    },
  },
  {
    rows: ["partition", "partition-healed"],
    story: (c, load, leader) => {
      const side = [leader, ...c.others(leader)].slice(0, (c.names.length - 1) / 2)
      c.partition(side)
      load.use(c.others(...side))
      const write = load.next()
      c.run(2000)
      c.heal()
      load.use(c.names)
      return { partition: write, "partition-healed": everywhere(c, load) }
    },
  },
  {
    rows: ["leader-mute"],
    story: (c, load, leader) => {
      cutTogether(c, [leader], c.others(leader))
      load.use(c.others(leader))
      return { "leader-mute": load.next() }
    },
  },
  {
    rows: ["leader-deaf"],
    story: (c, load, leader) => {
      cutTogether(c, c.others(leader), [leader])
      load.use(c.others(leader))
      return { "leader-deaf": load.next() }
    },
  },
  {
    rows: ["follower-restart"],
    story: (c, _load, leader) => {
      const follower = c.any(c.others(leader))
      crash(c, follower)
      const there = committed(c) + 20
      until(c, "20 more are committed", () => committed(c) >= there)
      start(c, follower)
      return { "follower-restart": current(c, follower) }
    },
  },
  {
    rows: ["all-restart"],
    story: (c, load) => {
      crash(c, ...c.names)
      c.run(DOWN)
      start(c, ...c.names)
      return { "all-restart": load.next() }
    },
  },
  {
    rows: ["snapshot"],
    settings: { snapshotBytes: 10 * (16 + 48) - 1, trailingLogBytes: 0 },
    story: (c, load, leader) => {
      const follower = c.any(c.others(leader))
      const missed = c.state(follower).log.lastIndex
      c.cut(follower)
      load.use(c.others(follower))
      until(c, "the log begins behind it", () => c.state(leader).log.base.index > missed)
      c.run(500)
      c.join(follower)
      return { snapshot: current(c, follower) }
    },
  },
  {
    rows: ["wiped", "wiped-gap"],
    story: (c, load, leader) => {
      const name = c.any(c.others(leader))
      const from = c.now
      c.world.act({ type: "wipe", node: name })
      c.run(DOWN)
      start(c, name)
      return { wiped: replaceDisk(c, name), "wiped-gap": load.gap(from) }
    },
  },
  {
    rows: ["rolled-back"],
    story: (c, _load, leader) => {
      const name = c.any(c.others(leader))
      c.world.act({ type: "copyDirectory", node: name })
      c.run(500)
      crash(c, name)
      c.world.act({ type: "swapDirectory", node: name })
      c.run(DOWN)
      start(c, name)
      const from = c.now
      // It is refused by members that have seen its later start; the command makes it a member under a new incarnation.
      until(c, `${name} is refused`, () => !c.isUp(name))
      c.world.act({ type: "wipe", node: name })
      start(c, name)
      return { "rolled-back": c.now - from + replaceDisk(c, name) }
    },
  },
  {
    rows: ["stalled-disk-leader", "stalled-disk"],
    story: (c, load, leader) => {
      const from = c.now
      c.world.act({ type: "stallDisk", node: leader })
      load.use(c.others(leader))
      const handed = until(c, "another leads", () => c.others(leader).some((name) => c.leads(name)))
      c.run(1000)
      return { "stalled-disk-leader": handed, "stalled-disk": load.gap(from) }
    },
  },
  {
    rows: ["hand-over"],
    story: (c, load, leader) => {
      const from = c.now
      handOver(c, leader)
      c.run(500)
      return { "hand-over": load.gap(from) }
    },
  },
  {
    rows: ["rolling-restart"],
    story: (c, load) => {
      const from = c.now
      for (const name of c.names) {
        // As a node does when it is told to stop.
        if (c.leads(name)) handOver(c, name)
        crash(c, name)
        c.run(DOWN)
        start(c, name)
        current(c, name)
        c.run(200)
      }
      return { "rolling-restart": load.gap(from) }
    },
  },
  {
    rows: ["member-replaced"],
    story: (c, load) => {
      const from = c.now
      const old = c.names
      let voters = old
      old.forEach((name, i) => {
        const by = `n${old.length + 1 + i}`
        c.add(by)
        c.change(voters, [by])
        voters = [...voters.filter((one) => one !== name), by]
        load.join(by)
        // The leader is the last one to be restarted: it hands leadership over before it stops.
        if (c.leads(name)) handOver(c, name)
        c.change(voters)
        load.use(voters)
        crash(c, name)
        c.run(200)
      })
      return { "member-replaced": load.gap(from) }
    },
  },
]

export const simulatedRows: ReadonlySet<RowId> = new Set(scenarios.flatMap((one) => one.rows))

export interface SimulationOptions {
  readonly seed: number
  /** The replaced system was measured with five. */
  readonly servers?: number
  readonly settings?: Partial<Settings>
  /** Between two writes of a client. */
  readonly think?: number
  readonly only?: (id: RowId) => boolean
}
/** Runs all rows once. */
export const simulate = ({
  seed,
  servers = 5,
  settings = {},
  think = 5,
  only = () => true,
}: SimulationOptions): Times => {
  const times: Times = {}
  for (const { rows, settings: own, story } of scenarios) {
    if (!rows.some(only)) continue
    const c = cluster(servers, { seed, connections: true, settings: { forwardProposals: true, ...settings, ...own } })
    const leader = settled(c)
    const load = new Load(c, think)
    c.run(200)
    Object.assign(times, story(c, load, leader))
  }
  return times
}
