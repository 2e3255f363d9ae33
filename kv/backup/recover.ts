/**
 * Recovery from a lost majority: what each surviving directory holds, what may be lost, and which of them a new cluster
 * is made from.
 *
 * A write that was acknowledged was on the disks of a majority. When a majority of the disks is gone, it may have been
 * on none of those that are left: nobody can tell. But it is known which of them holds most: the one whose last entry
 * has the latest term, and among those the one with the longest log. By the rules of elections, every committed entry
 * that is on any survivor is on that one.
 *
 * Entries there after the last executed one may never have been committed. They are executed anyway: a client that got
 * no answer had to expect that. What came after the last entry is gone, and clients whose writes were acknowledged
 * after it must write them again.
 */
import { join } from "node:path"
import type { Configuration, Entry, Member, Sighting } from "../../core/index.ts"
import { majority, sameMember, votersOf } from "../../core/index.ts"
import { DamagedSurvivor, NoSurvivor, SurvivorsDiffer } from "./errors.ts"
import { logIn, nodeDirectory, openState, type NodeDirectory } from "./node-directory.ts"

/** An entry, and when it was appended, by the replicated clock. */
export interface Reach {
  readonly index: number
  readonly term: number
  readonly time: number
}
export interface Survivor {
  readonly directory: string
  readonly self: Member
  readonly cluster: string
  readonly term: number
  readonly vote: string | null
  /** The last entry that is durable here. */
  readonly last: Reach
  /** The last entry executed here, which was therefore committed. */
  readonly executed: Reach | null
  readonly configuration: Configuration
  /** What other members had told it that they hold. */
  readonly met: readonly Readonly<Sighting>[]
  /** Why nothing can be made from it; empty: it can be used. */
  readonly damage: readonly string[]
  /** Set if a peer found that its directory was restored to an earlier state, or is a copy. */
  readonly refused: string | null
  /** The log holds every entry, so the state can be rebuilt from it. */
  readonly whole: boolean
}
export interface Claimed extends Omit<Reach, "time"> {
  readonly name: string
}
export interface Plan {
  readonly cluster: string
  readonly voters: readonly string[]
  readonly survivors: readonly Survivor[]
  /** Voters whose directory was not given. */
  readonly lost: readonly Member[]
  readonly best: Survivor
  /** The directories are a majority, so no recovery is needed. */
  readonly majority: boolean
  /** Entries that will be executed although it is not known that they were committed. */
  readonly uncertain: number
  /** What lost members had acknowledged beyond what is left: if it was committed, it is known to be gone. */
  readonly beyond: readonly Claimed[]
}

const reachOf = ({ index, term, time }: Reach): Reach => ({ index, term, time })
const configurationIn = (base: Configuration, entries: readonly Entry[]): Configuration =>
  entries.reduce((latest, entry) => (entry.kind === "configuration" ? entry.configuration : latest), base)

