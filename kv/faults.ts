/**
 * Unexpected exceptions while a client's command is handled. They end that command and not the node, so they must not go
 * unnoticed: each place is logged once, with its stack, and all are counted.
 */
const mostPlaces = 100

export class Faults {
  count = 0
  private readonly log: (message: string) => void
  private readonly places = new Set<string>()

  constructor(log: (message: string) => void) {
    this.log = log
  }

  report(what: string, thrown: unknown): void {
    this.count++
    const stack = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
    // The message may quote what a client sent; so the place in the stack identifies the error.
    const frames = stack.split("\n").filter((line) => line.trimStart().startsWith("at "))
    const place = frames.length === 0 ? what : frames.slice(0, 2).join("\n")
    if (this.places.has(place) || this.places.size >= mostPlaces) return
    this.places.add(place)
    this.log(
      `${what} failed: a bug in this program, logged once for each place. Please report it. ${stack.slice(0, 4096)}`,
    )
  }
}
