/**
 * The numbers of one session and the operations that hold them.
 *
 * A number belongs to one operation for as long as the session lives, whatever happens to either. So no copy of a
 * request, however late it is executed, can be mistaken for another, and nothing is ever sent under two numbers. The
 * server executes number n+1 only after n. So if an operation ends and has not used its number, or may not have, the
 * number is filled: a command that changes nothing is sent under it. If the number was used after all, the server
 * answers as for any repeated number.
 */
import type { ClientOperation, ClientTask } from "./operation.ts"

export interface SessionNumbers {
  /** The session's key, from the reply to its opening. */
  readonly key: string
  /** The number of the next write. */
  next: number
  /** Numbers that were perhaps not used, ascending: they are filled before any higher number is sent. */
  readonly unused: number[]
  /**
   * The server has said that the session has ended. Unanswered operations may have been executed, and will not be any
   * more.
   */
  ended: boolean
  /**
   * Its numbers no longer agree with the server's (repeated OUTOFORDER): it gives out no new ones, and is abandoned
   * once no caller waits for an answer in it.
   */
  numbersDisagree: boolean
}
export const newSession = (key: string): SessionNumbers => ({
  key,
  next: 1,
  unused: [],
  ended: false,
  numbersDisagree: false,
})

export const isNumbered = (operation: ClientOperation): boolean => operation.sequence !== null

/** The lowest number whose reply has not arrived: the server forgets the replies below it. */
export const lowestOf = (queue: readonly ClientOperation[], own: number): number =>
  queue.find(isNumbered)?.sequence ?? own

/** Sent in place of an operation that no caller waits for. */
export const filler: ClientTask = { type: "write", args: ["EXISTS", "-"] }

const insert = (numbers: number[], number: number): void => {
  const at = numbers.findIndex((each) => each >= number)
  if (at < 0) numbers.push(number)
  else if (numbers[at] !== number) numbers.splice(at, 0, number)
}
export const returnNumber = ({ unused }: SessionNumbers, number: number): void => insert(unused, number)

/** Number `number` was executed, and so was every number before it. */
export const executed = ({ unused }: SessionNumbers, number: number): void => {
  const later = unused.findIndex((each) => each > number)
  unused.splice(0, later < 0 ? unused.length : later)
}

/**
 * Puts fillers into the queue where their numbers belong. Returns false, and changes nothing, if one of them belongs
 * before an operation that was already sent.
 */
export const fill = ({ unused }: SessionNumbers, queue: ClientOperation[], sent: number): boolean => {
  const [first] = unused
  if (first === undefined) return true
  if (queue.slice(0, sent).some(({ sequence }) => sequence !== null && sequence > first)) return false
  for (const sequence of unused.splice(0)) {
    let at = sent
    while (at < queue.length) {
      const other = queue[at]
      // After all lower numbers, and before the first write without a number.
      if (other === undefined || (other.task.type !== "read" && (other.sequence === null || other.sequence > sequence)))
        break
      at++
    }
    queue.splice(at, 0, {
      task: filler,
      done: () => {},
      deadline: Number.POSITIVE_INFINITY,
      settled: true,
      sequence,
      uncertain: true,
      misplaced: false,
    })
  }
  return true
}

/**
 * After a connection is lost: operations that no caller waits for leave the queue. Their sequence numbers are given up:
 * `fill` queues a filler for each of them, unless the server turns out to have executed it (`executed`).
 */
export const prune = (queue: ClientOperation[], session: SessionNumbers | null): void => {
  for (const { settled, sequence } of queue)
    if (settled && sequence !== null && session !== null) returnNumber(session, sequence)
  queue.splice(0, queue.length, ...queue.filter(({ settled }) => !settled))
}
