/** Mistakes of our own invention about what must never happen: conflicts, diverged logs, numbers at the edge, no room. */
import type { Seeded } from "./mutant.ts"

export const halts: readonly Seeded[] = [
  {
    id: "own-core-1",
    title: "a leader that contradicts what is committed is rejected again and again, as if the logs could still meet",
    patches: [
      {
        file: "core/halt.ts",
        find: "  if (index > commitIndex) return true\n",
        replace: "  if (index > 0) return true\n",
      },
    ],
  },
  {
    id: "own-core-2",
    title: "whose leader is forgotten with its connection follows a second one of the same term",
    patches: [
      {
        file: "core/halt.ts",
        find: "const known = state.termLeader",
        replace: `const known = state.role.type === "leader" ? state.self : state.role.type === "follower" ? state.role.leader : null`,
      },
    ],
  },
  {
    id: "own-core-3",
    title: "the chained checksum of what a leader says is not compared",
    patches: [
      {
        file: "core/halt.ts",
        find: "if (own.chain === chain) return true",
        replace: "if (own.chain === chain || chain >= 0) return true",
      },
    ],
  },
  {
    id: "own-core-4",
    title: "an acknowledgement counts whatever the follower holds there",
    patches: [
      {
        file: "core/replication.ts",
        find: "verifiedIndex > log.lastIndex || (log.chainAt(verifiedIndex) ?? verifiedChain) !== verifiedChain",
        replace: "verifiedIndex > log.lastIndex",
      },
    ],
  },
  {
    id: "own-core-5",
    title: "an acknowledgement of more than the leader's log holds is passed over in silence",
    patches: [
      {
        file: "core/replication.ts",
        find: "    probeFrom(turn, progress, Math.min(verifiedIndex, log.lastIndex) + 1)\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-core-6",
    title: "the base of a log is written without its chained checksum",
    patches: [{ file: "interpreters/bytes.ts", find: "  w.i32(base.chain)\n", replace: "  w.i32(0)\n" }],
  },
  {
    id: "own-core-7",
    title: "entries that do not follow from one another are taken",
    patches: [
      {
        file: "core/term.ts",
        find: `  if (
    message.type === "AppendEntries" &&
    message.entries.length > 0 &&
    chainBreaksAt(message.prevLogChain, message.entries) !== null
  ) {
`,
        replace:
          '  if (message.type === "AppendEntries" && chainBreaksAt(message.prevLogChain, message.entries) === -1) {\n',
      },
    ],
  },
  {
    id: "own-core-8",
    title: "at the last term there is another election",
    patches: [{ file: "core/roles.ts", find: "currentTerm >= MAX_TERM ||", replace: "currentTerm > MAX_TERM ||" }],
  },
  {
    id: "own-core-9",
    title: "a term that the codecs cannot write is adopted",
    patches: [
      {
        file: "core/term.ts",
        find: "message.term > state.currentTerm + MAX_TERM_LEAP || flawOfMessage(message) !== null",
        replace:
          "message.term > state.currentTerm + 2 ** 53 + MAX_TERM_LEAP || (message.term === 0 && flawOfMessage(message) !== null)",
      },
    ],
  },
  {
    id: "own-core-10",
    title: "a leader goes on while no quorum has room",
    patches: [
      {
        file: "core/proposals.ts",
        find: "state.spaceLow || !quorumHasRoom(state, leader)",
        replace: "state.spaceLow || (leader.round < 0 && !quorumHasRoom(state, leader))",
      },
    ],
  },
  {
    id: "own-core-11",
    title: "what a node did in the batch in which it stops is still sent and written",
    patches: [
      {
        file: "core/halt.ts",
        find: `  turn.effects = turn.effects.filter((effect) => effect.type === "Note")\n`,
        replace: "",
      },
    ],
  },
  {
    id: "own-core-12",
    title: "the driver reports that its node must stop, and goes on",
    patches: [
      {
        file: "interpreters/driver/driver.ts",
        find: "fail(new NodeHalted(effect.halted))",
        replace: "report(new NodeHalted(effect.halted).message)",
      },
    ],
  },
  {
    id: "own-core-13",
    title: "a message that the other end must refuse is sent all the same",
    patches: [
      {
        file: "interpreters/tcp/codec.ts",
        find: "  if (flaw !== null) throw new NumberOutOfDomain(",
        replace: "  if (flaw !== null && message.term < 0) throw new NumberOutOfDomain(",
      },
    ],
  },
  {
    id: "own-core-14",
    title: "a leader whose space is low does not hand over",
    patches: [
      {
        file: "core/handover.ts",
        find: '(state.machine === "ready" && !state.spaceLow)',
        replace: 'state.machine === "ready"',
      },
    ],
  },
]
