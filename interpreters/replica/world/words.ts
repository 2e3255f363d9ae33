/**
 * Commands, results and states of a user's machine as text: by the user's own functions if there are any, otherwise as
 * JSON.
 */
import type { MachineWords } from "../../simulation/index.ts"
import { decodeReplicaCommand } from "../machine/command.ts"
import { jsonCodec, type Machine } from "../machine/definition.ts"
import type { EntryExecuted } from "./machine.ts"
import { isPlainPayload, numberOf, plainCommand } from "./machine.ts"
import { valueText } from "./values.ts"

export interface MachineDescriber<State, Command, Result> {
  readonly command?: (command: Command) => string
  readonly result?: (result: Result) => string
  /** What is shown of a state: plain data or a text. */
  readonly state?: (state: State) => unknown
}

export const machineWords = <State, Command, Result>(
  { commands = jsonCodec<Command>() }: Machine<State, Command, Result>,
  describe: MachineDescriber<State, Command, Result> = {},
): MachineWords => {
  const commandText = describe.command ?? valueText
  const resultText = describe.result ?? valueText
  const bodyText = (body: Uint8Array): string => commandText(commands.decode(numberOf(body).bytes))
  return {
    command: (payload) => {
      try {
        if (isPlainPayload(payload)) return bodyText(payload.subarray(1))
        const command = decodeReplicaCommand(payload)
        if (command.type === "Open") return `opens a session of ${command.owner}`
        if (command.type === "Compare") return `${command.owner} compares results through ${command.index}`
        const { body, session, sequence } = command
        const what =
          body.type === "command"
            ? bodyText(body.bytes)
            : body.request.type === "take"
              ? `take lease ${body.request.name} for ${body.request.holder}`
              : `release lease ${body.request.name} of ${body.request.holder}`
        return `${what} (number ${sequence} of session ${session})`
      } catch {
        return null
      }
    },
    result: (result) => {
      if (typeof result !== "object" || result === null || !("executed" in result)) return null
      const { executed } = result as EntryExecuted<State, Command, Result>
      if (executed === null) return null
      const { outcome } = executed
      if (outcome.type !== "result") return outcome.type === "undone" ? `undone: ${outcome.text}` : null
      return resultText(executed.result as Result)
    },
    parse: (text, id) => {
      let command: Command
      try {
        command = JSON.parse(text) as Command
      } catch {
        throw new SyntaxError(`${text} is no command: write it as JSON, the way commands in the log are written`)
      }
      return plainCommand(id, commands.encode(command))
    },
  }
}
