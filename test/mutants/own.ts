/** Mistakes of our own invention, from reading the code: what a good engineer could get wrong in it. */
import type { Seeded } from "./mutant.ts"

export const own: readonly Seeded[] = [
  {
    id: "own-1",
    title: "a configuration whose entry is truncated stays in force",
    patches: [
      {
        file: "core/durability.ts",
        find: `  while (state.configurations.length > 1 && (state.configurations.at(-1)?.index ?? 0) >= index)
    state.configurations.pop()
`,
        replace: "",
      },
    ],
  },
  {
    id: "own-2",
    title: "a server that starts again votes at once, although a leader may hold a lease on its word",
    patches: [
      {
        file: "core/step.ts",
        find: `newFollower(commitIndex, null, settings.leaseReads ? "active" : "lapsed")`,
        replace: `newFollower(commitIndex, null)`,
      },
    ],
  },
  {
    id: "own-3",
    title: "two logs that differ in the last entry share the chunk that it stands in",
    patches: [
      {
        file: "core/log.ts",
        find: "} else if (chunk.entries.length > place) {",
        replace: "} else if (chunk.entries.length > place + 1) {",
      },
    ],
  },
  {
    id: "own-4",
    title: "a read index given to an earlier life is taken",
    patches: [{ file: "core/reads.ts", find: "    bootId !== state.bootId ||\n", replace: "    bootId < 0 ||\n" }],
  },
  {
    id: "own-5",
    title: "a read joins the round that is under way",
    patches: [{ file: "core/reads.ts", find: "  round: leader.round + 1,\n", replace: "  round: leader.round,\n" }],
  },
  {
    id: "own-6",
    title: "an old deadline removes a key that was written anew",
    patches: [
      {
        file: "kv/machine/leveldb/batch.ts",
        find: "    if (overlay.get(key)?.expiry !== deadline) continue\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-7",
    title: "a new segment begins with a summary that includes the batch still to be written",
    patches: [
      {
        file: "interpreters/file/wal.ts",
        find: "createSegment(files, directory, number, this.durable)",
        replace: "createSegment(files, directory, number, this.current.after)",
      },
    ],
  },
  {
    id: "own-8",
    title: "an expired timer is believed although the batch that was waiting has set it anew",
    patches: [
      {
        file: "interpreters/driver/driver.ts",
        find: "        else doubted.delete(effect.timer)\n        timers.set(",
        replace: "        timers.set(",
      },
    ],
  },
  {
    id: "own-9",
    title: "a leader goes on reading under its lease after it has told a successor to campaign",
    patches: [{ file: "core/transfer.ts", find: "  barLease(turn, leader)\n", replace: "" }],
  },
  {
    id: "own-10",
    title: "a server that came back with another incarnation inherits the progress of the earlier one",
    patches: [
      {
        file: "core/reconfiguration.ts",
        find: "if (targets.some((member) => sameMember(member, progress.member))) continue",
        replace: "if (targets.some((member) => member.name === progress.member.name)) continue",
      },
    ],
  },
  {
    id: "own-11",
    title: "a server becomes a voter at once, without having been a learner",
    patches: [
      {
        file: "core/reconfiguration.ts",
        find: "  return voters.every((voter) => membersOf(now).some((member) => sameMember(member, voter)))\n",
        replace: "  return membersOf(now).length > 0\n",
      },
      {
        file: "core/reconfiguration.ts",
        find: `  return change.voters.every((voter) => isVoter(configuration, voter) || isFit(state, leader, voter, index))
    ? null
    : "notReady"
`,
        replace:
          '  return change.voters.every((voter) => isVoter(configuration, voter) || index >= 0) ? null : "notReady"\n',
      },
    ],
  },
  {
    id: "own-12",
    title: "a learner becomes a voter although it has not caught up",
    patches: [
      {
        file: "core/reconfiguration.ts",
        find: `  return change.voters.every((voter) => isVoter(configuration, voter) || isFit(state, leader, voter, index))
    ? null
    : "notReady"
`,
        replace:
          '  return change.voters.every((voter) => isVoter(configuration, voter) || index >= 0) ? null : "notReady"\n',
      },
    ],
  },
  {
    id: "own-13",
    title: "a late chunk of an older snapshot throws away the transfer under way",
    patches: [
      {
        file: "core/install.ts",
        find: "if (follower.install?.snapshot.id === snapshot.id) follower.install = null",
        replace: "follower.install = null",
      },
    ],
  },
  {
    id: "own-14",
    title: "a configuration of a log that a snapshot replaced stays in force",
    patches: [
      {
        file: "core/durability.ts",
        find: "  state.configurations = configurationsOf(empty.base, [])\n",
        replace:
          "  state.configurations = [...configurationsOf(empty.base, []), ...state.configurations.filter(({ index }) => index > empty.base.index)]\n",
      },
    ],
  },
  {
    id: "own-15",
    title: "a leader without a state machine does not ask whether the follower holds its base",
    patches: [
      {
        file: "core/replication.ts",
        find: `(machine === "ready" ? 0 : log.base.index)`,
        replace: `(machine === "ready" ? 0 : 0 * log.base.index)`,
      },
    ],
  },
  {
    id: "own-16",
    title: "a SCAN goes on behind the key where it stopped",
    patches: [
      { file: "kv/machine/commands/scan.ts", find: "      next = place\n", replace: "      next = place + 1\n" },
    ],
  },
  {
    id: "own-17",
    title: "a key that came and went is to its WATCH as if it had never been",
    patches: [
      {
        file: "kv/machine/removals.ts",
        find: "    if (version < ABSENT) return version === 0\n",
        replace: "    if (version < ABSENT || key.length >= 0) return version === 0 || version >= ABSENT\n",
      },
    ],
  },
  {
    id: "own-18",
    title: "which keys came and went is forgotten at a restart",
    patches: [
      {
        file: "kv/machine/leveldb/batch.ts",
        find: "    batch.put(removalKey(part), encodeRemoval(part, index))\n",
        replace: "",
      },
    ],
  },
]
