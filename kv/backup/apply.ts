/** Recovery carried out: a new cluster from the best of the surviving directories, whose old log and state stay in it, put aside. */
import { connect } from "node:net"
import { realpath } from "node:fs/promises"
import { sameMember, votersOf, type Member } from "../../core/index.ts"
import { nodeFiles, takeLock, type DirectoryLock } from "../../interpreters/file/index.ts"
import { parseAddress } from "../../interpreters/tcp/index.ts"
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
  /** Where members listen to their peers, by name, as far as the log does not say. */
  readonly peers: Readonly<Record<string, string>>
  readonly acceptLostWrites: boolean
  readonly skip: number
  /** Milliseconds that a member has to answer. */
  readonly timeout: number
  /** In the name of the directory that is kept: when it was, without a dot. */
  readonly stamp: string
}
export interface AppliedRecovery extends Made {
  /** Null: it was decided by an earlier command, and this one has finished it. */
  readonly plan: Plan | null
  /** Where the log and the state are now that the new ones were made from. */
  readonly kept: string
}

/** Nobody listens there, or the machine is gone. Anything else says nothing about it: a name that is not found may be mistyped. */
const ABSENT: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "ENETUNREACH",
  "ETIMEDOUT",
])
/** Somebody listens there. Whether he is what he was cannot be known from here: whoever answers must be stopped before. */
const answers = (name: string, address: string, timeout: number): Promise<boolean> =>
  new Promise((answered, failed) => {
    const at = parseAddress(address)
    if (at === null) return failed(new MemberNotAsked({ name, address, found: "that is no HOST:PORT" }))
    const socket = connect({ host: at.host, port: at.port })
    const end = (there: boolean): void => {
      socket.destroy()
      answered(there)
    }
    socket.setTimeout(timeout, () => end(false))
    socket.once("connect", () => end(true))
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (ABSENT.has(error.code ?? "")) return end(false)
      socket.destroy()
      return failed(new MemberNotAsked({ name, address, found: error.message }))
    })
  })

/** Fails unless nobody of the old cluster answers: with MajorityAlive if, with those whose directories are whole, it would be a majority. */
const requireLost = async (
  { best, survivors, lost }: Plan,
  peers: ApplyRecoveryOptions["peers"],
  timeout: number,
): Promise<void> => {
  const { configuration } = best
  const addressOf = ({ name }: Member): string | undefined => peers[name] ?? configuration.addresses?.[name]
  const voters = votersOf(configuration).map(({ name }) => name)
  const unknown = Object.keys(peers).filter((name) => !voters.includes(name))
  if (unknown.length > 0) throw new NoSuchVoter({ names: unknown, voters })
  const nowhere = lost.filter((member) => addressOf(member) === undefined)
  if (nowhere.length > 0) throw new AddressUnknown({ names: nowhere.map(({ name }) => name) })
  const asked = await Promise.all(
    lost.map(async (member) => ({ member, there: await answers(member.name, addressOf(member) ?? "", timeout) })),
  )
  const answering = asked.filter(({ there }) => there).map(({ member }) => member)
  const given = votersOf(configuration).filter((member) =>
    survivors.some(({ self, damage, refused }) => sameMember(self, member) && damage.length === 0 && refused === null),
  )
  const there = (member: Member): boolean => [...answering, ...given].some((one) => sameMember(one, member))
  if (isMajority(configuration, there))
    throw new MajorityAlive({ answering: answering.map(({ name }) => name), given: given.map(({ name }) => name) })
  if (answering.length > 0) throw new MembersAnswer({ names: answering.map(({ name }) => name) })
}

const RENEW_MS = 1_000
/** No node and no other command opens these meanwhile. `certain` fails if that is no longer sure. */
const whileLocked = async <A>(
  directories: readonly NodeDirectory[],
  work: (certain: () => Promise<void>) => Promise<A>,
): Promise<A> => {
  const locks: DirectoryLock[] = []
  const certain = async (): Promise<void> => {
    for (const lock of locks) await lock.renew()
  }
  // One that is lost is seen before anything is decided.
  const timer = setInterval(() => void certain().catch(() => undefined), RENEW_MS)
  try {
    for (const { log } of directories) locks.push(await takeLock(nodeFiles, log))
    return await work(certain)
  } finally {
    clearInterval(timer)
    for (const lock of locks) await lock.release()
  }
}
/** Each once: the same may have been given by two names. */
const directoriesAt = async (given: readonly string[]): Promise<readonly NodeDirectory[]> => {
  const all = new Map<string, NodeDirectory>()
  for (const one of given) {
    const at = await directoryAt(one)
    const real = await realpath(one)
    if (!all.has(real)) all.set(real, at)
  }
  return [...all.values()]
}

/** Finishes first what an earlier one has begun: then that is all. */
export const applyRecovery = async (
  { directories, peers, acceptLostWrites, skip, timeout, stamp }: ApplyRecoveryOptions,
  move?: Move,
): Promise<AppliedRecovery> => {
  for (const directory of directories) {
    const kept = await finishRecovery(directory, move)
    if (kept !== null) return { ...(await madeIn(directory)), plan: null, kept }
  }
  const all = await directoriesAt(directories)
  const { plan, ...made } = await whileLocked(all, async (certain) => {
    const plan = await recoveryPlanOf(all)
    const { best } = plan
    const at = all.find(({ data }) => data === best.directory)
    if (at === undefined || best.damage.length > 0) throw new NoSurvivor({ directories, found: best.damage.join("; ") })
    await requireLost(plan, peers, timeout)
    if (!acceptLostWrites) throw new LossNotAccepted({ after: new Date(best.last.time).toISOString() })
    await requireOwner(at.data)
    await requireMovable(at.data)
    return { ...(await decideRecovery(at.data, stamp, (to) => remake(at, plan, to, skip), certain, move)), plan }
  })
  const data = plan.best.directory
  // Another command may have been quicker.
  const kept = (await finishRecovery(data, move)) ?? keptAt(data, stamp)
  return { ...made, data, plan, kept }
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
