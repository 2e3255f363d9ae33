/**
 * Where our replies differ from those of Redis 7, and what is compared of a reply where the same bytes cannot be
 * expected.
 */
import { shown, type Seen } from "./wire.ts"

export interface Known {
  readonly what: string
  readonly before?: readonly (readonly string[])[]
  readonly words: readonly string[]
  readonly redis: RegExp
  readonly ours: RegExp
}
const call = (text: string): readonly string[] => text.split(" ")

/** Differences by design. kv/README.md has this list. */
export const known: readonly Known[] = [
  {
    what: "what reads the whole key space is refused in MULTI",
    before: [call("MULTI")],
    words: call("KEYS *"),
    redis: /QUEUED/,
    ours: /KEYS inside MULTI is not allowed/,
  },
  { what: "there is one database", words: call("SELECT 1"), redis: /OK/, ours: /DB index is out of range/ },
  { what: "values have 8 MB at most", words: call("SETRANGE a 9000000 x"), redis: /9000001/, ours: /TOOLARGE/ },
  {
    what: "deadlines end with the year 10889",
    before: [call("SET a 1"), call("PEXPIREAT a 9000000000000000")],
    words: call("PEXPIRETIME a"),
    redis: /9000000000000000/,
    ours: /281474976710655/,
  },
  {
    what: "when a key was last read is not known",
    before: [call("SET a 1")],
    words: call("OBJECT IDLETIME a"),
    redis: /:"0"/,
    ours: /idle time is not tracked/,
  },
  {
    what: "how a value came to be does not show",
    before: [call("SET a x"), call("APPEND a y")],
    words: call("OBJECT ENCODING a"),
    redis: /raw/,
    ours: /embstr/,
  },
  {
    what: "nothing is evicted, and that is said otherwise",
    before: [call("SET a 1")],
    words: call("OBJECT FREQ a"),
    redis: /LFU maxmemory policy is not selected.*switching/,
    ours: /LFU maxmemory policy is not selected.*evicted/,
  },
  { what: "a cursor that is no number is refused", words: ["SCAN", ""], redis: /\*\[\$"0"/, ours: /invalid cursor/ },
  { what: "there are no 16 databases", words: call("CONFIG GET databases"), redis: /"16"/, ours: /"1"/ },
  {
    what: "errors quote 128 bytes at most",
    words: ["EXPIRE", "a", "1", "y".repeat(500)],
    redis: /\(523\)/,
    ours: /\(151\)/,
  },
  {
    what: "FLUSHALL ends a transaction that watches, though the key was not there",
    before: [call("WATCH a"), call("FLUSHALL"), call("MULTI")],
    words: call("EXEC"),
    redis: /^\*""$/,
    ours: /nil/,
  },
  {
    what: "small numbers are not shared",
    before: [call("SET a 1")],
    words: call("OBJECT REFCOUNT a"),
    redis: /2147483647/,
    ours: /:"1"/,
  },
  {
    what: "a node is a cluster's, also without --redirect",
    words: call("READONLY"),
    redis: /cluster support disabled/,
    ours: /OK/,
  },
]

/** Replies that differ in numbers or order only: kinds and sizes are compared. */
const looked: ReadonlySet<string> = new Set(["TIME", "RANDOMKEY"])
const near = 30_000
const times: ReadonlySet<string> = new Set(["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"])
const exact = ({ kind, text, items }: Seen): string =>
  `${kind}${items.length > 0 ? `[${items.map(exact).join(" ")}]` : JSON.stringify(text)}`
const kinds = ({ kind, items }: Seen): string => `${kind}${items.map(kinds).join("")}`

/** someday: the other was asked at another time. */
export type Grid = "even" | "odd" | "someday"

/**
 * What is compared of the reply to a call, as text. `inside`: the calls that this EXEC executes. `grid`: how times are
 * rounded; two times that are near each other are equal on one of two grids.
 */
export const compared = (
  words: readonly string[],
  seen: Seen,
  inside: readonly (readonly string[])[] | null,
  grid: Grid,
): string => {
  if (seen.kind === "-") return exact(seen)
  if (inside !== null)
    return seen.kind === "*"
      ? `*[${seen.items.map((item, i) => compared(inside[i] ?? [], item, null, grid)).join(" ")}]`
      : exact(seen)
  const [name = "", sub = ""] = words.map((word) => word.toUpperCase())
  if (seen.text === "QUEUED" || seen.kind === "+") return exact(seen)
  if (times.has(name)) {
    const value = Number(seen.text)
    if (value <= near) return exact(seen)
    // The two servers are asked seconds apart, about deadlines that are further apart than that.
    return `${seen.kind}${grid === "someday" ? "later" : Math.floor(value / (name.startsWith("P") ? near : near / 1000) + (grid === "even" ? 0 : 0.5))}`
  }
  if (looked.has(name)) return kinds(seen)
  if (name === "KEYS") return `${seen.kind}${seen.items.map(shown).sort().join(" ")}`
  if (name === "SCAN")
    return seen.items
      .map((part) => (part.items.length > 0 ? part.items.map(shown).sort().join(" ") : exact(part)))
      .join(" ")
  if (name === "HELLO")
    return `${seen.kind}${seen.items.map((item, i) => (/id|version/.test(seen.items[i - 1]?.text ?? "") ? item.kind : exact(item))).join(" ")}`
  if (name === "CLIENT" && ["ID", "INFO", "LIST"].includes(sub)) return seen.kind
  if (name === "COMMAND" && sub === "") return seen.kind
  if (name === "COMMAND" && ["COUNT", "LIST", "INFO"].includes(sub)) return seen.kind
  if (name === "MEMORY" || name === "OBJECT") return seen.kind
  return exact(seen)
}
