/**
 * File descriptors are shared by the log, the data, the peers and the clients, and only clients can do without: they are
 * accepted up to the limit of the process less what the others may need at their worst.
 */
import { readFileSync } from "node:fs"

/**
 * The process itself, its loop and its threads (some 30), the log with a segment being made and FORMAT being written,
 * LevelDB (it maps its tables and keeps few of them open), a snapshot's database beside it, and some to spare.
 */
const OWN = 112
/** Connections at the peers' port that have not said who they are. */
const STRANGERS = 64
/** Each peer: a connection each way, and their successors while they are being replaced. */
const PER_PEER = 4
/** Fewer clients than this are no service. */
const FEWEST = 16

const softLimit = (text: string): number | null => {
  const found = /^Max open files\s+(\d+|unlimited)/m.exec(text)?.[1]
  return found === undefined || found === "unlimited" ? null : Number(found)
}

interface Limits {
  readonly userLimits?: { readonly open_files?: { readonly soft?: number | string } }
}

/** How many this process may have; null if there is no such limit, or none that it can learn. Node raises the soft limit to the hard one when it starts. */
export const descriptorLimit = (): number | null => {
  try {
    return softLimit(readFileSync("/proc/self/limits", "latin1"))
  } catch {
    // Not Linux, or no file can be opened just now: the diagnostic report knows it on every POSIX system.
    const soft = (process.report.getReport() as Limits).userLimits?.open_files?.soft
    return typeof soft === "number" ? soft : null
  }
}

export interface ClientPlaces {
  readonly clients: number
  /** What a person should know, or null. */
  readonly advice: string | null
}

/** Clients that a process with this limit can serve. */
export const placesFor = (limit: number | null, peers: number, reserved: number, wanted: number): ClientPlaces => {
  if (limit === null) return { clients: wanted, advice: null }
  const kept = OWN + STRANGERS + PER_PEER * peers + reserved
  const clients = Math.min(wanted, Math.max(FEWEST, limit - kept))
  if (clients === wanted) return { clients, advice: null }
  const few = limit - kept < FEWEST ? ", which is too few for a node" : ""
  return {
    clients,
    advice: `this process may have ${limit} file descriptors${few}: ${kept} are kept for the log, the data, the peers and for looking after the node, so ${clients} clients are served instead of ${wanted}. For more, raise the limit (ulimit -n, or LimitNOFILE= in the unit file) to ${wanted + kept} and start again.`,
  }
}
