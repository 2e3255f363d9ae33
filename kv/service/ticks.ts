/** Moves the replicated clock when something is due and nobody else does: a leader proposes a Tick. */
import { payloadOf } from "../../interpreters/bytes.ts"
import type { Clock } from "../../interpreters/clock.ts"
import { encodeCommand } from "../machine/command.ts"
import type { Parts } from "./parts.ts"

const tick = payloadOf(encodeCommand({ type: "Tick" }))
/** A Tick that has no result after this long is not waited for. */
const GIVE_UP_MS = 2000

export class Ticks {
  private readonly parts: Parts
  private readonly clock: Clock
  /** When the one under way was proposed, and its place in the log once known. */
  private proposedAt: number | null = null
  private index = Number.POSITIVE_INFINITY

  constructor(parts: Parts, clock: Clock) {
    this.parts = parts
    this.clock = clock
  }

  tick(): void {
    const { driver, machine, now, count } = this.parts
    if (driver.leadership().role !== "leader") {
      this.proposedAt = null
      return
    }
    if (this.proposedAt !== null && now() - this.proposedAt < GIVE_UP_MS) return
    const deadline = machine.earliestDeadline()
    if (deadline === null || deadline > this.clock.now()) return
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
  }
}
