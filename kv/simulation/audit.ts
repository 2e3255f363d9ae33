/**
 * Watches the state machines: every write of a client carries its sender's name and a growing number. Each write is
 * executed at most once. Writes whose execution was reported to a client, or to a connection without a session, are
 * executed in the order in which they were sent (ExactlyOnce). A write of unknown outcome may still be executed later.
 * Nothing that a client sends in the session of another client is executed (SessionEnteredByOpener).
 */
import type { Entry } from "../../core/index.ts"
import { PropertyViolated } from "../../spec/index.ts"
import { decodeCommand } from "../machine/index.ts"
import type { Call } from "../types.ts"
import type { KvWitness } from "./servers/machine.ts"

/** Senders that name sessions of others, with guessed secrets. */
export const STRANGER = "stranger"

const TOKEN = /^([a-z]\w*)\.(\d+) $/
export const tokenOf = (stream: string, number: number): string => `${stream}.${number} `

const textOf = (bytes: Uint8Array | undefined): string =>
  bytes === undefined ? "" : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1")
/** The token in one of these calls: SET key value, APPEND key value, CAS key from to. */
const tokenIn = (call: Call): RegExpExecArray | null => {
  const name = textOf(call[0])
  return name === "SET" || name === "APPEND"
    ? TOKEN.exec(textOf(call[2]))
    : name === "CAS"
      ? TOKEN.exec(textOf(call[3]))
      : null
}

interface Stream {
  /** The entry in which each number was executed. */
  readonly at: Map<number, number>
  /** The last execution that was reported to the client. */
  acknowledged: { readonly number: number; readonly index: number } | null
}

export class Audit {
  private through = 0
  private readonly streams = new Map<string, Stream>()

  /** All state machines execute the same entries: the first one to execute an entry is audited. */
  readonly witness: KvWitness = (entry, memory) => {
    if (entry.index <= this.through) return
    this.through = entry.index
    if (entry.kind !== "command") return
    const command = decodeCommand(entry.payload.bytes)
    if (command.type !== "Execute") return
    for (const call of command.calls) {
      const token = tokenIn(call)
      const key = call[1]
      // A write that was refused, or not executed again, leaves the key unchanged.
      if (token !== null && key !== undefined && memory.version(key) === entry.index)
        this.executed(token[1] ?? "", Number(token[2]), entry)
    }
  }
  private stream(name: string): Stream {
    let stream = this.streams.get(name)
    if (stream === undefined) this.streams.set(name, (stream = { at: new Map(), acknowledged: null }))
    return stream
  }
  private executed(name: string, number: number, { index }: Entry): void {
    if (name === STRANGER)
      throw new PropertyViolated(
        "SessionEnteredByOpener",
        `entry ${index} is executed, although its sender did not open the session`,
      )
    const { at } = this.stream(name)
    const before = at.get(number)
    if (before !== undefined)
      throw new PropertyViolated(
        "ExactlyOnce",
        `write ${number} of ${name} is executed as entry ${before}, and again as entry ${index}`,
      )
    at.set(number, index)
  }
  /** The client was told that the write was executed. */
  acknowledged(token: string): void {
    const [, name = "", digits = ""] = TOKEN.exec(token) ?? []
    const number = Number(digits)
    const stream = this.stream(name)
    const index = stream.at.get(number)
    const before = stream.acknowledged
    if (index === undefined) return
    if (before !== null && before.number < number && before.index > index)
      throw new PropertyViolated(
        "ExactlyOnce",
        `write ${number} of ${name} is executed as entry ${index}, before number ${before.number} (entry ${before.index})`,
      )
    stream.acknowledged = { number, index }
  }
}
