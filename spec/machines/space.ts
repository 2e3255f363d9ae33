/** A user's machine in the explorer: every interleaving of a small cluster, with every order of a few commands. */
import { jsonCodec, plainCommand, type ReplicaWorldMachine } from "../../interpreters/replica/world/index.ts"
import { violationName } from "../../interpreters/simulation/index.ts"
import { spaces, type Space, type SpaceMachine } from "../explore/index.ts"
import { machineChecks } from "./checks.ts"
import type { MachineUnderTest } from "./definition.ts"

export interface MachineSpaceOptions<State, Command, Result> extends MachineUnderTest<State, Command, Result> {
  /** The commands that clients may propose, each any number of times. */
  readonly commands: readonly Command[]
  /** How many commands one log may hold. Default 2. */
  readonly length?: number
  /**
   * Servers, terms and what may happen to them; logs are never trimmed. Default: two servers, one term, immediate
   * writes.
   */
  readonly within?: Space
}

const small: Space = { ...spaces.tiny, slowDisk: false, bounds: { ...spaces.tiny.bounds, rounds: 1, crashes: 0 } }

/** For `explore`; a counterexample becomes a scenario with `toScenario(space, found, () => machineChecks(definition))`. */
export const machineSpace = <State, Command, Result>({
  commands,
  length = 2,
  within = small,
  ...definition
}: MachineSpaceOptions<State, Command, Result>): Space => {
  const { machine } = definition
  const { encode } = (typeof machine === "function" ? machine() : machine).commands ?? jsonCodec<Command>()
  /** Each sequence of entries is executed once, however many servers reach it. */
  const known = new Map<string, ReturnType<SpaceMachine["check"]>>()
  const run: SpaceMachine["check"] = (server, executed) => {
    const checks = machineChecks(definition)
    const fresh = checks.machine?.({
      index: 0,
      term: 0,
      time: 0,
      chain: 0,
      configuration: { voters: [], outgoing: [], learners: [] },
    }) as ReplicaWorldMachine<State, Command, Result>
    try {
      checks.applied?.(server, executed, fresh.apply(executed))
      return null
    } catch (error) {
      return { name: violationName(error), detail: error instanceof Error ? error.message : String(error) }
    }
  }
  return {
    ...within,
    name: "machine",
    about: `your state machine with ${commands.length} commands, of which a log holds ${length}; ${within.about}`,
    bounds: { ...within.bounds, commands: length },
    machine: {
      commands: commands.map((command, i) => ({ bytes: plainCommand(i + 1, encode(command)), checksum: i + 1 })),
      check: (server, executed) => {
        const key = executed.map((entry) => (entry.kind === "command" ? entry.payload.checksum : entry.kind)).join()
        const found = known.has(key) ? known.get(key) : run(server, executed)
        known.set(key, found ?? null)
        return found ?? null
      },
    },
  }
}
