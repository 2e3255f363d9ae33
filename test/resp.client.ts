/** A server over a fake service, and clients that speak to it over real sockets. */
import * as Effect from "effect/Effect"
import { connect, type Socket } from "node:net"
import * as tls from "node:tls"
import { encodeRequest, makeDecoder } from "../kv/client/resp.ts"
import { makeServer, type RespServer, type ServerOptions } from "../kv/server/index.ts"
import type { Reply, Service } from "../kv/types.ts"

export interface Raw {
  readonly socket: Socket
  readonly send: (...words: readonly (string | number | Uint8Array)[]) => Promise<Reply>
  /** Everything received so far, as text. */
  readonly received: () => string
  /** Resolves with everything received once the server has ended the connection. */
  readonly ended: Promise<string>
  readonly write: (bytes: string | Uint8Array) => void
}

export const dial = (port: number, secured: tls.ConnectionOptions | null = null): Promise<Raw> =>
  new Promise((resolve, reject) => {
    const at = { port, host: "127.0.0.1" }
    const socket = secured === null ? connect(at) : tls.connect({ ...at, ...secured })
    const waiting: ((reply: Reply) => void)[] = []
    let text = ""
    const decoder = makeDecoder((reply) => waiting.shift()?.(reply))
    const ended = new Promise<string>((over) => {
      socket.on("close", () => over(text))
    })
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1")
      if (waiting.length > 0) decoder.feed(chunk)
    })
    socket.on("error", reject)
    socket.on(secured === null ? "connect" : "secureConnect", () =>
      resolve({
        socket,
        ended,
        received: () => text,
        write: (bytes) => void socket.write(bytes),
        send: (...words) =>
          new Promise((done) => {
            waiting.push(done)
            socket.write(encodeRequest(words))
          }),
      }),
    )
  })

/** Runs a server for as long as `use` takes. */
export const serving = <A>(
  service: Service,
  options: Partial<ServerOptions>,
  use: (port: number, server: RespServer) => Promise<A>,
): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const server = yield* makeServer({
          host: "127.0.0.1",
          port: 0,
          service,
          ...options,
          limits: { closeGraceMs: 100, ...options.limits },
        })
        return yield* Effect.promise(() => use(server.port, server))
      }),
    ),
  )

/** One exchange: sends all of it, ends the connection, and gives everything that came back. */
export const exchange = async (port: number, bytes: string | Uint8Array): Promise<string> => {
  const client = await dial(port)
  client.socket.end(bytes)
  return client.ended
}

/** A reply in short, for comparing. */
export const plain = (reply: Reply): unknown => {
  switch (reply.type) {
    case "simple":
      return reply.text
    case "error":
      return `-${reply.code} ${reply.text}`
    case "integer":
      return Number(reply.value)
    case "bulk":
      return Buffer.from(reply.bytes).toString("latin1")
    case "null":
      return null
    case "array":
      return reply.items.map(plain)
    case "map":
      return new Map(reply.entries.map(([key, value]) => [plain(key), plain(value)]))
  }
}
