/** Findings about single nodes and links: disks, space, clocks, versions, lists of members. */
import { LOST_MEMBER_ADVICE } from "../../interpreters/advice.ts"
import { grown, settingsOf } from "./cluster.ts"
import { doubled } from "./doubled.ts"
import { isLost, isRestarted, refusedOf, type Up, type ClusterView } from "./facts.ts"
import { finding, type Finding, type FindingName } from "./findings.ts"
import { brief, bytes, listText, one, span, unique } from "./words.ts"

const SLOW_SYNC_MS = 200
const CLOCK_MS = 2000
const SILENT_MS = 2500

const lostDisk = (view: ClusterView): readonly Finding[] =>
  view.up.filter(isLost).flatMap((up) => {
    const { id, status } = up
    const isMember = [...view.voters, ...view.learners].includes(id)
    if (!isMember && view.voters.length > 0)
      return [
        finding(
          "members-disagree",
          [id],
          `${id} runs with an empty directory (incarnation ${status.incarnation}) and is no member`,
          `${id} has not become a member yet, or was removed`,
          `If it is to belong to the cluster: stepraft member add ${id}. If it takes the place of another: stepraft member replace OLD --by ${id}. Otherwise stop it.`,
        ),
      ]
    return [
      finding(
        "disk-lost",
        [id],
        `${id} runs with an empty directory, incarnation ${status.incarnation}, which the cluster does not know`,
        status.health.includes("mistake")
          ? status.health
          : `its disk was lost or replaced, or --data names a different folder than before`,
        `If its old directory is still there as it was last, bring it back. ${LOST_MEMBER_ADVICE.replaceAll("NAME", id)}`,
      ),
    ]
  })

const rolledBack = (view: ClusterView): readonly Finding[] =>
  view.up.flatMap((up) => {
    const why = refusedOf(up)
    return why === null
      ? []
      : [
          finding(
            "directory-rolled-back",
            [up.id],
            `${why}: ${brief(up.status.health)}`,
            why === "Superseded"
              ? "a copy of its directory was started after it"
              : "its directory was restored to an earlier state, is a copy, or its log was cut",
            `Its vote and acknowledgements count no more. ${LOST_MEMBER_ADVICE.replaceAll("NAME", up.id)}`,
          ),
        ]
  })

const slowDisk = (view: ClusterView): readonly Finding[] =>
  view.up.flatMap((up) => {
    const { id, details } = up
    const { diskStallTimeout } = settingsOf(view)
    const syncs = grown(up, "storage.syncs", view.apartMs)
    const mean = syncs === 0 ? 0 : grown(up, "storage.syncMs", view.apartMs) / syncs
    const pending = details?.pending.lacks === null ? details.pending.ms : 0
    if (pending <= diskStallTimeout && mean < SLOW_SYNC_MS) return []
    return [
      finding(
        "slow-disk",
        [id],
        pending > diskStallTimeout
          ? `the disk of ${id} has been at work on one write to the log for ${span(pending)}`
          : `a write to the log of ${id} took ${span(mean)} (mean of ${syncs})`,
        "the disk is overloaded, shared with others, or failing: a good disk takes a few milliseconds",
        `Look at the load and the health of the disk of ${id} (iostat -x, smartctl, dmesg), and move other work off it. A leader hands over after ${span(diskStallTimeout)} (--disk-stall-timeout).`,
      ),
    ]
  })

const space = (view: ClusterView): readonly Finding[] => {
  const full = view.up.filter(
    ({ details }) => details?.spaceLow === true || details?.pending.lacks === "room" || details?.short != null,
  )
  const told = (view.leader?.details?.followers ?? [])
    .filter(({ condition }) => condition === "full")
    .map(({ id }) => id)
  const nodes = unique([...full.map(({ id }) => id), ...told])
  if (nodes.length === 0) return []
  const refuses =
    view.voters.filter((name) => !nodes.includes(name)).length <= view.voters.length / 2 ||
    (view.leader !== null && nodes.includes(view.leader.id))
  const evidence = full.map(
    ({ id, status, details }) =>
      `${id}: ${details?.short ?? (details?.pending.lacks === "room" ? "its log waits for space" : "less is free than the low-water mark")} (log ${bytes(status.logBytes)})`,
  )
  return [
    finding(
      "out-of-space",
      nodes,
      [
        ...evidence,
        ...told
          .filter((id) => !full.some((up) => up.id === id))
          .map((id) => `${id} has told the leader that its disk is full`),
      ].join("; "),
      `the ${one(nodes, "disk", "disks")} of ${listText(nodes)} ${one(nodes, "is", "are")} nearly full${refuses ? ": writes are refused (SPACELOW)" : ": the other nodes continue"}`,
      `Free some space there, or enlarge the ${one(nodes, "disk", "disks")}: above the high-water mark writes are accepted again without a restart (--low-water, --high-water). Do not delete files of the node.`,
    ),
  ]
}

