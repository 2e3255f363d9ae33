/** Exactly once where answers of copies meet, and who may speak for whom: each half of it left out. */
import type { Seeded } from "./mutant.ts"

export const once: readonly Seeded[] = [
  {
    id: "own-once-1",
    title: "a node takes it for the answer to a request that another copy of it came before its turn",
    patches: [
      {
        file: "kv/service/clientSessions.ts",
        find: "    else this.remember(request, { index, term, reply })\n",
        replace: "    else this.answer(request, reply)\n",
      },
    ],
  },
  {
    id: "own-once-2",
    title: "a client sends writes of unknown outcome again in a new session",
    patches: [
      {
        file: "kv/client/core.ts",
        find: "      if (isNumbered(operation) && operation.uncertain) settle(operation, sessionExpired(operation))\n",
        replace: "",
      },
    ],
  },
  {
    id: "own-once-3",
    title: "a client takes it that a command whose turn had not come can be sent in another session",
    patches: [
      {
        file: "kv/client/core.ts",
        find: "operation.uncertain ||= leavesOpen(reply.code)",
        replace: `operation.uncertain ||= reply.code === "UNKNOWN"`,
      },
      {
        file: "kv/client/core.ts",
        find: "    if (operation.uncertain) take(operation, sessionExpired(operation))\n",
        replace: "    if (operation.uncertain && !operation.misplaced) take(operation, sessionExpired(operation))\n",
      },
    ],
  },
  {
    id: "own-once-4",
    title: "a client gives a number that was refused to its next write",
    patches: [
      {
        file: "kv/client/core.ts",
        find: "operation.sequence !== null) returnNumber(session, operation.sequence)\n    const doubt = ",
        replace: "operation.sequence !== null) session.next = operation.sequence\n    const doubt = ",
      },
    ],
  },
  {
    id: "own-once-5",
    title: "a gap is told although another copy of the request is still on its way",
    patches: [
      {
        file: "kv/service/clientSessions.ts",
        find: "if (request.attempts > 0 || this.awaitsEarlier",
        replace: "if (this.awaitsEarlier",
      },
    ],
  },
  {
    id: "own-once-6",
    title: "a session is entered by its number alone",
    patches: [
      {
        file: "kv/machine/sessions.ts",
        find: "secret === null || sameSecret(session.secret, secret) ? session : undefined",
        replace: "session",
      },
    ],
  },
  {
    id: "own-once-7",
    title: "a stranger's request counts as activity of the session and forgets its replies",
    patches: [
      {
        file: "kv/machine/executor.ts",
        find: "    if (session === undefined) return this.tell(out, command, sessionExpired, false)\n",
        replace: `    const there = this.sessions.byIdentity(command.session)
    if (session === undefined && there !== undefined) this.sessions.touch(there, command.lowest, this.view.now)
    if (session === undefined) return this.tell(out, command, sessionExpired, false)
`,
      },
    ],
  },
  {
    id: "own-once-8",
    title: "a client's request may enter a node's own session",
    patches: [
      {
        file: "kv/machine/sessions.ts",
        find: "session === undefined || session.owner.startsWith(NODE_OWNER) !== (secret === null)",
        replace: "session === undefined",
      },
    ],
  },
  {
    id: "own-once-9",
    title: "a node's writes are sent again in a new session although the old one ended within a restored snapshot",
    patches: [
      {
        file: "interpreters/replica/session/session.ts",
        find: `      else if (state.type !== "notExecuted") lost = true\n`,
        replace: `      else if (state.type === "forgotten") lost = true\n`,
      },
    ],
  },
  {
    id: "own-once-10",
    title: "a client takes any error that it does not know for what its command gave",
    patches: [{ file: "kv/client/operation.ts", find: '      return "refused"\n', replace: '      return "result"\n' }],
  },
  {
    id: "own-once-11",
    title: "a node does not say of an error that the command gave it",
    patches: [
      {
        file: "kv/service/clientSessions.ts",
        find: "if (executed) this.answer(request, executedReply(reply))",
        replace: "if (executed) this.answer(request, reply)",
      },
    ],
  },
]
