/** What a user's module exports for a world: a machine definition, or checks of any kind. */
import { machineChecks, type MachineUnderTest, type ScriptChecks } from "../index.ts"
import { failure } from "../../interpreters/cli/runtime.ts"
import { loadUserModule, type UserModule } from "./user-module.ts"

const isRecord = (value: unknown): value is UserModule => typeof value === "object" && value !== null
const isMachine = (value: unknown): boolean =>
  typeof value === "function" || (isRecord(value) && "initial" in value && typeof value["apply"] === "function")

const WANTED =
  "it must export `checks`, a function that returns the checks of a world: () => ({ machine, applied, observe, … }), as worldProperty takes them"
/** Imports `checks` of the module. */
const loadChecks = async (path: string): Promise<() => ScriptChecks> => {
  const loaded = await loadUserModule(path, "--check")
  const made: unknown = loaded["checks"] ?? loaded["default"]
  if (typeof made !== "function") throw failure(`${path}, named by --check, exports no checks: ${WANTED}`, 3)
  return () => {
    const checks: unknown = Reflect.apply(made, undefined, [])
    if (!isRecord(checks)) throw failure(`checks of ${path}, named by --check, returns ${String(checks)}: ${WANTED}`, 3)
    return checks
  }
}

/** Imports `machine`, and `invariant` and `describe` if they exist, from the module or its default export. */
const loadMachine = async (path: string): Promise<() => ScriptChecks> => {
  const loaded = await loadUserModule(path, "--machine")
  const whole = isMachine(loaded["machine"]) || !isRecord(loaded["default"]) ? loaded : loaded["default"]
  const { machine, invariant, describe } = whole as Partial<MachineUnderTest<unknown, unknown, unknown>>
  if (!isMachine(machine))
    throw failure(
      `${path}, named by --machine, exports no machine: it must export \`machine\`, with initial and apply as replicate takes it, and may export \`invariant\` and \`describe\` as worldProperty takes them`,
      3,
    )
  return () => machineChecks({ machine, invariant, describe } as MachineUnderTest<unknown, unknown, unknown>)
}

/** null: neither module was given. */
export const loadOwn = async ({
  machine,
  check,
}: {
  readonly machine: string | null
  readonly check: string | null
}): Promise<(() => ScriptChecks) | null> => {
  const parts = [
    check === null ? null : await loadChecks(check),
    machine === null ? null : await loadMachine(machine),
  ].filter((part) => part !== null)
  return parts.length === 0 ? null : () => Object.assign({}, ...parts.map((part) => part())) as ScriptChecks
}
