/** The diagnosis: a function from facts to findings. It asks no node and keeps no state. */
import { accessDiffers, certificateEnds, filesUnusable } from "./access.ts"
import { clientTimeouts, commitStalled, noLeader, snapshotFailing } from "./cluster.ts"
import { secondProcesses } from "./doubled.ts"
import { viewOf, type ClusterFacts } from "./facts.ts"
import { ordered, type Finding } from "./findings.ts"
import { nodeRules, unwell } from "./nodes.ts"
import { unreachable } from "./unreachable.ts"

const rules = [
  noLeader,
  commitStalled,
  snapshotFailing,
  unreachable,
  accessDiffers,
  filesUnusable,
  certificateEnds,
  ...nodeRules,
]

export const diagnose = (facts: ClusterFacts): readonly Finding[] => {
  const view = viewOf(facts)
  const second = secondProcesses(view)
  if (second.length > 0) return second
  const found = rules.flatMap((rule) => rule(view))
  const all = [...found, ...clientTimeouts(view, ordered(found))]
  return ordered([...all, ...unwell(view, all)])
}
