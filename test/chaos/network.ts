/** All nodes with a proxy for each ordered pair. Each fault contributes to the conditions of some flows. */
import { freePort } from "../cluster.ts"
import { type Condition, Flow, openProxy, type Proxy, worst } from "./proxy.ts"

export type Pair = readonly [from: string, to: string]

export interface Network {
  /** `--peers` of each node: the others. */
  readonly peers: Readonly<Record<string, string>>
  readonly impose: (name: string, pairs: readonly Pair[], condition: Partial<Condition>) => void
  /** Delivers what the flows held. */
  readonly lift: (name: string) => void
  /** Closes the connections between these nodes, whichever of them dialled. */
  readonly reset: (pairs: readonly Pair[]) => void
  readonly close: () => Promise<void>
}

/** `portOf`: the port at which a node listens for its peers; called for each dial. */
export const openNetwork = async (ids: readonly string[], portOf: (id: string) => number): Promise<Network> => {
  const pairs = ids.flatMap((from) => ids.filter((to) => to !== from).map((to): Pair => [from, to]))
  const name = ([from, to]: Pair): string => `${from}→${to}`
  const flows = new Map(pairs.map((pair) => [name(pair), new Flow()]))
  const flow = (pair: Pair): Flow => {
    const found = flows.get(name(pair))
    if (found === undefined) throw new Error(`no flow ${name(pair)}`)
    return found
  }
  const ports = new Map<string, number>()
  const proxies = new Map<string, Proxy>()
  for (const pair of pairs) {
    const [from, to] = pair
    const port = await freePort()
    ports.set(name(pair), port)
    proxies.set(name(pair), await openProxy(port, () => portOf(to), flow(pair), flow([to, from])))
  }
  const imposed = new Map<string, { readonly on: ReadonlySet<string>; readonly condition: Partial<Condition> }>()
  const settle = (on: Iterable<string>): void => {
    for (const one of on)
      flows
        .get(one)
        ?.set(worst([...imposed.values()].filter((fault) => fault.on.has(one)).map(({ condition }) => condition)))
  }
  return {
    peers: Object.fromEntries(
      ids.map((id) => [
        id,
        pairs
          .filter(([from]) => from === id)
          .map((pair) => `${pair[1]}=127.0.0.1:${ports.get(name(pair)) ?? 0}`)
          .join(","),
      ]),
    ),
    impose: (fault, on, condition) => {
      const names = new Set(on.map(name))
      imposed.set(fault, { on: names, condition })
      settle(names)
    },
    lift: (fault) => {
      const names = imposed.get(fault)?.on ?? []
      imposed.delete(fault)
      settle(names)
    },
    reset: (on) => {
      for (const [from, to] of on)
        for (const pair of [
          [from, to],
          [to, from],
        ] as const)
          proxies.get(name(pair))?.reset()
    },
    close: async () => {
      await Promise.all([...proxies.values()].map((proxy) => proxy.close()))
    },
  }
}
