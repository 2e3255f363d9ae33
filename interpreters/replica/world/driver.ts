/**
 * The driver interface of one server in a simulated world, from a start to its end. The service on top calls it, and
 * the world runs the turns. Each request becomes an action of the world, so a recorded script replays without the
 * service.
 */
import { type Event, type Outcome, type State, replicatedTime } from "../../../core/index.ts"
import { type Driver, type DriverLeadership, leadershipOf, makePendingRequests } from "../../driver/index.ts"
import type { World, WorldStep } from "../../simulation/index.ts"
import type { ReplicaDriver } from "../session/parts.ts"

export class WorldDriver {
  readonly name: string
  readonly driver: ReplicaDriver & Pick<Driver, "state" | "replicatedTime">
  leadership: DriverLeadership = { role: "follower", term: 0, leader: null }
  /** A turn was requested. */
  woken = false
  private readonly world: World
  private readonly before: (() => void)[] = []
  private readonly changed: ((now: DriverLeadership) => void)[] = []
  private readonly applied: ((index: number) => void)[] = []
  private readonly requests = makePendingRequests()
  private queue: Event[] = []
  /** The caller's refs, by those of the world. */
  private readonly refs = new Map<number, number>()

  constructor(world: World, name: string) {
    this.world = world
    this.name = name
    const { requests } = this
    this.driver = {
      propose: (payloads, done) => {
        const event = requests.propose(payloads, done)
        if (event === null) return
        requests.seal()
        this.push(event)
        requests.unseal(event)
      },
      read: (done) => {
        requests.seal()
        this.push(requests.read(done))
      },
      wake: () => {
        this.woken = true
      },
      leadership: () => this.leadership,
      beforeTurn: (listener) => void this.before.push(listener),
      onChange: (listener) => void this.changed.push(listener),
      onApplied: (listener) => void this.applied.push(listener),
      state: () => this.state(),
      replicatedTime: () => replicatedTime(this.state()),
    }
  }
  private push(event: Event): void {
    this.queue.push(event)
    this.woken = true
  }
  state(): State {
    const state = this.world.state(this.name)
    if (state === undefined) throw new Error(`${this.name} is down, but its driver is still used`)
    return state
  }

  /** What a driver does after the sockets have been polled. */
  turn(): void {
    this.woken = false
    for (const listener of this.before) listener()
    const events = this.queue
    this.queue = []
    this.requests.seal()
    const { world, name, refs } = this
    for (const event of events) {
      if (event.type !== "Proposed" && event.type !== "ReadRequested") continue
      const ref = world.data.refs + 1
      refs.set(ref, event.ref)
      // A retry is a new proposal of the same bytes: the invariants must be able to tell them apart.
      if (event.type === "Proposed")
        world.inject(name, { type: "Proposed", ref, payloads: event.payloads.map((payload) => ({ ...payload })) })
      else world.read(name)
    }
  }
  responded(ref: number, outcome: Outcome): void {
    const asked = this.refs.get(ref)
    if (asked === undefined) return
    this.refs.delete(ref)
    this.requests.respond(asked, outcome)
  }
  /** `announce` is called first: it reports what was executed up to that index. */
  stepped({ events, state }: WorldStep, announce: (through: number) => void): void {
    for (const event of events) {
      if (event.type !== "Applied") continue
      announce(event.index)
      for (const listener of this.applied) listener(event.index)
    }
    const { role, term, leader } = this.leadership
    const now = leadershipOf(state)
    if (
      now.role === role &&
      now.term === term &&
      now.leader?.name === leader?.name &&
      now.leader?.incarnation === leader?.incarnation
    )
      return
    this.leadership = now
    for (const listener of this.changed) listener(now)
  }
}
