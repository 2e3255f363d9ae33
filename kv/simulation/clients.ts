/**
 * Clients of the service in a simulated world: the real engine of kv/client over simulated links, and plain clients
 * without a session, like those of a Redis library. Both are run as generators, like everything in virtual time.
 */
import { makeRandom, mixText, type Random, type StoryWork } from "../../interpreters/simulation/index.ts"
import { type Core, type CoreSettings, makeCore } from "../client/core.ts"
import type { Endpoint } from "../client/endpoints.ts"
import type { ReplyOrError, ClientTask } from "../client/operation.ts"
import { type Argument, encodeRequest } from "../client/resp.ts"
import type { Surroundings } from "../../interpreters/surroundings.ts"
import type { Reply } from "../types.ts"
import { endpointOf } from "./endpoint.ts"
import { type ClientNetwork, goodNetwork, ClientLink } from "./link.ts"
import { client } from "../../interpreters/replica/world/index.ts"
import type { KvServices } from "./servers/services.ts"

export interface KvClientOptions {
  /** The client's name, different from those of all other clients. */
  readonly name: string
  readonly services: KvServices
  /** The nodes that it can reach; asked again for every connection. */
  readonly servers: () => readonly string[]
  readonly network?: () => ClientNetwork
}

const LATER = Number.POSITIVE_INFINITY

class Reach {
  readonly random: Random
  readonly surroundings: Surroundings
  private readonly options: KvClientOptions
  constructor(options: KvClientOptions) {
    this.options = options
    const { services, name } = options
    const seed = mixText(services.world.data.seed, name)
    this.random = makeRandom(seed)
    this.surroundings = services.loop.surroundings(client, seed)
  }
  link(
    endpoint: Endpoint,
    connectTimeoutMs: number,
    events: { readonly up: () => void; readonly down: (reason: string) => void },
  ): ClientLink {
    const { services, servers, network = () => goodNetwork } = this.options
    const find = (name: string): ReturnType<KvServices["find"]> =>
      servers().includes(name) ? services.find(name) : null
    return new ClientLink(endpoint, connectTimeoutMs, events, {
      loop: services.loop,
      random: this.random,
      network,
      find,
    })
  }
}

/** The engine of kv/client. */
export class KvClient {
  private readonly core: Core
  constructor(
    options: KvClientOptions,
    settings: Partial<CoreSettings> = {},
    surroundings: (own: Surroundings) => Surroundings = (own) => own,
  ) {
    const reach = new Reach(options)
    const endpoints = options.servers().map(endpointOf)
    this.core = makeCore(
      {
        endpoints,
        route: "leader",
        timeoutMs: 10_000,
        connectTimeoutMs: 400,
        stallTimeoutMs: 800,
        window: 16,
        backoffMs: [10, 200],
        ...settings,
      },
      surroundings(reach.surroundings),
      (endpoint, connectTimeoutMs, events) => reach.link(endpoint, connectTimeoutMs, events),
    )
  }
  /** Continues once the outcome is known, or the client has given up. */
  *do(task: ClientTask): StoryWork<ReplyOrError> {
    let outcome: ReplyOrError | null = null
    this.core.submit(task, undefined, (told) => {
      outcome = told
    })
    yield { until: () => outcome !== null, limit: LATER }
    if (outcome === null) throw new Error("continued before there was an outcome")
    return outcome
  }
  /** Ends the session and the connection once the operations in progress have ended. */
  leave(): void {
    this.core.close().then(
      () => {},
      (error: unknown) => {
        throw error
      },
    )
  }
}

/** What a plain client receives: a reply, or that the connection broke first. */
export type PlainReply = Reply | "lost"

/** Has one connection at a time, and never sends anything again. */
export class PlainClient {
  private readonly reach: Reach
  private readonly options: KvClientOptions
  private link: ClientLink | null = null
  private up = false
  private pending = new Set<(told: PlainReply) => void>()
  /** The number of connections so far: commands on one connection are executed in their order. */
  connections = 0
  constructor(options: KvClientOptions) {
    this.options = options
    this.reach = new Reach(options)
  }
  private dial(): void {
    const names = this.options.servers()
    const name = this.reach.random.pick(names)
    if (name === undefined) return
    this.up = false
    this.connections += 1
    const mine = this.reach.link(endpointOf(name), 400, {
      up: () => {
        this.up = true
      },
      down: () => this.lost(mine),
    })
    this.link = mine
  }
  private lost(link: ClientLink): void {
    if (this.link !== link) return
    this.link = null
    const { pending } = this
    this.pending = new Set()
    for (const told of pending) told("lost")
  }
  /** Waits until there is a connection. */
  *connected(): StoryWork<void> {
    while (this.link === null || !this.up) {
      if (this.link === null) this.dial()
      yield { until: () => this.link === null || this.up, limit: 500 }
      if (this.link === null) yield 10 + this.reach.random.below(40)
    }
  }
  /**
   * Sends several commands at once and waits for as many answers, or until the time is up; unless all have arrived, the
   * connection is closed.
   */
  *send(
    requests: readonly (readonly Argument[])[],
    patience: number,
    enough = requests.length,
  ): StoryWork<readonly PlainReply[]> {
    const told: PlainReply[] = []
    const { link } = this
    if (link === null) return requests.map(() => "lost")
    for (const request of requests) {
      const place = (reply: PlainReply): void => {
        this.pending.delete(place)
        told.push(reply)
      }
      this.pending.add(place)
      link.send(encodeRequest(request), place)
    }
    yield { until: () => told.length >= enough, limit: patience }
    if (told.length < requests.length) {
      link.drop()
      this.lost(link)
    }
    return told
  }
  hangUp(): void {
    const { link } = this
    link?.drop()
    if (link !== null) this.lost(link)
  }
}
