/** An attacker at the port for peers who is no member: what it sends, and under which name. */
import { connect, createServer, type Socket } from "node:net"
import * as tls from "node:tls"
import type { Message } from "../core/index.ts"
import { ByteWriter } from "../interpreters/bytes.ts"
import { payloadOf } from "../interpreters/payload.ts"
import { writeMessage } from "../interpreters/tcp/codec.ts"
import { closeFrame, FRAME_HEADER, openFrame } from "../interpreters/tcp/frame.ts"
import { PREAMBLE, readHandshake, type Greeting, type PeerHello } from "../interpreters/tcp/handshake.ts"
import { chained } from "./chained.ts"
import { memberOf, preambleAndHello } from "./tcp.nodes.ts"

/** Each message would be believed if a member sent it. `term`: the cluster's term. */
export const forgeries = (term: number): Readonly<Record<string, Message>> => {
  const append = { type: "AppendEntries", term, prevLogIndex: 0, prevLogTerm: 0, prevLogChain: 0, entries: [] } as const
  const rest = { leaderCommit: 0, round: 1, time: 1, settled: true } as const
  const flushAll = payloadOf(Buffer.from("FLUSHALL"))
  return {
    "a term that uses up many": { ...append, ...rest, term: term + 2 ** 32 - 1 },
    "an entry that was never proposed, committed": {
      ...append,
      ...rest,
      term: term + 1,
      entries: chained([{ kind: "command", index: 1, term, time: 1, payload: flushAll }]),
      leaderCommit: 1,
    },
    "that it is on another disk": {
      type: "AppendAccepted",
      term,
      verifiedIndex: 2 ** 40,
      verifiedChain: 0,
      matchIndex: 2 ** 40,
      round: 1,
      condition: "ready",
      wall: 1,
      leaderTime: 1,
    },
    "the last of all stamps": { ...append, ...rest, term: term + 1, time: 2 ** 48 - 1 },
    "a second leader of the same term": { ...append, ...rest },
    "a write that came through no port of clients": {
      type: "ForwardProposal",
      term,
      ref: 1,
      bootId: 1,
      payloads: [flushAll],
    },
    "an election now": { type: "TimeoutNow", term },
    "a vote": { type: "RequestVote", term: term + 1, lastLogIndex: 2 ** 40, lastLogTerm: term, transfer: true },
  }
}
const frame = (message: Message): Buffer => {
  const w = new ByteWriter()
  const at = openFrame(w)
  writeMessage(w, message, null)
  closeFrame(w, at)
  return w.take()
}

export interface Forger {
  readonly socket: Socket
  readonly heard: () => string
  readonly over: Promise<void>
}
/** Sends a hello as this member, and then all messages. `as`: null without TLS. */
export const forge = (
  port: number,
  as: tls.ConnectionOptions | null,
  name: string,
  to: string,
  local: Partial<Greeting>,
  messages: readonly Message[],
  incarnation?: string,
): Forger => {
  const at = { port, host: "127.0.0.1" }
  const socket = as === null ? connect(at) : tls.connect({ ...at, ...as, rejectUnauthorized: false })
  let heard = ""
  socket.on("data", (chunk: Buffer) => (heard += chunk.toString("latin1")))
  socket.on("error", () => {})
  const over = new Promise<void>((resolve) => socket.once("close", () => resolve()))
  socket.write(preambleAndHello(memberOf(name, incarnation), to, local))
  // A start that is seen for the first time is recorded before further bytes are read.
  socket.once("data", () => socket.write(Buffer.concat(messages.map(frame))))
  return { socket, heard: () => heard, over }
}

/** Waits at the port of a member that is down for another one that dials it, and hears what that one says of itself. */
export const overhear = (port: number, name: string): Promise<PeerHello> =>
  new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      let heard = Buffer.alloc(0)
      socket.on("error", () => {})
      socket.on("data", (chunk) => {
        heard = Buffer.concat([heard, chunk])
        const from = PREAMBLE + FRAME_HEADER
        if (heard.length < from || heard.length < from + heard.readUInt32BE(PREAMBLE)) return
        socket.destroy()
        const frame = readHandshake(heard, from, from + heard.readUInt32BE(PREAMBLE))
        if (frame?.type !== "Hello" || frame.hello.member.name !== name) return
        server.close()
        resolve(frame.hello)
      })
    })
    server.once("error", reject)
    server.listen(port, "127.0.0.1")
  })
