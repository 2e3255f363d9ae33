/**
 * Writes a log that begins after an entry whose effect is already in the state beside it: the first log of a new
 * cluster whose data come from a backup or from survivors.
 */
import { randomBytes } from "node:crypto"
import type { Configuration, LogBase, Member } from "../../core/index.ts"
import { nodeFiles, type Files } from "./files.ts"
import { unstartedFormat, writeFormat } from "./identity.ts"
import { createSegment } from "./segment.ts"

export interface CreatedLog {
  readonly self: Member
  readonly founding: Configuration
  readonly base: LogBase
}
/**
 * Creates the log of the only voter of a new cluster. Durable when this returns. The directory is created if necessary;
 * it must hold no log.
 */
export const createLog = async (
  directory: string,
  name: string,
  cluster: string,
  term: number,
  after: LogBase,
  files: Files = nodeFiles,
): Promise<CreatedLog> => {
  const self = { name, incarnation: randomBytes(8).toString("hex") }
  // The state was written at this feature level: a new cluster that started at a lower level could have members that
  // cannot read it.
  const { level } = after.configuration
  const founding: Configuration = {
    voters: [self],
    outgoing: [],
    learners: [],
    ...(level === undefined ? {} : { level }),
  }
  const base = { ...after, configuration: founding }
  await files.makeDirectory(directory)
  const { file } = await createSegment(files, directory, 1, {
    hardState: { term, vote: null },
    base,
    lastIndex: base.index,
  })
  await file.close()
  await writeFormat(files, directory, { ...unstartedFormat({ self, cluster, founding }), last: 1 })
  return { self, founding, base }
}