const descriptors = (view: ClusterView): readonly Finding[] =>
  view.up.flatMap(({ id, details, first, last }) => {
    const of = (name: string): number => Number(last.info[name] ?? 0)
    const rejected =
      of("rejected_connections") - Number(first?.info["rejected_connections"] ?? of("rejected_connections"))
    if (details?.pending.lacks === "descriptors")
      return [
        finding(
          "out-of-descriptors",
          [id],
          `the next file of the log of ${id} cannot be made`,
          "its process may open no more files",
          `Raise the limit (ulimit -n, LimitNOFILE= in the unit file) and start ${id} again; closing clients helps at once.`,
        ),
      ]
    const full = of("maxclients") > 0 && of("connected_clients") >= of("maxclients")
    if (!full && rejected <= 0) return []
    return [
      finding(
        "out-of-descriptors",
        [id],
        `${id} has ${of("connected_clients")} clients of at most ${of("maxclients")}${rejected > 0 ? `, and has just refused ${rejected}` : ""}`,
        "clients keep too many connections, or the process may open too few files",
        `Share connections or close idle ones (--client-idle-timeout), or raise the limit of descriptors (ulimit -n) and --max-clients.`,
      ),
    ]
  })

const links = (view: ClusterView): readonly Finding[] => {
  const { electionMin } = settingsOf(view)
  const all = view.up.flatMap(({ id, details }) =>
    (details?.links ?? [])
      .filter((link) => view.at(link.id) !== undefined && !link.stranger && link.refused === null)
      .map((link) => ({ from: id, ...link })),
  )
  const sound = all.filter(({ from, id }) =>
    [from, id].every((name) =>
      ((there) => there !== undefined && refusedOf(there) === null && !isLost(there))(view.at(name)),
    ),
  )
  // A new member is known to some nodes first.
  const broken = sound.filter(({ connected, silentMs }) => !connected || (silentMs ?? 0) > SILENT_MS)
  const slow = sound.filter((link) => !broken.includes(link) && (link.transitMs ?? 0) > electionMin / 2)
  const pairs = (of: readonly { readonly from: string; readonly id: string }[]): readonly string[] =>
    unique(of.flatMap(({ from, id }) => [from, id]))
  return [
    ...(broken.length === 0
      ? []
      : [
          finding(
            "broken-link",
            pairs(broken),
            broken
              .map(
                ({ from, id, connected, silentMs, problem }) =>
                  `${from} to ${id}: ${connected ? `not a byte for ${span(silentMs ?? 0)}` : (problem ?? "not connected")}`,
              )
              .join("; "),
            "both nodes answer here and do not hear each other: a firewall, a partition, or a wrong address",
            `Mend the network between ${listText(pairs(broken))}, and compare the addresses of stepraft member list with where the nodes listen.`,
          ),
        ]),
    ...(slow.length === 0
      ? []
      : [
          finding(
            "slow-link",
            pairs(slow),
            slow
              .map(
                ({ from, id, transitMs, behindBytes }) =>
                  `${from} to ${id}: ${span(transitMs ?? 0)} there and back${behindBytes > 100_000 ? `, ${bytes(behindBytes)} on their way` : ""}`,
              )
              .join("; "),
            `a round trip takes more than half of an election timeout (${span(electionMin)}): the network is slow or full`,
            "Repair the network, or give elections more time (--election-min and --election-max, the same on every node). Keep bulk traffic off this network.",
          ),
        ]),
  ]
}

