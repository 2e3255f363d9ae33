/** The checks of a user's machine in a world, made at every command that any server executes. */
import type { Entry } from "../../core/index.ts"
import {
  disagreement,
  machineWords,
  replicaWorldMachine,
  valueText,
  type CommandExecuted,
  type EntryExecuted,
} from "../../interpreters/replica/world/index.ts"
import { PropertyViolated, type ScriptChecks } from "../scripts/index.ts"
import type { MachineUnderTest, StateInvariant } from "./definition.ts"

/** `apply` gives two outcomes for one command on one state, or another outcome on another server. */
export class MachineNotDeterministic extends Error {
  override readonly name = "MachineNotDeterministic"
  readonly violates = "NotDeterministic"
  constructor(detail: string, options?: ErrorOptions) {
    super(`NotDeterministic: ${detail}`, options)
  }
}

/** How many executed entries are remembered for comparison. */
const KEPT = 1000

type Invariants<State, Command, Result> = readonly (readonly [string, StateInvariant<State, Command, Result>])[]
export const namedInvariants = <State, Command, Result>({
  invariant,
}: Pick<MachineUnderTest<State, Command, Result>, "invariant">): Invariants<State, Command, Result> =>
  invariant === undefined
    ? []
    : typeof invariant === "function"
      ? [[invariant.name === "" ? "invariant" : invariant.name, invariant]]
      : Object.entries(invariant)

/** Why the invariant does not hold; null: it holds. */
const broken = <State, Command, Result>(
  invariant: StateInvariant<State, Command, Result>,
  server: string,
  { after, command, result, before, entry }: CommandExecuted<State, Command, Result>,
): string | null => {
  try {
    const answer = invariant(after, { command, result, before, index: entry.index, server })
    return answer === false ? "it does not hold" : typeof answer === "string" ? answer : null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** The checks of a world that runs the machine, created for each world. */
export const machineChecks = <State, Command, Result>(
  definition: MachineUnderTest<State, Command, Result>,
): ScriptChecks => {
  const { machine, describe = {} } = definition
  const made = typeof machine === "function" ? machine() : machine
  const invariants = namedInvariants(definition)
  const words = machineWords(made, describe)
  const shown = (state: State): string => valueText(describe.state === undefined ? state : describe.state(state))
  /** The server that executed an entry first, and its outcome. */
  const first = new Map<
    number,
    { readonly server: string; readonly executed: CommandExecuted<State, Command, Result> }
  >()

  const check = (server: string, entry: Entry, result: EntryExecuted<State, Command, Result>): void => {
    const { executed } = result
    if (executed === null || entry.kind !== "command") return
    const told = `${server} executes ${words.command(entry.payload.bytes) ?? "a command"} (entry ${entry.index})`
    if (executed.fault !== null) throw new MachineNotDeterministic(`${told}: ${executed.fault}`)
    const other = first.get(entry.index)
    if (other === undefined) {
      first.set(entry.index, { server, executed })
      first.delete(entry.index - KEPT)
    } else {
      const difference = disagreement(
        made,
        { outcome: other.executed.outcome, state: other.executed.after },
        { outcome: executed.outcome, state: executed.after },
      )
      if (difference !== null)
        throw new MachineNotDeterministic(
          `${told}, but the outcome differs from that on ${other.server}: ${difference} here. Both executed the same log, so the outcome depends on something outside of it, or a snapshot does not contain everything that apply uses`,
        )
    }
    for (const [name, invariant] of invariants) {
      const why = broken(invariant, server, executed)
      if (why !== null)
        throw new PropertyViolated(
          name,
          `${why}\n  ${told} → ${words.result(result) ?? "nothing"}\n  state before  ${shown(executed.before)}\n  state after   ${shown(executed.after)}`,
        )
    }
  }
  return {
    machine: replicaWorldMachine(machine, describe.state ?? null),
    words,
    own: [...invariants.map(([name]) => name), "NotDeterministic"],
    applied: (server, entries, results) => {
      for (const [i, entry] of entries.entries()) {
        const result = results[i] as EntryExecuted<State, Command, Result> | undefined
        if (result !== undefined) check(server, entry, result)
      }
    },
  }
}
