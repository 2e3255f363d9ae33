import type { Foe } from "./foe.ts"

export interface Scenario {
  readonly name: string
  /** The description in --list, one line. */
  readonly about: string
  /** Called before the clock starts: prepares the data that the attack needs. */
  readonly prepare?: (foe: Foe) => Promise<void>
  readonly attack: (foe: Foe) => Promise<void>
  /** The most seconds that the attack may take; default 10. */
  readonly seconds?: number
  /** The limit of file descriptors of each node. */
  readonly descriptors?: number
  readonly env?: Readonly<Record<string, string>>
  /** At the restart every entry is executed again. */
  readonly replay?: boolean
  /** The attack deletes what polite clients wrote: only their times are judged, not their history. */
  readonly wipes?: boolean
  /** Another run with another seed makes sense. */
  readonly random?: boolean
  /** One node is killed and started again during the attack. */
  readonly restartUnderAttack?: boolean
}

export const usualSeconds = 10
