/** The first state of a world. */
import { checkSettings, defaultSettings } from "../../core/index.ts"
import { foldInPlace } from "./state/fold.ts"
import { networks } from "./server/network.ts"
import { founders, newNode, start } from "./server/nodes.ts"
import { defaultSnapshots } from "./server/snapshots.ts"
import type { WorldHooks, WorldOptions, WorldState } from "./state/types.ts"

/** All nodes are up and have taken their first step. */
export const makeWorld = (options: WorldOptions, hooks: WorldHooks = {}): WorldState => {
  const { seed, nodes = 3, settings, network = "reliable", disk, apply, snapshots, connections = false } = options
  const names = typeof nodes === "number" ? Array.from({ length: nodes }, (_, i) => `n${i + 1}`) : nodes
  if (names.length === 0) throw new RangeError("a world has at least one node")
  checkSettings({ ...defaultSettings, ...settings })
  const configuration = { voters: founders(names), outgoing: [], learners: [] }
  const world: WorldState = {
    seed: seed | 0,
    settings: { ...defaultSettings, ...settings },
    names,
    nodes: Object.fromEntries(names.map((name, slot) => [name, newNode(hooks, name, slot, configuration)])),
    now: 0,
    agenda: [],
    cuts: [],
    clogs: [],
    network: typeof network === "string" ? networks[network] : network,
    disk: disk ?? { min: 1, max: 1 },
    apply: apply ?? { min: 0, max: 2 },
    snapshots: { ...defaultSnapshots, ...snapshots },
    connections,
    planned: 0,
    steps: 0,
    messages: 0,
    entriesSent: 0,
    refs: 0,
  }
  const fold = foldInPlace(world, hooks)
  for (const name of names) start(fold, name)
  return world
}
