/** Exceptions that ended a command, on every node alike: each is reported once, by its place in the code. */
export class CommandFaults {
  count = 0
  private readonly told = new Set<string>()
  private readonly report: (text: string) => void
  constructor(report: (text: string) => void) {
    this.report = report
  }
  readonly tell = (thrown: unknown): void => {
    this.count++
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
    if (this.told.has(text) || this.told.size >= 16) return
    this.told.add(text)
    this.report(`a command ended in an internal error and was not executed: ${text}`)
  }
}
