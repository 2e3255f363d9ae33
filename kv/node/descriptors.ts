/**
 * File descriptors are shared by the log, the data, the peers and the clients, and only clients can do without. So the
 * limit on clients is the process's limit minus what the others may need at most.
 */
import { readFileSync } from "node:fs"

/**
 * For the process itself, its loop and its threads (some 30), the log with a segment being made and FORMAT being
 * written, LevelDB (it maps its tables and keeps few of them open), a snapshot's database beside it, and some to spare.
 */
const OWN = 112
/** Connections to the peers' port that are not, or no longer, a peer's: each counts until its socket is closed. */
const STRANGERS = 64
/** TLS handshakes that are under way at that port. */
const HANDSHAKES = 64
/** Connections to the HTTP port. */
const MONITORS = 64
/** For each peer: a connection each way, and their successors while they are being replaced. */
const PER_PEER = 4
/** A node that could serve fewer clients than this is warned that it has too few descriptors. */
const FEWEST = 16
/** The part of what is left for clients that their handshakes may take. */
const HANDSHAKE_SHARE = 4

const softLimit = (text: string): number | null => {
  const found = /^Max open files\s+(\d+|unlimited)/m.exec(text)?.[1]
  return found === undefined || found === "unlimited" ? null : Number(found)
}

interface Limits {
  readonly userLimits?: { readonly open_files?: { readonly soft?: number | string } }
}

/**
 * The file descriptors that this process may open; null if there is no such limit, or it cannot be found out. Node
 * raises the soft limit to the hard one when it starts.
 */
export const descriptorLimit = (): number | null => {
  try {
    return softLimit(readFileSync("/proc/self/limits", "latin1"))
  } catch {
    // Not Linux, or no file can be opened at the moment: on every POSIX system the diagnostic report contains the
    // limit.
    const soft = (process.report.getReport() as Limits).userLimits?.open_files?.soft
    return typeof soft === "number" ? soft : null
  }
}

/** What else needs descriptors. */
export interface Doors {
  readonly peers: number
  /** Peers speak TLS. */
  readonly peersTls: boolean
  readonly http: boolean
  /** TLS handshakes of clients that may be under way; they are no clients yet. 0: without TLS. */
  readonly handshakes: number
  /** Places for administrators. */
  readonly reserved: number
}
export interface ClientPlaces {
  readonly clients: number
  readonly handshakes: number
  /** Advice for the operator, or null. */
  readonly advice: string | null
}

/** Clients that a process with this limit can serve. */
export const placesFor = (limit: number | null, doors: Doors, wanted: number): ClientPlaces => {
  const { peers, peersTls, http, handshakes, reserved } = doors
  if (limit === null) return { clients: wanted, handshakes, advice: null }
  const kept = OWN + STRANGERS + (peersTls ? HANDSHAKES : 0) + (http ? MONITORS : 0) + PER_PEER * peers + reserved
  const left = limit - kept
  if (left >= wanted + handshakes) return { clients: wanted, handshakes, advice: null }
  const shaking = Math.min(handshakes, Math.max(FEWEST, Math.floor(left / HANDSHAKE_SHARE)))
  const clients = Math.min(wanted, Math.max(FEWEST, left - shaking))
  const few = left - shaking < FEWEST ? ", which is too few for a node" : ""
  return {
    clients,
    handshakes: shaking,
    advice: `this process may have ${limit} file descriptors${few}: ${kept} are kept for the log, the data, the peers and for looking after the node, so ${clients} clients are served instead of ${wanted}${handshakes > shaking ? `, and ${shaking} TLS handshakes at a time instead of ${handshakes}` : ""}. For more, raise the limit (ulimit -n, or LimitNOFILE= in the unit file) to ${wanted + handshakes + kept} and start again.`,
  }
}
