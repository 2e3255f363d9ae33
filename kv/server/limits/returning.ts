/**
 * Writes of one connection that answer with a value. Such a reply cannot be refused once it exists, so no more of these
 * writes are started than the client may have to read replies.
 */
import type { Reply } from "../../types.ts"
import { replyBytes } from "../wire/pieces.ts"

export class Returning {
  private started = 0
  /** The size of the next reply: that of the last ones. */
  private expected: number

  /** `first`: the size that is expected until there was a reply. */
  constructor(first: number) {
    this.expected = first
  }
  /** Whether one more may be started, with so many bytes that the client has not read; if not, it may once one has ended. */
  mayBegin(buffered: number, limit: number): boolean {
    return this.started === 0 || buffered + (this.started + 1) * this.expected <= limit
  }
  begin(): void {
    this.started++
  }
  /** null: it was refused. */
  end(reply: Reply | null): void {
    this.started--
    if (reply !== null) this.expected = Math.max(replyBytes(reply), this.expected / 2)
  }
}
