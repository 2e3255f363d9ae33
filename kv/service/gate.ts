/** A command of a later version is let into the log only once every member can execute it. */
import { committedLevel } from "../../interpreters/features.ts"
import type { State } from "../../core/index.ts"
import { commandSpecs } from "../machine/index.ts"
import { err } from "../machine/reply.ts"
import type { Call, NodeStatus, Reply } from "../types.ts"

/** By its name: the level from which a command may be written. Those of the first level are left out. */
export const gated: ReadonlyMap<string, number> = new Map(
  Array.from(commandSpecs.values()).flatMap(({ name, level }) => (level > 1 ? [[name, level]] : [])),
)

/** Why none of these calls is written; null: nothing speaks against it. */
export const levelRefusal = (
  calls: readonly Call[],
  levels: ReadonlyMap<string, number>,
  state: Pick<State, "configurations" | "commitIndex">,
  status: () => Pick<NodeStatus, "features">,
): Reply | null => {
  if (levels.size === 0) return null
  for (const [name] of calls) {
    const word = Buffer.from(name ?? [])
      .toString("latin1")
      .toUpperCase()
    const needed = levels.get(word)
    const level = committedLevel(state)
    if (needed === undefined || needed <= level) continue
    const { heldBy } = status().features
    return err(
      `${word} needs feature level ${needed}; the cluster is at ${level}${heldBy === null ? "" : ` because ${heldBy}`}. Nothing was executed.`,
    )
  }
  return null
}
