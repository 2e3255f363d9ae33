/**
 * A scripted server that speaks the part of the protocol that the client needs, and misbehaves on demand. One store,
 * any number of servers.
 */
import * as net from "node:net"

interface SessionState {
  next: number
  readonly owner: string
  readonly replies: Map<number, string>
}
/** What happens to one request before it is executed. */
export type Fate =
  | "serve"
  | "cut-before"
  | "cut-after"
  | "mute"
  | { readonly reply: string; readonly executed: boolean }

export interface FakeStore {
  /** In the order of their execution: the property checks these. */
  readonly effects: string[]
  readonly data: Map<string, string>
  readonly sessions: Map<number, SessionState>
  readonly leases: Map<string, { readonly holder: string; readonly token: number }>
  fate: (words: readonly string[], id: string) => Fate
  /** Node id of the leader; each server is asked under its own id. */
  leader: string | null
  readonly clients: Map<string, string>
  opened: number
}
export const makeStore = (): FakeStore => ({
  effects: [],
  data: new Map(),
  sessions: new Map(),
  leases: new Map(),
  fate: () => "serve",
  leader: null,
  clients: new Map(),
  opened: 0,
})

const bulk = (text: string | null | undefined): string =>
  text === null || text === undefined ? "$-1\r\n" : `$${Buffer.byteLength(text)}\r\n${text}\r\n`

const execute = (store: FakeStore, words: readonly string[]): string => {
  const [name = "", key = "", value = ""] = words
  switch (name.toUpperCase()) {
    case "PING":
      return "+PONG\r\n"
    case "EXISTS":
      return `:${store.data.has(key) ? 1 : 0}\r\n`
    case "GET":
      return bulk(store.data.get(key))
    case "MGET":
      return `*${words.length - 1}\r\n${words
        .slice(1)
        .map((one) => bulk(store.data.get(one)))
        .join("")}`
    case "SET":
      store.effects.push(words.join(" "))
      store.data.set(key, value)
      return "+OK\r\n"
    case "APPEND": {
      store.effects.push(words.join(" "))
      store.data.set(key, (store.data.get(key) ?? "") + value)
      return `:${store.data.get(key)?.length ?? 0}\r\n`
    }
    case "INCRBY": {
      const now = Number(store.data.get(key) ?? "0")
      if (Number.isNaN(now)) return "-ERR value is not an integer or out of range\r\n"
      store.effects.push(words.join(" "))
      store.data.set(key, String(now + Number(value)))
      return `:${store.data.get(key) ?? ""}\r\n`
    }
    case "LEASE": {
      const lease = store.leases.get(key) ?? { holder: value, token: store.effects.length }
      store.effects.push(words.slice(0, 2).join(" "))
      store.leases.set(key, lease)
      return `*3\r\n:${lease.token}\r\n${bulk(lease.holder)}:60000\r\n`
    }
    case "RELEASE":
      return `:${store.leases.get(key)?.holder === value && store.leases.delete(key) ? 1 : 0}\r\n`
    case "SCAN": {
      const keys = [...store.data.keys()].toSorted()
      const from = Number(key)
      const page = keys.slice(from, from + 2)
      return `*2\r\n${bulk(from + 2 >= keys.length ? "0" : String(from + 2))}*${page.length}\r\n${page.map(bulk).join("")}`
    }
    default:
      return `-ERR unknown command '${name}'\r\n`
  }
}

/** The key of a session, and the session of a key. */
const keyOf = (id: number): string => `${id}-${id.toString(16).padStart(32, "0")}`
const idOf = (key = ""): number => (key === keyOf(Number.parseInt(key, 10)) ? Number.parseInt(key, 10) : 0)

