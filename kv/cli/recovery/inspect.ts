/** `stepraft inspect …`: looks into a node's directory while the node is stopped. Nothing is changed. */
import { join } from "node:path"
import { type LogFound } from "../../../interpreters/file/index.ts"
import { exitCodes, failure } from "../../../interpreters/cli/runtime.ts"
import { Directories } from "../../machine/leveldb/directories.ts"
import { checkImage } from "../../backup/file.ts"
import { imagePieces, logIn, nodeDirectory, openState, type NodeDirectory } from "../../backup/node-directory.ts"
import { countText, printRecord, timeText, type OutputFormat } from "../print.ts"

const hex = (chain: number): string => (chain >>> 0).toString(16).padStart(8, "0")
const orNone = (texts: readonly string[]): string => (texts.length === 0 ? "none" : texts.join("; "))
const damageText = ({ file, offset, reason, resumes }: LogFound["damage"][number]): string =>
  `${file}${offset === null ? "" : ` at offset ${countText(offset)}`}: ${reason}${offset === null ? "" : resumes === null ? "; no whole record comes after it" : `; whole records again from offset ${countText(resumes)}`}`

/** Exit code 1 if something is damaged. */
const judged = (damage: readonly string[]): void => {
  if (damage.length > 0) throw failure("", exitCodes.failed)
}

const identityLines = ({ format: { identity, start, refused } }: LogFound): readonly (readonly [string, string])[] => [
  ["node", `${identity.self.name}, incarnation ${identity.self.incarnation}, started ${countText(start.number)} times`],
  ["cluster", identity.cluster ?? "none yet"],
  ...(refused === null ? [] : [["refused", `${refused.reason}, says ${refused.by}: ${refused.detail}`] as const]),
]

export const inspectWal = async (data: string, output: OutputFormat): Promise<void> => {
  const at = await nodeDirectory(data)
  const found = await logIn(at)
  const { format, segments, stored, unlisted } = found
  const damage = found.damage.map(damageText)
  const entries = stored?.entries ?? []
  const last = entries.at(-1) ?? stored?.base
  const configurations = entries.flatMap((entry) =>
    entry.kind === "configuration"
      ? [{ index: entry.index, voters: entry.configuration.voters.map(({ name }) => name) }]
      : [],
  )
  const value = {
    directory: at.log,
    node: format.identity.self,
    cluster: format.identity.cluster,
    starts: format.start.number,
    refused: format.refused,
    term: stored?.hardState.term ?? null,
    vote: stored?.hardState.vote?.name ?? null,
    begins:
      stored === null
        ? null
        : {
            index: stored.base.index,
            term: stored.base.term,
            time: stored.base.time,
            chain: hex(stored.base.chain),
            voters: stored.base.configuration.voters.map(({ name }) => name),
          },
    ends: last === undefined ? null : { index: last.index, term: last.term, time: last.time, chain: hex(last.chain) },
    entries: {
      noop: 0,
      command: 0,
      configuration: 0,
      ...Object.fromEntries(
        ["noop", "command", "configuration"].map((kind) => [
          kind,
          entries.filter((entry) => entry.kind === kind).length,
        ]),
      ),
    },
    configurations,
    segments,
    unlisted,
    damage: found.damage,
  }
  printRecord(output, value, [
    ["log", at.log],
    ...identityLines(found),
    [
      "term",
      stored === null
        ? "unreadable"
        : `${countText(stored.hardState.term)}, vote for ${stored.hardState.vote?.name ?? "nobody"}`,
    ],
    [
      "entries",
      stored === null || last === undefined
        ? "unreadable"
        : entries.length === 0
          ? `none after entry ${countText(last.index)} of term ${countText(last.term)}, checksum ${hex(last.chain)}, ${timeText(last.time)}`
          : `${countText(stored.base.index + 1)} to ${countText(last.index)} of term ${countText(last.term)}, checksum ${hex(last.chain)}, ${timeText(last.time)}`,
    ],
    [
      "kinds",
      `${countText(value.entries.command)} commands, ${countText(value.entries.noop)} of new leaders, ${countText(value.entries.configuration)} changes of members`,
    ],
    ...configurations.map(
      ({ index, voters }) => ["members", `${voters.join(", ")} from entry ${countText(index)} on`] as const,
    ),
    ...segments.map(
      ({ file, bytes, records, first, last: through, tornAt }) =>
        [
          "file",
          `${file}: ${countText(bytes)} bytes, ${countText(records)} records, ${first === null || through === null ? "no entries" : `entries ${countText(first)} to ${countText(through)}`}${tornAt === null ? "" : `; a record that was never acknowledged begins at offset ${countText(tornAt)}, and is cut off at the next start`}`,
        ] as const,
    ),
    ...(unlisted.length === 0
      ? []
      : [["unlisted", `${unlisted.join(", ")}: left by a crash, removed at the next start`] as const]),
    ["damage", orNone(damage)],
  ])
  judged(damage)
}

const stateOf = async (at: NodeDirectory, found: LogFound): Promise<Awaited<ReturnType<typeof openState>>> => {
  const { cluster, self } = found.format.identity
  return openState(at, { cluster: cluster ?? "", node: self.name })
}

