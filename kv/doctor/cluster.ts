/**
 * Findings about the cluster as a whole: no leader, a commit index that does not advance, a snapshot that does not
 * arrive, slow answers to clients.
 */
import { defaultSettings } from "../../core/index.ts"
import type { NodeStatus } from "../types.ts"
import { isLost, isRestarted, refusedOf, type Probe, type Up, type ClusterView } from "./facts.ts"
import { finding, type Finding } from "./findings.ts"
import { brief, bytes, hasMajority, listText, one, span } from "./words.ts"

/** An answer slower than this counts as a problem for clients. */
const SLOW_ANSWER_MS = 1000
/** A loop that was stalled for more than this part of the time between the looks gets no processor. */
const LOOP_STALLED = 0.5
const RECOVER =
  "If their disks are lost for good and a majority with them, stepraft recover plan DIR shows what can be saved from those that are left, and what may be lost."

export const counterIn = (look: { readonly status: NodeStatus } | null, name: string): number =>
  look?.status.counters[name] ?? 0
export const grown = ({ first, last }: Pick<Up, "first" | "last">, name: string, apartMs: number): number =>
  first === null || isRestarted(first, last, apartMs) ? 0 : counterIn(last, name) - counterIn(first, name)
export const settingsOf = (view: ClusterView) =>
  (view.leader ?? view.up.find(({ details }) => details?.settings != null))?.details?.settings ?? defaultSettings

const stillStarting = (view: ClusterView, ids: readonly string[]): string =>
  `${listText(ids)} ${one(ids, "is", "are")} still starting: ${ids.map((id) => `${id}: ${brief(view.at(id)?.status.health ?? "")}`).join("; ")}`
const waitFor = (ids: readonly string[]): string =>
  `Wait until ${one(ids, "it has", "they have")} read ${one(ids, "its log", "their logs")}; stepraft status shows the progress.`

