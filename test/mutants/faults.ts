/** Faults with a defined end: what a node does with a damaged log, and what a leader does about members by itself. */
import type { Seeded } from "./mutant.ts"

export const faults: readonly Seeded[] = [
  {
    id: "own-fault-1",
    title: "a log that begins anew after damage keeps its incarnation, and with it the right to vote",
    patches: [
      {
        file: "interpreters/file/index.ts",
        find: "self: newMember(identity.self.name), cluster",
        replace: "self: identity.self, cluster",
      },
    ],
  },
  {
    id: "own-fault-2",
    title: "a log that begins anew after damage forgets its cluster: several of them would found another one",
    patches: [
      {
        file: "interpreters/file/index.ts",
        find: "cluster: identity.cluster, founding: emptyConfiguration",
        replace: "cluster: null, founding: null",
      },
    ],
  },
  {
    id: "own-fault-3",
    title: "a disk may damage one log after the other: what was set aside first is overwritten",
    patches: [
      {
        file: "interpreters/node/repair.ts",
        find: "if (earlier?.identity.self.incarnation !== self.incarnation && (await exists(aside)))",
        replace: "if (earlier?.identity.self.incarnation === null)",
      },
    ],
  },
  {
    id: "own-fault-4",
    title: "the state of a damaged directory stays where it was",
    patches: [
      {
        file: "interpreters/node/repair.ts",
        find: `if (await exists(join(data, "state"))) await`,
        replace: `if (await exists(join(data, "nothing"))) await`,
      },
    ],
  },
  {
    id: "own-fault-5",
    title: "who is no member asks nobody but a leader that it does not know",
    patches: [{ file: "interpreters/members/members.ts", find: "leader ?? somebody()", replace: "leader" }],
  },
  {
    id: "own-fault-6",
    title: "the autopilot does not wait for the stated time",
    patches: [{ file: "interpreters/members/autopilot.ts", find: "millis < after", replace: "millis < 0" }],
  },
  {
    id: "own-fault-7",
    title: "the autopilot takes a vote away although fewer than stated are left",
    patches: [
      {
        file: "interpreters/members/autopilot.ts",
        find: "voters.length > leastVoters(numbers)",
        replace: "voters.length > 1",
      },
    ],
  },
  {
    id: "own-fault-8",
    title: "the autopilot promotes a learner that has not caught up",
    patches: [
      {
        file: "interpreters/members/autopilot.ts",
        find: "learners.find((learner) => isCaughtUp(view, learner))",
        replace: "learners[0]",
      },
      {
        file: "interpreters/members/goals.ts",
        find: "  if (!isCaughtUp(view, member)) return catchingUp(view, member)\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-fault-9",
    title: "who was away once stays away for the autopilot, though it is heard of",
    patches: [
      {
        file: "interpreters/members/autopilot.ts",
        find: "[...before.silent].filter(([key]) => keys.has(key))",
        replace: "[...before.silent]",
      },
    ],
  },
  {
    id: "own-fault-10",
    title: "the autopilot makes every waiting learner a voter",
    patches: [{ file: "interpreters/members/autopilot.ts", find: "voters.length < numbers.voters && ", replace: "" }],
  },
  {
    id: "own-fault-11",
    title: "a full disk stops the node",
    patches: [
      {
        file: "interpreters/file/wal.ts",
        find: `if ((isDiskFull(cause) || isOutOfDescriptors(cause)) && this.phase === "working") {`,
        replace: `if (isOutOfDescriptors(cause) && this.phase === "working") {`,
      },
    ],
  },
  {
    id: "own-fault-12",
    title: "what a write that found no room left behind is not cut off",
    patches: [
      { file: "interpreters/file/wal.ts", find: "file.truncate(offset).then(", replace: "Promise.resolve().then(" },
    ],
  },
  {
    id: "own-fault-13",
    title: "a server that knows no configuration votes",
    patches: [
      {
        file: "core/election.ts",
        find: `whether it has voted in this term.
    note(turn, "vote.refused.amnesiac")
    return
`,
        replace: `whether it has voted in this term.
    note(turn, "vote.refused.amnesiac")
`,
      },
    ],
  },
  {
    id: "own-fault-14",
    title: "the way by which the leader dials a newcomer is written down as where all find it",
    patches: [
      {
        file: "interpreters/members/members.ts",
        find: "if (!connected || hello?.advertises === undefined) return dialled ?? null",
        replace: "if (dialled !== undefined) return dialled",
      },
      {
        file: "interpreters/members/members.ts",
        find: `return hello.advertises === "" ? null : hello.advertises`,
        replace: "return connected && hello?.advertises === undefined ? null : null",
      },
    ],
  },
]