const lagging = (view: ClusterView): readonly Finding[] => {
  const { leader, before, apartMs } = view
  if (leader === null || before === null) return []
  return (leader.details?.followers ?? []).flatMap(({ id, matchIndex, mode, condition, snapshotSent }) => {
    const there = view.at(id)
    if (
      there === undefined ||
      matchIndex >= before.commitIndex ||
      isLost(there) ||
      refusedOf(there) !== null ||
      condition === "full"
    )
      return []
    const why =
      mode === "snapshot"
        ? `it needs what the leader no longer has in its log, and gets a snapshot (${bytes(snapshotSent ?? 0)} sent)`
        : (there.details?.pending.ms ?? 0) > SLOW_SYNC_MS
          ? "its disk is slow"
          : mode === "probe"
            ? "the leader is still finding out how far their logs agree"
            : "its disk or its link is slower than the rate of writes"
    return [
      finding(
        "follower-lagging",
        [id],
        `${id} has acknowledged ${matchIndex}; the leader ${leader.id} had committed ${before.commitIndex} ${span(apartMs)} ago and ${leader.status.commitIndex} now`,
        why,
        `Nothing is lost, but until it has caught up it does not count towards a majority. Watch LAG in stepraft status; if it grows, look at the disk of ${id} and its link.`,
      ),
    ]
  })
}

const executing = (view: ClusterView): readonly Finding[] =>
  view.up.flatMap((up) => {
    const { id, first, status, details } = up
    if (
      first === null ||
      isRestarted(first, up.last, view.apartMs) ||
      status.applied >= first.status.commitIndex ||
      details?.short != null ||
      details?.reason === "rebuilding"
    )
      return []
    return [
      finding(
        "execution-behind",
        [id],
        `${id} has executed ${status.applied}; ${span(view.apartMs)} ago ${first.status.commitIndex} was committed there`,
        "its state machine is slower than the log: its data are on a slow disk, or commands read much",
        `Reads at ${id} wait. Look at its disk, and for KEYS and other long commands in INFO commandstats.`,
      ),
    ]
  })

const clocks = (view: ClusterView): readonly Finding[] =>
  view.up.flatMap(({ id, details, status }) => {
    const off = details?.clockMs ?? (Math.abs(status.clockOffsetMs ?? 0) > CLOCK_MS ? status.clockOffsetMs : null)
    return off == null
      ? []
      : [
          finding(
            "clock-off",
            [id],
            `the clock of ${id} is ${span(Math.abs(off))} ${off > 0 ? "ahead of" : "behind"} the cluster's time`,
            "it is not set by NTP, or the machine was suspended",
            `Set the clock of the machine of ${id}, and keep it set by NTP (chronyc tracking). Keys expire by the cluster's time, which does not follow it.`,
          ),
        ]
  })

const versions = ({ up }: ClusterView): readonly Finding[] => {
  const found = unique(up.map(({ status }) => `${status.version} ${status.features.highest}`))
  if (found.length < 2) return []
  const level = Math.max(...up.map(({ status }) => status.features.level))
  const highest = Math.max(...up.map(({ status }) => status.features.highest))
  const held = up.find(({ status }) => status.features.highest === highest)?.status.features.heldBy ?? null
  return [
    finding(
      "mixed-versions",
      up.map(({ id }) => id),
      `${up.map(({ id, status }) => `${id} ${status.version}`).join(", ")}; the cluster is at feature level ${level}${held === null ? "" : `, not at ${highest}, because ${held}`}`,
      "an upgrade is under way, or was not finished; or a node was started with --feature-level-max",
      `Finish it: one node after the other, waiting until stepraft status shows each one well. ${
        highest > level
          ? `Until all do level ${highest}, and the cluster rises to it, each node can go back to its earlier version in the same way.`
          : `A version that does not do level ${level} takes no part any more.`
      }`,
    ),
  ]
}

