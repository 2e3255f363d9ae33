/** A session in plain text: what a person wants to see of a frame. The user interface adds colours. */
import type { State } from "../../core/index.ts"
import { configurationOf } from "../../core/index.ts"
import {
  flights,
  isCut,
  nodeOf,
  TIMERS,
  timerDue,
  type MachineWords,
  type NodeState,
  type WorldState,
  type WorldStep,
} from "../simulation/index.ts"
import type { SessionFrame, DebugSession } from "./session.ts"
import {
  actionText,
  changeText,
  configurationText,
  effectText,
  entryText,
  messageText,
  roleText,
  rulesOf,
  stepText,
} from "./words.ts"

const table = (rows: readonly (readonly string[])[]): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}

const condition = (node: NodeState): string =>
  node.core === null
    ? "down"
    : node.paused
      ? "paused"
      : node.disk.stalled
        ? "disk stalled"
        : node.disk.full
          ? "disk full"
          : node.damaged
            ? "machine damaged"
            : ""

const nodeRow = (node: NodeState): readonly string[] => {
  const { core, disk, name } = node
  if (core === null)
    return [
      name,
      "down",
      String(disk.hardState.term),
      disk.hardState.vote?.name ?? "–",
      `…${disk.log.lastIndex}·t${disk.log.lastTerm}`,
      "–",
      "–",
      "–",
      condition(node),
    ]
  const { log, durability } = core
  return [
    name,
    roleText(core),
    String(core.currentTerm),
    core.votedFor?.name ?? "–",
    `${log.base.index > 0 ? `(${log.base.index}) ` : ""}…${log.lastIndex}·t${log.lastTerm}`,
    String(durability.index),
    String(core.commitIndex),
    String(core.applied),
    condition(node),
  ]
}

export const clusterText = (world: WorldState): string =>
  table([
    ["node", "role", "term", "vote", "log", "durable", "commit", "applied", ""],
    ...world.names.map((name) => nodeRow(nodeOf(world, name))),
  ])

const cutsText = (world: WorldState): string => {
  const cut = world.names.flatMap((from) =>
    world.names
      .filter((to) => from !== to && isCut(world, nodeOf(world, from), nodeOf(world, to)))
      .map((to) => `${from}>${to}`),
  )
  return cut.length === 0 ? "" : `cut: ${cut.join(" ")}`
}

export const messagesText = (world: WorldState, words: MachineWords | null = null): string => {
  const rows = flights(world).map(({ at, name, flight }) => [
    name,
    `in ${Math.max(0, at - world.now)} ms`,
    messageText(flight.message, words),
  ])
  return rows.length === 0 ? "no messages in flight" : table(rows)
}

const WRITTEN = 12
const logLines = ({ log, commitIndex, applied, durability }: State, words: MachineWords | null): readonly string[] =>
  log
    .toArray()
    .slice(-WRITTEN)
    .map((entry) => {
      const marks = [
        entry.index <= applied ? "applied" : entry.index <= commitIndex ? "committed" : "",
        entry.index > durability.index ? "not durable" : "",
      ]
      return `  ${entryText(entry, words)}  ${marks.filter((mark) => mark !== "").join(", ")}`.trimEnd()
    })

/** A user's state, one line for each of its parts. */
const stateLines = ({ machine }: NodeState): readonly string[] => {
  const state = machine.show?.()
  if (state === undefined) return []
  const head = `state (through ${machine.position().index}):`
  if (typeof state === "string") return [head, ...state.split("\n").map((line) => `  ${line}`)]
  if (typeof state !== "object" || state === null) return [`${head} ${JSON.stringify(state)}`]
  return [head, ...Object.entries(state).map(([part, value]) => `  ${part}: ${JSON.stringify(value)}`)]
}

/** Everything about one node. */
export const nodeText = (world: WorldState, name: string, words: MachineWords | null = null): string => {
  const node = nodeOf(world, name)
  const { core, disk } = node
  if (core === null)
    return `${name} is down; its disk holds term ${disk.hardState.term}, vote ${disk.hardState.vote?.name ?? "nobody"}, log through ${disk.log.lastIndex}·t${disk.log.lastTerm}`
  const timers = TIMERS.flatMap((timer) => {
    const due = timerDue(node, timer)
    return due === undefined ? [] : [`${timer} in ${Math.max(0, due - world.now)} ms`]
  })
  const { role } = core
  const followers =
    role.type !== "leader"
      ? []
      : Object.values(role.progress).map(
          ({ member, matchIndex, nextIndex, mode, active }) =>
            `  ${member.name}: match ${matchIndex}, next ${nextIndex}, ${mode.type}${active ? "" : ", not heard from lately"}`,
        )
  const votes =
    role.type === "candidate" || role.type === "preCandidate"
      ? [
          `votes: ${
            Object.entries(role.votes)
              .map(([voter, granted]) => `${voter} ${granted ? "yes" : "no"}`)
              .join(", ") || "none yet"
          }`,
        ]
      : []
  return [
    `${name} (${node.member.incarnation}), ${roleText(core)} of term ${core.currentTerm}, voted for ${core.votedFor?.name ?? "nobody"}`,
    `configuration: ${configurationText(configurationOf(core))}`,
    `commit ${core.commitIndex}, applied ${core.applied}, durable through ${core.durability.index} in term ${core.durability.hardState.term}; ${disk.pending.length} writes under way`,
    `timers: ${timers.join(", ") || "none"}`,
    ...votes,
    ...(followers.length > 0 ? ["followers:", ...followers] : []),
    `log (starts after ${core.log.base.index}):`,
    ...logLines(core, words),
    ...stateLines(node),
  ].join("\n")
}

