import type { Foe } from "./foe.ts"

export interface Scenario {
  readonly name: string
  /** One line for --list. */
  readonly about: string
  /** Before the clock starts: what the attack needs to find. */
  readonly prepare?: (foe: Foe) => Promise<void>
  readonly attack: (foe: Foe) => Promise<void>
  /** How long the attack may take at most; 10 by default. */
  readonly seconds?: number
  /** File descriptors that each node may have. */
  readonly descriptors?: number
  readonly env?: Readonly<Record<string, string>>
  /** At the restart every entry is executed again. */
  readonly replay?: boolean
  /** Takes away what polite clients wrote: their history is not judged, only their times. */
  readonly wipes?: boolean
  /** Worth another run with another seed. */
  readonly random?: boolean
  /** One node is killed and started while the attack goes on. */
  readonly restartUnderAttack?: boolean
}

export const usualSeconds = 10
