/**
 * The cost of the server alone: CPU time per command over loopback, with a service that answers at once. Client and
 * server share this process; only the ratio of two versions means anything, and on a busy machine only the ratio of CPU
 * times. `npx tsx test/bench/server.ts [rounds]`
 */
import { connect, type Socket } from "node:net"
import { serving } from "../resp.client.ts"
import { makeFake } from "../resp.fake.ts"

const rounds = Number(process.argv[2] ?? 5)
const seconds = 0.7

/** One connection that always has `depth` commands in flight; `replyBytes` is the length of each reply. */
const keepBusy = (
  socket: Socket,
  command: string,
  depth: number,
  replyBytes: number,
  count: (replies: number) => void,
): void => {
  let bytes = 0
  const batch = command.repeat(depth)
  socket.on("data", (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes < replyBytes * depth) return
    bytes -= replyBytes * depth
    count(depth)
    socket.write(batch, "latin1")
  })
  socket.write(batch, "latin1")
}

/** CPU microseconds a command. */
const run = (connections: number, depth: number, command: string, replyBytes: number): Promise<number> =>
  serving(makeFake(), {}, async (port) => {
    const sockets = await Promise.all(
      Array.from(
        { length: connections },
        () =>
          new Promise<Socket>((ready) => {
            const socket: Socket = connect({ port, host: "127.0.0.1", noDelay: true }, () => ready(socket))
          }),
      ),
    )
    const [setup] = sockets
    await new Promise<void>((done) => {
      setup?.once("data", () => done())
      setup?.write(`SET k ${"v".repeat(256)}\r\n`)
    })
    let replies = 0
    for (const socket of sockets) keepBusy(socket, command, depth, replyBytes, (more) => void (replies += more))
    await new Promise((next) => setTimeout(next, 200))
    replies = 0
    const before = process.cpuUsage()
    await new Promise((next) => setTimeout(next, seconds * 1000))
    const { user, system } = process.cpuUsage(before)
    for (const socket of sockets) socket.destroy()
    return (user + system) / replies
  })

const request = (...words: readonly string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`
const value = "v".repeat(256)
const cases: readonly (readonly [string, number, number, string, number])[] = [
  ["PING, 1 connection, 64 under way", 1, 64, request("PING"), 7],
  ["GET, 50 connections, 1 under way", 50, 1, request("GET", "k"), 264],
  ["GET, 50 connections, 16 under way", 50, 16, request("GET", "k"), 264],
  ["SET, 50 connections, 1 under way", 50, 1, request("SET", "k", value), 5],
  ["SET, 50 connections, 16 under way", 50, 16, request("SET", "k", value), 5],
]
for (const [name, connections, depth, command, replyBytes] of cases) {
  const costs: number[] = []
  for (let round = 0; round < rounds; round++) costs.push(await run(connections, depth, command, replyBytes))
  costs.sort((a, b) => a - b)
  console.log(
    `${name}: ${(costs[costs.length >> 1] ?? 0).toFixed(2)} µs of CPU a command (${costs.map((cost) => cost.toFixed(2)).join(" ")})`,
  )
}
process.exit(0)