export const noLeader = (view: ClusterView): readonly Finding[] => {
  const { up, leader, voters, silent } = view
  if (leader !== null || up.length === 0) return []
  const waiting = up
    .filter(({ details }) => details?.leaderlessMs != null)
    .toSorted((a, b) => (b.details?.leaderlessMs ?? 0) - (a.details?.leaderlessMs ?? 0))
  const evidence =
    waiting.length === 0
      ? up.map(({ id, status }) => `${id}: ${brief(status.health)}`).join("; ")
      : waiting
          .map(
            ({ id, status, details }) =>
              `${id} has had none for ${span(details?.leaderlessMs ?? 0)} (term ${status.term})`,
          )
          .join(", ")
  const nodes = up.map(({ id }) => id)
  const say = (cause: string, next: string): readonly Finding[] => [finding("no-leader", nodes, evidence, cause, next)]
  const away = silent.map(({ id }) => id).filter((id) => voters.includes(id))
  const lost = up
    .filter((node) => voters.includes(node.id) && (isLost(node) || refusedOf(node) !== null))
    .map(({ id }) => id)
  const starting = up
    .filter(({ id, status }) => voters.includes(id) && status.loading && !lost.includes(id))
    .map(({ id }) => id)
  // Until its log is read, a node knows no members.
  const reading = up.filter(({ status }) => status.loading).map(({ id }) => id)
  const mute = silent.map(({ id }) => id)
  if (voters.length === 0 && reading.length > 0)
    return say(
      stillStarting(view, reading),
      `${waitFor(reading)}${mute.length === 0 ? "" : ` ${listText(mute)} ${one(mute, "does", "do")} not answer: start ${one(mute, "it", "them")}, if ${one(mute, "it is", "they are")} down.`}`,
    )
  if (voters.length === 0)
    return say(
      up.map(({ id, status }) => `${id}: ${status.health}`).join("; "),
      "Start all nodes of a new cluster; a node whose directory is lost waits until it is made a member again.",
    )
  const able = voters.filter((name) => !away.includes(name) && !lost.includes(name))
  if (!hasMajority(able, voters)) {
    const gone = [
      ...(away.length === 0 ? [] : [`${listText(away)} ${one(away, "does", "do")} not answer`]),
      ...(lost.length === 0
        ? []
        : [`${listText(lost)} ${one(lost, "has", "have")} lost ${one(lost, "its disk", "their disks")}`]),
    ]
    return say(
      `no majority: of ${voters.length} voters ${able.length} can vote, ${gone.join(" and ")}`,
      `${away.length === 0 ? "" : `Start ${listText(away)} again, or mend the network to ${one(away, "it", "them")}. `}${lost.length === 0 ? "" : `Put the right ${one(lost, "directory", "directories")} of ${listText(lost)} back. `}${RECOVER}`,
    )
  }
  if (
    starting.length > 0 &&
    !hasMajority(
      able.filter((name) => !starting.includes(name)),
      voters,
    )
  )
    return say(stillStarting(view, starting), waitFor(starting))
  const { electionMin } = settingsOf(view)
  const links = up.flatMap(({ id, details }) =>
    (details?.links ?? []).filter(({ id: other }) => able.includes(other)).map((link) => ({ from: id, ...link })),
  )
  const slow = links.filter(({ connected, transitMs }) => connected && (transitMs ?? 0) > electionMin)
  const told = waiting[0]?.status.health ?? ""
  if (slow.length > 0)
    return say(
      `messages take longer than an election timeout (${span(electionMin)}): ${slow.map(({ from, id, transitMs }) => `${from} and back from ${id} ${span(transitMs ?? 0)}`).join(", ")}`,
      `Repair the network, or give elections more time: --election-min and --election-max of ten round trips, the same on every node.`,
    )
  const down = links.filter(({ connected }) => !connected)
  if (down.length > 0)
    return say(
      `the voters answer here and do not reach each other: ${down.map(({ from, id, problem }) => `${from} to ${id}: ${problem ?? "not connected"}`).join("; ")}`,
      "Repair the network between the nodes, or their addresses (stepraft member list shows them).",
    )
  const stuck = up
    .filter(({ details }) => details?.reason === "disk slow" || details?.reason === "log waits")
    .map(({ id }) => id)
  if (stuck.length > 0)
    return say(
      `no vote can be made durable: the ${one(stuck, "disk", "disks")} of ${listText(stuck)} ${one(stuck, "does", "do")} not answer`,
      `Check the ${one(stuck, "disk", "disks")} of ${listText(stuck)}.`,
    )
  return say(
    told === "" || told === "ok" ? "an election is under way" : told,
    "Ask again in some seconds. If it lasts, look for failed elections in the logs, and whether --election-min is more than ten round trips.",
  )
}

/** What keeps one voter from acknowledging entries. */
const holdUp = (view: ClusterView, id: string): string => {
  const follower = view.leader?.details?.followers.find((known) => known.id === id)
  const there = view.at(id)
  const link = view.leader?.details?.links.find((known) => known.id === id)
  const at = `${id} (has ${follower?.matchIndex ?? 0})`
  if (there === undefined) return `${at} does not answer`
  if (there.status.loading) return `${at} is still starting`
  if (isLost(there) || refusedOf(there) !== null) return `${at} has lost its disk`
  if (follower?.condition === "full" || there.details?.spaceLow === true) return `${at} has no space on its disk`
  if (there.details?.pending.lacks != null) return `the log of ${at} waits for ${there.details.pending.lacks}`
  if ((there.details?.pending.ms ?? 0) > SLOW_ANSWER_MS)
    return `the disk of ${at} has been at work on one write for ${span(there.details?.pending.ms ?? 0)}`
  if (link !== undefined && !link.connected) return `the leader does not reach ${at}`
  if (follower?.mode === "snapshot") return `${at} is getting a snapshot`
  if (follower?.mode === "probe") return `the leader is still finding out how far the log of ${at} agrees`
  if ((link?.transitMs ?? 0) > SLOW_ANSWER_MS)
    return `the link with ${at} is slow: ${span(link?.transitMs ?? 0)} there and back`
  return `${at} acknowledges nothing`
}

