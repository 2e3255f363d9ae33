/**
 * Repair of a log with a damaged record. Nobody can tell what the record said, nor whether it was a vote. So the
 * directory must not vote any more, and the log cannot simply be cut off and used. But the other members know what was
 * committed. So the node moves everything aside, starts again with an empty directory of the same cluster, with a new
 * incarnation that has promised nothing, and asks the leader to make it a member: the same change that an operator
 * makes with `member replace`. Until that is committed it grants no vote.
 *
 * This is done once per directory: a disk that damages a second log must be replaced by a person.
 */
import * as fs from "node:fs/promises"
import { join } from "node:path"
import type { Configuration } from "../../core/index.ts"
import {
  inspectLog,
  isLock,
  nodeFiles,
  readFormat,
  type DirectoryFormat,
  type LogCorrupted,
  type SetAsideDamaged,
} from "../file/index.ts"
import type { Logger } from "../log.ts"
import { MemberRefused, type RunningMembers } from "../members/index.ts"

/** The folder in the data directory to which log and state are moved as they are. */
const ASIDE = "damaged"
/** A file in that folder, until the node votes again. */
const MARKER = "REPAIRING"
/** Content of the marker of a learner, which becomes a learner again. */
const LEARNER = "learner"

/** The last configuration that can be read. A later one may have been damaged; then the leader says so. */
const configurationOf = async (log: string): Promise<Configuration | null> => {
  const stored = (await inspectLog(nodeFiles, log))?.stored ?? null
  if (stored === null) return null
  const last = stored.entries.findLast((entry) => entry.kind === "configuration")
  return last?.configuration ?? stored.base.configuration
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
const exists = (path: string): Promise<boolean> =>
  fs.stat(path).then(
    () => true,
    (error: unknown) => {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return false
      throw error
    },
  )

/** Keeps every byte, then resets the log. After a crash at any point there is either the damaged log or the new one. */
export const setAside =
  (data: string, peers: () => number, log: Logger): SetAsideDamaged =>
  async (damage: LogCorrupted, format: DirectoryFormat): Promise<boolean> => {
    const { cluster, self } = format.identity
    // Without a cluster nothing was acknowledged yet; without peers nobody else can know it.
    if (cluster === null || peers() === 0) return false
    const aside = join(data, ASIDE)
    try {
      const now = await configurationOf(join(data, "log"))
      const learns = now?.learners.some(({ name }) => name === self.name) === true
      // No other member could let it join again: what is left of its log is the best copy that the cluster has.
      if (now?.voters.length === 1 && now.voters[0]?.name === self.name && now.outgoing.length === 0) return false
      const earlier = await readFormat(nodeFiles, join(aside, "log"))
      if (earlier?.identity.self.incarnation !== self.incarnation && (await exists(aside))) {
        log(
          "error",
          `${aside} already holds a log that was damaged earlier: this disk has damaged two, so the node does not repair itself a second time. Replace the disk. If you trust it, move ${aside} away, and start again`,
        )
        return false
      }
      if (earlier === null) await keepLog(data, aside, learns ? LEARNER : "")
      // The state belongs to the lost directory too: part of it may be newer than what is left of the log.
      if (await exists(join(data, "state"))) await fs.rename(join(data, "state"), join(aside, "state"))
      await nodeFiles.syncDirectory(aside)
      await nodeFiles.syncDirectory(data)
    } catch (error) {
      log(
        "error",
        `the damaged files could not be kept in ${aside}, so the node does not repair itself: ${reasonOf(error)}`,
      )
      return false
    }
    log(
      "error",
      `${damage.file} is damaged at offset ${damage.offset}: ${damage.reason}. Check the disk. The directory of ${self.name} (incarnation ${self.incarnation}) counts as lost; all of it is kept in ${aside}. ${self.name} starts again with an empty one, votes for nobody, and asks the others to make it a member again`,
    )
    return true
  }

/** Linked, not copied: the log's files are never changed in place after this, and it needs no disk space. */
const keepLog = async (data: string, aside: string, standing: string): Promise<void> => {
  const making = `${aside}.new`
  await fs.rm(making, { recursive: true, force: true })
  await fs.mkdir(join(making, "log"), { recursive: true, mode: 0o700 })
  for (const name of await fs.readdir(join(data, "log")))
    if (!isLock(name)) await fs.link(join(data, "log", name), join(making, "log", name))
  await fs.writeFile(join(making, MARKER), standing, { mode: 0o600 })
  await nodeFiles.syncDirectory(join(making, "log"))
  await nodeFiles.syncDirectory(making)
  await fs.rename(making, aside)
}

const AGAIN_MS = 5000

/** The folder in which the damaged files are kept, if the node does not vote again yet; null: there is no repair. */
export const unfinishedRepair = (data: string, log: Logger): Promise<string | null> =>
  exists(join(data, ASIDE, MARKER)).then(
    (found) => (found ? join(data, ASIDE) : null),
    (error: unknown) => {
      log("error", `it cannot be told whether this directory is being repaired: ${reasonOf(error)}`)
      return null
    },
  )

/** Asks until the node votes again. Returns the function that stops it. `aside`: what unfinishedRepair has found. */
export const repairItself = (
  aside: string,
  self: string,
  members: Pick<RunningMembers, "add" | "replace">,
  log: Logger,
  /** Called once the repair is over. */
  whole: () => void,
): (() => void) => {
  const marker = join(aside, MARKER)
  const over = new AbortController()
  let told = ""
  const tell = (text: string): void => {
    if (text !== told) log("warn", text)
    told = text
  }
  const repair = async (): Promise<void> => {
    let learns = (await fs.readFile(marker, "utf8")) === LEARNER
    while (!over.signal.aborted) {
      try {
        const { text } = await (learns ? members.add : members.replace)(self, {
          signal: over.signal,
          onProgress: (progress) => {
            if (progress.catchUp === null)
              tell(`${self} started again with an empty log and waits to become a member: ${progress.text}`)
          },
        })
        // As large as all data, and no use to anybody once others have given them again. The damaged log is small, and evidence.
        const gone = await fs.rm(join(aside, "state"), { recursive: true, force: true }).then(
          () => "Its former state was removed",
          (error: unknown) => `Its former state could not be removed: ${reasonOf(error)}`,
        )
        await fs.rm(marker, { force: true })
        whole()
        log("info", `${self} is whole again: ${text}. ${gone}; the damaged log is kept in ${aside} until you remove it`)
        return
      } catch (error) {
        if (over.signal.aborted) return
        // The member has become a voter since.
        if (error instanceof MemberRefused && error.reason === "otherIncarnation") learns = false
        tell(
          `${self} started again with an empty log and is not a member yet: ${reasonOf(error)} If no majority of the members comes back, see stepraft recover plan`,
        )
      }
      await new Promise<void>((resolve) => {
        const end = (): void => {
          clearTimeout(timer)
          resolve()
        }
        const timer = setTimeout(end, AGAIN_MS).unref()
        over.signal.addEventListener("abort", end, { once: true })
      })
    }
  }
  void repair().catch((error: unknown) => log("error", reasonOf(error)))
  return () => over.abort()
}
