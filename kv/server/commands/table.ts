/** Every command that the server knows: those of the state machine, and those that it answers itself. */
import { commandSpecs as storeCommands } from "../../machine/index.ts"
import { memoryHelp, objectHelp } from "../../machine/commands/objects.ts"
import { authCommands } from "./auth.ts"
import { clientCommands } from "./clients.ts"
import { clusterCommands } from "./cluster.ts"
import { connectionCommands } from "./connection.ts"
import { infoCommands } from "./info.ts"
import { introspectionCommands } from "./introspection.ts"
import { stepraftCommands } from "./stepraft.ts"
import { transactionCommands } from "./transaction.ts"
import type { KnownCommand, Lookup, Subcommand } from "../contract.ts"
import { wrongMember } from "./container.ts"
import { arityOf } from "./syntax.ts"

const longestName = 32

const member = (name: string, syntax: string, summary: string): Subcommand => ({
  name,
  syntax,
  summary,
  arity: arityOf(syntax, 2),
})
const family = (name: string, ...subcommands: readonly Subcommand[]): Pick<KnownCommand, "subcommands" | "wrong"> => ({
  subcommands,
  wrong: (words) => wrongMember(name, subcommands, words),
})
/** Families of subcommands that the state machine answers. */
const families: Readonly<Record<string, Pick<KnownCommand, "subcommands" | "wrong">>> = {
  OBJECT: family(
    "object",
    ...["encoding", "freq", "idletime", "refcount"].map((name) => member(name, "key", objectHelp[name] ?? "")),
    member("help", "", "This list."),
  ),
  MEMORY: family("memory", member("usage", "key [SAMPLES count]", memoryHelp), member("help", "", "This list.")),
}

export class Table implements Lookup {
  readonly all: readonly KnownCommand[]
  private readonly byName = new Map<string, KnownCommand>()

  constructor() {
    const store = Array.from(
      storeCommands.values(),
      ({ name, arity, flags, firstKey, lastKey, step, kind, scan }): KnownCommand => ({
        name: name.toLowerCase(),
        arity,
        flags,
        firstKey,
        lastKey,
        step,
        does: kind,
        // A transaction is one entry, executed in one go on every node, so it must not read the whole key space.
        underMulti: scan ? "refuse" : "queue",
        ...families[name],
      }),
    )
    this.all = [
      ...store,
      ...connectionCommands,
      ...authCommands,
      ...clientCommands,
      ...transactionCommands,
      ...introspectionCommands,
      ...infoCommands,
      ...clusterCommands,
      ...stepraftCommands,
    ]
    for (const known of this.all) {
      this.byName.set(known.name, known)
      this.byName.set(known.name.toUpperCase(), known)
    }
  }

  /** Clients send names in upper or lower case; only mixed case needs a second lookup. */
  find(name: Buffer | undefined): KnownCommand | undefined {
    if (name === undefined || name.length > longestName) return undefined
    const text = name.toString("latin1")
    return this.byName.get(text) ?? this.byName.get(text.toLowerCase())
  }
}
