/**
 * The memory that all clients of a node may take together: what they have sent and is not answered, what they have
 * queued and watch, and the replies that they have not taken. Each connection is weighed at the end of every turn in
 * which something became of it.
 *
 * What is known before it is done and does not fit is refused by name (BUSY). What cannot be refused any more, half
 * a request say, is taken; if the whole is too much then, the connection that holds most is closed, and so on until it
 * fits. So a client pays for itself, and one with little under way is never touched.
 */
import { totalmem } from "node:os"
import { getHeapStatistics } from "node:v8"

const mebi = 1 << 20

/** A quarter of the memory that this process may use: of the machine, of its container, or of V8's heap. */
export const budgetOfMachine = (): number => {
  const container = process.constrainedMemory()
  const memory = Math.min(totalmem(), getHeapStatistics().heap_size_limit, container > 0 ? container : Number.POSITIVE_INFINITY)
  return Math.max(32 * mebi, Math.floor(memory / 4))
}

/** A request, or a reply, up to this size is never refused for the sake of the whole. */
export const SMALL = 64 * 1024

export interface Account {
  /** As last weighed. Kept here; nobody else writes it. */
  weight: number
  /** Whether closing it would free anything. */
  readonly closed: boolean
  readonly evict: (reason: string) => void
}

export class Budget {
  readonly limit: number
  used = 0
  /** Connections closed, and commands refused, for the sake of the whole. */
  evicted = 0
  refused = 0
  private readonly accounts = new Set<Account>()
  private relieving = false

  constructor(limit: number) {
    this.limit = limit
  }

  open(account: Account): void {
    this.accounts.add(account)
  }

  weigh(account: Account, weight: number): void {
    this.used += weight - account.weight
    account.weight = weight
    if (weight === 0) this.accounts.delete(account)
    if (this.used <= this.limit || this.relieving) return
    this.relieving = true
    // Not at once: whoever is weighed may be at work.
    queueMicrotask(this.relieve)
  }

  /** What is free for large things: the last eighth is kept for small ones. */
  get room(): number {
    return Math.max(0, this.limit - Math.floor(this.limit / 8) - this.used)
  }
  get tight(): boolean {
    return this.room === 0
  }

  private readonly relieve = (): void => {
    while (this.used > this.limit) {
      let largest: Account | null = null
      for (const account of this.accounts) if (!account.closed && account.weight > (largest?.weight ?? 0)) largest = account
      if (largest === null) break
      this.evicted++
      largest.evict(`it holds ${largest.weight} bytes, the most of all, and all clients together hold ${this.used} of the ${this.limit} that they may`)
    }
    this.relieving = false
  }
}
