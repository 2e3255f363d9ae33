/** What replicas of a user's own machine read: commands from the log, snapshots. */
import { MalformedBytes } from "../../../interpreters/malformed.ts"
import { utf8 } from "../../../interpreters/octets.ts"
import { crc32 } from "../../../interpreters/payload.ts"
import { decodeReplicaCommand, encodeReplicaCommand } from "../../../interpreters/replica/machine/command.ts"
import { linesOf, StateNotPlain } from "../../../interpreters/replica/machine/slices.ts"
import {
  readSnapshot,
  SnapshotDamaged,
  SnapshotOfOtherVersion,
  writeSnapshot,
} from "../../../interpreters/replica/machine/snapshot.ts"
import { must, orRefused, told, type Parser } from "../parser.ts"

const checkCommand = (input: Buffer): void => {
  const command = orRefused(() => decodeReplicaCommand(input), MalformedBytes)
  if (command?.type === "Execute")
    must(Math.min(command.session, command.sequence, command.lowest) >= 0, "a number below nothing")
  if (command !== undefined)
    must(Buffer.from(encodeReplicaCommand(command)).equals(input), "written again it is another command")
}

const stored = (content: Buffer) => ({
  size: content.length,
  read: (offset: number, size: number) =>
    Promise.resolve(Uint8Array.from(content.subarray(offset, Math.min(offset + size, offset + 100)))),
  close: () => Promise.resolve(),
})
type Content = Parameters<typeof writeSnapshot>[1]
const snapshotOf = async (content: Content): Promise<Buffer> => {
  const parts: Uint8Array[] = []
  const draft = {
    write: (bytes: Uint8Array) => {
      parts.push(Uint8Array.from(bytes))
      return Promise.resolve()
    },
    look: () => Promise.resolve(stored(Buffer.alloc(0))),
    commit: () => Promise.resolve(),
    discard: () => Promise.resolve(),
  }
  await writeSnapshot(draft, content, undefined)
  return Buffer.concat(parts)
}
const refusal = (error: unknown): null => {
  if (error instanceof SnapshotDamaged || error instanceof SnapshotOfOtherVersion) return null
  throw error
}
const checkSnapshot = async (input: Buffer): Promise<void> => {
  const content = await readSnapshot(stored(input), undefined).catch(refusal)
  if (content === null) return
  must(mendSnapshot(input).equals(input), "its checksum is wrong")
  // A number beyond 1e308 is read as infinite, as JSON.parse does it; no machine's state has one.
  const again = await snapshotOf(content).catch((error: unknown) => {
    if (error instanceof StateNotPlain) return null
    throw error
  })
  if (again === null) return
  const second = await readSnapshot(stored(again), undefined)
  // Further fields of its second line are no part of it.
  const known = ({ id, executor, state }: Content): string =>
    told({ id, executor: JSON.parse(JSON.stringify(executor)), state })
  must(known(second) === known(content), "written and read again it is another snapshot")
}
const END = /!.{0,12}\n?$/s
const ended = (body: string): Buffer => {
  const bytes = Buffer.from(body, "latin1")
  return Buffer.concat([bytes, utf8(`!${crc32(bytes, 0).toString(16).padStart(8, "0")}\n`)])
}
const mendSnapshot = (input: Buffer): Buffer => {
  const body = input.toString("latin1").replace(END, "")
  return ended(body.endsWith("\n") ? body : `${body}\n`)
}
const snapshot = (state: unknown): Buffer =>
  ended(
    Buffer.from(
      `stepraft replica 1\n${JSON.stringify({ id: "s1", executor: { position: { index: 3 }, digest: 1, sessionTable: {}, leases: {} } })}\n${[...linesOf(state)].join("")}`,
    ).toString("latin1"),
  )
const command = (of: Parameters<typeof encodeReplicaCommand>[0]): Buffer => Buffer.from(encodeReplicaCommand(of))

const RECORD = "interpreters/replica/machine/record.ts"
const COMMAND = "interpreters/replica/machine/command.ts"
const SNAPSHOT = "interpreters/replica/machine/snapshot.ts"
const SLICES = "interpreters/replica/machine/slices.ts"
export const parsers: readonly Parser[] = [
  {
    name: "replica-commands",
    about: "commands of replicas in the log: the same bytes when written again",
    files: [COMMAND, RECORD],
    seeds: () => [
      command({ type: "Open", owner: "a", secret: "0123" }),
      command({
        type: "Execute",
        session: 1,
        sequence: 2,
        lowest: 1,
        body: { type: "command", bytes: utf8('{"op":"add"}') },
      }),
      command({
        type: "Execute",
        session: 1,
        sequence: 3,
        lowest: 1,
        body: { type: "lease", request: { type: "take", name: "cron", holder: "a", ttl: 1000 } },
      }),
      command({
        type: "Execute",
        session: 1,
        sequence: 4,
        lowest: 1,
        body: { type: "lease", request: { type: "release", name: "cron", holder: "a" } },
      }),
      command({ type: "Compare", owner: "a", index: 9, digest: 7 }),
    ],
    check: checkCommand,
    faults: [
      {
        id: "fuzz-replica-commands-1",
        title: "bytes after a command are passed over",
        patches: [{ file: COMMAND, find: "  r.done()\n", replace: "" }],
      },
      {
        id: "fuzz-replica-commands-2",
        title: "a length past the end is no error of its own",
        patches: [{ file: RECORD, find: "if (bytes > left) throw", replace: "if (bytes > left + 1000) throw" }],
      },
      {
        id: "fuzz-replica-commands-3",
        title: "the high half of a count is read with its sign",
        patches: [
          {
            file: RECORD,
            find: "return this.view.getUint16(at) * HIGH",
            replace: "return this.view.getInt16(at) * HIGH",
          },
        ],
      },
    ],
  },
  {
    name: "replica-snapshots",
    about: "snapshots of replicas: damaged, or the same when written again",
    files: [SNAPSHOT, SLICES],
    seeds: () => [
      snapshot({ open: ["a", "b"], owners: { a: "x" }, count: -0 }),
      snapshot(Array.from({ length: 80 }, (_, at) => ({ at, text: "é\n" }))),
      snapshot(null),
    ],
    mend: mendSnapshot,
    check: checkSnapshot,
    faults: [
      {
        id: "fuzz-replica-snapshots-1",
        title: "its checksum is not looked at",
        patches: [
          {
            file: SNAPSHOT,
            find: 'if (text !== `!${sum.toString(16).padStart(8, "0")}`)',
            replace: "if (text.length < 2)",
          },
        ],
      },
      {
        id: "fuzz-replica-snapshots-2",
        title: "what is no JSON is no damage",
        patches: [
          {
            file: SNAPSHOT,
            find: "error instanceof MalformedSlices || error instanceof SyntaxError",
            replace: "error instanceof MalformedSlices",
          },
        ],
      },
      {
        id: "fuzz-replica-snapshots-3",
        title: "bytes after its end are passed over",
        patches: [
          {
            file: SNAPSHOT,
            find: "if (data.length > 0 || offset < snapshot.size) throw",
            replace: "if (offset < 0) throw",
          },
        ],
      },
    ],
  },
]
