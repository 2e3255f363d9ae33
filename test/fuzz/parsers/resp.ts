/** RESP, both ways: what clients send, and what they are answered. */
import { encodeRequest, makeDecoder, MalformedReply, toValue } from "../../../kv/client/resp.ts"
import { defaultLimits } from "../../../kv/server/limits/limits.ts"
import { encode, type Sink } from "../../../kv/server/wire/encode.ts"
import { ProtocolError, RequestParser, RequestTooLarge } from "../../../kv/server/wire/resp.ts"
import type { Reply } from "../../../kv/types.ts"
import { must, pieces, told, type Parser } from "../parser.ts"

const limits = { ...defaultLimits, maxEntryBytes: 64, maxArguments: 32, maxInlineBytes: 200 }

interface Asked {
  readonly words: readonly Buffer[] | null
  readonly text: string
}
/** What the server makes of a stream, request by request; the last may say that it is no RESP. */
const requestsIn = (chunks: readonly Buffer[]): readonly Asked[] => {
  const parser = new RequestParser(limits)
  const asked: Asked[] = []
  let pushed = 0
  for (const chunk of chunks) {
    parser.push(chunk)
    pushed += chunk.length
    for (;;) {
      const next = parser.next()
      if (next === null) break
      if (next instanceof ProtocolError) return [...asked, { words: null, text: next.text }]
      const large = next instanceof RequestTooLarge
      const size = `${large ? "" : `${parser.requestBytes} bytes, `}${parser.requestWeight} in memory`
      asked.push({
        words: large ? null : next.map((word) => Buffer.from(word)),
        text: `${large ? `${next.name.toString("latin1")}: ${next.text}` : told(next)}, ${size}`,
      })
    }
    must(parser.weight <= 200 * (pushed + 1), `${pushed} bytes are held as ${parser.weight}`)
  }
  return asked
}
const repliesIn = (
  chunks: readonly Buffer[],
): { readonly replies: readonly Reply[]; readonly refused: string | null } => {
  const replies: Reply[] = []
  const decoder = makeDecoder(
    (reply) => replies.push(reply),
    (push) => replies.push({ type: "map", entries: [[{ type: "simple", text: "push" }, push]] }),
  )
  try {
    for (const chunk of chunks) decoder.feed(chunk)
    return { replies, refused: null }
  } catch (error) {
    if (!(error instanceof MalformedReply)) throw error
    return { replies, refused: error.message }
  }
}

const bulks = (words: readonly Uint8Array[]): Reply => ({
  type: "array",
  items: words.map((bytes) => ({ type: "bulk", bytes })),
})
const quoted = (word: Buffer): string =>
  `"${Array.from(word, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}"`

const request = (...words: readonly string[]): Buffer => encodeRequest(words)
const checkRequests = (input: Buffer): void => {
  const asked = requestsIn([input])
  must(told(requestsIn(pieces(input))) === told(asked), "in pieces it is another request")
  const each: Buffer[] = []
  for (const { words } of asked) {
    // A line of words may be more than a request in its usual form.
    if (words === null || words.length > limits.maxArguments) continue
    if (words.some(({ length }) => length > limits.maxEntryBytes)) continue
    if (words.reduce((sum, { length }) => sum + length, 0) > 2 * limits.maxEntryBytes) continue
    const again = encodeRequest(words)
    each.push(again)
    must(told(requestsIn([again])[0]?.words) === told(words), "written again it is another request")
    must(told(repliesIn([again]).replies) === told([bulks(words)]), "the client reads its own request in another way")
    const line = Buffer.from(`${words.map(quoted).join(" ")}\r\n`)
    if (line.length < limits.maxInlineBytes)
      must(told(requestsIn([line])[0]?.words) === told(words), "quoted in a line it is another request")
  }
  const alone = each.flatMap((one) => requestsIn([one]))
  must(told(requestsIn([Buffer.concat(each)])) === told(alone), "after another it is another request")
  const [first] = asked
  if (!/^\*[1-9]/.test(input.toString("latin1", 0, 2)) || first === undefined || first.words === null) return
  const theirs = repliesIn([input]).replies.find((reply) => reply.type === "array" && reply.items.length > 0)
  if (theirs !== undefined)
    must(told(theirs) === told(bulks(first.words)), "server and client read a request differently")
}

export const depthOf = (reply: Reply): number =>
  reply.type === "array"
    ? 1 + Math.max(0, ...reply.items.map(depthOf))
    : reply.type === "map"
      ? 1 + Math.max(0, ...reply.entries.flat().map(depthOf))
      : 0
