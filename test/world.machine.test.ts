/** A state machine of one's own in a world: what is wrong with it is told of it, not of Raft. */
import { describe, expect, test } from "vitest"
import type { Entry, LogBase } from "../core/index.ts"
import { cluster, mix, type WorldMachine } from "../interpreters/simulation/index.ts"

/** Counts commands in a map. `copy` makes the map of a clone. */
class Counts implements WorldMachine {
  private base: LogBase
  private readonly counts: Map<number, number>
  private readonly copy: (counts: Map<number, number>) => Map<number, number>
  constructor(
    base: LogBase,
    copy: (counts: Map<number, number>) => Map<number, number>,
    counts = new Map<number, number>(),
  ) {
    this.base = base
    this.copy = copy
    this.counts = counts
  }
  position(): LogBase {
    return this.base
  }
  apply(entries: readonly Entry[]): readonly unknown[] {
    for (const entry of entries) {
      if (entry.kind === "command")
        this.counts.set(entry.payload.checksum, (this.counts.get(entry.payload.checksum) ?? 0) + 1)
      this.base = {
        ...entry,
        configuration: entry.kind === "configuration" ? entry.configuration : this.base.configuration,
      }
    }
    return []
  }
  digest(): number {
    return [...this.counts].reduce((sum, [key, count]) => mix(mix(sum, key), count), 0) >>> 0
  }
  clone(): WorldMachine {
    return new Counts(this.base, this.copy, this.copy(this.counts))
  }
}

describe("clone() of a state machine", () => {
  test("that answers the machine itself is told at once", () => {
    class Same extends Counts {
      override clone(): WorldMachine {
        return this
      }
    }
    expect(() => cluster(3, { machine: (base) => new Same(base, (counts) => counts) })).toThrow(
      /^clone\(\) of the state machine returns the state machine itself\. .*a fault of the state machine/,
    )
  })
  test("that shares what apply changes is told at the first command; one that copies it is not", () => {
    const story = (copy: (counts: Map<number, number>) => Map<number, number>): number =>
      cluster(3, { machine: (base) => new Counts(base, copy) }).one("x", 3)
    expect(() => story((counts) => counts)).toThrow(
      /^clone\(\) of the state machine shares its contents with the original/,
    )
    expect(story((counts) => new Map(counts))).toBe(1)
  })
})