const inSession = (store: FakeStore, words: readonly string[], run: () => string): string => {
  const [, , id = "", number = "", lowest = ""] = words
  const session = store.sessions.get(idOf(id))
  const sequence = Number(number)
  if (session === undefined) return "-SESSIONEXPIRED no such session\r\n"
  for (const kept of session.replies.keys()) if (kept < Number(lowest)) session.replies.delete(kept)
  if (sequence < session.next) return session.replies.get(sequence) ?? "-FORGOTTEN no longer kept\r\n"
  if (sequence > session.next) return "-OUTOFORDER a number is missing\r\n"
  session.next += 1
  const said = run()
  const reply = said.startsWith("-") ? said.replace("-", "-RESULT ") : said
  session.replies.set(sequence, reply)
  return reply
}

export interface FakeServer {
  readonly port: number
  readonly id: string
  readonly connections: () => number
  /** Those that are open. */
  readonly open: () => number
  readonly close: () => Promise<void>
}

export const startFake = async (store: FakeStore, id = "n1"): Promise<FakeServer> => {
  const open = new Set<net.Socket>()
  let served = 0
  const answer = (words: readonly string[]): string => {
    const [name = "", sub = ""] = words
    if (name === "STEPRAFT" && sub === "STATUS")
      return bulk(
        JSON.stringify({
          id,
          role: store.leader === id ? "leader" : "follower",
          leader: store.leader,
          health: "ok",
          client: store.clients.get(id),
          peers: [...store.clients].filter(([other]) => other !== id).map(([other, client]) => ({ id: other, client })),
        }),
      )
    if (name === "STEPRAFT" && sub === "SESSION" && words[2] === "OPEN") {
      store.opened += 1
      for (const [number, session] of store.sessions) if (session.owner === words[3]) store.sessions.delete(number)
      store.sessions.set(store.opened, { next: 1, owner: words[3] ?? "", replies: new Map() })
      return bulk(keyOf(store.opened))
    }
    if (name === "STEPRAFT" && sub === "SESSION")
      return store.sessions.delete(idOf(words[3])) ? "+OK\r\n" : "-SESSIONEXPIRED gone\r\n"
    if (name === "STEPRAFT" && sub === "EXEC") {
      const calls: (readonly string[])[] = []
      for (let at = 6 + 2 * Number(words[5]); at < words.length; at += 1 + Number(words[at]))
        calls.push(words.slice(at + 1, at + 1 + Number(words[at])))
      return inSession(store, words, () => `*${calls.length}\r\n${calls.map((call) => execute(store, call)).join("")}`)
    }
    if (name === "STEPRAFT" && sub === "DO") return inSession(store, words, () => execute(store, words.slice(5)))
    return execute(store, words)
  }
  const server = net.createServer({ noDelay: true }, (socket) => {
    open.add(socket)
    served += 1
    /** Executes requests and no longer answers. */
    let mute = false
    let rest = ""
    socket.on("close", () => open.delete(socket))
    socket.on("error", () => {})
    socket.on("data", (chunk) => {
      rest += chunk.toString("latin1")
      for (;;) {
        const parsed = parseRequest(rest)
        if (parsed === null || socket.destroyed) return
        rest = rest.slice(parsed.length)
        const fate = store.fate(parsed.words, id)
        if (fate === "cut-before") return void socket.destroy()
        if (typeof fate === "object") {
          if (fate.executed) answer(parsed.words)
          socket.write(fate.reply)
          continue
        }
        const reply = answer(parsed.words)
        if (fate === "cut-after") return void socket.destroy()
        mute ||= fate === "mute"
        if (!mute) socket.write(reply, "latin1")
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  store.clients.set(id, `127.0.0.1:${port}`)
  return {
    port,
    id,
    connections: () => served,
    open: () => open.size,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of open) socket.destroy()
      }),
  }
}

const parseRequest = (text: string): { readonly words: readonly string[]; readonly length: number } | null => {
  const head = /^\*(\d+)\r\n/.exec(text)
  if (head === null) return null
  let at = head[0].length
  const words: string[] = []
  for (let i = 0; i < Number(head[1]); i++) {
    const size = /^\$(\d+)\r\n/.exec(text.slice(at, at + 20))
    if (size === null) return null
    const from = at + size[0].length
    const to = from + Number(size[1])
    if (text.length < to + 2) return null
    words.push(text.slice(from, to))
    at = to + 2
  }
  return { words, length: at }
}
