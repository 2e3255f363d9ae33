/** Advances the replicated clock when something expires and no other command does: the leader proposes a Tick. */
import type { Stamp } from "../../core/index.ts"
import { payloadOf } from "../../interpreters/payload.ts"
import type { Alarm } from "../../interpreters/surroundings.ts"
import { encodeCommand } from "../machine/command.ts"
import type { ServiceParts } from "./parts.ts"

const tick = payloadOf(encodeCommand({ type: "Tick" }))
/** If a Tick has no result after this long, another one may be proposed. */
const GIVE_UP_MS = 2000

export class Ticks {
  private readonly parts: ServiceParts
  /** The replicated clock, as a leader would stamp an entry now. */
  private readonly time: () => Stamp
  /** When the outstanding Tick was proposed, and its index once that is known. */
  private proposedAt: number | null = null
  private index = Number.POSITIVE_INFINITY
  /** Looks again when a deadline passes before the next regular look, so that keys are gone on time. */
  private alarm: Alarm | null = null
  /** The deadline that the alarm waits for. */
  private awaited = Number.POSITIVE_INFINITY

  constructor(parts: ServiceParts, time: () => Stamp) {
    this.parts = parts
    this.time = time
  }

  tick(): void {
    const { driver, machine, now, count } = this.parts
    if (driver.leadership().role !== "leader") {
      this.proposedAt = null
      return
    }
    if (this.proposedAt !== null && now() - this.proposedAt < GIVE_UP_MS) return
    const deadline = machine.earliestDeadline()
    if (deadline === null) return
    if (deadline > this.time()) return this.awaitDeadline(deadline)
    const proposedAt = now()
    this.proposedAt = proposedAt
    this.index = Number.POSITIVE_INFINITY
    count("service.ticks")
    driver.propose([tick], (outcome) => {
      if (this.proposedAt !== proposedAt) return
      if (outcome.type === "ProposalAppended") this.index = outcome.first
      else this.proposedAt = null
    })
  }
  appliedThrough(index: number): void {
    if (index >= this.index) this.proposedAt = null
    const { driver, machine } = this.parts
    if (driver.leadership().role !== "leader") return
    const deadline = machine.earliestDeadline()
    // What is due already waits for the regular look, which paces the removal of many keys.
    if (deadline !== null && deadline < this.awaited && deadline > this.time()) this.awaitDeadline(deadline)
  }
  stop(): void {
    this.alarm?.cancel()
  }

  private awaitDeadline(deadline: Stamp): void {
    const { settings, after } = this.parts
    const left = deadline - this.time()
    if (left >= settings.tickMs || deadline >= this.awaited) return
    this.alarm?.cancel()
    this.awaited = deadline
    this.alarm = after(left, () => {
      this.alarm = null
      this.awaited = Number.POSITIVE_INFINITY
      this.tick()
    })
  }
}
