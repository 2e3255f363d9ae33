/**
 * For the code that starts the workers: it gives each pair of members the two ends of a channel, and new ones when the old
 * ones can no longer be used.
 */
export interface Ends<P> {
  readonly port1: P
  readonly port2: P
}
/**
 * Hands a port to a member: `peer` holds the other end. A worker gets the port by postMessage, in the transfer list.
 */
export type Give<P> = (peer: string, port: P) => void
export interface Exchange<P> {
  /**
   * A member has started, for the first time or again: it gets a port to each of the others, and each of those gets one
   * to it.
   */
  readonly join: (name: string, give: Give<P>) => void
  readonly leave: (name: string) => void
  /** Two members have lost each other (`lost` of PortOptions): both get new ports soon, if both still run. */
  readonly renew: (a: string, b: string) => void
}

const PAUSE_MS = 50

/** `make`: two ends of a channel. Usually `() => new MessageChannel()`. */
export const makeExchange = <P>(make: (a: string, b: string) => Ends<P>): Exchange<P> => {
  const members = new Map<string, Give<P>>()
  /** Pairs of members that get new ports soon, by both names: both ends ask, and only one pair of ports is made. */
  const due = new Map<string, readonly [string, string]>()
  const pair = (a: string, b: string): void => {
    const [giveA, giveB] = [members.get(a), members.get(b)]
    if (giveA === undefined || giveB === undefined) return
    const { port1, port2 } = make(a, b)
    giveA(b, port1)
    giveB(a, port2)
  }
  return {
    join: (name, give) => {
      members.set(name, give)
      for (const [key, names] of due) if (names.includes(name)) due.delete(key)
      for (const other of members.keys()) if (other !== name) pair(name, other)
    },
    leave: (name) => {
      members.delete(name)
    },
    renew: (a, b) => {
      const key = JSON.stringify(a < b ? [a, b] : [b, a])
      if (due.has(key)) return
      const names = [a, b] as const
      due.set(key, names)
      setTimeout(() => {
        if (due.get(key) !== names) return
        due.delete(key)
        pair(a, b)
      }, PAUSE_MS)
    },
  }
}
