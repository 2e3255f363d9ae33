/** Commands of client sessions, executed by the store's state machine: `open NAME`, `NAME NUMBER LOWEST COMMAND …`, `close NAME`. */
import { MemoryMachine } from "../../kv/machine/index.ts"
import { buffers, entryOf, plain, secretFor } from "../machine.kit.ts"
import type { Command } from "../../kv/types.ts"

export const sessions = (): { readonly run: (line: string) => readonly string[] } => {
  const machine = new MemoryMachine()
  const named = new Map<string, number>()
  let index = 0
  const execute = (command: Command): readonly string[] =>
    machine
      .applyNow([entryOf(++index, 1000 + index, command)])
      .map(
        (outcome) =>
          `entry ${index}: ${outcome.type === "replied" ? JSON.stringify(plain(outcome.reply)) : outcome.type}`,
      )
  return {
    run: (line) => {
      const [first = "", second = "", lowest = "", ...words] = line.split(" ")
      const sessionOf = (name: string): number => named.get(name) ?? 0
      if (first === "open") {
        named.set(second, index + 1)
        return execute({ type: "OpenSession", owner: second, secret: secretFor(second) })
      }
      if (first === "close")
        return execute({ type: "CloseSession", session: sessionOf(second), secret: secretFor(second) })
      return execute({
        type: "Execute",
        session: sessionOf(first),
        secret: secretFor(first),
        sequence: Number(second),
        lowest: Number(lowest),
        exec: false,
        watches: [],
        calls: [buffers(...words)],
      })
    },
  }
}
