/**
 * The numbers of one session and the operations that hold them.
 *
 * Why an operation can end without its number ending: the server executes number n+1 only after n. A caller who was told
 * "unknown" leaves its operation in place, so that those behind it can still be repeated under their own numbers.
 */
import type { Operation } from "./operation.ts"

export interface Session {
  /** What its opening returned. */
  readonly key: string
  /** The number of the next write. */
  next: number
}

export const isNumbered = (operation: Operation): boolean => operation.sequence !== null

/** The lowest number whose reply has not arrived: the server forgets the replies below it. */
export const lowestOf = (queue: readonly Operation[], own: number): number => queue.find(isNumbered)?.sequence ?? own

/**
 * Takes the numbers away. Only right when none of the operations can have been executed, or can yet be, under its number:
 * the one before them never was, or the session has ended with a refusal for each.
 */
export const unnumber = (queue: readonly Operation[]): void => {
  for (const operation of queue) {
    operation.sequence = null
    operation.uncertain = false
    operation.misplaced = false
  }
}

/**
 * After a connection is lost: what need not be sent again leaves the queue. Ended reads always; ended writes when no
 * operation that is still wanted stands among the numbered ones. Says whether the session can be kept.
 */
export const pruneAfterLoss = (queue: Operation[]): "keep" | "abandon" => {
  const wanted = queue.some((operation) => isNumbered(operation) && operation.uncertain && !operation.settled)
  const dead = !wanted && queue.some((operation) => isNumbered(operation) && operation.settled)
  const kept = queue.filter((operation) => !operation.settled || (wanted && isNumbered(operation)))
  queue.splice(0, queue.length, ...kept)
  if (dead) unnumber(queue)
  return dead ? "abandon" : "keep"
}
