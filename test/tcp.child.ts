/**
 * A peer in its own process, to be killed: answers each heartbeat. Arguments: name, incarnation, port, peer name, peer
 * port.
 */
import * as Effect from "effect/Effect"
import { makeTcpTransport } from "../interpreters/tcp/index.ts"

const [name = "", incarnation = "", port = "", peer = "", peerPort = ""] = process.argv.slice(2)
const program = Effect.gen(function* () {
  const transport = yield* makeTcpTransport({
    self: { name, incarnation },
    listen: { host: "127.0.0.1", port: Number(port) },
    peers: { [peer]: { host: "127.0.0.1", port: Number(peerPort) } },
    hello: {
      cluster: null,
      clientAddress: "127.0.0.1:0",
      empty: true,
      founding: null,
      start: { number: 1, words: [1] },
      recovered: { term: 0, index: 0 },
      refused: null,
    },
    log: (level, text) => console.error(level, text),
  })
  transport.attach({
    received: (from, message) => {
      if (message.type !== "AppendEntries") return
      transport.send(
        from,
        {
          type: "AppendAccepted",
          term: message.term,
          verifiedIndex: 0,
          verifiedChain: 0,
          matchIndex: 0,
          round: message.round,
          condition: "ready",
          wall: 0,
          leaderTime: 0,
        },
        null,
      )
      transport.flush()
    },
    connected: () => {},
    disconnected: () => {},
  })
  yield* Effect.never
})
setInterval(() => {}, 1000)
await Effect.runPromise(Effect.scoped(program))
