/** Detects a client that does not read its replies. */
import { SMALL } from "./budget.ts"
import type { Limits } from "./limits.ts"

export class Unread {
  private reads = 0
  private readsSeen = 0
  private movedAt = performance.now()

  /** The client has read everything that its socket was given. */
  moved(): void {
    this.reads++
  }
  /** It has too many unread replies and has read nothing for too long. `tight`: the memory of all clients is nearly used up. */
  isStuck(now: number, buffered: number, tight: boolean, limits: Limits): boolean {
    if (buffered <= (tight ? SMALL : limits.softOutputBytes) || this.reads !== this.readsSeen) {
      this.readsSeen = this.reads
      this.movedAt = now
      return false
    }
    return now - this.movedAt > (tight ? limits.pressedMs : limits.stalledMs)
  }
}
