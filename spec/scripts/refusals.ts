/**
 * What is guaranteed about directories that went back: every reachable server that has seen a later start of one
 * refuses it. This is decided here independently of the simulation: by the starts of each server, and by which servers
 * were connected when each of them began.
 */
import { isCut, nodeOf, resolveNode, type Action, type WorldState } from "../../interpreters/simulation/index.ts"

export interface DirectoryRefusals {
  readonly acted: (world: WorldState, action: Action) => void
  /** The node has started, and no other node refused it. Returns a node that should have refused it, or null if none should. */
  readonly started: (world: WorldState | null, node: string, wentBack: boolean) => string | null
}

export const expectedRefusals = (): DirectoryRefusals => {
  /** The last start on the directory in place, and on its copy. */
  const ran = new Map<string, { current: number; copy: number }>()
  const met = new Map<string, Map<string, number>>()
  const ranOf = (node: string): { current: number; copy: number } => {
    const known = ran.get(node) ?? { current: 0, copy: 0 }
    ran.set(node, known)
    return known
  }
  const metBy = (node: string): Map<string, number> => {
    const known = met.get(node) ?? new Map<string, number>()
    met.set(node, known)
    return known
  }
  const reachable = (world: WorldState, node: string): readonly string[] =>
    world.names.filter((other) => {
      const [a, b] = [nodeOf(world, node), nodeOf(world, other)]
      return other !== node && b.core !== null && !b.paused && !isCut(world, a, b) && !isCut(world, b, a)
    })
  return {
    acted: (world, action) => {
      if (action.type !== "copyDirectory" && action.type !== "swapDirectory" && action.type !== "wipe") return
      const node = resolveNode(world, action.node)
      if (node === undefined) return
      const boots = ranOf(node)
      if (action.type === "copyDirectory") boots.copy = boots.current
      else if (action.type === "swapDirectory" && nodeOf(world, node).copy !== null) {
        ran.set(node, { current: boots.copy, copy: boots.current })
        // The copy also remembers less about other directories.
        met.delete(node)
      } else if (action.type === "wipe") {
        ran.delete(node)
        met.delete(node)
        for (const known of met.values()) known.delete(node)
      }
    },
    started: (world, node, wentBack) => {
      const boot = world === null ? 1 : nodeOf(world, node).boot
      const boots = ranOf(node)
      for (const other of world === null ? [...ran.keys()].filter((name) => name !== node) : reachable(world, node)) {
        const known = metBy(other)
        if (wentBack && (known.get(node) ?? 0) > boots.current) return other
        known.set(node, boot)
        metBy(node).set(other, ranOf(other).current)
      }
      boots.current = boot
      return null
    },
  }
}
