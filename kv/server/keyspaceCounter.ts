/**
 * The number of keys, for INFO. Counting reads all of them, and some libraries request INFO on every connect, so a
 * count is reused for twenty times as long as it took; with few keys that is hardly any time.
 */
import type { Keyspace, StateReader } from "../types.ts"

const share = 20
/** How long a request for all sections waits for a first count. */
const patienceMs = 200

export interface KeyspaceCount extends Keyspace {
  /** When the keys were counted, and how long that took. */
  readonly at: number
  readonly took: number
}

export class KeyspaceCounter {
  private last: KeyspaceCount | null = null
  private counting: Promise<KeyspaceCount | null> | null = null
  private readonly reader: StateReader
  private readonly now: () => number

  constructor(reader: StateReader, now: () => number = () => performance.now()) {
    this.reader = reader
    this.now = now
  }

  /** Counts now, or joins the count in progress. null: the keys cannot be counted. */
  count(): Promise<KeyspaceCount | null> {
    this.counting ??= this.begin().finally(() => {
      this.counting = null
    })
    return this.counting
  }
  private async begin(): Promise<KeyspaceCount | null> {
    const at = this.now()
    const keyspace = await this.reader.keyspace()
    if (keyspace !== null) this.last = { ...keyspace, at, took: this.now() - at }
    return keyspace === null ? null : this.last
  }

  /** A recent count, if counting takes long. null: not known yet. */
  async recent(): Promise<KeyspaceCount | null> {
    const { last } = this
    if (last !== null && this.now() - last.at < share * last.took) return last
    const count = this.count()
    if (last !== null && last.took > patienceMs) return last
    let timer: NodeJS.Timeout | undefined
    const enough = new Promise<KeyspaceCount | null>((resolve) => {
      timer = setTimeout(() => resolve(last), patienceMs)
    })
    return Promise.race([count, enough]).finally(() => clearTimeout(timer))
  }
}
