/**
 * Connections of clients that have not authenticated yet: where each comes from, and which one is closed when there are
 * too many.
 */

const wordsIn = (part: string): readonly string[] =>
  part.split(":").flatMap((word) => (word === "" ? [] : word.includes(".") ? [word, word] : [word]))

/**
 * The network that an address counts as: an IPv6 address stands for its whole /64, because its user has all of that; an
 * IPv4 address may also be written as IPv6. `address` is as a socket reports it.
 */
export const networkOf = (address: string): string => {
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? []
  if (mapped !== undefined || !address.includes(":")) return mapped ?? address
  const [before = "", after = ""] = address.replace(/%.*$/, "").toLowerCase().split("::")
  const [head, tail] = [wordsIn(before), wordsIn(after)]
  const zeros = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => "0")
  return `${[...head, ...zeros, ...tail].slice(0, 4).join(":")}::/64`
}

/**
 * A bounded set, shared fairly among networks: too many connections from one network push out only connections of that
 * network.
 */
export class Strangers<One> {
  private readonly networks = new Map<string, Set<One>>()
  private readonly homes = new Map<One, string>()
  private readonly most: number

  constructor(most: number) {
    this.most = most
  }

  get size(): number {
    return this.homes.size
  }
  /** Returns the connection that must be closed to make space for it. */
  add(one: One, address: string): One | null {
    const network = networkOf(address)
    this.homes.set(one, network)
    const beside = this.networks.get(network)
    if (beside === undefined) this.networks.set(network, new Set([one]))
    else beside.add(one)
    return this.homes.size > this.most ? this.give() : null
  }
  /** Removes and returns the oldest connection of the network that has most of them; null if there is none. */
  give(): One | null {
    let crowd: ReadonlySet<One> = new Set<One>()
    for (const beside of this.networks.values()) if (beside.size > crowd.size) crowd = beside
    for (const oldest of crowd) {
      this.leave(oldest)
      return oldest
    }
    return null
  }
  leave(one: One): void {
    const network = this.homes.get(one)
    if (network === undefined) return
    this.homes.delete(one)
    const beside = this.networks.get(network)
    beside?.delete(one)
    if (beside?.size === 0) this.networks.delete(network)
  }
}
