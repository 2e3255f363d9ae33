/** Sends a script to a server, and reports where two servers replied differently. */
import type { Script, Step } from "./commands.ts"
import { compared, type Grid } from "./differences.ts"
import { openWire, type Seen, type Wire } from "./wire.ts"

const bytesOf = (words: readonly string[]): Uint8Array[] => words.map((word) => Buffer.from(word, "latin1"))

/**
 * Runs a whole script, from an empty store. Commands are pipelined, but one connection's commands are all answered
 * before the other connection sends.
 */
export const play = async (port: number, { protocol, steps }: Script): Promise<readonly Seen[]> => {
  const wires: Wire[] = [await openWire(port), await openWire(port)]
  try {
    await wires[0]?.ask([bytesOf(["FLUSHALL"])])
    for (const wire of wires) await wire.ask([bytesOf(["HELLO", String(protocol)])])
    const replies: Seen[] = []
    for (let from = 0; from < steps.length;) {
      const on = steps[from]?.on ?? 0
      let to = from
      while (to < steps.length && steps[to]?.on === on) to++
      replies.push(...((await wires[on]?.ask(steps.slice(from, to).map(({ words }) => bytesOf(words)))) ?? []))
      from = to
    }
    return replies
  } finally {
    for (const wire of wires) wire.close()
  }
}

/** What is compared of each reply, as text. */
export const texts = ({ steps }: Script, replies: readonly Seen[], grid: Grid): readonly string[] => {
  // The reply of a queued command comes with EXEC.
  const queued: (readonly string[])[][] = [[], []]
  return steps.map(({ on, words }: Step, at) => {
    const seen = replies[at]
    if (seen === undefined) return "nothing"
    const calls = queued[on] ?? []
    const name = words[0]?.toUpperCase() ?? ""
    if (seen.text === "QUEUED") calls.push(words)
    const inside = name === "EXEC" ? calls.splice(0) : null
    if (name === "DISCARD" || name === "RESET") calls.length = 0
    return compared(words, seen, inside, grid)
  })
}
