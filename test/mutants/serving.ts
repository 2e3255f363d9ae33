/** Mistakes in what serves people: the client, the server, the node and the command line. */
import type { Seeded } from "./mutant.ts"

const client: readonly Seeded[] = [
  {
    id: "own-client-1",
    title: "a write on a connection that broke counts as not executed",
    patches: [
      {
        file: "kv/client/core.ts",
        find: "if (operation !== refused && isNumbered(operation)) operation.uncertain = true",
        replace: "if (operation === refused && isNumbered(operation)) operation.uncertain = true",
      },
    ],
  },
  {
    id: "own-client-2",
    title: "the lowest unanswered number is told too high: replies are forgotten that have not arrived",
    patches: [
      {
        file: "kv/client/session.ts",
        find: "queue.find(isNumbered)?.sequence ?? own",
        replace: "queue.findLast(isNumbered)?.sequence ?? own",
      },
    ],
  },
  {
    id: "own-client-3",
    title: "of several writes under way more than the window are sent",
    patches: [
      {
        file: "kv/client/core.ts",
        find: "sent < queue.length && sent < settings.window",
        replace: "sent < queue.length",
      },
    ],
  },
]

const server: readonly Seeded[] = [
  {
    id: "own-server-1",
    title: "writes behind one of unknown outcome are answered as if nothing had been",
    patches: [
      {
        file: "kv/server/writing.ts",
        find: `      if (reply.type === "error" && reply.code === "UNKNOWN")
        order.abandon(queue.abandonBehind(slot, unknownBehindOnConnection))
`,
        replace: "",
      },
    ],
  },
  {
    id: "own-server-2",
    title: "a read overtakes the writes before it on its connection",
    patches: [
      { file: "kv/server/order.ts", find: "read !== head || this.abandoned > 0", replace: "this.abandoned > 0" },
    ],
  },
  {
    id: "own-server-3",
    title: "a read is served although its barrier was refused",
    patches: [
      {
        file: "kv/server/order.ts",
        find: "    if (barrier.refusal === null) return true\n",
        replace: "    return true\n",
      },
    ],
  },
  {
    id: "own-server-4",
    title: "a transaction runs although one of its commands was refused",
    patches: [
      { file: "kv/server/intake.ts", find: "    if (transaction !== null) transaction.aborted = true\n", replace: "" },
    ],
  },
  {
    id: "own-server-5",
    title: "what a slow reader has not taken yet is thrown away",
    patches: [
      {
        file: "kv/server/wire/output.ts",
        find: "taken === this.pieces.length ? [] : this.pieces.slice(taken)",
        replace: "[]",
      },
    ],
  },
  {
    id: "own-server-6",
    title: "a connection that was held stays deaf",
    patches: [
      {
        file: "kv/server/connection.ts",
        find: "      this.paused = false\n      this.socket.resume()\n",
        replace: "      this.paused = false\n",
      },
    ],
  },
  {
    id: "own-pipeline-1",
    title: "a read on the way of the write behind it is taken after that",
    patches: [
      { file: "kv/machine/executor.ts", find: "    if (command.secret === null) this.aboutTo(command)\n", replace: "" },
      {
        file: "kv/machine/executor.ts",
        find: "    this.sessions.executed(session, reply)\n    return this.tell(out, command, reply, true)\n  }\n  /**\n   * A connection that waits",
        replace:
          "    this.sessions.executed(session, reply)\n    if (command.secret === null) this.aboutTo(command)\n    return this.tell(out, command, reply, true)\n  }\n  /**\n   * A connection that waits",
      },
    ],
  },
  {
    id: "own-pipeline-2",
    title: "a read that its write did not take along is taken later",
    patches: [
      {
        file: "kv/server/order.ts",
        find: "    else for (const read of this.leaveBefore(write)) read.reply = readMissed\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-pipeline-3",
    title: "a read is taken on the way of a write in a session, which may stand in the log from before it came",
    patches: [{ file: "kv/server/order.ts", find: "(this.apart > 0 || !isInOrder(write))", replace: "this.apart > 0" }],
  },
  {
    id: "own-pipeline-4",
    title: "a read behind writes of its connection asks for no barrier",
    patches: [
      {
        file: "kv/server/order.ts",
        find: "    if (!read.linearizable) return\n",
        replace: "    if (!read.linearizable || this.writes > 0) return\n",
      },
      {
        file: "kv/server/order.ts",
        find: "if (barrier === null) return !read.linearizable",
        replace: "if (barrier === null) return true",
      },
    ],
  },
  {
    id: "own-pipeline-5",
    title: "after a snapshot was installed, a read waits for the answers of later writes that the state holds already",
    patches: [
      {
        file: "interpreters/replica/session/session.ts",
        find: "this.queue.list(0, this.queue.sent).toReversed()",
        replace: "this.queue.list(0, this.queue.sent)",
      },
    ],
  },
  {
    id: "own-pipeline-6",
    title: "a local read does not wait for the writes before it on its connection",
    patches: [
      {
        file: "kv/server/connection.ts",
        find: "if (this.queue.head !== null || this.order.writes > 0 || this.client",
        replace: "if (this.client",
      },
    ],
  },
  {
    id: "own-pipeline-7",
    title: "a local read overtakes writes of its connection that were given up and are still executed",
    patches: [{ file: "kv/server/connection.ts", find: "|| this.order.writes > 0 ||", replace: "||" }],
  },
  {
    id: "own-budget-1",
    title: "clients that hold too much together are left alone",
    patches: [
      {
        file: "kv/server/limits/budget.ts",
        find: "if (this.used <= this.limit || this.relieving) return",
        replace: "return",
      },
    ],
  },
  {
    id: "own-budget-2",
    title: "what a client that has gone left with the service counts as nothing",
    patches: [
      { file: "kv/server/connection.ts", find: "budget.weigh(this, orphaned)", replace: "budget.weigh(this, 0)" },
    ],
  },
  {
    id: "own-budget-3",
    title: "a connection works until it has nothing more to do",
    patches: [
      {
        file: "kv/server/connection.ts",
        find: "return this.shared.turns.now() >= this.until",
        replace: "return false",
      },
    ],
  },
  {
    id: "own-budget-4",
    title: "writes that answer with values are begun however much their client has to take",
    patches: [
      {
        file: "kv/server/limits/returning.ts",
        find: "return this.started === 0 || buffered",
        replace: "return this.started >= 0 || buffered",
      },
    ],
  },
  {
    id: "own-budget-5",
    title: "the transaction behind a refused WATCH runs",
    patches: [
      {
        file: "kv/server/commands/transaction.ts",
        find: `  if (words.length - 1 > maxWatched) {
    refused()
`,
        replace: "  if (words.length - 1 > maxWatched) {\n",
      },
    ],
  },
  {
    id: "own-budget-6",
    title: "numbers that the log cannot carry come in by the door",
    patches: [
      {
        file: "kv/server/words.ts",
        find: "export const LAST_NATURAL = 0xffff_ffff_ffff",
        replace: "export const LAST_NATURAL = Number.MAX_SAFE_INTEGER",
      },
    ],
  },
  {
    id: "own-budget-7",
    title: "a reply of which half has left goes on with another",
    patches: [
      { file: "kv/server/replies.ts", find: "      if (output.unsent !== unsent) throw thrown\n", replace: "" },
    ],
  },
]

const node: readonly Seeded[] = [
  {
    id: "own-node-1",
    title: "an amnesiac serves",
    patches: [
      {
        file: "kv/node/build.ts",
        find: "    if (isAmnesiac(driver.state()) || alive.refused !== null) return\n",
        replace: "    if (alive.refused !== null) return\n",
      },
    ],
  },
  {
    id: "own-node-2",
    title: "a node that is told to stop does not hand leadership over",
    patches: [{ file: "kv/node/build.ts", find: "      await driver.stop()\n", replace: "" }],
  },
  {
    id: "own-node-3",
    title: "a cluster is founded although a peer is not heard",
    patches: [
      {
        file: "interpreters/node/forming.ts",
        find: "!connected || hello === null || !hello.empty)",
        replace: "hello !== null && !hello.empty)",
      },
    ],
  },
  {
    id: "own-node-health-1",
    title: "a cluster that does not know an empty node is written down at once",
    patches: [
      {
        file: "interpreters/node/forming.ts",
        find: '      if (decision.type === "amnesiac") {\n',
        replace: `      if (decision.type === "amnesiac") {
        if (!bootstrap) end(Effect.succeed(decision))
`,
      },
    ],
  },
  {
    id: "own-node-4",
    title: "clients are answered by the service although the node has failed",
    patches: [
      {
        file: "kv/node/gate.ts",
        find: "    shut: () => {\n      behind = null\n",
        replace: "    shut: () => {\n      behind ??= null\n",
      },
    ],
  },
]

const commandLine: readonly Seeded[] = [
  {
    id: "own-cli-1",
    title: "a node that is started again is told to found a cluster",
    patches: [
      { file: "kv/cli/cluster/child.ts", find: "settings.words(lives === 0)", replace: "settings.words(lives >= 0)" },
    ],
  },
  {
    id: "own-cli-2",
    title: "status believes a deposed leader",
    patches: [
      {
        file: "kv/cli/status/gather.ts",
        find: "best === null || one.term > best.term ? one : best",
        replace: "best === null || one.term < best.term ? one : best",
      },
    ],
  },
  {
    id: "own-cli-3",
    title: "bench takes errors for successes",
    patches: [
      { file: "kv/cli/bench/load.ts", find: "          if (kind === 45) error(line.trimEnd())\n", replace: "" },
    ],
  },
  {
    id: "own-cli-4",
    title: "a swap that did not happen ends with exit code 0",
    patches: [
      {
        file: "kv/cli/data/data.ts",
        find: '  printInteger(done ? 1 : 0)\n  if (!done) throw failure("", exitCodes.failed)\n',
        replace: "  printInteger(done ? 1 : 0)\n",
      },
    ],
  },
]

export const serving: readonly Seeded[] = [...client, ...server, ...node, ...commandLine]
