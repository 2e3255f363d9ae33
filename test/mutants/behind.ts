/** LevelDB is written later than entries are executed. */
import type { Seeded } from "./mutant.ts"

export const behind: readonly Seeded[] = [
  {
    id: "own-behind-1",
    title: "a snapshot is reported as taken through entries that are executed and not written yet",
    patches: [
      {
        file: "kv/machine/leveldb/machine.ts",
        find: "      const base = await this.writes.run(() => this.writtenBase())\n",
        replace: "      const { base } = this\n",
      },
    ],
  },
  {
    id: "own-behind-2",
    title: "an image is opened without the entries that are not written yet",
    patches: [
      {
        file: "kv/machine/leveldb/machine.ts",
        find: "      const base = await this.writtenBase()\n",
        replace: "      const { base } = this\n",
      },
    ],
  },
  {
    id: "own-behind-3",
    title: "a large read does not wait for entries that are not written yet",
    patches: [
      {
        file: "kv/machine/leveldb/reads.ts",
        find: "    while (this.unwritten !== null && this.ended === null) {",
        replace: "    while (this.unwritten === null && this.ended === null && this.index < 0) {",
      },
    ],
  },
  {
    id: "own-behind-4",
    title: "a small read sees LevelDB while entries are not written yet",
    patches: [{ file: "kv/machine/leveldb/reads.ts", find: "    this.unwritten = overlay\n", replace: "" }],
  },
  {
    id: "own-behind-5",
    title: "entries that were executed are forgotten when they cannot be written for want of room",
    patches: [
      {
        file: "kv/machine/leveldb/machine.ts",
        find: "        left = [...unwritten.entries, ...left.slice(done).filter(({ index }) => index > last)]\n",
        replace: "        left = left.slice(done).filter(({ index }) => index > last)\n",
      },
    ],
  },
  {
    id: "own-behind-6",
    title: "FLUSHALL leaves what was written shortly before",
    patches: [
      {
        file: "kv/machine/leveldb/overlay.ts",
        find: "    if (above.generation === this.generation) {",
        replace: "    this.generation = above.generation\n    if (above.generation === this.generation) {",
      },
    ],
  },
  {
    id: "own-behind-7",
    title: "the deadline of a key is known only once it is written",
    patches: [
      {
        file: "kv/machine/leveldb/overlay.ts",
        find: "    if (item.expiry !== 0 && item.expiry < this.earliest) this.earliest = item.expiry\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-behind-8",
    title: "a batch does not record what was removed",
    patches: [
      { file: "kv/machine/leveldb/machine.ts", find: "    executor.removals.written()\n", replace: "" },
      {
        file: "kv/machine/leveldb/machine.ts",
        find: "    executor.sessions.shown()\n",
        replace: "    executor.sessions.shown()\n    executor.removals.written()\n",
      },
    ],
  },
  {
    id: "own-behind-9",
    title: "a read of several turns takes the clock and the generation of its last turn for a state of its first",
    patches: [
      {
        file: "kv/machine/leveldb/reads.ts",
        find: "planRandom(0), state) : found",
        replace: "planRandom(0), { ...state, clock: this.clock, generation: this.generation }) : found",
      },
    ],
  },
]
