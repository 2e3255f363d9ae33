/** The options of the transport, and what it offers beyond the contract. */
import type { Member } from "../../core/index.ts"
import type { Transport } from "../contract.ts"
import type { Features } from "../features.ts"
import type { Hello, LocalHello, Refusal } from "../hello.ts"
import type { Logger } from "../log.ts"
import type { Sightings } from "../starts.ts"
import type { Tls } from "../tls/index.ts"
import type { PeerHello } from "./handshake.ts"
import type { PeerLink } from "./peerLink.ts"
import type { Address } from "./socket.ts"

export interface TcpLimits {
  /** The largest entry; the limit of frames derives from it. All nodes must agree. Default 8 MB. */
  readonly maxEntryBytes?: number
  /** Per peer: what may wait to be sent before messages are dropped. Default 32 MB. */
  readonly unsentBytes?: number
  /** How long one attempt to connect may take. Default 2,000. */
  readonly connectMs?: number
  /** How long a connected peer may take to say hello. Default 5,000. */
  readonly helloMs?: number
  /** How often an idle peer is sent a keep-alive. Default 1,000. */
  readonly aliveMs?: number
  /** A peer that has not sent a byte for this long is disconnected and dialled again. Default 5,000. */
  readonly silenceMs?: number
  /**
   * The pause before dialling again: it doubles from the first value to the second, with a random variation of a half.
   * Default 50 and 1,000.
   */
  readonly backoffMinMs?: number
  readonly backoffMaxMs?: number
}
export interface TcpOptions {
  readonly self: Member
  /** Port 0 chooses a free port, see `address`. */
  readonly listen: Address
  /** The addresses of each other member, by name; the likeliest first. */
  readonly peers: Readonly<Record<string, Address | readonly Address[]>>
  /**
   * The address announced to others, as host:port; empty: they use their own lists. Default: the address at which it
   * listens.
   */
  readonly advertise?: string
  /** Called for a node that is not among the peers: may it become one, at the address that it announces? Default: no. */
  readonly welcome?: (hello: PeerHello) => boolean
  readonly hello: LocalHello
  /** The store of the starts of peers that this node has seen. Default: in memory only. */
  readonly sightings?: Sightings
  readonly limits?: TcpLimits
  /**
   * Both ends prove by certificates of the same authority which member they are. Without it whoever reaches the port is
   * believed: he can read, write, and destroy the cluster.
   */
  readonly tls?: Tls
  /**
   * Without `tls`, peers are dialled on other machines, too: default no. Then an address beyond this machine is not
   * dialled, wherever it was learnt, and the log says so.
   */
  readonly plaintext?: boolean
  readonly log: Logger
}
export interface TcpTransport extends Transport {
  /** Where this node listens. */
  readonly address: Address
  readonly peers: () => readonly PeerLink[]
  /** Nodes that have dialled this node lately and are not among its peers, under the names that they gave. */
  readonly unlisted: () => readonly UnlistedPeer[]
  /** The number of incoming connections that were refused or sent unreadable data, by reason. */
  readonly turnedAway: () => ReadonlyMap<string, number>
  /** Called for each hello that passes the handshake, including later ones on an open connection. Returns a function that unsubscribes. */
  readonly onHello: (listener: (hello: Hello) => void) => () => void
  /** Called for each refusal by a peer that this node dialled. Returns a function that unsubscribes. */
  readonly onRefused: (listener: (by: string, refusal: Refusal) => void) => () => void
  /** This node's hello has changed (the cluster was formed): sends it to every peer. */
  readonly announce: (hello: LocalHello) => void
  /** Adds a peer, or sets its addresses; null removes it and closes its connections without a `disconnected`. */
  readonly setPeer: (name: string, at: Address | readonly Address[] | null) => void
}

export interface UnlistedPeer {
  readonly name: string
  readonly member: Member
  /** The node holds no data of any cluster yet. */
  readonly empty: boolean
  /** The address at which it says that it listens. */
  readonly address: string
  readonly features: Features
}