/** Lines hold no line ends, and what is no ASCII leaves as it can: only such texts come back as they were. */
const isPlain = (reply: Reply): boolean => {
  const plain = (text: string): boolean => /^[\x20-\x7e]*$/.test(text)
  switch (reply.type) {
    case "simple":
      return plain(reply.text)
    case "error":
      return plain(reply.code + reply.text)
    case "array":
      return reply.items.every(isPlain)
    case "map":
      return reply.entries.every(([key, value]) => isPlain(key) && isPlain(value))
    case "bulk":
    case "integer":
    case "null":
      return true
  }
}
const written = (reply: Reply): Buffer => {
  const sink: Sink & { readonly parts: Buffer[] } = {
    text: "",
    parts: [],
    bytes: (bytes) => {
      sink.parts.push(Buffer.from(sink.text, "latin1"), Buffer.from(bytes))
      sink.text = ""
    },
  }
  encode(reply, 3, sink)
  return Buffer.concat([...sink.parts, Buffer.from(sink.text, "latin1")])
}
const checkReplies = (input: Buffer): void => {
  const whole = repliesIn([input])
  const cut = repliesIn(pieces(input))
  must(told(cut) === told(whole), "in pieces it is another reply")
  for (const reply of whole.replies) {
    must(depthOf(reply) <= 65, "it is nested too deeply")
    if (reply.type !== "error") toValue(reply, true)
    if (isPlain(reply))
      must(told(repliesIn([written(reply)]).replies) === told([reply]), "written again it is another reply")
  }
}

const reply = (text: string): Buffer => Buffer.from(text, "latin1")
export const parsers: readonly Parser[] = [
  {
    name: "requests",
    about:
      "RESP requests as the server reads them: the same in pieces, written again, in a line, and as the client reads them",
    files: ["kv/server/wire/resp.ts", "kv/server/wire/inline.ts"],
    seeds: () => [
      request("PING"),
      request("SET", "key", "value", "EX", "10"),
      Buffer.concat([request("GET", "a"), request("APPEND", "a", "x".repeat(64))]),
      request("SET", "large", "x".repeat(100)),
      request("SET", "larger", "x".repeat(60), "y".repeat(60), "z".repeat(60)),
      Buffer.from("*0\r\n*-1\r\n\r\nPING\r\nset a \"b \\x41\\n\" 'c\\'d'\r\n"),
      Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ],
    check: checkRequests,
    faults: [
      {
        id: "fuzz-requests-1",
        title: "the line end after a bulk string that spans chunks is not looked at",
        patches: [
          {
            file: "kv/server/wire/resp.ts",
            find: "return joined[wanted - 2] === cr && joined[wanted - 1] === lf ? joined.subarray(0, wanted - 2) : unterminated",
            replace: "return joined.subarray(0, wanted - 2)",
          },
        ],
      },
      {
        id: "fuzz-requests-2",
        title: "the size of the last request counts for the next",
        patches: [
          {
            file: "kv/server/wire/resp.ts",
            find: "      this.size = 0\n      this.weigh(words.length)",
            replace: "      this.weigh(words.length)",
          },
        ],
      },
      {
        id: "fuzz-requests-3",
        title: "an escaped byte takes its first digit only",
        patches: [
          { file: "kv/server/wire/inline.ts", find: "escaped.slice(1, 3), 16", replace: "escaped.slice(1, 2), 16" },
        ],
      },
    ],
  },
  {
    name: "replies",
    about: "RESP replies as the client reads them: the same in pieces, and when the server writes them again",
    files: ["kv/client/resp.ts"],
    seeds: () => [
      reply("+OK\r\n-ERR no\r\n:12\r\n$5\r\nhello\r\n$-1\r\n*-1\r\n"),
      reply("*3\r\n:1\r\n*2\r\n$1\r\na\r\n_\r\n#t\r\n"),
      reply("%2\r\n$1\r\na\r\n:1\r\n+b\r\n,1.5\r\n~1\r\n(123456789012345678901234567890\r\n"),
      reply(">2\r\n$7\r\nmessage\r\n$1\r\nx\r\n=8\r\ntxt:text\r\n!5\r\nERR x\r\n"),
      reply("|1\r\n+ttl\r\n:3600\r\n*2\r\n:1\r\n|1\r\n+a\r\n+b\r\n:2\r\n"),
    ],
    check: checkReplies,
    faults: [
      {
        id: "fuzz-replies-1",
        title: "bytes that are missing of a bulk string are counted without its line end",
        patches: [
          {
            file: "kv/client/resp.ts",
            find: "missing = next + length + 2 - buffer.length",
            replace: "missing = next + length + 4 - buffer.length",
          },
        ],
      },
      {
        id: "fuzz-replies-2",
        title: "the last pair of a map is lost",
        patches: [{ file: "kv/client/resp.ts", find: "i + 1 < items.length", replace: "i + 3 < items.length" }],
      },
      {
        id: "fuzz-replies-3",
        title: "any line is an integer",
        patches: [
          {
            file: "kv/client/resp.ts",
            find: "if (!/^[+-]?\\d+$/.test(line)) throw",
            replace: "if (line === null) throw",
          },
        ],
      },
    ],
  },
]
