/**
 * `stepraft recover plan|apply`: shows what is left of a cluster that lost its majority, and makes a new cluster from
 * it.
 */
import { exitCodes, failure } from "../../../interpreters/cli/runtime.ts"
import { parseAddress } from "../../../interpreters/tcp/index.ts"
import { applyRecovery } from "../../backup/apply.ts"
import { DEFAULT_SKIP } from "../../backup/directory.ts"
import { planRecovery, type Plan, type Reach, type Survivor } from "../../backup/recover.ts"
import { countText, printRecord, timeText, type OutputFormat } from "../print.ts"

const reach = ({ index, term, time }: Reach): string =>
  `entry ${countText(index)} of term ${countText(term)}, ${timeText(time)}`
const survivorText = ({ self, term, vote, last, executed, damage, refused, configuration }: Survivor): string =>
  [
    `${self.name} (${[...configuration.voters, ...configuration.outgoing].some(({ incarnation }) => incarnation === self.incarnation) ? "voter" : "no voter"}, incarnation ${self.incarnation}), term ${countText(term)}, vote for ${vote ?? "nobody"}`,
    `durable through ${reach(last)}`,
    executed === null ? "no state" : `executed through entry ${countText(executed.index)}`,
    ...damage.map((text) => `DAMAGED: ${text}`),
    ...(refused === null ? [] : [`NOT TO BE TRUSTED: ${refused}`]),
  ].join("; ")

const linesOf = (plan: Plan): readonly (readonly [string, string])[] => {
  const { best, beyond, cluster, lost, survivors, uncertain, voters } = plan
  const further = survivors
    .filter(
      (one) =>
        one !== best &&
        (one.damage.length > 0 || one.refused !== null) &&
        (one.last.term > best.last.term || (one.last.term === best.last.term && one.last.index > best.last.index)),
    )
    .map(({ directory }) => directory)
  return [
    ["cluster", `${cluster}; voters ${voters.join(", ")}`],
    ...survivors.map((survivor) => [survivor.directory, survivorText(survivor)] as const),
    ["lost", lost.length === 0 ? "no voter" : lost.map(({ name }) => name).join(", ")],
    [
      "best",
      `${best.directory}${best.damage.length > 0 || best.refused !== null ? ": the best one, but not to be trusted" : `: it holds everything committed that is left anywhere${further.length === 0 ? "" : `, except for what ${further.join(" and ")} may hold`}`}`,
    ],
    ["kept", `everything through ${reach(best.last)}`],
    [
      "uncertain",
      uncertain === 0 && best.damage.length === 0 && best.refused === null
        ? "nothing: all of it is known to be committed"
        : `the last ${countText(uncertain)} entries of these may never have been acknowledged; they are executed anyway`,
    ],
    [
      "may be lost",
      `whatever was acknowledged after ${timeText(best.last.time)} and is only on the lost disks${beyond.length === 0 ? "" : `. This is known of it: ${beyond.map(({ name, index, term }) => `${name} had acknowledged entry ${countText(index)} of term ${countText(term)}`).join("; ")}`}`,
    ],
    [
      "repeat",
      `what clients wrote after ${timeText(best.last.time)}, if it is missing; their sessions end with an error`,
    ],
    [
      "next",
      plan.majority
        ? "start these nodes as they are: they are a majority, and nothing need be recovered"
        : best.damage.length > 0
          ? "nothing can be made of these directories: restore a backup (stepraft snapshot restore)"
          : `make sure that the lost nodes stay down, then: stepraft recover apply ${survivors.map(({ directory }) => directory).join(" ")} --accept-lost-writes`,
    ],
  ]
}
const jsonOf = (plan: Plan): unknown => ({
  cluster: plan.cluster,
  voters: plan.voters,
  lost: plan.lost.map(({ name }) => name),
  majority: plan.majority,
  best: plan.best.directory,
  keptThrough: plan.best.last,
  uncertain: plan.uncertain,
  beyond: plan.beyond,
  survivors: plan.survivors.map(({ directory, self, term, vote, last, executed, damage, refused }) => ({
    directory,
    ...self,
    term,
    vote,
    last,
    executed,
    damage,
    refused,
  })),
})

export const printPlan = async (directories: readonly string[], output: OutputFormat): Promise<void> => {
  const found = await planRecovery(directories)
  printRecord(output, jsonOf(found), linesOf(found))
  if (found.best.damage.length > 0) throw failure("", exitCodes.failed)
}

export interface Apply {
  readonly directories: readonly string[]
  readonly peers: string | null
  readonly acceptLostWrites: boolean
  readonly skip: number | null
  readonly timeout: number
  readonly output: OutputFormat
}
const peersOf = (text: string | null): Readonly<Record<string, string>> =>
  Object.fromEntries(
    (text ?? "")
      .split(",")
      .filter((part) => part.trim() !== "")
      .map((part): readonly [string, string] => {
        const at = part.indexOf("=")
        if (at < 1 || parseAddress(part.slice(at + 1).trim()) === null)
          throw failure(`--peers: ${JSON.stringify(part)} is no name=host:port`, exitCodes.usage)
        return [part.slice(0, at).trim(), part.slice(at + 1).trim()]
      }),
  )

export const apply = async ({ directories, peers, acceptLostWrites, skip, timeout, output }: Apply): Promise<void> => {
  const stamp = new Date().toISOString().replace(/[:.]/g, "-")
  const applied = await applyRecovery({
    directories,
    peers: peersOf(peers),
    acceptLostWrites,
    skip: skip ?? DEFAULT_SKIP,
    timeout,
    stamp,
  })
  const { bystanders, cluster, data, index, kept, name, plan: carriedOut } = applied
  const json = { data, name, cluster, index, kept, bystanders, plan: carriedOut === null ? null : jsonOf(carriedOut) }
  printRecord(output, json, [
    ["made", `${data}, for node ${name}, the only voter of the new cluster ${cluster}`],
    ...(carriedOut === null
      ? ([
          [
            "finished",
            "what an earlier command began; that command printed what is kept, and what clients must repeat",
          ],
        ] as const)
      : ([["holds", `everything through ${reach(carriedOut.best.last)}`]] as const)),
    ["goes on", `after entry ${countText(index)}`],
    ["kept", `${kept}: the log and the state as they were`],
    ...bystanders.map(
      (one) =>
        ["not counted", `at ${one.address}, where ${one.name} was, something else listens: ${one.found}`] as const,
    ),
    ...(carriedOut === null
      ? []
      : ([["repeat", `what clients wrote after ${timeText(carriedOut.best.last.time)}, if it is missing`]] as const)),
    [
      "next",
      `start ${name} as usual; empty the folders of the other nodes (nothing of the old cluster may come back), start them, and for each: stepraft member add NAME && stepraft member promote NAME`,
    ],
  ])
}
