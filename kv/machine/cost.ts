/**
 * What commands may cost. Every node executes an entry, and again whenever it starts, so what one entry may do is
 * bounded by the log alone: these numbers are part of the format, never settings, and change only with it.
 *
 * The unit is a byte that is read, copied, written or returned; it takes about a nanosecond of one core. A key looked up
 * or written, a call and a word cost what they take at that rate. All of an entry is charged as it goes, each step
 * before it is made; once the limit is passed, all of the entry is undone and it is answered TOOLARGE.
 */
import { error } from "./reply.ts"
import type { Reply } from "../types.ts"

const MB = 1 << 20

/** Longest key. Keys are held in memory while a batch is made, and compared byte by byte. */
export const MAX_KEY = 64 << 10
/** Largest value, however it came to be: written whole or grown. */
export const MAX_VALUE = 8 * MB
/** A command, or all calls and watches of a MULTI/EXEC together: some tens of milliseconds. 8 MB read, written and returned take 24. */
export const MAX_ENTRY_COST = 32 * MB
/** Words of all calls, and watched keys: decoding takes about 100 ns for each, before anything can be charged. */
export const MAX_WORDS = 1 << 16
/** What is executed and held in memory before it is written, and then the loop turned: the entry that passes it ends the batch. */
export const BATCH_COST = 8 * MB

/** Looking up a record, or writing one. */
export const KEY_COST = 2048
/** Beside what the call itself is charged: covers its reply, unless that carries a value. */
export const CALL_COST = 1024
/** Values of at most this many bytes stand in the record of their key and are read with it. */
export const INLINE = 4096

const tooLarge = (text: string): Reply => error(`${text} Nothing was executed.`, "TOOLARGE")

/** Bytes of values and keys in the reply to a read, unless whoever asks allows less. No read is in the log: this is no part of the format. */
export const MAX_REPLY = 32 * MB

/** Thrown out of a command by what it is charged to, and answered once all of its entry has been undone. */
export class TooLarge extends Error {
  override readonly name = "TooLarge"
  readonly reply: Reply
  constructor(text: string) {
    super(text)
    this.reply = tooLarge(text)
  }
}
/** Of a read, whose limit is its caller's. */
export const replyTooLarge = (bytes: number, most: number): TooLarge =>
  new TooLarge(`the reply would have ${bytes} bytes or more, at most ${most} are allowed.`)
/** The task's reply, or why it is refused. */
export const refusable = (task: () => Reply): Reply => {
  try {
    return task()
  } catch (thrown) {
    if (thrown instanceof TooLarge) return thrown.reply
    throw thrown
  }
}
/** Throws unless a key may have this many bytes. */
export const checkKey = (bytes: number): void => {
  if (bytes > MAX_KEY) throw new TooLarge(`a key of ${bytes} bytes was given, at most ${MAX_KEY} are allowed.`)
}
/** Throws unless a value may have this many bytes. */
export const checkValue = (bytes: number | bigint): void => {
  if (bytes > MAX_VALUE)
    throw new TooLarge(
      `string exceeds maximum allowed size: the value would have ${bytes} bytes, at most ${MAX_VALUE} are allowed.`,
    )
}

/** The account of one command or entry, and of all since `take`. */
export class Meter {
  private spent = 0
  private before = 0
  private readonly limit: number
  constructor(limit: number = MAX_ENTRY_COST) {
    this.limit = limit
  }
  begin(): void {
    this.before += this.spent
    this.spent = 0
  }
  /** Throws TooLarge, and the step that is charged must not be made, if the whole passes the limit. */
  charge(cost: number): void {
    const spent = this.spent + cost
    if (spent > this.limit) {
      throw new TooLarge(
        `the command, or all calls of its EXEC together, would read, write and return ${spent} bytes or more (each key counts ${KEY_COST}, each call ${CALL_COST}), at most ${this.limit} are allowed. Split it up.`,
      )
    }
    this.spent = spent
  }
  /** Of the present entry. */
  get cost(): number {
    return this.spent
  }
  /** Since the last call of this. */
  take(): number {
    const all = this.before + this.spent
    this.before = 0
    this.spent = 0
    return all
  }
}
