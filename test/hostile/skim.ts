/** Counts replies as their bytes arrive and keeps none of them, because a hostile client may receive gigabytes. */

export interface Tally {
  /** Replies that are not errors. */
  ok: number
  /** Errors by their first word. */
  readonly errors: Record<string, number>
  /** The text of the first error of each code. */
  readonly texts: Record<string, string>
}
export const newTally = (): Tally => ({ ok: 0, errors: {}, texts: {} })
export const answersOf = (tally: Tally): number =>
  tally.ok + Object.values(tally.errors).reduce((sum, count) => sum + count, 0)

const longestKept = 200

export class Skimmer {
  readonly tally: Tally
  /** The last reply: an error as `-CODE text`, a number, or a short text; null for any other. */
  last: string | number | null = null
  answers = 0
  private skip = 0
  private text: string | null = null
  private line = ""
  /** Items still to come, per level. */
  private readonly open: number[] = []
  private failed = false

  constructor(tally: Tally = newTally()) {
    this.tally = tally
  }

  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.skip > 0) {
        const some = Math.min(this.skip, chunk.length - at)
        if (this.text !== null) this.text += chunk.toString("latin1", at, at + some)
        this.skip -= some
        at += some
        if (this.skip > 0) continue
        this.last = this.text?.slice(0, -2) ?? null
        this.text = null
        this.ended()
        continue
      }
      const end = chunk.indexOf(10, at)
      this.line += chunk.toString("latin1", at, end < 0 ? chunk.length : end)
      if (end < 0) return
      at = end + 1
      const { line } = this
      this.line = ""
      this.begun(line.endsWith("\r") ? line.slice(0, -1) : line)
    }
  }

  private begun(line: string): void {
    if (this.open.length === 0) this.last = null
    const text = line.slice(1)
    const outermost = this.open.length === 0
    if (outermost) this.failed = false
    switch (line.slice(0, 1)) {
      case "$":
      case "=":
      case "!": {
        const length = Number(text)
        if (length < 0) return this.ended()
        this.skip = length + 2
        this.text = length <= longestKept ? "" : null
        return
      }
      case "*":
      case "~":
      case "%":
      case ">": {
        const count = Number(text) * (line[0] === "%" ? 2 : 1)
        if (count > 0) this.open.push(count)
        else this.ended()
        return
      }
      case "-": {
        const code = text.slice(0, text.includes(" ") ? text.indexOf(" ") : text.length)
        this.tally.errors[code] = (this.tally.errors[code] ?? 0) + 1
        this.tally.texts[code] ??= text.slice(0, longestKept)
        if (outermost) {
          this.failed = true
          this.last = line.slice(0, longestKept)
        }
        return this.ended()
      }
      default:
        this.last = line[0] === ":" ? Number(text) : line[0] === "+" ? text.slice(0, longestKept) : null
        return this.ended()
    }
  }

  private ended(): void {
    while (this.open.length > 0) {
      const left = (this.open.pop() ?? 1) - 1
      if (left > 0) {
        this.open.push(left)
        return
      }
    }
    this.answers++
    if (!this.failed) this.tally.ok++
  }
}
