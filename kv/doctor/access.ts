/** Findings about who is let in, and by what: users, certificates, and the files in which they stand. */
import type { Up, ClusterView } from "./facts.ts"
import { finding, type Finding } from "./findings.ts"
import { hasMajority, listText, one, unique } from "./words.ts"

const DAY_MS = 86_400_000

const idsOf = (ups: readonly Up[]): readonly string[] => ups.map(({ id }) => id)
const count = (of: number): string => `${of} ${of === 1 ? "user" : "users"}`
const lasting = (ms: number): string =>
  ms < 120_000
    ? `${Math.round(ms / 1000)} s`
    : ms < 2 * 3_600_000
      ? `${Math.round(ms / 60_000)} minutes`
      : ms < 2 * DAY_MS
        ? `${Math.round(ms / 3_600_000)} hours`
        : `${Math.round(ms / DAY_MS)} days`

/** Whoever comes in at one node uses the whole cluster, so the least careful node decides. */
export const accessDiffers = ({ up }: ClusterView): readonly Finding[] => {
  const told = up.filter(({ status }) => status.access != null)
  const checking = told.filter(({ status }) => status.access?.users != null)
  const open = told.filter((one) => !checking.includes(one))
  const digests = unique(checking.map(({ status }) => status.access?.users?.digest ?? ""))
  const secure = told.filter(({ status }) => status.access?.tls === true)
  const plain = told.filter((one) => !secure.includes(one))
  const users = checking.map(
    ({ id, status }) => `${id} ${count(status.access?.users?.count ?? 0)} (${status.access?.users?.digest ?? ""})`,
  )
  return [
    ...(open.length === 0 || checking.length === 0
      ? []
      : [
          finding(
            "access-differs",
            idsOf(open),
            `${listText(idsOf(open))} ${one(idsOf(open), "has", "have")} no users; ${users.join(", ")}`,
            `${one(idsOf(open), "it was", "they were")} started without --users: whoever comes in there is an administrator of the whole cluster, whatever the other nodes check`,
            `Start ${listText(idsOf(open))} again with the --users of the others.`,
          ),
        ]),
    ...(digests.length < 2
      ? []
      : [
          {
            ...finding(
              "access-differs",
              idsOf(checking),
              `not the same users are in force: ${users.join(", ")}`,
              "their files of users differ, or one of them cannot be used: a user has different rights, or none, depending on the node, and one who was taken out on some nodes still comes in by the others",
              "Bring the same file of users to every node: it counts within 5 s, and each log says so.",
            ),
            severity: "warning" as const,
          },
        ]),
    ...(plain.length === 0 || secure.length === 0
      ? []
      : [
          {
            ...finding(
              "access-differs",
              idsOf(plain),
              `the port for clients of ${listText(idsOf(plain))} speaks no TLS; that of ${listText(idsOf(secure))} does`,
              `${one(idsOf(plain), "it was", "they were")} started without certificates, or with --plaintext clients: what clients send there, passwords too, can be read on the way`,
              `Start ${listText(idsOf(plain))} again with --tls-cert, --tls-key and --tls-ca, as the others.`,
            ),
            severity: "warning" as const,
          },
        ]),
  ]
}

/** Nobody notices them until a power cut. */
export const filesUnusable = ({ up, voters }: ClusterView): readonly Finding[] => {
  const bad = up.filter(({ details }) => (details?.unusableFiles ?? []).length > 0)
  if (bad.length === 0) return []
  const nodes = idsOf(bad)
  const found = finding(
    "files-unusable",
    nodes,
    bad
      .flatMap(({ id, details }) =>
        (details?.unusableFiles ?? []).map(({ reason, ms }) => `${id}, for ${lasting(ms)}: ${reason}`),
      )
      .join("; "),
    `files that cannot be used lie ready for the next start: ${listText(nodes)} ${one(nodes, "goes", "go")} on with what ${one(nodes, "it", "they")} read before, so what was changed since is not in force, and ${one(nodes, "it", "they")} would not start again`,
    `Mend ${bad.length === 1 ? "the file" : "the files"} before ${listText(nodes)} ${one(nodes, "is", "are")} restarted: within 5 s it is in force, and the log says so.`,
  )
  return [hasMajority(nodes, voters) ? found : { ...found, severity: "warning" }]
}

export const certificateEnds = ({ up }: ClusterView): readonly Finding[] => {
  const ending = up.filter(({ details }) => (details?.certificate?.renewal ?? "later") !== "later")
  if (ending.length === 0) return []
  const nodes = idsOf(ending)
  const urgent = ending.some(({ details }) => details?.certificate?.renewal === "urgent")
  const found = finding(
    "certificate-ends",
    nodes,
    ending
      .map(({ id, details }) => {
        const left = details?.certificate?.leftMs ?? 0
        const ends = details?.certificate?.ends ?? ""
        return left > 0
          ? `the certificate of ${id} ends in ${lasting(left)}, at ${ends}`
          : `the certificate of ${id} ended ${lasting(-left)} ago, at ${ends}`
      })
      .join("; "),
    "nobody accepts a certificate that has ended: neither clients nor the other nodes can connect anew, and a node that has stopped does not start with it; what is connected stays so",
    `${nodes.map((id) => `stepraft cert node ${id} --replace`).join(", ")}, on the machine that keeps the authority's key, then copy both files over the old ones: a restart is not needed.`,
  )
  return [urgent ? found : { ...found, severity: "warning" }]
}
