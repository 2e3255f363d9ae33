/** A property that does not hold: the script that shows it, and how to repeat it. */
import type { Action, MachineWords, Script } from "../../interpreters/simulation/index.ts"
import type { SavedFailure, ScriptFailed } from "../scripts/index.ts"

/** An action in one line; commands in words where possible. */
const actionText = (action: Action, words: MachineWords | undefined): string => {
  if (action.type !== "propose" || words === undefined || action.payloads === undefined) return JSON.stringify(action)
  const commands = action.payloads.map(
    ({ hex }) =>
      words.command(
        Uint8Array.from({ length: hex.length >> 1 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16)),
      ) ?? "a command that cannot be read",
  )
  return `{"type":"propose","node":${JSON.stringify(action.node)}}  ${commands.join("; ")}`
}

export interface FailedRun {
  readonly script: Script
  readonly failed: ScriptFailed
  /** The seed and path of fast-check. */
  readonly seed: number
  readonly path: string
  readonly words?: MachineWords | undefined
  /** A further hint for the reader. */
  readonly hint?: string | null
}

export class WorldPropertyFailed extends Error {
  override readonly name = "WorldPropertyFailed"
  readonly script: Script
  readonly failed: ScriptFailed
  readonly seed: number
  readonly path: string
  readonly file: string
  readonly command: string
  constructor({ script, failed, seed, path, words, hint = null }: FailedRun, { file, command, advice }: SavedFailure) {
    const { actions } = script
    const atTheEnd =
      failed.action >= actions.length ? ["       then all faults are healed, as the saved script shows"] : []
    super(
      [
        failed.message,
        `  ${actions.length} actions, ${failed.steps} steps`,
        ...actions.map((action, i) => `  ${String(i + 1).padStart(3)}  ${actionText(action, words)}`),
        ...atTheEnd,
        `  seed ${seed}, path ${JSON.stringify(path)}`,
        `  ${advice}`,
        ...(hint === null ? [] : [`  ${hint}`]),
      ].join("\n"),
    )
    this.script = script
    this.failed = failed
    this.seed = seed
    this.path = path
    this.file = file
    this.command = command
  }
}
