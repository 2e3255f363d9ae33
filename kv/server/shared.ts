import type { ClientState } from "./client.ts"
import type { Host } from "./contract.ts"
import type { Admission } from "./limits/admission.ts"
import type { LongReads } from "./limits/longreads.ts"
import type { Turns } from "./limits/turns.ts"

/** A connection that has output to write. */
export interface Flushing {
  /** It is on the list already. */
  marked: boolean
  readonly flush: () => void
}
/** What the connections of a server share, besides the host. */
export interface Shared {
  readonly host: Host
  readonly admission: Admission
  readonly turns: Turns
  readonly longReads: LongReads
  /** Asks for a `flush` once the present turn is over. */
  readonly dirty: (connection: Flushing) => void
  readonly log: (message: string) => void
  /** Logs a line about a client; for clients that are not logged in only once in a while. */
  readonly complain: (client: ClientState, message: string) => void
}
