/** Every command that the server knows: those of the state machine, and those it answers itself. */
import { commands as storeCommands } from "../machine/index.ts"
import { clusterCommands } from "./commands/cluster.ts"
import { connectionCommands } from "./commands/connection.ts"
import { infoCommands } from "./commands/info.ts"
import { introspectionCommands } from "./commands/introspection.ts"
import { stepraftCommands } from "./commands/stepraft.ts"
import { transactionCommands } from "./commands/transaction.ts"
import type { Known, Lookup } from "./contract.ts"

const longestName = 32

export class Table implements Lookup {
  readonly all: readonly Known[]
  private readonly byName = new Map<string, Known>()

  constructor() {
    const store = Array.from(storeCommands.values(), ({ name, arity, flags, firstKey, lastKey, step, kind, scan }): Known => ({
      name: name.toLowerCase(),
      arity,
      flags,
      firstKey,
      lastKey,
      step,
      does: kind,
      // A transaction is one entry, executed at once on every node: no place to read the whole key space.
      underMulti: scan ? "refuse" : "queue",
    }))
    this.all = [...store, ...connectionCommands, ...transactionCommands, ...introspectionCommands, ...infoCommands, ...clusterCommands, ...stepraftCommands]
    for (const known of this.all) {
      this.byName.set(known.name, known)
      this.byName.set(known.name.toUpperCase(), known)
    }
  }

  /** Clients send a name in capitals or small letters; only a mixture pays for a second look. */
  find(name: Buffer | undefined): Known | undefined {
    if (name === undefined || name.length > longestName) return undefined
    const text = name.toString("latin1")
    return this.byName.get(text) ?? this.byName.get(text.toLowerCase())
  }
}
