/** The diagnosis: a function from facts to findings. It asks no node and keeps no state. */
import { clientTimeouts, commitStalled, noLeader, snapshotFailing, unreachable } from "./cluster.ts"
import { viewOf, type ClusterFacts } from "./facts.ts"
import { ordered, type Finding } from "./findings.ts"
import { nodeRules, unwell } from "./nodes.ts"

export const diagnose = (facts: ClusterFacts): readonly Finding[] => {
  const view = viewOf(facts)
  const found = [noLeader, commitStalled, snapshotFailing, unreachable, ...nodeRules].flatMap((rule) => rule(view))
  const all = [...found, ...clientTimeouts(view, ordered(found))]
  return ordered([...all, ...unwell(view, all)])
}
