/** Mistakes in what bounds an entry's work, what sessions keep, and in waiting for room. */
import type { Seeded } from "./mutant.ts"

export const costs: readonly Seeded[] = [
  {
    id: "own-cost-1",
    title: "a command that is refused for its cost leaves behind what it has written so far",
    patches: [{ file: "kv/machine/executor.ts", find: "    this.store.undo()\n", replace: "" }],
  },
  {
    id: "own-cost-2",
    title: "a large value is read for nothing",
    patches: [
      {
        file: "kv/machine/executor.ts",
        find: "    if (item.length > INLINE) this.meter.charge(item.length)\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-cost-3",
    title: "what sessions keep is bounded for each and not for all",
    patches: [
      {
        file: "kv/machine/sessions.ts",
        find: "    if (this.keptSize > MAX_KEPT_IN_ALL) this.share(session.id, size)\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-cost-4",
    title: "which session gives way to a new one hangs on the order in which this node saw them",
    patches: [
      {
        file: "kv/machine/sessions.ts",
        find: "      if (oldest === undefined || session.id < oldest.id) oldest = session\n",
        replace: "      oldest ??= session\n",
      },
    ],
  },
  {
    id: "own-cost-5",
    title: "a small value leaves the large one before it on the disk",
    patches: [
      {
        file: "kv/machine/leveldb/database.ts",
        find: "    if (large) batch.del(valueKey(generation, key))\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-cost-6",
    title: "a full disk ends the node",
    patches: [
      {
        file: "kv/machine/leveldb/room.ts",
        find: `  if (!(thrown instanceof Error)) return false\n`,
        replace: "  if (!(thrown instanceof Error) || ROOM_EVERY > 0) return false\n",
      },
    ],
  },
  {
    id: "own-cost-7",
    title: "the image for a follower that does not answer is kept for ever",
    patches: [
      {
        file: "core/snapshot.ts",
        find: "  if (mode.heartbeats >= GIVE_UP_AFTER) retryTransferLater(turn, progress)\n  else if (",
        replace: "  if (",
      },
    ],
  },
  {
    id: "own-cost-8",
    title: "after damage was found during an Apply nothing is executed any more, restored or not",
    patches: [
      {
        file: "interpreters/driver/applier.ts",
        find: "      current = null\n      waiting = []\n",
        replace: "      waiting = []\n",
      },
    ],
  },
]