export const commitStalled = (view: ClusterView): readonly Finding[] => {
  const { leader, before, apartMs, voters } = view
  if (leader === null || before === null) return []
  const { id, status } = leader
  const waited =
    before.lastIndex > before.commitIndex
      ? apartMs
      : Math.max(
          0,
          ...view.up.flatMap(({ probes }) =>
            probes.filter(({ kind, error }) => kind === "write" && error !== null).map(({ ms }) => ms),
          ),
        )
  if (status.lastIndex <= status.commitIndex || status.commitIndex !== before.commitIndex || waited < SLOW_ANSWER_MS)
    return []
  const behind = voters.filter(
    (name) =>
      name !== id && (leader.details?.followers.find((known) => known.id === name)?.matchIndex ?? 0) < status.lastIndex,
  )
  const ownMs = leader.details?.pending.ms ?? 0
  const waiting = ownMs > SLOW_ANSWER_MS ? [id, ...behind] : behind
  const causes = [
    ...(ownMs > SLOW_ANSWER_MS
      ? [`the disk of ${id}, which leads, has been at work on one write for ${span(ownMs)}`]
      : []),
    ...behind.map((name) => holdUp(view, name)),
  ]
  const lacking = Math.floor(voters.length / 2) + 1 - (voters.length - waiting.length)
  return [
    finding(
      "commit-stalled",
      [id, ...behind],
      `${id} leads in term ${status.term}; its log reaches ${status.lastIndex} and its commit index has been ${status.commitIndex} for ${span(waited)}`,
      `no majority of the ${voters.length} voters has acknowledged what follows: ${causes.length === 0 ? `${id} alone has it` : causes.join("; ")}`,
      `Look after ${waiting.length === 0 ? id : listText(waiting)}${lacking > 0 && lacking < waiting.length ? `: ${lacking} of them ${lacking === 1 ? "is" : "are"} enough` : ""}. Nothing that was acknowledged is lost; what is waiting is committed as soon as a majority has it on disk.`,
    ),
  ]
}

export const snapshotFailing = (view: ClusterView): readonly Finding[] => {
  const { leader, before, apartMs } = view
  if (leader === null || before === null) return []
  return (leader.details?.followers ?? []).flatMap((follower) => {
    const earlier = before.details?.followers.find(({ id }) => id === follower.id)
    const there = view.at(follower.id)
    if (follower.mode !== "snapshot" || earlier?.mode !== "snapshot" || there === undefined) return []
    const failed = grown(there, "snapshot.failed", apartMs)
    const unread = grown(leader, "snapshot.sendFailed", apartMs)
    const restarted = there.first !== null && isRestarted(there.first, there.last, apartMs)
    const phase = there.details?.install?.phase
    const sent = follower.snapshotSent ?? 0
    const stands =
      sent <= (earlier.snapshotSent ?? 0) && phase !== "complete" && phase !== "restoring" && phase !== "installed"
    if (failed === 0 && unread === 0 && !restarted && !stands) return []
    const short = there.details?.short ?? null
    const link = leader.details?.links.find(({ id }) => id === follower.id)
    const lacks =
      short !== null ||
      there.details?.spaceLow === true ||
      there.details?.pending.lacks === "room" ||
      follower.condition === "full"
    const slow = failed === 0 && unread === 0 && !restarted && (link?.transitMs ?? 0) > SLOW_ANSWER_MS
    const cause = lacks
      ? `${follower.id} has no space for it: ${short ?? "its disk is nearly full"}`
      : restarted
        ? `${follower.id} was restarted meanwhile, so the transfer began again`
        : failed > 0
          ? `${follower.id} could not store or install it (${failed} failed in ${span(apartMs)}); its log says why`
          : unread > 0
            ? `${leader.id} could not read it (${unread} failed in ${span(apartMs)}); its log says why`
            : slow
              ? `the link from ${leader.id} is slow: ${span(link?.transitMs ?? 0)} there and back, ${bytes(link?.behindBytes ?? 0)} on their way`
              : `${follower.id} does not answer the chunks`
    const next = lacks
      ? `Free some space on the disk of ${follower.id}: then the transfer continues by itself.`
      : slow
        ? `Mend the link between ${leader.id} and ${follower.id}, or free it of other traffic: the transfer continues by itself.`
        : `Look at the log of ${failed > 0 || restarted ? follower.id : leader.id}. If the data of ${follower.id} are damaged again and again, check its disk and replace it: stepraft member replace ${follower.id}.`
    return [
      finding(
        "snapshot-install-failing",
        [follower.id],
        `${follower.id} needs a snapshot from ${leader.id}: ${bytes(sent)} have been sent, ${bytes(earlier.snapshotSent ?? 0)} were ${span(apartMs)} ago; ${follower.id} is at entry ${there.status.applied}, ${leaderText(leader)} at ${leader.status.commitIndex}`,
        cause,
        next,
      ),
    ]
  })
}
const leaderText = ({ id }: Up): string => `the leader ${id}`

