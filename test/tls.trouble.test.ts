/** TLS that cannot be agreed with a node: each cause has a text of its own, at once, and what the text advises helps. */
import { readFileSync } from "node:fs"
import { createServer, type Server } from "node:net"
import { join } from "node:path"
import * as tls from "node:tls"
import { afterEach, expect, test, vi } from "vitest"
import { makeAuthority, type TlsMaterial } from "../interpreters/tls/index.ts"
import { bench, type BenchOptions } from "../kv/cli/bench/bench.ts"
import { certifyIn, writeCertified } from "../kv/cli/security/cert.ts"
import { connect, type ConnectOptions } from "../kv/client/client.ts"
import { TimedOut, TlsFailed } from "../kv/client/errors.ts"
import { temporaryFolder } from "./cluster.ts"
import { authority, DAY, shownBy, stranger } from "./tls.kit.ts"

const servers: Server[] = []
afterEach(() => {
  vi.restoreAllMocks()
  for (const server of servers.splice(0)) server.close()
})
const listening = async (server: Server): Promise<number> => {
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const at = server.address()
  return typeof at === "object" ? (at?.port ?? 0) : 0
}
/** A node that knows one answer. */
const pong = (socket: {
  readonly on: (event: "data", then: () => void) => void
  readonly write: (text: string) => unknown
}) => socket.on("data", () => socket.write("+PONG\r\n"))
/** As a node does, it ends a connection whose handshake failed. */
const showing = (shown: TlsMaterial): Promise<number> =>
  listening(
    tls
      .createServer({ ...shown, requestCert: true, rejectUnauthorized: false }, (socket) =>
        pong(socket.on("error", () => {})),
      )
      .on("tlsClientError", (_, socket) => socket.destroy()),
  )
const plain = (): Promise<number> =>
  listening(createServer((socket) => void socket.once("data", () => socket.end("-ERR Protocol error\r\n"))))

const ca = authority.certificate
const at = (port: number): string => `127.0.0.1:${port}`
/** Nothing is retried for a minute: the end that comes is one at once. */
const options = { tls: { ca }, route: "any", timeoutMs: 60_000 } as const
const failing = async (port: number, more: Pick<ConnectOptions, "tls"> = {}): Promise<string> => {
  const end = await connect({ endpoints: at(port), ...options, ...more }).catch((error: unknown) => error)
  expect(end).toBeInstanceOf(TlsFailed)
  return (end as TlsFailed).message
}
const BENCH: Omit<BenchOptions, "endpoints"> = {
  clients: 1,
  connections: null,
  pipeline: 1,
  reads: 0,
  valueSize: 1,
  keys: 1,
  durationMs: 60_000,
  requests: 1,
  consistency: "linearizable",
  target: "given",
  output: "json",
}
const DATE = String.raw`\d{4}-\d\d-\d\dT[\d:.]+Z`

test("each cause of a failed TLS is told by its name, with the node's, and ends a command at once", async () => {
  const of = (days: number, from: number) => ({ days, from: new Date(Date.now() + from * DAY) })
  for (const [shown, says] of [
    [
      shownBy("n1", authority, of(1, -2)),
      RegExp(
        `^127\\S+ \\(CERT_HAS_EXPIRED\\): the certificate of n1 ended at ${DATE}, .* ca\\.key is kept \\(stepraft cert node n1 --replace\\)`,
      ),
    ],
    [shownBy("n1", authority, of(1, 0.5)), /of n1.* has not begun, .* set the clock that is wrong/],
    [shownBy("n1", stranger), /has not signed the certificate of n1: .* another cluster, .*--tls-ca FILE/],
    [shownBy("n1", authority, { purpose: "client" }), /of n1 was not made for a node: .*stepraft cert node NAME/],
  ] as const)
    expect(await failing(await showing(shown))).toMatch(says)
  const gone = makeAuthority(of(1, -2))
  expect(await failing(await showing(shownBy("n1", gone)), { tls: { ca: gone.certificate } })).toMatch(
    /ended|has ended/,
  )
  const port = await showing(shownBy("n1"))
  expect(await failing(port, { tls: true })).toMatch(
    /none of this system's authorities .* of n1\. Give the cluster's, ca\.crt/,
  )
  expect(await failing(port, { tls: false })).toBe(
    `${at(port)} speaks TLS, and this client does not: give the cluster's authority, ca.crt (--tls-ca FILE or STEPRAFT_TLS_CA; in a program tls: { ca }). Nothing was executed.`,
  )
  expect(await failing(await plain())).toMatch(
    /^127\S+ speaks no TLS: leave TLS out here .* or give that node certificates/,
  )
  const measured = bench({ ...BENCH, endpoints: [{ host: "127.0.0.1", port }] }, new AbortController().signal)
  await expect(measured).rejects.toThrow(/speaks TLS, and this client does not: .* Nothing was measured\.$/)
})

test("a certificate without the dialled host: the command in the text makes one that has it, and keeps the others", async () => {
  const folder = temporaryFolder("stepraft-hosts-")
  vi.spyOn(process.stdout, "write").mockReturnValue(true)
  const shown = shownBy("n1", authority, { hosts: ["db1.example.com", "2001:db8::1", "localhost"] })
  const text = await failing(await showing(shown))
  expect(text).toContain(
    "of n1 is not for 127.0.0.1, only for db1.example.com, 2001:db8::1, localhost: dial one of these, or",
  )
  const [, name = "", hosts = ""] = /\(stepraft cert node (\S+) --replace --host (\S+)\)/.exec(text) ?? []
  writeCertified(folder, "ca", authority)
  writeCertified(folder, name, { certificate: shown.cert, key: shown.key, ends: new Date() })
  certifyIn({ folder, name, purpose: "node", hosts: hosts.split(","), days: 1, replace: true })
  const [cert, key] = ["crt", "key"].map((kind) => readFileSync(join(folder, `n1.${kind}`), "utf8"))
  const next = await showing({ cert: cert ?? "", key: key ?? "", ca })
  await (await connect({ endpoints: at(next), ...options })).close()
  await (await connect({ endpoints: at(next), ...options, tls: { ca, servername: "db1.example.com" } })).close()
})

test("one node whose certificate ended keeps nobody from the others; a node that ends a connection is not taken for one with TLS", async () => {
  const ended = await showing(shownBy("n1", authority, { days: 1, from: new Date(Date.now() - 2 * DAY) }))
  for (let i = 0; i < 4; i++) {
    const kv = await connect({ endpoints: [at(ended), at(await showing(shownBy("n2")))], ...options })
    await kv.close()
  }
  const leaving = await listening(createServer((socket) => void socket.once("data", () => socket.end())))
  await expect(connect({ endpoints: at(leaving), route: "any", timeoutMs: 200 })).rejects.toBeInstanceOf(TimedOut)
})
