/**
 * How a node with an empty directory finds its place. Either every configured peer is empty too: then the first by name
 * founds the cluster, with a configuration that names the incarnations of all, and the others adopt it. Or some peer
 * holds data that do not name this incarnation: then this node has lost its disk, or was never part of the cluster. It
 * must not take part as if nothing had happened, because its votes and acknowledgements are gone.
 */
import { randomBytes } from "node:crypto"
import * as Effect from "effect/Effect"
import type { Configuration, Member } from "../../core/index.ts"
import type { Logger } from "../log.ts"
import type { PeerLink, TcpTransport } from "../tcp/index.ts"
import { BootstrapRefused } from "./errors.ts"

export type Peer = Pick<PeerLink, "name" | "connected" | "hello">
export type Formation =
  /** This node founds the cluster. */
  | { readonly type: "found"; readonly founding: Configuration }
  /** Another node founded the cluster and named this incarnation as a founder. */
  | { readonly type: "adopt"; readonly cluster: string; readonly founding: Configuration }
  /** A cluster exists, and this incarnation is not one of its founders. */
  | { readonly type: "amnesiac"; readonly cluster: string; readonly of: string }
export type Waiting = { readonly type: "wait"; readonly for: readonly string[] }

const names = (founding: Configuration, member: Member): boolean =>
  founding.voters.some((voter) => voter.name === member.name && voter.incarnation === member.incarnation)

/** Decides from the hellos of the peers. `address`: where others find this node; empty: they use their own lists. */
export const decide = (self: Member, peers: readonly Peer[], address = ""): Formation | Waiting => {
  // A hello that was received counts even if its sender has disconnected since: a founder that crashes has still
  // founded the cluster.
  for (const { hello } of peers) {
    if (hello?.cluster != null && hello.founding !== null && names(hello.founding, self))
      return { type: "adopt", cluster: hello.cluster, founding: hello.founding }
  }
  for (const { name, hello } of peers) {
    // A member that joined later does not know the founders, so it cannot say that this node was not one of them.
    if (hello?.cluster != null && hello.founding !== null && hello.founding.voters.length > 0)
      return { type: "amnesiac", cluster: hello.cluster, of: name }
  }
  const missing = peers.filter(({ connected, hello }) => !connected || hello === null || !hello.empty)
  if (missing.length > 0) return { type: "wait", for: missing.map(({ name }) => name) }
  const members = [self, ...peers.flatMap(({ hello }) => (hello === null ? [] : [hello.member]))].sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )
  const founder = members[0]
  if (founder !== undefined && founder.name !== self.name) return { type: "wait", for: [founder.name] }
  const told = [
    [self.name, address] as const,
    ...peers.map(({ name, hello }) => [name, hello?.advertises ?? ""] as const),
  ].filter(([, at]) => at !== "")
  return {
    type: "found",
    founding: {
      voters: members,
      outgoing: [],
      learners: [],
      ...(told.length === 0 ? {} : { addresses: Object.fromEntries(told) }),
    },
  }
}

export const newClusterId = (): string => randomBytes(8).toString("hex")

const LOOK_MS = 100
const SAY_MS = 10_000

export interface Forming {
  readonly self: Member
  readonly transport: Pick<TcpTransport, "attach" | "peers" | "onHello">
  /** The names on this node's list: it founds a cluster only with these. */
  readonly listed: readonly string[]
  readonly address: string
  readonly bootstrap: boolean
  readonly log: Logger
  /** Called when a peer holds data that do not know this node, and with null once no peer does any more. */
  readonly met: (of: Extract<Formation, { readonly type: "amnesiac" }> | null) => void
}

/**
 * Waits until the node's place is decided. That a cluster without this node exists decides nothing and is not recorded:
 * the misplaced node may be the one with the data. It is decided once that cluster sends a message to this very
 * incarnation, because then its configuration names the incarnation. With `bootstrap`, a peer with data that do not
 * know this node is an error.
 */
export const formed = ({
  self,
  transport,
  listed,
  address,
  bootstrap,
  log,
  met,
}: Forming): Effect.Effect<Formation, BootstrapRefused> =>
  Effect.callback((resume) => {
    let said = ""
    let saidAt = 0
    let stopped = false
    const end = (effect: Effect.Effect<Formation, BootstrapRefused>): void => {
      if (stopped) return
      stop()
      resume(effect)
    }
    const look = (): void => {
      if (stopped) return
      const decision = decide(
        self,
        transport.peers().filter(({ name }) => listed.includes(name)),
        address,
      )
      met(decision.type === "amnesiac" ? decision : null)
      if (decision.type === "amnesiac") {
        if (bootstrap)
          end(Effect.fail(new BootstrapRefused({ node: self.name, peer: decision.of, cluster: decision.cluster })))
      } else if (decision.type === "wait") {
        const text = decision.for.join(", ")
        if (text === said && performance.now() - saidAt < SAY_MS) return
        said = text
        saidAt = performance.now()
        log(
          "info",
          `this node's directory is empty; waiting for ${text} to form the cluster together (all nodes must be up and empty, or one must already know this one)`,
        )
      } else end(Effect.succeed(decision))
    }
    transport.attach({
      received: (from) => {
        const cluster = transport.peers().find(({ name }) => name === from.name)?.hello?.cluster
        if (cluster != null) end(Effect.succeed({ type: "amnesiac", cluster, of: from.name }))
      },
      connected: () => undefined,
      disconnected: () => undefined,
    })
    const forget = transport.onHello(() => setImmediate(look))
    const timer = setInterval(look, LOOK_MS)
    const stop = (): void => {
      stopped = true
      clearInterval(timer)
      forget()
    }
    setImmediate(look)
    return Effect.sync(stop)
  })
