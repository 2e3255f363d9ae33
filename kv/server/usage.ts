/** How often each command ran, how long it took and how it ended: commandstats and errorstats of INFO. */
import { Histogram } from "../../interpreters/metrics/index.ts"
import type { Call, Reply } from "../types.ts"
import type { AnsweredCommand, KnownCommand, Lookup, UsageCounts, Used, Words } from "./contract.ts"
import { wordAt } from "./words.ts"

/** The error codes are this program's own, and few; the limit is a safeguard. */
const mostCodes = 128

export const usageName = (known: Pick<KnownCommand, "name" | "subcommands">, words: Words): string =>
  known.subcommands === undefined || words.length === 1 ? known.name : `${known.name}|${wordAt(words, 1)}`

/** How fast a count grows, from the last samples. */
export class Rate {
  private samples: { readonly at: number; readonly total: number }[] = []
  sample(at: number, total: number): void {
    this.samples.push({ at, total })
    if (this.samples.length > mostSamples) this.samples.shift()
  }
  perSecond(): number {
    const [first] = this.samples
    const last = this.samples.at(-1)
    return first === undefined || last === undefined || last.at <= first.at
      ? 0
      : Math.round(((last.total - first.total) * 1000) / (last.at - first.at))
  }
}
/** Seven samples at this interval cover a second and a half. */
export const sampleMs = 250
const mostSamples = 7

export class Usage implements UsageCounts {
  readonly operations = new Rate()
  readonly input = new Rate()
  readonly commands = new Map<string, Used>()
  /** The counts of errors by their first word. */
  readonly errors = new Map<string, number>()
  readonly durations = { write: new Histogram(), read: new Histogram() }

  private used(name: string): Used {
    let used = this.commands.get(name)
    if (used === undefined) {
      used = { calls: 0, micros: 0, rejected: 0, failed: 0 }
      this.commands.set(name, used)
    }
    return used
  }
  private failed({ code }: Extract<Reply, { readonly type: "error" }>): void {
    if (this.errors.has(code) || this.errors.size < mostCodes) this.errors.set(code, (this.errors.get(code) ?? 0) + 1)
  }

  rejected(known: KnownCommand | undefined, words: Words, reply: Reply): void {
    // A command with an unknown subcommand is counted under the name of its family.
    if (known !== undefined)
      this.used(
        known.subcommands?.some(({ name }) => name === wordAt(words, 1)) === true
          ? usageName(known, words)
          : known.name,
      ).rejected++
    if (reply.type === "error") this.failed(reply)
  }
  ran(known: KnownCommand, words: Words, reply: Reply, micros: number): void {
    const used = this.used(usageName(known, words))
    used.calls++
    used.micros += micros
    if (reply.type !== "error") return
    used.failed++
    this.failed(reply)
  }
  took(kind: "write" | "read", known: KnownCommand, words: Words, reply: Reply, millis: number): void {
    this.ran(known, words, reply, millis * 1000)
    this.durations[kind].observe(millis / 1000)
  }
  /** A command that waited for its turn was answered. */
  answered(table: Lookup, { kind, known, words, work, reply, since }: AnsweredCommand): void {
    if (known === undefined || reply === null) return
    const millis = performance.now() - since
    if (kind === "answered") this.ran(known, words, reply, millis * 1000)
    else this.took(kind, known, words, reply, millis)
    if (work?.type === "work.write" && work.exec) this.together(table, work.calls ?? [], reply)
  }
  /** Counts the commands of an EXEC; their time is counted for the EXEC. */
  private together(table: Lookup, calls: readonly Call[], reply: Reply): void {
    if (reply.type !== "array") return
    const alone = reply.items.length === calls.length
    calls.forEach((call, at) => {
      const words = call.map((word) => Buffer.from(word.buffer, word.byteOffset, word.byteLength))
      const known = table.find(words[0])
      const item = alone ? reply.items[at] : undefined
      if (known !== undefined) this.ran(known, words, item ?? { type: "null" }, 0)
    })
  }

  reset(): void {
    this.commands.clear()
    this.errors.clear()
  }
}
