/**
 * Linearizable reads of one turn of the event loop, from all connections, share one barrier: it starts once the sockets have
 * been polled, that is after all of them have arrived.
 */
import type { Reply, Service } from "../types.ts"

/** What a read waits for. `refusal` says why it cannot be served here now. */
export interface Gate {
  /** Reads that arrive from now on need another one. */
  begun: boolean
  open: boolean
  refusal: Reply | null
  readonly waiting: (() => void)[]
}

export class Barriers {
  private readonly service: Service
  /** Once the sockets have been polled. */
  private readonly later: (run: () => void) => void
  private forming: Gate | null = null

  constructor(service: Service, later: (run: () => void) => void = setImmediate) {
    this.service = service
    this.later = later
  }

  /** The barrier of this turn. `opened` is called once it is passed, never before this call has returned. */
  join(opened: () => void): Gate {
    if (this.forming === null) {
      this.forming = { begun: false, open: false, refusal: null, waiting: [] }
      this.later(this.begin)
    }
    this.forming.waiting.push(opened)
    return this.forming
  }

  private readonly begin = (): void => {
    const gate = this.forming
    this.forming = null
    if (gate === null) return
    gate.begun = true
    this.service.barrier((refusal) => {
      gate.open = true
      gate.refusal = refusal
      for (const opened of gate.waiting) opened()
    })
  }
}
