/**
 * Carries out a recovery: makes a new cluster from the best of the surviving directories. The old log and state are
 * kept in that directory, set aside.
 */
import { realpath } from "node:fs/promises"
import { sameMember, votersOf, type Member } from "../../core/index.ts"
import { nodeFiles, takeLock, type DirectoryLock } from "../../interpreters/file/index.ts"
import { parseAddress, whoListens } from "../../interpreters/tcp/index.ts"
import { makeDirectory, requireOwner, type Made } from "./directory.ts"
import {
  AddressUnknown,
  LossNotAccepted,
  MajorityAlive,
  MemberNotAsked,
  MembersAnswer,
  NoSuchVoter,
  NoSurvivor,
} from "./errors.ts"
import {
  directoryAt,
  executeEntries,
  imagePieces,
  logIn,
  nodeDirectory,
  openState,
  type NodeDirectory,
} from "./node-directory.ts"
import { isMajority, recoveryPlanOf, type Plan } from "./recover.ts"
import { decideRecovery, finishRecovery, keptAt, requireMovable, type Move } from "./switch.ts"

export interface ApplyRecoveryOptions {
  readonly directories: readonly string[]
  /** The peer addresses of members, by name, if the log does not hold them. */
  readonly peers: Readonly<Record<string, string>>
  readonly acceptLostWrites: boolean
  readonly skip: number
  /** How long a member may take to answer, in milliseconds. */
  readonly timeout: number
  /** Part of the name under which the old log and state are kept: the time, without a dot. */
  readonly stamp: string
}
export interface AppliedRecovery extends Made {
  /** null: an earlier command decided on the recovery, and this one has completed it. */
  readonly plan: Plan | null
  /** Where the old log and state are kept. */
  readonly kept: string
  /** They were not counted as members. */
  readonly bystanders: readonly Bystander[]
}

/** Whoever listens at the old address of a member and is not that member. */
export interface Bystander {
  readonly name: string
  readonly address: string
  readonly found: string
}
type Asked = { readonly there: boolean; readonly bystander: Bystander | null }
/** A node that answers counts as the member, whatever its directory is by now: it must be stopped first. */
const asked = async ({ best }: Plan, name: string, address: string, timeout: number): Promise<Asked> => {
  const at = parseAddress(address)
  if (at === null) throw new MemberNotAsked({ name, address, found: "that is no HOST:PORT" })
  const members = votersOf(best.configuration).map((member) => member.name)
  const listener = await whoListens(at, name, best.cluster, members, timeout)
  if (listener.type === "unknown") throw new MemberNotAsked({ name, address, found: listener.found })
  return {
    there: listener.type === "node",
    bystander: listener.type === "other" ? { name, address, found: listener.found } : null,
  }
}

/**
 * Fails if any member of the old cluster answers: with MajorityAlive if those, together with the intact directories,
 * would be a majority. What else listens there is no reason to fail, and is returned.
 */
const requireLost = async (
  plan: Plan,
  peers: ApplyRecoveryOptions["peers"],
  timeout: number,
): Promise<readonly Bystander[]> => {
  const { best, survivors, lost } = plan
  const { configuration } = best
  const addressOf = ({ name }: Member): string | undefined => peers[name] ?? configuration.addresses?.[name]
  const voters = votersOf(configuration).map(({ name }) => name)
  const unknown = Object.keys(peers).filter((name) => !voters.includes(name))
  if (unknown.length > 0) throw new NoSuchVoter({ names: unknown, voters })
  const nowhere = lost.filter((member) => addressOf(member) === undefined)
  if (nowhere.length > 0) throw new AddressUnknown({ names: nowhere.map(({ name }) => name) })
  const found = await Promise.all(
    lost.map(async (member) => ({ member, ...(await asked(plan, member.name, addressOf(member) ?? "", timeout)) })),
  )
  const answering = found.filter(({ there }) => there).map(({ member }) => member)
  const given = votersOf(configuration).filter((member) =>
    survivors.some(({ self, damage, refused }) => sameMember(self, member) && damage.length === 0 && refused === null),
  )
  const there = (member: Member): boolean => [...answering, ...given].some((one) => sameMember(one, member))
  if (isMajority(configuration, there))
    throw new MajorityAlive({ answering: answering.map(({ name }) => name), given: given.map(({ name }) => name) })
  if (answering.length > 0) throw new MembersAnswer({ names: answering.map(({ name }) => name) })
  return found.flatMap(({ bystander }) => (bystander === null ? [] : [bystander]))
}

