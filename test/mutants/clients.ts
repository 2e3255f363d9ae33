import type { Seeded } from "./mutant.ts"

const notOnce = {
  file: "kv/machine/executor.ts",
  find: "if (sequence <= session.last) return this.tell(out, command, session.replies.get(sequence) ?? forgotten, true)",
  replace: `if (sequence <= session.last) return this.tell(out, command, command.type === "Malformed" ? forgotten : this.alone(command), true)`,
}

export const clients: readonly Seeded[] = [
  { id: "bug-K1", title: "a command that comes again is executed again", patches: [notOnce] },
  {
    id: "bug-K2",
    title: "a command that is proposed again becomes a new command",
    patches: [
      {
        file: "interpreters/replica/session/proposalQueue.ts",
        find: "item.payload ??= this.options.encode(item)",
        replace: "item.payload = this.options.encode(item)",
      },
    ],
  },
  {
    id: "bug-K4",
    title: "a command is looked up in the session when it is proposed, not when it is applied",
    patches: [
      notOnce,
      {
        file: "kv/service/clientSessions.ts",
        find: "    const { maxArguments } = this.parts.settings\n",
        replace: `    const known = this.parts.machine.replyOf(key.id, key.secret, sequence)
    if (known.type === "kept") return this.parts.soon(() => done(known.reply))
    const { maxArguments } = this.parts.settings
`,
      },
    ],
  },
  {
    id: "bug-K5",
    title: "what was executed at an index is taken for what was proposed there, whatever the term",
    patches: [
      {
        file: "kv/service/clientSessions.ts",
        find: "each.index === index && each.term === term",
        replace: "each.index === index",
      },
    ],
  },
  {
    id: "bug-K7",
    title: "reads that wait at a leader are forgotten when it steps down",
    patches: [
      {
        file: "core/roles.ts",
        find: "    for (const read of role.reads) if (read.from === null) refuseRead(read.ref)\n",
        replace: "",
      },
    ],
  },
  {
    id: "bug-K7b",
    title: "proposals forwarded to a leader are forgotten when it falls",
    patches: [
      {
        file: "core/roles.ts",
        find: `  for (const { ref } of state.forwarded) respond(turn, ref, { type: "ProposalUnknown", leader })\n`,
        replace: "",
      },
    ],
  },
  {
    id: "bug-K8",
    title: "entries are handed to the state machine again while it is still executing them",
    patches: [{ file: "core/commit.ts", find: " || state.applying !== state.applied) return", replace: ") return" }],
  },
]
