/** Counts frames and bytes by receiver and kind. Hooks of a world feed it. */
import type { Member, Message, MessageType } from "../../../core/index.ts"
import { isRequest, messageBytes } from "../server/network.ts"

export interface Count {
  readonly sent: number
  readonly sentBytes: number
  readonly delivered: number
  readonly deliveredBytes: number
}
type Cell = { -readonly [Key in keyof Count]: number }
const NOTHING: Count = { sent: 0, sentBytes: 0, delivered: 0, deliveredBytes: 0 }

/** undefined: all frames. "request": one for each RPC; "reply": the other frames. */
export interface Filter {
  readonly to?: string
  readonly kind?: MessageType | "request" | "reply"
}

export class TrafficMeter {
  private readonly cells = new Map<string, Map<MessageType, Cell>>()
  private readonly requests = new Set<MessageType>()
  private readonly weigh: (message: Message) => number
  /** `weigh`: bytes of a frame. Default: approximately its size on the wire. */
  constructor(weigh: (message: Message) => number = messageBytes) {
    this.weigh = weigh
  }

  private cell(to: Member, message: Message): Cell {
    let kinds = this.cells.get(to.name)
    if (kinds === undefined) this.cells.set(to.name, (kinds = new Map()))
    let cell = kinds.get(message.type)
    if (cell === undefined) {
      kinds.set(message.type, (cell = { ...NOTHING }))
      if (isRequest(message)) this.requests.add(message.type)
    }
    return cell
  }
  /** Counts a frame that was handed to the network, whether or not it arrives. */
  readonly sent = (_: Member, to: Member, message: Message): void => {
    const cell = this.cell(to, message)
    cell.sent += 1
    cell.sentBytes += this.weigh(message)
  }
  readonly delivered = (_: Member, to: Member, message: Message): void => {
    const cell = this.cell(to, message)
    cell.delivered += 1
    cell.deliveredBytes += this.weigh(message)
  }
  /** The sum over the frames that the filter selects. */
  count({ to, kind }: Filter = {}): Count {
    const sum: Cell = { ...NOTHING }
    for (const [name, kinds] of this.cells) {
      if (to !== undefined && to !== name) continue
      for (const [type, cell] of kinds) {
        const group = this.requests.has(type) ? "request" : "reply"
        if (kind !== undefined && kind !== type && kind !== group) continue
        sum.sent += cell.sent
        sum.sentBytes += cell.sentBytes
        sum.delivered += cell.delivered
        sum.deliveredBytes += cell.deliveredBytes
      }
    }
    return sum
  }
}
