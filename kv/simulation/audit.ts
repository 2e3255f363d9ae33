/**
 * Looks over the shoulder of the state machines: every write of a client carries the name of who sent it and a number that
 * grows. What one client, or one connection without a session, has sent is executed once at most, and in its order.
 */
import type { Entry } from "../../core/index.ts"
import { PropertyViolated } from "../../spec/index.ts"
import { decodeCommand } from "../machine/index.ts"
import type { Call } from "../types.ts"
import type { KvWitness } from "./machine.ts"

const TOKEN = /^([a-z]\w*)\.(\d+) $/
export const tokenOf = (stream: string, number: number): string => `${stream}.${number} `

const textOf = (bytes: Uint8Array | undefined): string => (bytes === undefined ? "" : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1"))
/** SET key value, APPEND key value, CAS key from to. */
const tokenIn = (call: Call): RegExpExecArray | null => {
  const name = textOf(call[0])
  return name === "SET" || name === "APPEND" ? TOKEN.exec(textOf(call[2])) : name === "CAS" ? TOKEN.exec(textOf(call[3])) : null
}

export class Audit {
  /** Writes seen as executed. */
  executed = 0
  private through = 0
  private readonly last = new Map<string, { readonly number: number; readonly index: number }>()

  /** Of machines that execute the same entries, the first to do so is looked at. */
  readonly witness: KvWitness = (entry, memory) => {
    if (entry.index <= this.through) return
    this.through = entry.index
    if (entry.kind !== "command") return
    const command = decodeCommand(entry.payload.bytes)
    if (command.type !== "Execute") return
    for (const call of command.calls) {
      const token = tokenIn(call)
      const key = call[1]
      // A write that was refused, or not executed again, leaves the key as it was.
      if (token !== null && key !== undefined && memory.version(key) === entry.index) this.note(token[1] ?? "", Number(token[2]), entry)
    }
  }
  private note(stream: string, number: number, { index }: Entry): void {
    const before = this.last.get(stream)
    if (before !== undefined && number <= before.number) {
      const what = number === before.number ? "is executed again" : `is executed after number ${before.number} (entry ${before.index})`
      throw new PropertyViolated("ExactlyOnce", `write ${number} of ${stream} ${what} as entry ${index}`)
    }
    this.last.set(stream, { number, index })
    this.executed += 1
  }
}
