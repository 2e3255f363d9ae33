/** Of the service, the server and the client together: what shows in random worlds with real clients. */
import type { Seeded } from "./mutant.ts"

export const worlds: readonly Seeded[] = [
  {
    id: "own-world-1",
    title: "a read joins a barrier that has begun before it came",
    patches: [
      { file: "interpreters/replica/session/barriers.ts", find: "    last.begun = true\n", replace: "" },
      { file: "interpreters/replica/session/barriers.ts", find: "    barrier.begun = true\n", replace: "" },
    ],
  },
  {
    id: "own-world-2",
    title: "a node goes on with its old numbers in a new session",
    patches: [
      {
        file: "interpreters/replica/session/session.ts",
        find: "    this.session = session\n    this.fencing = false\n    this.nextSequence = 1\n",
        replace: "    this.session = session\n    this.fencing = false\n",
      },
    ],
  },
  {
    id: "own-world-3",
    title: "a node takes it that its session stands after a snapshot in which it has ended",
    patches: [
      {
        file: "interpreters/replica/session/session.ts",
        find: "    if (lost) {\n",
        replace: "    if (lost && this.fencing) {\n",
      },
    ],
  },
]