const survivorAt = async (at: NodeDirectory): Promise<Survivor> => {
  const { format, stored, damage } = await logIn(at)
  const { self, cluster } = format.identity
  if (cluster === null || stored === null)
    throw new DamagedSurvivor({
      directory: at.data,
      found:
        cluster === null
          ? "it belongs to no cluster, so it holds no data"
          : damage.map(({ file, reason }) => `${file}: ${reason}`).join("; "),
    })
  const state = await openState(at, { cluster, node: self.name })
  try {
    const { position } = state
    const whole = stored.base.index === 0
    const end = stored.entries.at(-1) ?? stored.base
    const found = damage.map(
      ({ file, offset, reason }) => `${file}${offset === null ? "" : ` at offset ${offset}`}: ${reason}`,
    )
    if (position === null && !whole)
      found.push(
        ...(state.damage.length > 0
          ? state.damage
          : [`${at.state}: there are no data, and the log does not reach back to the first entry`]),
      )
    if (position !== null && position.index < stored.base.index)
      found.push(
        `${at.state}: entries ${position.index + 1} to ${stored.base.index} are neither in the data nor in the log`,
      )
    const configuration =
      position !== null && position.index > end.index && position.configuration.voters.length > 0
        ? position.configuration
        : configurationIn(stored.base.configuration, stored.entries)
    if (configuration.voters.length === 0)
      found.push(
        `it holds no data: it was started again after its log was damaged, and has not become a member since. The damaged log is kept in ${join(at.data, "damaged")}`,
      )
    // A state that was restored from a snapshot may be ahead of the log: it holds committed entries.
    const last = position !== null && position.index > end.index ? position : end
    return {
      directory: at.data,
      self,
      cluster,
      term: stored.hardState.term,
      vote: stored.hardState.vote?.name ?? null,
      last: reachOf(last),
      executed: position === null ? null : reachOf(position),
      configuration,
      met: format.met,
      damage: found,
      refused: format.refused === null ? null : `${format.refused.reason}, says ${format.refused.by}`,
      whole,
    }
  } finally {
    await state.close()
  }
}

const further = (a: Pick<Reach, "index" | "term">, b: Pick<Reach, "index" | "term">): number =>
  b.term - a.term || b.index - a.index
/** The best first: usable ones, then those that no peer has refused, then those that hold most. */
const ranked = (survivors: readonly Survivor[]): readonly Survivor[] =>
  survivors.toSorted(
    (a, b) =>
      Number(a.damage.length > 0) - Number(b.damage.length > 0) ||
      Number(a.refused !== null) - Number(b.refused !== null) ||
      further(a.last, b.last),
  )

/** The voters that are there are a majority; of both configurations if the configuration is joint. */
export const isMajority = ({ voters, outgoing }: Configuration, there: (member: Member) => boolean): boolean =>
  voters.length > 0 &&
  [voters, outgoing].every((half) => half.length === 0 || half.filter(there).length >= majority(half.length))

/** For directories in which no node runs. Changes nothing. */
export const planRecovery = async (directories: readonly string[]): Promise<Plan> => {
  const all: NodeDirectory[] = []
  for (const directory of directories) all.push(await nodeDirectory(directory))
  return recoveryPlanOf(all)
}
export const recoveryPlanOf = async (directories: readonly NodeDirectory[]): Promise<Plan> => {
  const survivors: Survivor[] = []
  for (const at of directories) survivors.push(await survivorAt(at))
  const [best, ...others] = ranked(survivors)
  if (best === undefined) throw new NoSurvivor({ directories: [], found: "no directory was given" })
  const stranger = others.find(({ cluster }) => cluster !== best.cluster)
  if (stranger !== undefined)
    throw new SurvivorsDiffer({
      one: best.directory,
      cluster: best.cluster,
      other: stranger.directory,
      otherCluster: stranger.cluster,
    })
  const given = (member: Member): boolean =>
    survivors.some(({ self, damage, refused }) => sameMember(self, member) && damage.length === 0 && refused === null)
  const voters = votersOf(best.configuration)
  const executed = Math.max(...survivors.map(({ executed }) => executed?.index ?? 0))
  const claims = survivors
    .flatMap(({ met }) => met)
    .filter(({ member }) => !survivors.some(({ self }) => sameMember(self, member)))
  const latest = new Map<string, Claimed>()
  for (const {
    member: { name },
    index,
    term,
  } of claims) {
    const said = { name, index, term }
    if (further(latest.get(name) ?? best.last, said) > 0) latest.set(name, said)
  }
  return {
    cluster: best.cluster,
    voters: voters.map(({ name }) => name),
    survivors: ranked(survivors),
    lost: voters.filter((member) => !survivors.some(({ self }) => sameMember(self, member))),
    best,
    majority: isMajority(best.configuration, given),
    uncertain: Math.max(0, best.last.index - executed),
    beyond: [...latest.values()],
  }
}
