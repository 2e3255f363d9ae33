/**
 * What commands may cost. Every node executes an entry, and again after a restart, so the work of one entry is limited
 * in the same way everywhere: these numbers are part of the format, are never settings, and change only with the
 * format.
 *
 * The unit is a byte that is read, copied, written or returned; it takes about a nanosecond of one core. Looking up a
 * key, writing a key, a call and a word have a cost at that rate. Each step of an entry is charged before it is made;
 * beyond the limit the whole entry is undone, and answered TOOLARGE.
 */
import { err } from "./reply.ts"
import type { Reply } from "../types.ts"

const MB = 1 << 20

/** The longest key. Keys are held in memory while a batch is made, and compared byte by byte. */
export const MAX_KEY = 64 << 10
/** The largest value, whether it was written at once or has grown. */
export const MAX_VALUE = 8 * MB
/**
 * The limit of a command, or of all calls and watches of a MULTI/EXEC together: some tens of milliseconds. Reading,
 * writing and returning 8 MB takes 24.
 */
export const MAX_ENTRY_COST = 32 * MB
/**
 * The most words of all calls, plus watched keys: decoding takes about 100 ns for each, before anything can be charged.
 */
export const MAX_WORDS = 1 << 16
/**
 * How much is executed and held in memory before it is written and the event loop continues: the entry that exceeds it
 * ends the batch.
 */
export const BATCH_COST = 8 * MB

/** Looking up a record, or writing one. */
export const KEY_COST = 2048
/** A call itself; covers its reply, unless that carries a value. */
export const CALL_COST = 1024
/** Values of at most this many bytes are in the record of their key and are read with it. */
export const INLINE = 4096

const tooLarge = (text: string): Reply => err(`${text} Nothing was executed.`, "TOOLARGE")

/**
 * Bytes of values and keys in the reply to a read, unless the caller allows less. Reads are not in the log: this is not
 * part of the format.
 */
export const MAX_REPLY = 32 * MB

/** Thrown when a command is charged too much; it is answered once its whole entry has been undone. */
export class TooLarge extends Error {
  override readonly name = "TooLarge"
  readonly reply: Reply
  constructor(text: string) {
    super(text)
    this.reply = tooLarge(text)
  }
}
/** The error for a read whose limit was set by its caller. */
export const replyTooLarge = (bytes: number, most: number): TooLarge =>
  new TooLarge(`the reply would have ${bytes} bytes or more, at most ${most} are allowed.`)
/** The task's reply, or the refusal. */
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

/** The costs of one command or entry, and of everything since `take`. */
export class CostMeter {
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
  /** Throws TooLarge if the total exceeds the limit; then the charged step must not be made. */
  charge(cost: number): void {
    const spent = this.spent + cost
    if (spent > this.limit) {
      throw new TooLarge(
        `the command, or all calls of its EXEC together, would read, write and return ${spent} bytes or more (each key counts ${KEY_COST}, each call ${CALL_COST}), at most ${this.limit} are allowed. Split it up.`,
      )
    }
    this.spent = spent
  }
  /** The present entry. */
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
