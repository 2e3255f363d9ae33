/**
 * The memory that all clients of a node may use together: unanswered requests, queued commands and watches, and unread
 * replies. Each connection is weighed at the end of every turn in which it changed.
 *
 * A command whose size is known beforehand and does not fit is refused (BUSY). Memory that can no longer be refused,
 * such as half a request, is accepted; if the total is then too large, the connection that holds most is closed, and so
 * on until the total fits. So a client that holds much pays for it, and one that holds little is never affected.
 */
import { totalmem } from "node:os"
import { getHeapStatistics } from "node:v8"

const mebi = 1 << 20

/** A quarter of the memory that this process may use, as limited by the machine, its container or V8's heap. */
export const budgetOfMachine = (): number => {
  const container = process.constrainedMemory()
  const memory = Math.min(
    totalmem(),
    getHeapStatistics().heap_size_limit,
    container > 0 ? container : Number.POSITIVE_INFINITY,
  )
  return Math.max(32 * mebi, Math.floor(memory / 4))
}

/** A request or reply up to this size is never refused because of the total. */
export const SMALL = 64 * 1024

export interface Account {
  /** The weight when it was last weighed. Only the budget changes it. */
  weight: number
  /** Whether closing it would free anything. */
  readonly closed: boolean
  /** The client is not logged in: then it is closed before all others. */
  readonly nameless: boolean
  readonly evict: (reason: string) => void
}

const goesBefore = (one: Account, other: Account): boolean =>
  one.nameless === other.nameless ? one.weight > other.weight : one.nameless

export class Budget {
  readonly limit: number
  used = 0
  /** Connections closed, and commands refused, because of the total. */
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
    // Later, because the connection that is being weighed may be in the middle of its work.
    queueMicrotask(this.relieve)
  }

  /** The memory that is free for large requests: the last eighth is kept for small ones. */
  get room(): number {
    return Math.max(0, this.limit - Math.floor(this.limit / 8) - this.used)
  }
  get tight(): boolean {
    return this.room === 0
  }

  private readonly relieve = (): void => {
    while (this.used > this.limit) {
      let largest: Account | null = null
      for (const account of this.accounts)
        if (!account.closed && account.weight > 0 && (largest === null || goesBefore(account, largest)))
          largest = account
      if (largest === null) break
      this.evicted++
      largest.evict(
        `it holds ${largest.weight} bytes, the most of all, and all clients together hold ${this.used} of the ${this.limit} that they may`,
      )
    }
    this.relieving = false
  }
}
