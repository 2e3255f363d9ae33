import type { Seeded } from "./mutant.ts"

/** Peers over MessagePorts, and what is in memory. */
export const ports: readonly Seeded[] = [
  {
    id: "own-port-1",
    title: "over a port a message reaches whatever incarnation has the name",
    patches: [
      {
        file: "interpreters/port/link.ts",
        find: "if (to.incarnation !== live.incarnation) {",
        replace: "if (to.name !== live.name) {",
      },
    ],
  },
  {
    id: "own-port-2",
    title: "over a port nobody says what was taken: after 32 MB everything is dropped for ever",
    patches: [
      {
        file: "interpreters/port/connection.ts",
        find: "this.taken = Math.max(this.taken, frame.sent)",
        replace: "this.taken = Math.max(this.taken, 0)",
      },
    ],
  },
  {
    id: "own-port-3",
    title: "a second process over a port takes the place of the one that lives",
    patches: [
      {
        file: "interpreters/port/link.ts",
        find: `      this.doubt ??= this.current?.heard ?? 0
      this.current?.alive()
      return
`,
        replace: `      this.current?.end()
      this.current = null
`,
      },
    ],
  },
  {
    id: "own-port-4",
    title: "what is cut in memory arrives, if it was under way",
    patches: [
      {
        file: "interpreters/memory/network.ts",
        find: "    if (other === null || !this.passes()) return\n",
        replace: "    if (other === null) return\n",
      },
      { file: "interpreters/memory/network.ts", find: "if (this.passes()) what(other)", replace: "what(other)" },
    ],
  },
  {
    id: "own-port-5",
    title: "a disk in memory leaves the tail that was to be cut",
    patches: [
      {
        file: "interpreters/memory/disk.ts",
        find: "contents = { ...contents, ...storedAfter(contents, persist) }",
        replace: "contents = { ...contents, ...storedAfter(contents, { ...persist, truncateFrom: null }) }",
      },
    ],
  },
]