const memberLists = (view: ClusterView): readonly Finding[] => {
  const { up, leader, voters, learners } = view
  const say = (nodes: readonly string[], evidence: string, cause: string, next: string): Finding =>
    finding("members-disagree", nodes, evidence, cause, next)
  const clusters = unique(up.flatMap(({ status }) => (status.cluster === null ? [] : [status.cluster])))
  const members = [...voters, ...learners]
  const known = (up: Up): string =>
    [
      ...(up.details?.members.voters ?? []),
      ...(up.details?.members.outgoing ?? []),
      ...(up.details?.members.learners ?? []),
    ]
      .map(({ name, incarnation }) => `${name}:${incarnation}`)
      .toSorted((a, b) => a.localeCompare(b))
      .join(",")
  const removed = up.filter(({ details }) => details?.reason === "removed").map(({ id }) => id)
  const other =
    leader === null
      ? []
      : up
          .filter(
            (one) =>
              one.details !== null &&
              one.details.standing !== null &&
              one.id !== leader.id &&
              one.status.applied >= leader.status.commitIndex &&
              known(one) !== known(leader),
          )
          .map(({ id }) => id)
  const missing = up.flatMap(({ id, details }) => {
    const absent = members.filter((name) => name !== id && !(details?.links ?? []).some((link) => link.id === name))
    return details === null || details.standing === null || absent.length === 0 ? [] : [{ id, absent }]
  })
  const waiting = unique(up.flatMap(({ details }) => (details?.unlisted ?? []).map(({ id }) => id))).filter(
    (id) => !members.includes(id) && view.at(id) === undefined,
  )
  return [
    ...(clusters.length < 2
      ? []
      : [
          say(
            up.map(({ id }) => id),
            up.map(({ id, status }) => `${id}: cluster ${status.cluster ?? "none"}`).join(", "),
            "nodes of different clusters are in one list",
            "Give each node the --peers of its own cluster. Nothing was exchanged between them.",
          ),
        ]),
    ...(removed.length === 0
      ? []
      : [
          say(
            removed,
            `${listText(removed)} ${one(removed, "is", "are")} no ${one(removed, "member", "members")} any more`,
            `${one(removed, "it was", "they were")} removed and still ${one(removed, "runs", "run")}`,
            `Stop ${listText(removed)}; the data ${one(removed, "directory is", "directories are")} no longer needed.`,
          ),
        ]),
    ...(other.length === 0 || leader === null
      ? []
      : [
          say(
            other,
            `${listText(other)} ${one(other, "has", "have")} a different list of members than the leader ${leader.id}`,
            "a change of the members is being committed at this moment",
            "Ask again; stepraft member list shows the leader's list.",
          ),
        ]),
    ...missing.map(({ id, absent }) =>
      say(
        [id],
        `${listText(absent)} ${one(absent, "is a member", "are members")} whose ${one(absent, "address", "addresses")} ${id} does not know`,
        `the --peers of ${id} do not name ${listText(absent)}, and the configuration of the cluster holds no address for ${one(absent, "it", "them")}`,
        `Add ${listText(absent)} to --peers of ${id}, or start ${listText(absent)} with --advertise-peer.`,
      ),
    ),
    ...(waiting.length === 0
      ? []
      : [
          say(
            waiting,
            `${listText(waiting)} ${one(waiting, "connects", "connect")} to the members but ${one(waiting, "is not a member", "are not members")}`,
            `${one(waiting, "it has", "they have")} not become ${one(waiting, "a member", "members")} yet, or ${one(waiting, "was", "were")} removed`,
            `If ${one(waiting, "it is", "they are")} to belong to the cluster: ${waiting.map((id) => `stepraft member add ${id}`).join(", ")}. Otherwise stop ${one(waiting, "it", "them")}.`,
          ),
        ]),
  ]
}

export const nodeRules: readonly ((view: ClusterView) => readonly Finding[])[] = [
  lostDisk,
  rolledBack,
  doubled,
  slowDisk,
  space,
  descriptors,
  links,
  lagging,
  executing,
  clocks,
  versions,
  memberLists,
]

/** What health reports and no other finding covers. */
const COVERED: Readonly<Record<string, readonly FindingName[]>> = {
  "no leader": ["no-leader", "broken-link", "slow-link", "client-timeouts"],
  "disk slow": ["slow-disk"],
  "log waits": ["out-of-space", "out-of-descriptors"],
  "data wait": ["out-of-space"],
  "disk full": ["out-of-space"],
  "peer refused": ["node-doubled", "directory-rolled-back", "disk-lost", "node-unwell"],
  clock: ["clock-off"],
  amnesiac: ["disk-lost", "members-disagree"],
  refused: ["directory-rolled-back"],
  removed: ["members-disagree"],
  certificate: ["certificate-ends"],
  files: ["files-unusable"],
}
export const unwell = (view: ClusterView, found: readonly Finding[]): readonly Finding[] =>
  view.up.flatMap(({ id, status, details }) => {
    const reason = details?.reason ?? (status.health === "ok" ? "ok" : "unknown")
    if (reason === "ok" || (COVERED[reason] ?? []).some((name) => found.some((one) => one.name === name))) return []
    return [
      finding(
        "node-unwell",
        [id],
        `${id}: ${brief(status.health)}`,
        status.health,
        status.loading ? "Wait: it serves once that is done." : `Look at the log of ${id}.`,
      ),
    ]
  })