/**
 * Errors that have a finding of their own, or that are no problem of the cluster, such as the role of the user who
 * asks.
 */
const NO_TIMEOUT: ReadonlySet<string> = new Set(["SPACELOW", "LOADING", "MOVED", "NOPERM"])
const isBad = ({ error, ms }: Probe): boolean => (error === null ? ms > SLOW_ANSWER_MS : !NO_TIMEOUT.has(error))
const probeText = (id: string, { kind, ms, error, text }: Probe): string =>
  error === null
    ? `a ${kind} at ${id} took ${span(ms)}`
    : error === "SILENT"
      ? `a ${kind} at ${id} was not answered within ${span(ms)}`
      : `a ${kind} at ${id} was answered ${error} (${brief(text)})`

/** `others`: the findings so far, of which slow answers may be the effect. */
export const clientTimeouts = (view: ClusterView, others: readonly Finding[]): readonly Finding[] => {
  // Whoever is no member serves no data, and that is said.
  const outside = others.flatMap(({ name, nodes }) => (name === "members-disagree" ? nodes : []))
  const serving = view.up.filter(({ id, details }) => details?.standing !== null || !outside.includes(id))
  const bad = serving.flatMap(({ id, probes }) =>
    probes.filter(isBad).map((probe) => ({ id, text: probeText(id, probe) })),
  )
  const failing = new Set(bad.map(({ id }) => id))
  // Where the probes failed, the counts say no more: they hold the probes of whoever asked before.
  const counts = serving
    .filter(({ id }) => !failing.has(id))
    .flatMap((up) => {
      const unknown = grown(up, "service.unknown", view.apartMs)
      const none = grown(up, "service.noLeader", view.apartMs)
      const text = `${up.id} answered ${unknown} writes UNKNOWN and ${none} NOLEADER in ${span(view.apartMs)}`
      return unknown + none > 0 ? [{ id: up.id, text }] : []
    })
  const found = [...bad, ...counts]
  if (found.length === 0) return []
  const nodes = [...new Set(found.map(({ id }) => id))]
  const behind = others.filter(({ name }) => CAUSES.has(name))
  const stalled = view.up
    .filter((up) => grown(up, "loop.stallMs", view.apartMs) > LOOP_STALLED * view.apartMs)
    .map((up) => up.id)
  const changed = view.up.some(({ first, status }) => first !== null && first.status.term !== status.term)
  const [cause, next] =
    behind.length > 0
      ? [
          `it follows from ${listText([...new Set(behind.map(({ name }) => name))])}: ${behind[0]?.cause ?? ""}`,
          "Mend that first.",
        ]
      : stalled.length > 0
        ? [
            `the ${one(stalled, "process", "processes")} of ${listText(stalled)} ${one(stalled, "gets", "get")} no processor: ${one(stalled, "its event loop was", "their event loops were")} stalled most of the time`,
            "Look at the load of the machine, and for other programs on it.",
          ]
        : changed
          ? [
              "leadership changed just now",
              "Ask again. If it changes again and again, look for pauses, slow links and --election-min below ten round trips.",
            ]
          : [
              "the cluster answers slowly, and no other finding explains it",
              "Compare raft_term and commandstats of INFO over a minute, and the time that clients allow with what stepraft bench measures.",
            ]
  return [
    finding(
      "client-timeouts",
      nodes,
      found.map(({ text }) => text).join("; "),
      cause,
      `${next} After UNKNOWN a client with a session (kv/client) retries by itself; others must check whether their write was executed.`,
    ),
  ]
}
const CAUSES: ReadonlySet<string> = new Set([
  "no-leader",
  "commit-stalled",
  "slow-disk",
  "slow-link",
  "broken-link",
  "disk-lost",
  "directory-rolled-back",
  "out-of-descriptors",
])
