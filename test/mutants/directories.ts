/** Directories that go back in time, exist twice or end early. */
import type { Seeded } from "./mutant.ts"

export const directories: readonly Seeded[] = [
  {
    id: "own-dirs-1",
    title: "a directory that never went through the start that was met is taken for a later one",
    patches: [
      {
        file: "core/starts.ts",
        find: `  if (then !== undefined && then !== wordOf(met, met.number)) return "forked"\n`,
        replace: "",
      },
    ],
  },
  {
    id: "own-dirs-2",
    title: "starts are not counted on the disk",
    patches: [
      {
        file: "interpreters/file/index.ts",
        find: "start: startAfter(current.start, randomBytes(6).readUIntBE(0, 6))",
        replace: "start: current.start",
      },
    ],
  },
  {
    id: "own-dirs-3",
    title: "a peer's start counts before it is remembered for good",
    patches: [
      {
        file: "interpreters/tcp/transport.ts",
        find: "this.sightings.record(hello.member, hello.start, () => this.judged(connection, hello, good, looked))",
        replace:
          "{\n      this.sightings.record(hello.member, hello.start, () => undefined)\n      good({ member: hello.member, start: hello.start, term: 0, index: 0 })\n    }",
      },
    ],
  },
  {
    id: "own-dirs-4",
    title: "a log that is shorter than FORMAT says is taken for whole",
    patches: [
      {
        file: "interpreters/file/recovery.ts",
        find: `      if (number === synced.segment && read.segment.bytes < synced.bytes)
        throw new LogCutShort({ file: path, found: read.segment.bytes, synced: synced.bytes })
`,
        replace:
          "      if (read.segment.bytes < 0) throw new LogCutShort({ file: path, found: read.segment.bytes, synced: synced.bytes })\n",
      },
    ],
  },
  {
    id: "own-dirs-5",
    title: "a state machine ahead of its log counts as restored, whatever it says",
    patches: [
      {
        file: "interpreters/node/recovery.ts",
        find: "position.index <= base.index || position.index === machine.beginsAt()",
        replace: "position.index <= base.index || position.index >= machine.beginsAt()",
      },
    ],
  },
  {
    id: "own-dirs-6",
    title: "a node that was refused goes on after its next start",
    patches: [
      {
        file: "kv/node/node.ts",
        find: "} else if (storage.refused === null) yield* place\n",
        replace: "} else yield* place\n",
      },
      {
        file: "interpreters/node/findCluster.ts",
        find: "  if (storage.refused !== null) withdrawn(storage.refused)\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-dirs-7",
    title: "what a peer acknowledged is not remembered",
    patches: [
      {
        file: "interpreters/tcp/link.ts",
        find: "    if (this.sighting !== null) recordClaim(this.sighting, message)\n",
        replace: "    if (this.sighting !== null && connection.isClosed) recordClaim(this.sighting, message)\n",
      },
    ],
  },
  {
    id: "own-dirs-8",
    title: "a second process pushes the first one out",
    patches: [
      {
        file: "interpreters/tcp/link.ts",
        find: '      lineage(live.start, hello.start) !== "same"\n',
        replace: '      lineage(live.start, hello.start) === "forked"\n',
      },
    ],
  },
  {
    id: "own-dirs-9",
    title: "a restored snapshot leaves no word of where the data begin",
    patches: [
      {
        file: "kv/machine/leveldb/database.ts",
        find: "encodeIdentity({ ...identity, format: FORMAT }, base.index)",
        replace: "encodeIdentity({ ...identity, format: FORMAT }, 0)",
      },
    ],
  },
  {
    id: "own-dirs-10",
    title: "a member that holds less than it acknowledged in a later start is taken in",
    patches: [
      {
        file: "core/starts.ts",
        find: "recovered.term < said.term || (recovered.term === said.term && recovered.index < said.index)",
        replace: "recovered.term < said.term",
      },
    ],
  },
]
