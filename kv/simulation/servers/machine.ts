/** The key-value state machine in a simulated world: the same execution as over LevelDB, in memory, at once. */
import { createHash } from "node:crypto"
import type { Entry, LogBase } from "../../../core/index.ts"
import { finish, mix, type WorldMachine } from "../../../interpreters/simulation/index.ts"
import { ByteWriter } from "../../../interpreters/bytes.ts"
import { SECRET_BYTES } from "../../sessionKey.ts"
import { DEFAULT_IDLE, MemoryMachine, writeReply, type MachineOutcome } from "../../machine/index.ts"

/** The same secret for the same name: in a simulated world nobody tries to guess it. */
export const simulatedSecret = (name: string): Buffer =>
  createHash("sha256").update(name).digest().subarray(0, SECRET_BYTES)

const mixBytes = (hash: number, bytes: Uint8Array): number =>
  bytes.reduce((sum, byte) => mix(sum, byte), mix(hash, bytes.length))

const scratch = new ByteWriter()

/** The result of one entry: nothing, or one outcome. */
export type KvResult = MachineOutcome | null
/** Called with a machine right after it has executed an entry. */
export type KvWitness = (entry: Entry, memory: MemoryMachine, result: KvResult) => void

export class KvWorldMachine implements WorldMachine {
  /** For reads, and for inspection. */
  readonly memory: MemoryMachine
  private readonly witness: KvWitness | null
  private sum: number
  constructor(memory: MemoryMachine, witness: KvWitness | null = null, sum = 0) {
    this.memory = memory
    this.witness = witness
    this.sum = sum
  }
  position(): LogBase {
    return this.memory.position()
  }
  apply(entries: readonly Entry[]): readonly KvResult[] {
    return entries.map((entry) => {
      const [outcome = null] = this.memory.applyNow([entry])
      this.note(entry, outcome)
      this.witness?.(entry, this.memory, outcome)
      return outcome
    })
  }
  /**
   * Mixes an entry and its result into a hash, which is equal for two machines that executed the same entries with the
   * same results.
   */
  private note(entry: Entry, outcome: KvResult): void {
    this.sum = mix(mix(this.sum, entry.index), entry.kind === "command" ? entry.payload.checksum : 0)
    if (outcome?.type !== "replied") return
    scratch.reset()
    writeReply(scratch, outcome.reply)
    this.sum = mixBytes(this.sum, scratch.view())
  }
  clone(): KvWorldMachine {
    return new KvWorldMachine(this.memory.clone(), this.witness, this.sum)
  }
  digest(): number {
    return finish(this.sum)
  }
}

/** Used as WorldOptions.machine. Sessions end after `idle` milliseconds of the replicated clock. */
export const kvWorldMachine =
  (idle: number = DEFAULT_IDLE, witness: KvWitness | null = null) =>
  (base: LogBase): KvWorldMachine =>
    new KvWorldMachine(MemoryMachine.at(base, idle), witness)
