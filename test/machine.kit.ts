/** Helpers of the state machine's tests: entries by hand, machines in temporary directories, and waiting. */
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { CommandEntry, Entry } from "../core/index.ts"
import type { SnapshotImage } from "../interpreters/contract.ts"
import { payloadOf } from "../interpreters/payload.ts"
import { type KvMachine, type MachineOptions, imageDigest, encodeCommand, openMachine } from "../kv/machine/index.ts"
import { SECRET_BYTES } from "../kv/sessionKey.ts"
import type { Call, Command, Reply } from "../kv/types.ts"

export const buffers = (...words: readonly (string | Uint8Array)[]): Call =>
  words.map((word) => (typeof word === "string" ? Buffer.from(word, "latin1") : word))
export const entryOf = (index: number, time: number, command: Command): CommandEntry => ({
  kind: "command",
  index,
  term: 1,
  time,
  chain: index,
  payload: payloadOf(encodeCommand(command)),
})

/** Of a test's session. */
export const secretFor = (name: string): Buffer => Buffer.alloc(SECRET_BYTES, name)

/** What a test compares: bulk strings as text. */
export const plain = (reply: Reply): unknown => {
  switch (reply.type) {
    case "simple":
      return `+${reply.text}`
    case "error":
      return `-${reply.code} ${reply.text}`
    case "integer":
      return reply.value
    case "bulk":
      return Buffer.from(reply.bytes).toString("latin1")
    case "null":
      return null
    case "array":
      return reply.items.map(plain)
    case "map":
      return reply.entries.map(([key, value]) => [plain(key), plain(value)])
  }
}

/** Writes a log: one session, opened by the first entry, one call per entry. */
export class Log {
  readonly entries: Entry[] = []
  time: number
  session = 0
  private sequence = 0
  constructor(time = 1_000_000) {
    this.time = time
    this.session = this.add({ type: "OpenSession", owner: "test", secret: secretFor("t") })
  }
  add(command: Command): number {
    const index = this.entries.length + 1
    this.entries.push(entryOf(index, this.time, command))
    return index
  }
  call(...words: readonly (string | Uint8Array)[]): number {
    this.sequence++
    return this.add({
      type: "Execute",
      session: this.session,
      secret: secretFor("t"),
      sequence: this.sequence,
      lowest: this.sequence,
      exec: false,
      watches: [],
      calls: [buffers(...words)],
    })
  }
  from(index: number): Entry[] {
    return this.entries.slice(index)
  }
}

const directories: string[] = []
export const temporary = (): string => {
  const directory = mkdtempSync(join(tmpdir(), "stepraft-machine-"))
  directories.push(directory)
  return directory
}
export const removeTemporary = (): void => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true })
}

const namesIn = (root: string): string => readdirSync(root, { recursive: true }).map(String).sort().join("\n")

/** null: LevelDB's own thread wrote or removed a file meanwhile, so the copy is not consistent. */
const tryToCopy = (root: string): string | null => {
  const before = namesIn(root)
  const copy = temporary()
  try {
    cpSync(root, copy, { recursive: true })
    if (namesIn(root) === before) return copy
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error
  }
  rmSync(copy, { recursive: true, force: true })
  return null
}
/** A copy of the directory as a crash of the process would leave it while LevelDB writes. */
export const copyOf = (root: string): string => {
  for (;;) {
    const copy = tryToCopy(root)
    if (copy !== null) return copy
  }
}

export class Held {
  readonly machine: KvMachine
  readonly directory: string
  readonly damages: Error[] = []
  readonly failures: Error[] = []
  readonly replies: [number, number, unknown][] = []
  readonly opened: number[] = []
  restored = 0
  progress = 0
  private waiting: (() => void) | null = null
  private readonly scope: Scope.Closeable
  constructor(machine: KvMachine, directory: string, scope: Scope.Closeable) {
    this.machine = machine
    this.directory = directory
    this.scope = scope
    const wake = (): void => {
      const { waiting } = this
      this.waiting = null
      waiting?.()
    }
    machine.attach({
      applied: wake,
      progress: () => {
        this.progress++
      },
      damaged: (error) => {
        this.damages.push(error)
        wake()
      },
      failed: (error) => {
        this.failures.push(error)
        wake()
      },
    })
    machine.listen({
      replied: ({ session, sequence, reply }) => {
        this.replies.push([session, sequence, plain(reply)])
      },
      opened: ({ session }) => {
        this.opened.push(session)
      },
      closed: () => {},
      restored: () => {
        this.restored++
      },
    })
  }
  /** Resolves when the batch is applied, or damage or failure was reported. */
  apply(entries: readonly Entry[]): Promise<void> {
    return new Promise((resolve) => {
      this.waiting = resolve
      this.machine.apply(entries)
    })
  }
  index(): number | null {
    return this.machine.position()?.index ?? null
  }
  async get(...words: readonly string[]): Promise<unknown> {
    return plain(await this.machine.read(buffers(...words)))
  }
  close(): Promise<void> {
    return Effect.runPromise(Scope.close(this.scope, Exit.void))
  }
}

export const open = async (directory: string, options: Partial<MachineOptions> = {}): Promise<Held> => {
  const scope = Scope.makeUnsafe()
  const machine = await Effect.runPromise(
    openMachine({ directory, cluster: "c", node: "n1", ...options }).pipe(Scope.provide(scope)),
  )
  return new Held(machine, directory, scope)
}

export const bytesOf = async (image: SnapshotImage): Promise<Buffer[]> => {
  const chunks: Buffer[] = []
  let offset = 0
  for (;;) {
    const { bytes, last } = await image.read(offset)
    chunks.push(Buffer.from(bytes))
    offset += bytes.length
    if (last) return chunks
  }
}
/** A digest of everything replicated: data, versions, deadlines, sessions, kept replies, position. */
export const digest = async (held: Held): Promise<string> => {
  const image = await held.machine.openSnapshot()
  try {
    return imageDigest(await bytesOf(image))
  } finally {
    await image.close()
  }
}
/** All steps: open, stream, store, restore. */
export const transfer = async (from: Held, to: Held): Promise<void> => {
  const image = await from.machine.openSnapshot()
  try {
    let offset = 0
    for (;;) {
      const { bytes, last } = await image.read(offset)
      offset = await to.machine.storeChunk(image.snapshot, offset, bytes, last)
      if (last) break
    }
    await to.machine.restore(image.snapshot)
  } finally {
    await image.close()
  }
}