const RENEW_MS = 1_000
/**
 * Runs `work` while no node and no other command can open these directories. `certain` fails if that is no longer
 * guaranteed.
 */
const whileLocked = async <A>(
  directories: readonly NodeDirectory[],
  work: (certain: () => Promise<void>) => Promise<A>,
): Promise<A> => {
  const locks: DirectoryLock[] = []
  const certain = async (): Promise<void> => {
    for (const lock of locks) await lock.renew()
  }
  // A lost lock is noticed before anything is decided.
  const timer = setInterval(() => void certain().catch(() => undefined), RENEW_MS)
  try {
    for (const { log } of directories) locks.push(await takeLock(nodeFiles, log))
    return await work(certain)
  } finally {
    clearInterval(timer)
    for (const lock of locks) await lock.release()
  }
}
/** The directories, each once: the same directory may have been given under two names. */
const directoriesAt = async (given: readonly string[]): Promise<readonly NodeDirectory[]> => {
  const all = new Map<string, NodeDirectory>()
  for (const one of given) {
    const at = await directoryAt(one)
    const real = await realpath(one)
    if (!all.has(real)) all.set(real, at)
  }
  return [...all.values()]
}

/** If an earlier command has begun a recovery, it is completed, and nothing else is done. */
export const applyRecovery = async (
  { directories, peers, acceptLostWrites, skip, timeout, stamp }: ApplyRecoveryOptions,
  move?: Move,
): Promise<AppliedRecovery> => {
  for (const directory of directories) {
    const kept = await finishRecovery(directory, move)
    if (kept !== null) return { ...(await madeIn(directory)), plan: null, kept, bystanders: [] }
  }
  const all = await directoriesAt(directories)
  const { plan, bystanders, ...made } = await whileLocked(all, async (certain) => {
    const plan = await recoveryPlanOf(all)
    const { best } = plan
    const at = all.find(({ data }) => data === best.directory)
    if (at === undefined || best.damage.length > 0) throw new NoSurvivor({ directories, found: best.damage.join("; ") })
    const bystanders = await requireLost(plan, peers, timeout)
    if (!acceptLostWrites) throw new LossNotAccepted({ after: new Date(best.last.time).toISOString() })
    await requireOwner(at.data)
    await requireMovable(at.data)
    const made = await decideRecovery(at.data, stamp, (to) => remake(at, plan, to, skip), certain, move)
    return { ...made, plan, bystanders }
  })
  const data = plan.best.directory
  // Another command may have completed it first.
  const kept = (await finishRecovery(data, move)) ?? keptAt(data, stamp)
  return { ...made, data, plan, kept, bystanders }
}
/** What an earlier command has made. */
const madeIn = async (data: string): Promise<Made> => {
  const { format, stored } = await logIn(await nodeDirectory(data))
  const { self, cluster } = format.identity
  return {
    data,
    name: self.name,
    incarnation: self.incarnation,
    cluster: cluster ?? "",
    index: stored?.base.index ?? 0,
  }
}

const remake = async (at: NodeDirectory, { best, survivors }: Plan, data: string, skip: number): Promise<Made> => {
  const { stored } = await logIn(at)
  const state = await openState(at, { cluster: best.cluster, node: best.self.name }, best.whole)
  try {
    const { machine } = state
    const position = machine?.position() ?? null
    if (machine === null || position === null || stored === null)
      throw new NoSurvivor({ directories: [at.data], found: state.damage.join("; ") })
    await executeEntries(
      at,
      machine,
      stored.entries.filter(({ index }) => index > position.index),
    )
    const base = machine.position()
    if (base === null)
      throw new NoSurvivor({ directories: [at.data], found: machine.stats().damaged ?? "the state cannot be read" })
    const term = Math.max(...survivors.map((one) => one.term))
    return await makeDirectory({ data, name: best.self.name, image: imagePieces(machine), base, term, skip })
  } finally {
    await state.close()
  }
}
