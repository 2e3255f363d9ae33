/** Recovery carried out: a new cluster from the best of the surviving directories, which stays beside it as it was. */
import { connect } from "node:net"
import { existsSync } from "node:fs"
import { rename } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import { sameMember, votersOf, type Member } from "../../core/index.ts"
import { nodeFiles, takeLock } from "../../interpreters/file/index.ts"
import { parseAddress } from "../../interpreters/tcp/index.ts"
import { syncDirectory } from "../machine/leveldb/database.ts"
import { makeDirectory, type Made } from "./directory.ts"
import {
  AddressUnknown,
  AlreadyThere,
  LossNotAccepted,
  MajorityAlive,
  MemberNotAsked,
  MembersAnswer,
  NoSuchVoter,
  NoSurvivor,
} from "./errors.ts"
import { execute, imageOf, logIn, nodeDirectory, openState } from "./node-directory.ts"
import { isMajority, planRecovery, type Plan } from "./recover.ts"

export interface Applying {
  readonly directories: readonly string[]
  /** Where members listen to their peers, by name, as far as the log does not say. */
  readonly peers: Readonly<Record<string, string>>
  readonly acceptLostWrites: boolean
  readonly skip: number
  /** Milliseconds that a member has to answer. */
  readonly timeout: number
  /** In the name of the directory that is kept: when it was. */
  readonly stamp: string
}
export interface Applied extends Made {
  readonly plan: Plan
  /** Where the directory is now that the new one was made from. */
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
  peers: Applying["peers"],
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

export const applyRecovery = async ({
  directories,
  peers,
  acceptLostWrites,
  skip,
  timeout,
  stamp,
}: Applying): Promise<Applied> => {
  const plan = await planRecovery(directories)
  const { best } = plan
  if (best.damage.length > 0) throw new NoSurvivor({ directories, found: best.damage.join("; ") })
  await requireLost(plan, peers, timeout)
  if (!acceptLostWrites) throw new LossNotAccepted({ after: new Date(best.last.time).toISOString() })
  const kept = `${resolve(best.directory)}.before-recovery-${stamp}`
  if (existsSync(kept)) throw new AlreadyThere({ path: kept })

  const at = await nodeDirectory(best.directory)
  const lock = await takeLock(nodeFiles, at.log)
  const beside = `${resolve(best.directory)}.recovered-${stamp}`
  let made: Made
  try {
    made = await remake(at, plan, beside, skip)
  } finally {
    await lock.release()
  }
  await rename(best.directory, kept)
  await rename(beside, best.directory)
  await syncDirectory(dirname(resolve(best.directory)))
  return { ...made, data: best.directory, plan, kept }
}

const remake = async (
  at: Awaited<ReturnType<typeof nodeDirectory>>,
  { best, survivors }: Plan,
  data: string,
  skip: number,
): Promise<Made> => {
  const { stored } = await logIn(at)
  const state = await openState(at, { cluster: best.cluster, node: best.self.name }, best.whole)
  try {
    const { machine } = state
    const position = machine?.position() ?? null
    if (machine === null || position === null || stored === null)
      throw new NoSurvivor({ directories: [at.data], found: state.damage.join("; ") })
    await execute(
      machine,
      stored.entries.filter(({ index }) => index > position.index),
    )
    const base = machine.position()
    if (base === null)
      throw new NoSurvivor({ directories: [at.data], found: machine.stats().damaged ?? "the state cannot be read" })
    const term = Math.max(...survivors.map((one) => one.term))
    return await makeDirectory({ data, name: best.self.name, image: imageOf(machine), base, term, skip })
  } finally {
    await state.close()
  }
}
