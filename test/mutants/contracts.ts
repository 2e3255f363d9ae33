import type { Seeded } from "./mutant.ts"

/** What the conformance suite (spec/conformance) is there for, in each implementation of a contract: see spec/README.md. */
export const contracts: readonly Seeded[] = [
  {
    id: "own-contract-1",
    title: "a disk in memory reports its last write before that is durable",
    patches: [
      {
        file: "interpreters/memory/disk.ts",
        find: "      settle(pending.length)\n      syncs += 1",
        replace: "      settle(pending.length - 1)\n      syncs += 1",
      },
    ],
  },
  {
    id: "own-contract-2",
    title: "a disk in memory tells again and again that it has failed",
    patches: [
      {
        file: "interpreters/memory/disk.ts",
        find: `        crash("none")\n        mine.handlers?.failed`,
        replace: `        pending = []\n        mine.handlers?.failed`,
      },
    ],
  },
  {
    id: "own-contract-3",
    title: "a simulated disk leaves the tail that was to be cut",
    patches: [
      {
        file: "interpreters/simulation/server/disk.ts",
        find: "storedAfter(disk, persist)",
        replace: "storedAfter(disk, { ...persist, truncateFrom: null })",
      },
    ],
  },
  {
    id: "own-contract-4",
    title: "a simulated crash keeps the latest of the outstanding writes instead of the first",
    patches: [
      {
        file: "interpreters/simulation/server/disk.ts",
        find: "disk.pending.slice(0, Math.max(kept, 0))",
        replace: "disk.pending.slice(length - Math.max(kept, 0))",
      },
    ],
  },
  {
    id: "own-contract-5",
    title: "a vote is on a simulated disk before the entries of its Persist",
    patches: [
      {
        file: "interpreters/simulation/server/disk.ts",
        find: "  node.disk.pending.push(effect)\n",
        replace:
          "  node.disk.pending.push(effect)\n  if (effect.hardState !== null) node.disk.hardState = effect.hardState\n",
      },
    ],
  },
  {
    id: "own-contract-6",
    title: "in memory a frame arrives while it is being sent",
    patches: [
      {
        file: "interpreters/memory/network.ts",
        find: "    nextTurn(() => {\n      if (this.passes()) what(other)\n    })",
        replace: "    what(other)",
      },
    ],
  },
  {
    id: "own-contract-7",
    title: "in memory the end of a process is not told to the others",
    patches: [
      {
        file: "interpreters/memory/network.ts",
        find: "          exchange.leave(name)\n          transport.close()",
        replace: "          exchange.leave(name)",
      },
    ],
  },
  {
    id: "own-contract-8",
    title: "the network in memory has no bound, for nothing is faster than memory",
    patches: [
      {
        file: "interpreters/memory/network.ts",
        find: "makePortTransport({ ...options, lost:",
        replace: "makePortTransport({ ...options, limits: { ...options.limits, unsentBytes: Infinity }, lost:",
      },
    ],
  },
  {
    id: "own-contract-9",
    title: "over TCP a peer's start is believed whatever was met before",
    patches: [
      {
        file: "interpreters/tcp/transport.ts",
        find: `    let refusal =
      checkHello(this.self, this.local, (name) => this.links.has(name), hello, connection.expected) ??
      checkStart(this.self, met, hello)
`,
        replace:
          "    let refusal = checkHello(this.self, this.local, (name) => this.links.has(name), hello, connection.expected)\n",
      },
    ],
  },
  {
    id: "own-contract-10",
    title: "over a port a peer's start is believed whatever was met before",
    patches: [{ file: "interpreters/port/link.ts", find: " ?? checkStart(self, met, hello)", replace: "" }],
  },
  {
    id: "own-contract-11",
    title: "over a port what a peer acknowledged is not remembered",
    patches: [
      { file: "interpreters/port/link.ts", find: "      recordClaim(accepted.sighting, message)\n", replace: "" },
    ],
  },
  {
    id: "own-contract-12",
    title: "LevelDB takes a chunk of a snapshot that is not the next one",
    patches: [
      {
        file: "kv/machine/leveldb/receiving.ts",
        find: "    if (offset !== incoming.offset) return incoming.offset\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-contract-13",
    title: "an image of LevelDB leaves out the sessions",
    patches: [
      {
        file: "kv/machine/leveldb/machine.ts",
        find: "sessions: sessionsOf(live.executor.sessions, base.time),",
        replace: "sessions: sessionsOf(live.executor.sessions, base.time).slice(1),",
      },
    ],
  },
  {
    id: "own-contract-14",
    title: "a snapshot that is not all there becomes LevelDB's state",
    patches: [
      {
        file: "kv/machine/leveldb/incoming.ts",
        find: "if (!this.complete || !this.reader.complete() || base === null)",
        replace: "if (base === null)",
      },
    ],
  },
  {
    id: "own-contract-15",
    title: "a restored snapshot is not what LevelDB opens the next time",
    patches: [
      { file: "kv/machine/leveldb/machine.ts", find: "      await this.directories.point(name)\n", replace: "" },
    ],
  },
  {
    id: "own-contract-16",
    title: "the store in memory answers within the call",
    patches: [
      {
        file: "kv/machine/memory.ts",
        find: "    queueMicrotask(() => {\n      this.applyNow(entries)\n      this.handlers?.applied(this.executor.base.index)\n    })",
        replace: "    this.applyNow(entries)\n    this.handlers?.applied(this.executor.base.index)",
      },
    ],
  },
  {
    id: "own-contract-17",
    title: "the store in memory loses its sessions when it is restored",
    patches: [{ file: "kv/machine/memory.ts", find: "sessions.load(session)", replace: "void session" }],
  },
  {
    id: "own-contract-18",
    title: "the store in memory takes a chunk from further on",
    patches: [
      {
        file: "kv/machine/memory.ts",
        find: "if (offset === incoming.length) {",
        replace: "if (offset >= incoming.length) {",
      },
    ],
  },
  {
    id: "own-contract-19",
    title: "a replica takes a chunk of a snapshot that is not the next one",
    patches: [
      {
        file: "interpreters/replica/machine/machine.ts",
        find: "        if (offset !== receiving.offset) return receiving.offset\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-contract-20",
    title: "a replica gives all its snapshots one id",
    patches: [
      {
        file: "interpreters/replica/machine/machine.ts",
        find: "const content = { id: newId(),",
        replace: `const content = { id: newId().slice(0, 8),`,
      },
    ],
  },
  {
    id: "own-contract-21",
    title: "a snapshot that a replica was restored from is gone after a crash",
    patches: [
      {
        file: "interpreters/replica/machine/machine.ts",
        find: "          await draft.commit()\n        } catch",
        replace: "          await draft.discard()\n        } catch",
      },
    ],
  },
  {
    id: "own-contract-22",
    title: "a replica says that it has executed a batch before it has",
    patches: [
      {
        file: "interpreters/replica/machine/machine.ts",
        find: "    const pace = makePacer()\n    const told: ExecutionReport[] = []\n    for (const entry of entries) {",
        replace:
          "    const pace = makePacer()\n    const told: ExecutionReport[] = []\n    handlers?.applied(entries.at(-1)?.index ?? executor.position.index)\n    for (const entry of entries) {",
      },
    ],
  },
  {
    id: "own-contract-23",
    title: "a state that keeps itself takes a chunk that is not the next one",
    patches: [
      {
        file: "interpreters/node/durable.ts",
        find: "        if (offset !== receiving.offset) return receiving.offset\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-contract-24",
    title: "a state that keeps itself goes on from its earlier place after it has become a copy",
    patches: [
      {
        file: "interpreters/node/durable.ts",
        find: "          executor = new DurableExecutor(machine, own, self)\n          await own.sync()",
        replace: "          await own.sync()",
      },
    ],
  },
  {
    id: "own-contract-25",
    title: "a state that keeps itself writes its place apart from its data",
    patches: [
      {
        file: "interpreters/node/durable.ts",
        find: "        executor.writeChanges(write)\n      })",
        replace: "        if (entries.length > 3) executor.writeChanges(write)\n      })",
      },
    ],
  },
  {
    id: "own-contract-26",
    title: "over TCP a service's question reaches whatever incarnation has the name",
    patches: [
      {
        file: "interpreters/tcp/link.ts",
        find: "    else if (to.incarnation !== live.incarnation) this.dropped.incarnation += 1\n    else if (pending.length",
        replace: "    else if (pending.length",
      },
    ],
  },
  {
    id: "own-contract-27",
    title: "over a port a service's question reaches whatever incarnation has the name",
    patches: [
      {
        file: "interpreters/port/link.ts",
        find: "    else if (to.incarnation !== live.incarnation) this.dropped.incarnation += 1\n    else this.current?.service(message)",
        replace: "    else this.current?.service(message)",
      },
    ],
  },
]
