/** Runs a history step by step with only the reducer: no tables, no symmetry, no forgotten messages. */
import type { Member, Message, Rule } from "../../core/index.ts"
import { staleRepresentative } from "./fate.ts"
import { makeIdentifier } from "./identity.ts"
import { isViolation, judge, noHistory, summaryOf } from "./judge.ts"
import type { ExploredStep } from "./steps.ts"
import {
  actOnServer,
  freshServer,
  innerActions,
  outside,
  type ServerAction,
  type ServerState,
  type ExploredViolation,
} from "./server.ts"
import { memberOf, type Space } from "./space.ts"

export interface ReplayFrame {
  readonly step: ExploredStep
  readonly sends: readonly { readonly to: Member; readonly message: Message }[]
  readonly notes: readonly Rule[]
  readonly violation: ExploredViolation | null
}
export interface ReplayedSteps {
  readonly frames: readonly ReplayFrame[]
  /** The servers after the last step, by name. */
  readonly servers: Readonly<Record<string, ServerState>>
  readonly violation: ExploredViolation | null
}

export class ImpossibleStep extends Error {
  override readonly name = "ImpossibleStep"
}

/** Runs until the first violation. Throws ImpossibleStep at a step that the space does not allow then. */
export const replay = (space: Space, steps: readonly ExploredStep[]): ReplayedSteps => {
  const { message: identify } = makeIdentifier(space)
  const servers = Object.fromEntries(space.servers.map((name) => [name, freshServer(space, name)]))
  const underWay = new Set<string>()
  const frames: ReplayFrame[] = []
  let history = noHistory
  let crashes = 0
  for (const step of steps) {
    const { action } = step
    const server = servers[step.server]
    if (server === undefined) throw new ImpossibleStep(`no server ${step.server}`)
    if (action.type === "deliver") {
      const text = identify(action.from, memberOf(step.server), action.message)
      if (!underWay.has(text)) throw new ImpossibleStep(`never sent: ${text}`)
      if (!space.duplication) underWay.delete(text)
    } else if (!innerActions(space, server).some((possible) => JSON.stringify(possible) === JSON.stringify(action)))
      throw new ImpossibleStep(`${step.server} ${actionText(action)}: not possible now`)
    if (action.type === "read" && action.committed !== history.committed.length)
      throw new ImpossibleStep(`${history.committed.length} entries are committed`)
    if (action.type === "crash" && ++crashes > (space.bounds.crashes ?? crashes))
      throw new ImpossibleStep("one crash too many")
    const { server: after, sends, notes, violation } = actOnServer(space, server, action)
    if (violation === null && outside(space, after)) throw new ImpossibleStep("past a bound of the space")
    servers[step.server] = after
    for (const { to, message } of sends) underWay.add(identify(after.state.self, to, message))
    const others = space.servers
      .filter((name) => name !== step.server)
      .map((name) => servers[name])
      .filter((other) => other !== undefined)
    const verdict = judge(history, summaryOf(after), others.map(summaryOf))
    const found = violation ?? (isViolation(verdict) ? verdict : null)
    frames.push({ step, sends, notes, violation: found })
    if (found !== null || isViolation(verdict)) return { frames, servers, violation: found }
    history = verdict
  }
  return { frames, servers, violation: null }
}

/**
 * In the search one message stands for all stale ones with the same answer; here each is replaced by a message that was
 * really sent.
 */
export const withSentMessages = (space: Space, steps: readonly ExploredStep[]): readonly ExploredStep[] => {
  const { message: identify } = makeIdentifier(space)
  const servers = Object.fromEntries(space.servers.map((name) => [name, freshServer(space, name)]))
  const sent = new Map<string, Message>()
  const standsFor = new Map<string, Message>()
  return steps.map((step) => {
    const { server: name, action } = step
    const server = servers[name]
    if (server === undefined) throw new ImpossibleStep(`no server ${name}`)
    const text = action.type === "deliver" ? identify(action.from, memberOf(name), action.message) : ""
    const message = sent.has(text) ? undefined : standsFor.get(text)
    const meant = action.type === "deliver" && message !== undefined ? { ...action, message } : action
    const { server: after, sends } = actOnServer(space, server, meant)
    servers[name] = after
    const { self } = after.state
    for (const { to, message: told } of sends) {
      sent.set(identify(self, to, told), told)
      standsFor.set(identify(self, to, staleRepresentative(told)), told)
    }
    return { server: name, action: meant }
  })
}

const messageText = (message: Message): string => {
  const { type, ...rest } = message
  const fields = Object.entries(rest).map(
    ([key, value]) =>
      `${key} ${key === "entries" && Array.isArray(value) ? `[${value.map((entry: { kind: string; term: number }) => `${entry.kind} ${entry.term}`).join(", ")}]` : JSON.stringify(value)}`,
  )
  return `${type} (${fields.join(", ")})`
}
const actionText = (action: ServerAction): string => {
  switch (action.type) {
    case "deliver":
      return `receives from ${action.from.name} ${messageText(action.message)}`
    case "timeout":
      return `${action.timer} timer fires`
    case "persist":
      return "completes its oldest write"
    case "crash":
      return `crashes with ${action.kept} of the outstanding writes completed, and starts again`
    case "tick":
      return "is told the time"
    case "propose":
      return action.command === undefined ? "is given a command" : `is given command ${action.command + 1}`
    case "change":
      return `is asked to make ${action.voters.join(" and ")} the voters`
    case "apply":
      return "has executed what is committed"
    case "snapshot":
      return "has taken its snapshot"
    case "restore":
      return "has restored the snapshot"
    case "read":
      return `is asked to read (${action.committed} entries are committed)`
  }
}
/** One line for each step, with the rules it used. */
export const describeSteps = (space: Space, steps: readonly ExploredStep[]): readonly string[] => {
  const { frames } = replay(space, steps)
  return frames.map(({ step, notes, violation }, i) => {
    const rules = notes.length > 0 ? `  {${notes.join(", ")}}` : ""
    const broken = violation === null ? "" : `\n     ${violation.name}: ${violation.detail}`
    return `${String(i + 1).padStart(3)}  ${step.server} ${actionText(step.action)}${rules}${broken}`
  })
}
