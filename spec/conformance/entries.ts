/** Logs for checks: entries of every kind, chained as a leader chains them. */
import {
  chainAfter,
  MAX_COUNT,
  MAX_INDEX,
  MAX_TERM,
  type Configuration,
  type Entry,
  type LogBase,
  type Member,
  type UnchainedEntry,
} from "../../core/index.ts"
import { payloadOf } from "../../interpreters/payload.ts"
import type { Random } from "../../interpreters/simulation/index.ts"

export const memberNamed = (name: string, incarnation = `${name}-1`): Member => ({ name, incarnation })

export type LogPosition = Pick<LogBase, "index" | "term" | "time" | "chain">
export type Content =
  | { readonly kind: "noop" }
  | { readonly kind: "command"; readonly bytes: Uint8Array }
  | { readonly kind: "configuration"; readonly configuration: Configuration }

/** The entry after `before`. */
export const entryAfter = (
  before: LogPosition,
  content: Content,
  term = before.term,
  time = before.time + 1,
): Entry => {
  const place = { index: before.index + 1, term, time }
  const entry: UnchainedEntry =
    content.kind === "command"
      ? { kind: "command", ...place, payload: payloadOf(content.bytes) }
      : content.kind === "noop"
        ? { kind: "noop", ...place }
        : { kind: "configuration", ...place, configuration: content.configuration }
  return { ...entry, chain: chainAfter(before.chain, entry) }
}
export const logPositionOf = ({ index, term, time, chain }: LogPosition): LogPosition => ({ index, term, time, chain })

export const randomBytesOf = (random: Random, length: number): Uint8Array =>
  Uint8Array.from({ length }, () => random.below(256))

export const someConfiguration: Configuration = {
  voters: [memberNamed("a"), memberNamed("b", ""), memberNamed("ünïcode ☃ 🚀", "x".repeat(64))],
  outgoing: [memberNamed("a"), memberNamed("c")],
  learners: [memberNamed("d")],
}
/** Numbers beyond 32 bits, and the largest possible ones. */
export const extremes: readonly LogPosition[] = [
  { index: 2 ** 32, term: 2 ** 32 + 1, time: 2 ** 40, chain: 0x7fff_ffff },
  { index: MAX_INDEX - 1, term: MAX_TERM, time: MAX_COUNT, chain: -0x8000_0000 },
]
