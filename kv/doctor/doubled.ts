/** Two processes of one name: told by those that refuse one of them, and by the one that is refused. */
import { isLost, refusedOf, type ClusterView } from "./facts.ts"
import { finding, type Finding } from "./findings.ts"
import { brief, listText, one, unique } from "./words.ts"

/** How a node tells that another has refused it for its name. */
const REFUSED = /^(?:DuplicateName|StartedTwice): .* refused this node: /u
/**
 * Every node that answers is a second process of its name, so what it says of the others counts for nothing: it was never
 * let in. Empty if one of them is not.
 */
export const secondProcesses = ({ up }: ClusterView): readonly Finding[] => {
  const found = up.map(({ id, details }) => ({
    id,
    by: (details?.links ?? []).filter(({ connected, problem }) => !connected && REFUSED.test(problem ?? "")),
  }))
  if (found.some(({ by }) => by.length === 0)) return []
  return found.map(({ id, by }) => {
    const names = by.map((link) => link.id)
    return finding(
      "node-doubled",
      [id],
      `${listText(names)} ${one(names, "refuses", "refuse")} the process that was asked: ${brief((by[0]?.problem ?? "").replace(REFUSED, ""))}`,
      `two processes call themselves ${id}, and this is the one that the others do not let in`,
      `Stop it, if the other one is to stay (ask ${one(names, names[0] ?? "", "one of the others")}); give it a name of its own, if it is to be another node. It does no harm meanwhile, and serves nobody.`,
    )
  })
}

/** A process of that name is refused while the node itself is healthy: so there are two. */
export const doubled = (view: ClusterView): readonly Finding[] =>
  unique(
    view.up.flatMap(({ details }) =>
      (details?.links ?? []).filter(({ refused }) => refused !== null).map(({ id }) => id),
    ),
  ).flatMap((id) => {
    const there = view.at(id)
    if (there !== undefined && (refusedOf(there) !== null || isLost(there))) return []
    const seen = view.up.flatMap((up) =>
      (up.details?.links ?? []).flatMap((link) =>
        link.id === id && link.refused !== null ? [{ by: up.id, text: link.refused }] : [],
      ),
    )
    const text = seen[0]?.text ?? ""
    if (there === undefined)
      return [
        finding(
          "node-unwell",
          [id],
          `${listText(seen.map(({ by }) => by))} ${one(
            seen.map(({ by }) => by),
            "refuses",
            "refuse",
          )} it: ${brief(text)}`,
          text,
          `See to ${id} first.`,
        ),
      ]
    return [
      finding(
        "node-doubled",
        [id],
        `${id} answers, and ${listText(seen.map(({ by }) => by))} ${one(
          seen.map(({ by }) => by),
          "refuses",
          "refuse",
        )} another process of that name: ${brief(text)}`,
        `two processes call themselves ${id}: a copy of its directory was started, or a second unit uses its name`,
        `Stop the one that should not run. The one that is refused does no harm meanwhile. If both ran on the same files in turn, see the finding directory-rolled-back.`,
      ),
    ]
  })
