/** Opens sessions for this node, one at a time, retrying until it succeeds. */
import type { ProposalRefusal } from "../../../core/index.ts"
import { ProposalQueue, type QueuedCommand } from "./proposalQueue.ts"
import { proposalQueueFor, type ReplicaParts, type SessionFormat } from "./parts.ts"
import type { Surroundings } from "../../surroundings.ts"

/** 128 random bits: unguessable, and different for each opening. */
const SECRET_BYTES = 16

interface Opening extends QueuedCommand {
  readonly secret: string
}

export class SessionOpener {
  readonly queue: ProposalQueue<Opening>
  private readonly makeSecret: Surroundings["secret"]
  /** The secret of the session that is being opened, or of the last one. */
  secret = ""

  constructor(
    parts: Pick<ReplicaParts<never>, "driver" | "settings" | "now" | "after" | "secret">,
    format: Pick<SessionFormat<never, unknown>, "opening">,
    refused: (reason: ProposalRefusal) => void,
  ) {
    const { driver, secret } = parts
    this.makeSecret = secret
    this.queue = new ProposalQueue<Opening>({
      ...proposalQueueFor(parts),
      ready: () => driver.leadership().leader !== null,
      refused,
      encode: (opening) => format.opening(opening.secret),
    })
  }

  open(): void {
    this.opened()
    this.secret = this.makeSecret(SECRET_BYTES)
    this.queue.push({ payload: null, bytes: 64, attempts: 0, settled: false, secret: this.secret })
  }
  opened(): void {
    const opening = this.queue.oldest
    if (opening !== undefined) this.queue.settle(opening)
  }
}
