/** When a server may halt: a message must have shown it something that Figure 3 rules out. */
import type { Effect, Event, Halted } from "../../core/index.ts"
import { termIn } from "./log.ts"
import { same, type AbstractServer } from "./server.ts"

/** What a leader claims about its entries: the term at each index. */
const sayings = (event: Event): readonly { readonly index: number; readonly term: number }[] => {
  if (event.type !== "MessageReceived") return []
  const { message } = event
  if (message.type === "InstallSnapshot") return [message.snapshot]
  return message.type === "AppendEntries"
    ? [{ index: message.prevLogIndex, term: message.prevLogTerm }, ...message.entries]
    : []
}

const isShown = (server: AbstractServer, events: readonly Event[], halted: Halted): boolean => {
  switch (halted.reason) {
    case "twoLeaders":
      return (
        !same(halted.leader, halted.other) &&
        events.some(
          (event) =>
            event.type === "MessageReceived" && same(event.from, halted.other) && event.message.term === halted.term,
        )
      )
    case "committedConflict": {
      const own = termIn(server.log, halted.index)
      return (
        halted.theirs !== halted.term &&
        (own === undefined || own === halted.term) &&
        events.some((event) =>
          sayings(event).some(({ index, term }) => index === halted.index && term === halted.theirs),
        )
      )
    }
    case "logsDiverged":
      return (
        halted.leader === null ||
        termIn(server.log, halted.index) === undefined ||
        events.some((event) => sayings(event).some(({ index, term }) => index === halted.index && term === halted.term))
      )
  }
}

/** null: it may halt. A halted server must be silent. */
export const mayHalt = (
  server: AbstractServer,
  events: readonly Event[],
  effects: readonly Effect[],
  halted: Halted,
): string | null => {
  if (effects.some(({ type }) => type !== "Halt" && type !== "Note"))
    return "has stopped, but still sends or writes something"
  return effects.length === 0 || isShown(server, events, halted)
    ? null
    : `stops without a reason: ${JSON.stringify(halted)}`
}