/** Every record is read and checked. */
export const inspectState = async (data: string, output: OutputFormat): Promise<void> => {
  const at = await nodeDirectory(data)
  const found = await logIn(at)
  const state = await stateOf(at, found)
  try {
    const current = await Directories.currentOf(at.state)
    const damage = [...state.damage]
    const { machine, position, beginsAt } = state
    let contents: Awaited<ReturnType<typeof checkImage>> | null = null
    if (machine !== null && position !== null) {
      contents = await checkImage(at.state, imagePieces(machine)).catch((error: unknown) => {
        damage.push(error instanceof Error ? error.message : String(error))
        return null
      })
    }
    if (
      position === null &&
      damage.length === 0 &&
      found.format.identity.cluster !== null &&
      found.stored !== null &&
      found.stored.base.index > 0
    )
      damage.push(
        `${at.state}: there are no data, and the log does not reach back to the first entry: the state is rebuilt from a peer`,
      )
    const sessions = machine?.stats().sessions ?? 0
    printRecord(
      output,
      {
        directory: at.state,
        database: current ?? null,
        position:
          position === null
            ? null
            : { index: position.index, term: position.term, time: position.time, chain: hex(position.chain) },
        restoredThrough: beginsAt,
        keys: contents?.keys ?? null,
        dataBytes: contents?.bytes ?? null,
        expiring: contents?.expiring ?? null,
        sessions,
        damage,
      },
      [
        [
          "state",
          typeof current === "string"
            ? join(at.state, current)
            : `${at.state}: ${current === null ? "there are no data" : "the file that names the database is unreadable"}`,
        ],
        ...identityLines(found),
        [
          "executed",
          position === null
            ? "unknown"
            : `through entry ${countText(position.index)} of term ${countText(position.term)}, checksum ${hex(position.chain)}, ${timeText(position.time)}`,
        ],
        [
          "restored",
          position === null
            ? "unknown"
            : beginsAt === 0
              ? "never: every entry was executed here"
              : `from a snapshot through entry ${countText(beginsAt)}`,
        ],
        [
          "data",
          contents === null
            ? "unknown"
            : `${countText(contents.keys)} keys, ${countText(contents.bytes)} bytes of keys and values, ${countText(contents.expiring)} with a deadline; ${countText(sessions)} sessions`,
        ],
        ["damage", orNone(damage)],
      ],
    )
    judged(damage)
  } finally {
    await state.close()
  }
}

/** Shows from where the node would continue, and whether the log and the state fit together. */
export const inspectSnapshot = async (data: string, output: OutputFormat): Promise<void> => {
  const at = await nodeDirectory(data)
  const found = await logIn(at)
  const state = await stateOf(at, found)
  try {
    const {
      stored,
      format: { identity },
    } = found
    const { position } = state
    const last = stored === null ? null : (stored.entries.at(-1)?.index ?? stored.base.index)
    const verdict = ((): { readonly fits: boolean; readonly text: string } => {
      if (stored === null || last === null) return { fits: false, text: "the log cannot be read: stepraft inspect wal" }
      if (position === null) {
        const whole = stored.base.index === 0
        return {
          fits: whole,
          text:
            identity.cluster === null
              ? "the node belongs to no cluster yet"
              : whole
                ? "there is no state; it is rebuilt from the log, which holds every entry"
                : "the state is lost or damaged, and the log does not reach back to the first entry: it is rebuilt from a peer",
        }
      }
      if (position.index < stored.base.index)
        return {
          fits: false,
          text: `entries ${countText(position.index + 1)} to ${countText(stored.base.index)} are in neither: the state is rebuilt from a peer`,
        }
      if (position.index > last && position.index !== state.beginsAt)
        return {
          fits: false,
          text: `the state has executed ${countText(position.index - last)} entries that the log does not hold: the log has lost its end`,
        }
      return {
        fits: true,
        text:
          position.index >= last
            ? "nothing is left to be executed"
            : `entries ${countText(position.index + 1)} to ${countText(last)} are executed again as far as they are committed`,
      }
    })()
    const covers = stored?.base ?? null
    printRecord(
      output,
      {
        directory: at.data,
        covers:
          covers === null
            ? null
            : {
                index: covers.index,
                term: covers.term,
                time: covers.time,
                chain: hex(covers.chain),
                voters: covers.configuration.voters.map(({ name }) => name),
              },
        state:
          position === null
            ? null
            : { index: position.index, term: position.term, time: position.time, chain: hex(position.chain) },
        last,
        fits: verdict.fits,
        verdict: verdict.text,
        damage: state.damage,
      },
      [
        ["node", `${identity.self.name} in ${at.data}`],
        [
          "log begins",
          covers === null
            ? "unreadable"
            : covers.index === 0
              ? "with the first entry"
              : `after entry ${countText(covers.index)} of term ${countText(covers.term)}, checksum ${hex(covers.chain)}, ${timeText(covers.time)}; only the state covers what is before that`,
        ],
        [
          "state reaches",
          position === null
            ? "unknown"
            : `entry ${countText(position.index)} of term ${countText(position.term)}, checksum ${hex(position.chain)}, ${timeText(position.time)}`,
        ],
        ["log ends", last === null ? "unreadable" : `with entry ${countText(last)}`],
        ["at a start", verdict.text],
        ["damage", orNone(state.damage)],
      ],
    )
    if (!verdict.fits || state.damage.length > 0) throw failure("", exitCodes.failed)
  } finally {
    await state.close()
  }
}
