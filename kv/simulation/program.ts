/**
 * What one connection must see of its own commands, whatever other clients do: they take effect in the order in which
 * they were sent (ProgramOrder). On a key that no other client uses, this determines every reply; on any key a read
 * never sees what its own connection sent after it.
 */
import { PropertyViolated } from "../../spec/index.ts"
import type { Argument } from "../client/resp.ts"
import type { PlainReply } from "./clients.ts"
import { plainEnd, type End, type WorkloadOperation } from "./operation.ts"

export interface ProgramTurn {
  readonly counts: boolean
  readonly commands: readonly (readonly Argument[])[]
}

/** A key of this connection alone; each of its writes increments it. */
export class CountedKey {
  readonly key: string
  private count = 0
  constructor(key: string) {
    this.key = key
  }
  /** An increment, or a read. */
  turn(counts: boolean, together: boolean): ProgramTurn {
    const command = [counts ? "INCR" : "GET", this.key]
    return { counts, commands: together ? [["MULTI"], command, ["EXEC"]] : [command] }
  }
  /**
   * `told` is the answer to the last command of a turn. Returns false if its outcome is unknown: then nothing is known
   * about later commands either.
   */
  check(counts: boolean, told: PlainReply): boolean {
    if (told !== "lost" && told.type === "error" && told.code === "EXECABORT") return true
    const only: PlainReply = told !== "lost" && told.type === "array" ? (told.items[0] ?? "lost") : told
    const operation: WorkloadOperation = { f: counts ? "incr" : "read", key: this.key, value: counts ? 1 : null }
    const end = plainEnd(operation, only)
    if (end.type === "unknown") return false
    if (end.type !== "ok") return true
    if (counts) this.count++
    const seen = Number(end.value ?? 0)
    if (seen !== this.count)
      throw new PropertyViolated(
        "ProgramOrder",
        `${counts ? "INCR" : "GET"} ${this.key}: ${seen} where the connection itself has counted to ${this.count}`,
      )
    return true
  }
}

/** `stream` identifies the writes of one connection, `number` the first that was sent after the read. */
export const checkNothingBehind = ({ f, key }: WorkloadOperation, end: End, stream: string, number: number): void => {
  if (f !== "read" || end.type !== "ok" || typeof end.value !== "string") return
  for (const token of end.value.split(" ")) {
    const [name, digits] = token.split(".")
    if (name === stream && Number(digits) >= number)
      throw new PropertyViolated(
        "ProgramOrder",
        `GET ${key} sees ${token}, which was sent after it on its own connection`,
      )
  }
}
