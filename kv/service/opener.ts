/** Opens sessions for this node, one at a time, for as long as it takes. */
import type { ProposalRefusal } from "../../core/index.ts"
import { payloadOf } from "../../interpreters/bytes.ts"
import { encodeCommand } from "../machine/command.ts"
import { Lane, type Item } from "./lane.ts"
import type { Parts } from "./parts.ts"

interface Opening extends Item {
  readonly token: string
}

export class Opener {
  readonly lane: Lane<Opening>
  private readonly secret: Parts["secret"]
  /** Of the session that is being opened, or of the last one that was. */
  token = ""

  constructor(parts: Parts, owner: string, refused: (reason: ProposalRefusal) => void) {
    const { driver, settings, now, after, secret } = parts
    this.secret = secret
    this.lane = new Lane<Opening>({
      now,
      after,
      stallMs: settings.stallMs,
      backoffMs: settings.backoffMs,
      propose: driver.propose,
      wake: driver.wake,
      ready: () => driver.leadership().leader !== null,
      refused,
      encode: ({ token }) => payloadOf(encodeCommand({ type: "OpenSession", owner, token })),
    })
  }

  open(): void {
    this.opened()
    this.token = this.secret(12)
    this.lane.push({ payload: null, bytes: 64, attempts: 0, settled: false, token: this.token })
  }
  opened(): void {
    const opening = this.lane.oldest
    if (opening !== undefined) this.lane.settle(opening)
  }
}
