/** Invariants about the answers to clients. */
import {
  sameMember,
  type CommandEntry,
  type Entry,
  type Event,
  type Member,
  type Outcome,
  type Payload,
  type State,
} from "../../core/index.ts"
import { fail, isQuorum, type OpenRef, type ComparedStep, type Written } from "./history.ts"

const noPayloads: readonly Payload[] = []

export const openRef = ({ node, before, history }: ComparedStep, event: Extract<Event, { ref: number }>): void => {
  if (before.refs.has(event.ref)) fail("EveryRefAnswered", node, `ref ${event.ref} is used by two requests`)
  const payloads = event.type === "Proposed" ? event.payloads : noPayloads
  before.refs.set(event.ref, {
    kind: event.type === "ReadRequested" ? "read" : "proposal",
    committed: history.highest,
    payloads,
  })
  for (const payload of payloads) history.refused.delete(payload)
}

/** How many refs the state still has to answer. */
const held = ({ forwarded, confirmedReads, role }: State): number => {
  let count = forwarded.length + confirmedReads.length
  if (role.type === "leader") for (const read of role.reads) count += read.from === null ? 1 : 0
  else if (role.type === "follower") count += role.unsentReads.length + (role.asked?.refs.length ?? 0)
  return count
}

export const checkRefs = ({ node, before, state }: ComparedStep): void => {
  if (!before.complete) return
  const open = before.refs.size
  const known = held(state)
  if (open !== known) fail("EveryRefAnswered", node, `${open} clients wait, but the state knows of ${known}`)
}

const checkAppended = (
  { node, state, history }: ComparedStep,
  ref: OpenRef,
  { first, term }: Extract<Outcome, { type: "ProposalAppended" }>,
): void => {
  ref.payloads.forEach((payload, i) => {
    const index = first + i
    if (index <= state.log.base.index) return
    const here = state.log.entry(index)
    if (here?.term === term && here.kind === "command" && here.payload.checksum === payload.checksum) return
    let known: Written | null = history.written.get(index) ?? null
    while (known !== null && known.term !== term) known = known.other
    // No log holds the entry: another leader replaced it in the same batch, before it was written anywhere.
    if (known !== null && known.sum !== payload.checksum)
      fail("OutcomeTrue", node, `entry ${index} of term ${term} is not what is reported as appended there`)
  })
}

export const checkResponse = (seen: ComparedStep, ref: number, outcome: Outcome): void => {
  const { node, before, state, history } = seen
  const open = before.refs.get(ref)
  before.refs.delete(ref)
  if (open === undefined) {
    if (before.complete)
      fail("EveryRefAnswered", node, `ref ${ref} is answered with ${outcome.type}, but no client waits for it`)
    return
  }
  const read = outcome.type === "ReadReady" || outcome.type === "ReadRefused"
  if (read !== (open.kind === "read")) fail("EveryRefAnswered", node, `a ${open.kind} is answered with ${outcome.type}`)
  switch (outcome.type) {
    case "ReadReady":
      if (outcome.index < open.committed || state.applied < open.committed)
        fail(
          "ReadFresh",
          node,
          `answers a read at index ${outcome.index} with ${state.applied} applied, but entry ${open.committed} was committed before the read was requested`,
        )
      if (outcome.index > before.applying)
        fail("ReadFresh", node, `answers a read at index ${outcome.index}, but at most ${before.applying} is executed`)
      return
    case "ProposalAppended":
      checkAppended(seen, open, outcome)
      return
    case "ProposalRefused":
      for (const payload of open.payloads) history.refused.add(payload)
      return
    case "ProposalUnknown":
    case "ReadRefused":
      return
  }
}

/** As far as the followers' replies tell, and if nothing in this step changed that. */
export const checkRoom = ({ node, state, before, events }: ComparedStep, appended: readonly Entry[]): void => {
  const { role, self } = state
  if (
    role.type !== "leader" ||
    before.role !== "leader" ||
    before.term !== state.currentTerm ||
    !appended.some(({ kind }) => kind === "command")
  )
    return
  const changes = ({ type }: Event): boolean =>
    type === "MessageReceived" || type === "SpaceChanged" || type === "ConfigurationChangeProposed"
  const configuration = state.configurations.at(-1)
  if (configuration === undefined || configuration.index > before.log.lastIndex || events.some(changes)) return
  const hasRoom = (member: Member): boolean =>
    sameMember(member, self) ? !state.spaceLow : role.progress[member.name]?.condition !== "full"
  if (!isQuorum(configuration.configuration, hasRoom))
    fail("RoomForQuorum", node, `appends entry ${appended[0]?.index}, but no quorum has disk space for it`)
}

/** A leader appends for clients exactly the commands that it reports in the same step. */
export const checkOutcomes = (
  { node, state, before, history, effects }: ComparedStep,
  appended: readonly Entry[],
): void => {
  const commands: CommandEntry[] = []
  for (const entry of appended)
    if (entry.kind === "command") {
      commands.push(entry)
      if (history.refused.has(entry.payload))
        fail(
          "OutcomeTrue",
          node,
          `appends as entry ${entry.index} a command that it has reported to its client as refused`,
        )
    }
  if (before.role !== "leader" || before.term !== state.currentTerm || state.role.type !== "leader") return
  const firsts: number[] = []
  for (const effect of effects) {
    const outcome =
      effect.type === "Respond"
        ? effect.outcome
        : effect.type === "Send" && effect.message.type === "ForwardProposalReply"
          ? effect.message.outcome
          : null
    if (outcome?.type !== "ProposalAppended" || outcome.term !== state.currentTerm) continue
    const entry = state.log.entry(outcome.first)
    if (entry?.term !== outcome.term)
      fail(
        "OutcomeTrue",
        node,
        `entry ${outcome.first} of term ${outcome.term} is reported as appended, but is not in the log`,
      )
    else if (entry.kind === "command") firsts.push(outcome.first)
  }
  if (commands.length > 0 && firsts[0] !== commands[0]?.index)
    fail("OutcomeTrue", node, `appends entry ${commands[0]?.index} without reporting it to a client`)
  for (let i = 1; i < firsts.length; i++)
    if ((firsts[i] ?? 0) <= (firsts[i - 1] ?? 0)) fail("OutcomeTrue", node, `reports entry ${firsts[i]} to two clients`)
}
