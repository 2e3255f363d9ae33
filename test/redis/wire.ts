/** A connection that keeps replies as they arrived: the kind of each part, and its text. */
import { connect, type Socket } from "node:net"
import { encodeRequest } from "../../kv/client/resp.ts"

/** A reply as it is on the wire: its first byte, and the rest of its line, its bytes or its items. Bytes as Latin-1. */
export interface Seen {
  readonly kind: string
  readonly text: string
  readonly items: readonly Seen[]
}

const read = (bytes: Buffer, start: number): { readonly seen: Seen; readonly end: number } | undefined => {
  const lineEnd = bytes.indexOf("\r\n", start)
  if (lineEnd < 0) return undefined
  const kind = bytes.toString("latin1", start, start + 1)
  const line = bytes.toString("latin1", start + 1, lineEnd)
  const size = Number(line)
  let end = lineEnd + 2
  switch (kind) {
    case "$":
    case "=":
      if (size < 0) return { seen: { kind: "nil$", text: "", items: [] }, end }
      if (bytes.length < end + size + 2) return undefined
      return { seen: { kind, text: bytes.toString("latin1", end, end + size), items: [] }, end: end + size + 2 }
    case "*":
    case "~":
    case ">":
    case "%": {
      if (size < 0) return { seen: { kind: "nil*", text: "", items: [] }, end }
      const items: Seen[] = []
      for (let i = 0; i < (kind === "%" ? 2 * size : size); i++) {
        const item = read(bytes, end)
        if (item === undefined) return undefined
        items.push(item.seen)
        end = item.end
      }
      return { seen: { kind, text: "", items }, end }
    }
    default:
      return { seen: { kind, text: line, items: [] }, end }
  }
}

/** On one line, shortened. */
export const shown = ({ kind, text, items }: Seen): string =>
  items.length > 0
    ? `${kind}[${items.slice(0, 12).map(shown).join(" ")}${items.length > 12 ? ` … ${items.length}` : ""}]`
    : `${kind}${JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}… (${text.length})` : text)}`

export interface Wire {
  /** Sends all of them at once; resolves with as many replies. */
  readonly ask: (calls: readonly (readonly Uint8Array[])[]) => Promise<readonly Seen[]>
  readonly close: () => void
}

export const openWire = (port: number): Promise<Wire> =>
  new Promise((resolve, reject) => {
    const socket: Socket = connect({ port, host: "127.0.0.1", noDelay: true })
    let rest: Buffer = Buffer.alloc(0)
    let wanted = 0
    let replies: Seen[] = []
    let done: ((replies: readonly Seen[]) => void) | null = null
    let fail: (error: Error) => void = reject
    const settle = (): void => {
      if (done === null || replies.length < wanted) return
      const give = done
      done = null
      give(replies.splice(0, wanted))
    }
    socket.on("data", (chunk: Buffer) => {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      let at = 0
      for (let one = read(bytes, at); one !== undefined; one = read(bytes, at)) {
        replies.push(one.seen)
        at = one.end
      }
      rest = bytes.subarray(at)
      settle()
    })
    let lost: Error | null = null
    socket.on("error", (error) => fail(error))
    socket.on("close", () => {
      lost = new Error(`the connection to port ${port} was closed`)
      fail(lost)
    })
    socket.on("connect", () =>
      resolve({
        ask: (calls) =>
          new Promise((answer, refuse) => {
            if (lost !== null) return refuse(lost)
            wanted = calls.length
            fail = refuse
            done = answer
            socket.write(Buffer.concat(calls.map((call) => encodeRequest(call))))
            return settle()
          }),
        close: () => socket.destroy(),
      }),
    )
  })
