/** The HTTP port: what it tells, and what cannot hurt the node through it. */
import { connect } from "node:net"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { expect, test } from "vitest"
import { Histogram, histogram, metricsText } from "../interpreters/metrics/index.ts"
import { openHttp, type HttpOptions } from "../interpreters/node/http.ts"
import { until } from "./cluster.ts"
import { readMetrics, valueOf } from "./metrics.ts"
import { withLocalCluster, type LocalNode } from "./node.help.ts"

const ask = async (node: LocalNode, path: string): Promise<{ readonly status: number; readonly body: string }> => {
  const answer = await fetch(`http://${node.status().http ?? "none"}${path}`)
  return { status: answer.status, body: await answer.text() }
}

test.concurrent("three nodes: metrics that Prometheus reads and that agree with what happened; ready while there is a leader, alive without one", async () => {
  await withLocalCluster(
    3,
    async (cluster) => {
      await cluster.startAll()
      const leader = await cluster.leader()
      const client = await cluster.connect(leader)
      for (let i = 0; i < 20; i++) await client.call("SET", `a-name-of-a-user-${i}`, "his secret")
      await client.call("INCR", "a-name-of-a-user-0").catch(() => undefined)
      await until("all are ready", async () =>
        (await Promise.all(cluster.nodes.map((node) => ask(node, "/readyz")))).every(
          ({ status, body }) => status === 200 && body === "ok\n",
        ),
      )
      const pages = await Promise.all(cluster.nodes.map((node) => ask(node, "/metrics")))
      const found = pages.map(({ body }) => readMetrics(body))
      expect(found.map((one) => valueOf(one, "stepraft_server_is_leader")).toSorted((a, b) => a - b)).toEqual([0, 0, 1])
      const led = found[cluster.nodes.indexOf(leader)] ?? new Map()
      expect(valueOf(led, "stepraft_raft_commit_time_seconds_count")).toBeGreaterThan(0)
      expect(valueOf(led, "stepraft_disk_wal_fsync_duration_seconds_count")).toBeGreaterThan(0)
      expect(valueOf(led, 'stepraft_client_request_duration_seconds_count{kind="write"}')).toBe(21)
      expect(valueOf(led, 'stepraft_client_requests_failed_total{code="ERR"}')).toBe(1)
      expect(valueOf(led, "stepraft_raft_commit_index")).toBeGreaterThan(20)
      for (const { body } of pages) expect(body).not.toMatch(/a-name-of|secret/)

      for (const node of cluster.nodes) if (node !== leader) await node.stop()
      const lost = await until("it is not ready", async () => {
        const answer = await ask(leader, "/readyz/leader")
        return answer.status === 503 ? answer : null
      })
      expect(lost.body).toMatch(
        /^\[-\]leader failed: no leader for \S+ s: a majority of the members must be up and connected, and of 3 only this one is \(.+\nreadyz check failed\n$/,
      )
      expect((await ask(leader, "/livez?verbose")).body).toBe("[+]loop ok\n[+]disk ok\nlivez check passed\n")
      const whole = await ask(leader, "/readyz?verbose")
      expect(whole.status).toBe(503)
      expect(whole.body).toMatch(
        /^\[\+\]started ok\n\[\+\]member ok\n\[\+\]data ok\n\[\+\]disk ok\n\[-\]leader failed: .+\n\[-\]read failed: .+\nreadyz check failed\n$/,
      )
      expect(await ask(leader, "/readyz?exclude=leader&exclude=read")).toEqual({ status: 200, body: "ok\n" })
      expect(await ask(leader, "/readyz/nothing")).toMatchObject({ status: 404 })
      expect(await ask(leader, "/elsewhere")).toMatchObject({ status: 404 })
      expect(
        valueOf(readMetrics((await ask(leader, "/metrics")).body), 'stepraft_server_trouble{reason="no leader"}'),
      ).toBe(1)
    },
    { http: { host: "127.0.0.1", port: 0 } },
  )
})

test.concurrent("an HTTP port that is taken stops a node before it touches its directory, by name", async () => {
  await withDoor({}, async (port) => {
    await withLocalCluster(1, async (cluster) => {
      const [node] = cluster.nodes
      await expect(node?.start({ http: { host: "127.0.0.1", port } })).rejects.toThrow(
        /cannot answer over HTTP on 127\.0\.0\.1:\d+ \(EADDRINUSE\): another process holds port \d+: stop it, or give this node another HTTP port\. Nothing on disk was touched\./,
      )
    })
  })
})

test("text format: what stands in labels and helps moves nothing, and a histogram counts from below", () => {
  const times = new Histogram()
  for (const seconds of [0.0004, 0.0005, 0.003, 100]) times.observe(seconds)
  const text = metricsText([
    { type: "gauge", name: "evil", help: "two\nlines\\", samples: [{ labels: { peer: 'a"\n\\b' }, value: NaN }] },
    histogram("times", "t", times),
  ])
  expect(text).toContain(
    '# HELP stepraft_evil two\\nlines\\\\\n# TYPE stepraft_evil gauge\nstepraft_evil{peer="a\\"\\n\\\\b"} NaN\n',
  )
  const read = readMetrics(text)
  expect(
    ["0.0005", "0.001", "0.004", "8.192", "+Inf"].map((le) => valueOf(read, `stepraft_times_bucket{le="${le}"}`)),
  ).toEqual([2, 2, 3, 3, 4])
  expect(valueOf(read, "stepraft_times_count")).toBe(4)
})

// ------------------------------------------------------------------------------------------------- the door alone

const withDoor = async (options: Partial<HttpOptions>, body: (port: number) => Promise<void>): Promise<void> => {
  const scope = Scope.makeUnsafe()
  const page = { status: 200, type: "text/plain", body: "well\n" }
  try {
    const { port } = await Effect.runPromise(
      openHttp({ listen: { host: "127.0.0.1", port: 0 }, page: () => page, log: () => undefined, ...options }).pipe(
        Scope.provide(scope),
      ),
    )
    await body(port)
  } finally {
    await Effect.runPromise(Scope.close(scope, Exit.void))
  }
}
interface Caller {
  /** All that has come, once the other end has closed. */
  readonly ended: Promise<string>
  readonly heard: () => string
  readonly say: (more: string) => void
}
const call = (port: number, text: string, from = "127.0.0.1"): Caller => {
  const socket = connect({ port, host: "127.0.0.1", localAddress: from })
  let heard = ""
  socket.on("data", (chunk) => (heard += chunk.toString("latin1")))
  // Being cut off is what is waited for.
  socket.on("error", () => undefined)
  socket.write(text)
  return {
    ended: new Promise((resolve) => socket.on("close", () => resolve(heard))),
    heard: () => heard,
    say: (more) => void socket.write(more),
  }
}
const get = "GET / HTTP/1.1\r\nHost: a\r\n"

test.each<[string, string, RegExp]>([
  [
    "a method that changes something",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
    /^HTTP\/1\.1 405 .*allow: GET, HEAD/s,
  ],
  [
    "a body without end is answered and not read",
    `${get}Content-Length: 1000000000\r\n\r\nabc`,
    /^HTTP\/1\.1 200 .*connection: close.*well\n$/s,
  ],
  ["a head that is too large", `${get}X: ${"x".repeat(20_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
  ["no HTTP at all", "*1\r\n$4\r\nPING\r\n", /^HTTP\/1\.1 400 /],
  ["many requests at once", `${get}\r\n`.repeat(3), /^$/],
  ["a request that never ends", get, /^HTTP\/1\.1 408 /],
])("%s ends that connection only", async (_, text, answer) => {
  await withDoor({ limits: { patienceMs: 50 } }, async (port) => {
    expect(await call(port, text).ended).toMatch(answer)
    const next = call(port, `${get}Connection: close\r\n\r\n`)
    expect(await next.ended).toMatch(/^HTTP\/1\.1 200 /)
  })
})

test.concurrent("more connections than there may be: the oldest of those who have most gives way, and a new one is answered", async () => {
  await withDoor({ limits: { connections: 8, patienceMs: 60_000 } }, async (port) => {
    const other = call(port, get, "127.0.0.2")
    const holders = Array.from({ length: 40 }, () => call(port, get))
    await Promise.all(holders.slice(0, 30).map(({ ended }) => ended))
    expect(await call(port, `${get}Connection: close\r\n\r\n`).ended).toMatch(/^HTTP\/1\.1 200 /)
    other.say("Connection: close\r\n\r\n")
    expect(await other.ended).toMatch(/^HTTP\/1\.1 200 /)
  })
})

test.concurrent("an answer that is not taken is given up, and more answers than a second has room for are refused", async () => {
  const large = { status: 200, type: "text/plain", body: "x".repeat(32 << 20) }
  await withDoor({ page: () => large, limits: { patienceMs: 100 } }, async (port) => {
    const socket = connect({ port, host: "127.0.0.1" })
    socket.write(`${get}\r\n`)
    let cut = false
    socket.on("error", () => (cut = true))
    await new Promise<void>((resolve) => socket.once("readable", resolve))
    // Empty lines before a request are allowed: they only find out whether the other end is still there.
    await until("it gave up", () => {
      socket.write("\r\n")
      return cut || socket.destroyed
    })
  })
  await withDoor({ limits: { answers: 6 } }, async (port) => {
    const ask = (from?: string): Promise<string> => call(port, `${get}Connection: close\r\n\r\n`, from).ended
    const answers = await Promise.all(Array.from({ length: 24 }, () => ask()))
    expect(answers.filter((text) => text.startsWith("HTTP/1.1 429 ")).length).toBeGreaterThanOrEqual(12)
    // Somebody asks far too often, and whether this node lives is heard all the same.
    for (let i = 0; i < 5; i++) {
      const crowd = Array.from({ length: 24 }, () => ask())
      expect(await ask("127.0.0.2")).toMatch(/^HTTP\/1\.1 200 /)
      await Promise.all(crowd)
    }
  })
})
