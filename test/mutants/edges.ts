/** Mistakes in what the core runs on: the driver, the files and the transport. */
import type { Seeded } from "./mutant.ts"

const driver: readonly Seeded[] = [
  {
    id: "own-driver-1",
    title: "a Persist is reported as it is handed over",
    patches: [
      {
        file: "interpreters/driver/driver.ts",
        find: "        storage.persist(effect)\n",
        replace: '        storage.persist(effect)\n        push({ type: "Persisted", seq: effect.seq })\n',
      },
    ],
  },
  {
    id: "own-driver-2",
    title: "the state machine gets an Apply while it is at another",
    patches: [
      {
        file: "interpreters/driver/applier.ts",
        find: "stopped || current !== null ? undefined",
        replace: "stopped ? undefined",
      },
    ],
  },
  {
    id: "own-driver-3",
    title: "proposals that were merged are all told the place of the first",
    patches: [
      {
        file: "interpreters/driver/requests.ts",
        find: "first: outcome.first + offset",
        replace: "first: outcome.first",
      },
    ],
  },
  {
    id: "own-driver-4",
    title: "a chunk that could not be put aside is told to nobody",
    patches: [
      {
        file: "interpreters/driver/images.ts",
        find: 'could not be stored: ${textOf(error)}`)\n          push({ type: "SnapshotRejected", id: snapshot.id })\n',
        replace: "could not be stored: ${textOf(error)}`)\n",
      },
    ],
  },
  {
    id: "own-driver-5",
    title: "a pinned image is forgotten instead of released",
    patches: [
      {
        file: "interpreters/driver/images.ts",
        find: "    void held.reads.then(() => release(held.image))\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-driver-6",
    title: "a timer can fire before its lower bound",
    patches: [
      {
        file: "interpreters/driver/timers.ts",
        find: "const deadline = at + min + random() * (max - min)",
        replace: "const deadline = at + random() * max",
      },
    ],
  },
  {
    id: "own-driver-7",
    title: "a state machine that tells its progress is taken for silent all the same",
    patches: [
      {
        file: "interpreters/driver/applier.ts",
        find: "    progress: () => {\n      looks = 0\n",
        replace: "    progress: () => {\n",
      },
    ],
  },
  {
    id: "own-driver-8",
    title: "what the state machine's apply rejects with is told to nobody",
    patches: [
      {
        file: "interpreters/driver/applier.ts",
        find: '.catch((thrown: unknown) => fail(broken("rejected", entries, thrown)))',
        replace: ".catch(() => {})",
      },
    ],
  },
]

const file: readonly Seeded[] = [
  {
    id: "own-file-gone-1",
    title: "a log that is taken away while the lock stays is not noticed",
    patches: [
      {
        file: "interpreters/file/watch.ts",
        find: "return gone === null ? renew() : new",
        replace: 'return gone === null || gone !== "" ? renew() : new',
      },
    ],
  },
  {
    id: "own-file-gone-2",
    title: "a table that cannot be opened counts as merged away",
    patches: [
      {
        file: "kv/machine/leveldb/files.ts",
        find: `"code" in thrown && thrown.code === "ENOENT") return null\n  throw thrown`,
        replace: `"code" in thrown) return null\n  throw thrown`,
      },
    ],
  },
  {
    id: "own-file-1",
    title: "a segment that was read back at the start counts as empty when the log is trimmed",
    patches: [
      {
        file: "interpreters/file/recovery.ts",
        find: "highest = Math.max(highest, readBody(r, read, rebuilt))",
        replace: "readBody(r, read, rebuilt)",
      },
    ],
  },
  {
    id: "own-file-2",
    title: "a trim takes the segment that holds the first entry after the base",
    patches: [
      {
        file: "interpreters/file/wal.ts",
        find: "      (segment) => segment === this.segment || segment.highest > this.durable.base.index,\n",
        replace: "      (segment) => segment === this.segment || segment.highest > this.durable.base.index + 1,\n",
      },
    ],
  },
]

const tcp: readonly Seeded[] = [
  {
    id: "own-tcp-health-1",
    title: "signs of life get no echo, so every link looks slow",
    patches: [
      {
        file: "interpreters/tcp/link.ts",
        find: "if (number > 0 && this.live !== null) this.outbound",
        replace: "if (number < 0 && this.live !== null) this.outbound",
      },
    ],
  },
  {
    id: "own-tcp-1",
    title: "what was meant for an earlier incarnation is delivered to the present one",
    patches: [
      {
        file: "interpreters/tcp/link.ts",
        find: "if (to.incarnation !== live.incarnation) {",
        replace: "if (to.name !== live.name) {",
      },
    ],
  },
  {
    id: "own-tcp-2",
    title: "a frame beyond the bound of unsent bytes is counted as dropped, and sent",
    patches: [
      {
        file: "interpreters/tcp/link.ts",
        find: "      w.length = at\n      this.overflow()\n",
        replace: "      this.overflow()\n",
      },
    ],
  },
  {
    id: "own-tcp-3",
    title: "one direction of a link outlives the other",
    patches: [
      {
        file: "interpreters/tcp/link.ts",
        find: '      other.fail(connectionLost(this.name, "the other direction was lost"))\n',
        replace: "",
      },
    ],
  },
  {
    id: "own-tcp-4",
    title: "a connection stays at the small frames of its handshake",
    patches: [
      { file: "interpreters/tcp/connection.ts", find: "    this.parser.limit = this.limits.frameBytes\n", replace: "" },
    ],
  },
  {
    id: "own-tcp-5",
    title: "a node of another cluster is listened to",
    patches: [
      {
        file: "interpreters/hello.ts",
        find: "hello.cluster !== null && local.cluster !== hello.cluster)",
        replace: 'hello.cluster !== null && local.cluster === "")',
      },
    ],
  },
  {
    id: "own-tcp-6",
    title: "a peer that is back is dialled in its turn, although it has just said where it is",
    patches: [
      {
        file: "interpreters/tcp/link.ts",
        find: "if (connection.expected === null && waits) this.startOver()",
        replace: "if (connection.expected !== null && waits) this.startOver()",
      },
    ],
  },
]

export const edges: readonly Seeded[] = [...driver, ...file, ...tcp]