export const invariantsText = (session: DebugSession): string => {
  const { violation } = session.frame()
  const { length } = session.invariants()
  if (violation === null)
    return length === 0 ? "no invariants are checked in this session" : `${length} invariants hold up to here`
  const { name, message } = violation
  return `VIOLATED: ${message.startsWith(name) ? message : `${name}: ${message}`}`
}

type Words = MachineWords | null

const eventLines = ({ action, lost, steps }: SessionFrame, words: Words): readonly string[] => [
  ...(action === null ? [] : [`action: ${actionText(action, words)}`]),
  ...steps.map((step) => stepText(step, words)),
  ...lost.map(
    ({ from, to, message, why }) => `✕ ${from.name} → ${to.name} ${messageText(message, words)} is lost: ${why}`,
  ),
]
/** The results of a user's machine. */
const executedLines = ({ seen }: SessionFrame, words: Words): readonly string[] =>
  words === null
    ? []
    : seen.flatMap((one) => {
        if (one.type !== "executed" || one.entries === null) return []
        const { node, entries, results } = one
        return entries.flatMap((entry, i) => {
          const result = words.result(results[i])
          return result === null ? [] : [`  ran   ${node} ${entryText(entry, words)} → ${result}`]
        })
      })
const ruleLines = ({ effects }: WorldStep): readonly string[] => rulesOf(effects).map((rule) => `  rule  ${rule}`)
const effectLines = ({ effects }: WorldStep, words: Words): readonly string[] =>
  effects.map((effect) => effectText(effect, words)).flatMap((text) => (text === null ? [] : [`  does  ${text}`]))
const happened = (frame: SessionFrame, words: Words): readonly string[] => [
  ...eventLines({ ...frame, steps: [] }, words),
  ...frame.steps.flatMap((step) => [stepText(step, words), ...ruleLines(step), ...effectLines(step, words)]),
  ...executedLines(frame, words),
]

/** One line: the position. */
export const whereText = (session: DebugSession): string => {
  const { world } = session.frame()
  const branch = session.branch() === 0 ? "" : `, branch ${session.branch()}`
  return `frame ${session.at()} of ${session.length() - 1} made${branch}${session.pastScript() ? ", past the end of the script" : ""}, ${world.now} ms`
}

/** The parts of the picture of a frame, as lines. */
export interface FrameView {
  readonly heading: string
  readonly violation: string | null
  /** What happened, in one line for each node concerned. */
  readonly events: readonly string[]
  readonly rules: readonly string[]
  readonly effects: readonly string[]
  /** Events, rules and effects, step by step. */
  readonly happened: readonly string[]
  readonly changed: readonly string[]
  readonly cluster: readonly string[]
  readonly flying: string
}
export const frameView = (session: DebugSession): FrameView => {
  const frame = session.frame()
  const { words } = session
  const changed = session
    .changed()
    .flatMap(({ node, changes }) => changes.map((change) => `  ${node}.${changeText(change, words)}`))
  const cuts = cutsText(frame.world)
  return {
    heading: `── ${whereText(session)} ──`,
    violation: frame.violation === null ? null : invariantsText(session),
    events: eventLines(frame, words),
    rules: frame.steps.flatMap(ruleLines),
    effects: [
      ...(frame.steps.length > 1
        ? frame.steps.flatMap((step) => [stepText(step, words), ...effectLines(step, words)])
        : frame.steps.flatMap((step) => effectLines(step, words))),
      ...executedLines(frame, words),
    ],
    happened: happened(frame, words),
    changed: changed.length > 0 ? ["changed:", ...changed] : [],
    cluster: [...clusterText(frame.world).split("\n"), ...(cuts === "" ? [] : [cuts])],
    flying: `${flights(frame.world).length} messages in flight`,
  }
}

/** The whole picture of a frame. */
export const frameText = (session: DebugSession): string => {
  const { heading, happened: told, changed, cluster, flying } = frameView(session)
  return [heading, ...told, ...changed, "", ...cluster, `${flying}; ${invariantsText(session)}`].join("\n")
}
