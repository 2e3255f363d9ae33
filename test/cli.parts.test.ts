/** The parts of the command line that need no cluster: gathering, tables, the benchmark's counting, the supervisor. */
import * as fc from "fast-check"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PassThrough } from "node:stream"
import { afterEach, describe, expect, test, vi } from "vitest"
import { paintFor } from "../interpreters/cli/paint.ts"
import { startLoad, makeCounter } from "../kv/cli/bench/load.ts"
import { greeting, requireConfig } from "../kv/cli/cluster/cluster.ts"
import { startChild } from "../kv/cli/cluster/child.ts"
import { gatherStatus, isHealthy, leaderAmong, type NodeRow } from "../kv/cli/status/gather.ts"
import { makeLatencyHistogram } from "../kv/cli/bench/histogram.ts"
import { watchKey } from "../kv/cli/data/lock.ts"
import { carryOut } from "../kv/cli/members/members.ts"
import { type Layout, nodesOf, readLayout, recordedClients, writeLayout } from "../kv/cli/cluster/layout.ts"
import { openLogFile } from "../kv/cli/cluster/log-file.ts"
import { busyPorts } from "../kv/cli/cluster/ports.ts"
import { isStale } from "../kv/cli/serve/relaunch.ts"
import { hash } from "../kv/cli/security/user.ts"
import { changeOf, statusTable, summary } from "../kv/cli/status/table.ts"
import { makeStore, startFake } from "./client.fake.ts"
import { until as inTime } from "./cluster.ts"

/** What is printed meanwhile: to stdout, and to stderr. */
const listening = (): { readonly out: () => string; readonly err: () => string; readonly stop: () => void } => {
  const said = { stdout: "", stderr: "" }
  const spies = (["stdout", "stderr"] as const).map((stream) =>
    vi.spyOn(process[stream], "write").mockImplementation((text) => {
      said[stream] += String(text)
      return true
    }),
  )
  return { out: () => said.stdout, err: () => said.stderr, stop: () => spies.forEach((spy) => spy.mockRestore()) }
}
const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0)) await clean()
})
const folder = (): string => {
  const made = mkdtempSync(join(tmpdir(), "stepraft-cli-"))
  cleanups.push(() => rmSync(made, { recursive: true, force: true }))
  return made
}
const emptyRow: NodeRow = {
  id: "",
  pid: null,
  role: null,
  term: null,
  leader: null,
  lastIndex: null,
  commit: null,
  applied: null,
  snapshotIndex: null,
  lag: null,
  lastContactMs: null,
  health: "ok",
  client: null,
  peer: null,
  http: null,
  incarnation: null,
  logBytes: null,
  uptimeMs: null,
  version: null,
  features: null,
}
const until = (condition: () => boolean): Promise<unknown> => inTime("what the test waits for", condition)

describe("status", () => {
  test("the others are found through one node; a silent one keeps its row, with what the leader knows", async () => {
    const store = makeStore()
    const [first, second, third] = await Promise.all(["n1", "n2", "n3"].map((id) => startFake(store, id)))
    cleanups.push(() => Promise.all([first?.close(), second?.close()]).then(() => {}))
    store.leader = "n2"
    await third?.close()
    const status = await gatherStatus([{ host: "127.0.0.1", port: first?.port ?? 0 }], new Map(), 500)
    expect(status.leader).toBe("n2")
    expect(status.nodes.map(({ id, role }) => [id, role])).toEqual([
      ["n1", "follower"],
      ["n2", "leader"],
      ["n3", null],
    ])
    expect(status.nodes[2]?.health).toMatch(/^unreachable: .*ECONNREFUSED/)
    expect(status.nodes[2]?.client).toBe(`127.0.0.1:${third?.port}`)
    expect(isHealthy(status)).toBe(false)
    expect(summary(status, paintFor(process.stdout))).toContain("n3 unreachable")
  })

  test("when the asked node is down, the addresses that were known before serve", async () => {
    const store = makeStore()
    const server = await startFake(store, "n2")
    cleanups.push(server.close)
    const known = new Map([
      ["127.0.0.1:1", "n1"],
      [`127.0.0.1:${server.port}`, "n2"],
    ])
    const status = await gatherStatus([{ host: "127.0.0.1", port: 1 }], known, 500)
    expect(status.nodes.map(({ id, role }) => [id, role])).toEqual([
      ["n1", null],
      ["n2", "follower"],
    ])
  })

  test("of two that call themselves leader, the one of the later term leads, whoever answers first", () => {
    const deposed = { id: "n1", role: "leader", term: 3 } as const
    const leader = { id: "n2", role: "leader", term: 5 } as const
    const follower = { id: "n3", role: "follower", term: 6 } as const
    for (const answers of [
      [deposed, leader, follower],
      [follower, leader, deposed],
    ])
      expect(leaderAmong(answers)).toBe(leader)
    expect(leaderAmong([follower])).toBe(null)
  })

  test("without a leader the table says what that means", () => {
    const table = (role: NodeRow["role"]): string =>
      statusTable({ nodes: [{ ...emptyRow, role }], leader: null }, paintFor(process.stdout))
    expect(table("follower")).toMatch(/No leader/)
    expect(table(null)).toMatch(/No node answered, so nothing is known/)
  })
})

test("a terminal is asked for a password twice, and two that differ make nothing", async () => {
  const said = listening()
  try {
    for (const [again, ends] of [
      ["right", /^made$/],
      ["wrong", /that was another one\. Nothing was made/],
    ] as const) {
      const before = said.err().length
      const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => process.stdin })
      const done = hash("alice", "write", false, stdin).then(
        () => "made",
        (error: Error) => error.message,
      )
      stdin.write("right\r")
      await until(() => said.err().slice(before).endsWith("Once more: "))
      stdin.write(`${again}\r`)
      expect(await done).toMatch(ends)
    }
    expect(said.out()).toMatch(/^alice write scrypt:\S+\n$/)
  } finally {
    said.stop()
  }
})

describe("a line per change", () => {
  const row = { id: "n1", role: "leader" as const, health: "ok" }
  const at = (health: string, role: "leader" | "follower" | null = "leader", commit = 1): string =>
    changeOf({ nodes: [{ ...emptyRow, ...row, health, role, commit }], leader: role === "leader" ? "n1" : null })
  test("roles, health and the leader are changes; figures are not", () => {
    expect(at("ok", "leader", 7)).toBe(at("ok"))
    expect(at("no leader for 12 s: a majority must be up")).toBe(at("no leader for 13 s: a majority must be up"))
    expect(new Set([at("ok"), at("ok", "follower"), at("ok", null), at("no leader for 12 s")]).size).toBe(4)
  })
})

describe("the data folder", () => {
  test("a folder that is not ours is refused; ours is read back; its addresses are found by a port", () => {
    const data = folder()
    expect(readLayout(data)).toBeNull()
    const layout = {
      version: 1,
      nodes: 3,
      host: "127.0.0.1",
      port: 7001,
      peerPort: 8001,
      httpPort: 9001,
      tls: false,
    } as const
    writeLayout(data, layout)
    expect(readLayout(data)).toEqual(layout)
    expect(recordedClients(data, { host: "127.0.0.1", port: 7002 }).map(([address]) => address)).toEqual([
      "127.0.0.1:7001",
      "127.0.0.1:7002",
      "127.0.0.1:7003",
    ])
    expect(recordedClients(data, { host: "127.0.0.1", port: 9 })).toEqual([])
    const other = folder()
    writeFileSync(join(other, "letters.txt"), "mine")
    expect(() => readLayout(other)).toThrow(/not empty/)
  })

  test("the commands that a cluster prints go where it listens; a host that others reach is refused in its own words", async () => {
    const layout = { version: 1, nodes: 1, host: "192.0.2.2", port: 7001, peerPort: 8001, httpPort: 0 } as const
    const printed = (more: Partial<Layout>): readonly string[] => {
      const one = { ...layout, tls: false, ...more }
      return greeting("d", one, nodesOf("d", one), true)
        .split("\n")
        .filter((line) => /^ {2}(redis-cli|stepraft) /.test(line))
    }
    for (const tls of [true, false])
      for (const line of printed({ tls }))
        expect(line.split(/ {3,}/).every((command) => /(-h|--host) 192\.0\.2\.2 (-p|--port) 7001/.test(command))).toBe(
          true,
        )
    expect(printed({ host: "127.0.0.1" })[1]).toMatch(/^ {2}stepraft get greeting --port 7001 /)
    const required = (tls: boolean): Promise<void> =>
      requireConfig(nodesOf("d", { ...layout, tls }), { data: "d", config: null, redirect: false }, tls)
    await expect(required(false)).rejects.toThrow(/^--host 192\.0\.2\.2 can be reached .* Give --tls too/)
    await required(true)
  })

  test("a port in use is named", async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    cleanups.push(() => void server.close())
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    expect(await busyPorts([{ what: "clients of n1", endpoint: { host: "127.0.0.1", port } }])).toEqual([
      `port ${port} is in use (127.0.0.1:${port}, wanted for clients of n1)`,
    ])
  })

  test("a log is bounded", () => {
    const path = join(folder(), "log.txt")
    const log = openLogFile(path, (problem) => expect.fail(problem), 1_000)
    for (let i = 0; i < 100; i++) log.append(`${"x".repeat(99)}\n`)
    expect(readFileSync(path).length + readFileSync(path.replace("log", "log.1")).length).toBeLessThan(1_300)
  })

  test("dist is stale when a source, or the folder it was removed from, is newer", () => {
    const root = folder()
    mkdirSync(join(root, "dist"))
    mkdirSync(join(root, "kv"))
    const program = join(root, "dist", "cli.js")
    expect(isStale(root, program)).toBe(true)
    writeFileSync(join(root, "kv", "a.ts"), "")
    writeFileSync(program, "")
    const past = new Date(Date.now() - 60_000)
    utimesSync(join(root, "kv", "a.ts"), past, past)
    utimesSync(join(root, "kv"), past, past)
    expect(isStale(root, program)).toBe(false)
    utimesSync(join(root, "kv"), new Date(Date.now() + 1_000), new Date(Date.now() + 1_000))
    expect(isStale(root, program)).toBe(true)
  })
})

describe("the supervisor", () => {
  test("a child that dies is told with its last line, started again after growing pauses, and the first flag is not given again", async () => {
    const path = join(folder(), "log.txt")
    const said: string[] = []
    const child = startChild({
      id: "n1",
      logPath: path,
      say: (line) => said.push(line),
      backoffMs: [5, 40],
      healthyMs: 60_000,
      words: (first) => ["-e", `console.log("warn: no"); console.log("first ${first}"); process.exitCode = 4`],
    })
    cleanups.push(child.stop)
    await until(() => said.length >= 3)
    expect(said[0]).toMatch(/^ended \(exit code 4\); its last line: first true\. Starting it again in 0\.01 s/)
    expect(said[1]).toMatch(/first false.* in 0\.01 s/)
    expect(said[2]).toMatch(/ in 0\.02 s/)
    expect(readFileSync(path, "utf8")).toContain("--- n1 ended: exit code 4")
  })

  test("what no restart can mend is not started again; each text is said once; a log that cannot be written ends nothing", async () => {
    for (const code of [2, 3]) {
      const said: string[] = []
      const child = startChild({
        id: "n1",
        logPath: join(folder(), "gone", "log.txt"),
        say: (line) => said.push(line),
        backoffMs: [1, 1],
        words: () => ["-e", `console.error("12:00 error n1 the folder is locked"); process.exitCode = ${code}`],
      })
      cleanups.push(child.stop)
      await until(() => child.givenUp())
      expect(child.pid()).toBeNull()
      expect(said).toEqual([
        expect.stringMatching(/^its log cannot be written: ENOENT/),
        "12:00 error n1 the folder is locked",
        expect.stringMatching(
          new RegExp(
            `^ended \\(exit code ${code}\\)\\. A restart would not help, so it is not started again; its log: `,
          ),
        ),
      ])
    }
  })

  test("warnings of a child are passed on; one that ignores SIGTERM is killed", async () => {
    const said: string[] = []
    const child = startChild({
      id: "n1",
      logPath: join(folder(), "log.txt"),
      say: (line) => said.push(line),
      graceMs: 100,
      words: () => [
        "-e",
        `process.on("SIGTERM", () => {}); console.log("12:00 info  n1 fine"); console.log("12:00 warn  n1 beware"); setInterval(() => {}, 1000)`,
      ],
    })
    await until(() => said.length === 1)
    expect(said).toEqual(["12:00 warn  n1 beware"])
    await child.stop()
    expect(said[1]).toMatch(/killed/)
    expect(child.pid()).toBeNull()
  })
})

describe("the benchmark", () => {
  test("property: quantiles are within 4 % of the truth", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 100_000_000 }), { minLength: 1, maxLength: 200 }),
        fc.constantFrom(0.5, 0.9, 0.99, 1),
        (values, share) => {
          const histogram = makeLatencyHistogram()
          for (const value of values) histogram.record(value, 1)
          const sorted = values.toSorted((a, b) => a - b)
          const truth = (sorted[Math.ceil(values.length * share) - 1] ?? 0) / 1_000
          expect(histogram.quantile(share)).toBeGreaterThanOrEqual(truth)
          expect(histogram.quantile(share)).toBeLessThanOrEqual(truth * 1.04 + 0.001)
        },
      ),
    )
  })

  test("property: replies are counted whatever the cuts", () => {
    const wire = Buffer.from("+OK\r\n$5\r\n:1\r\n\r\n\r\n$-1\r\n-ERR bad\r\n$0\r\n\r\n:5\r\n")
    fc.assert(
      fc.property(fc.array(fc.nat(wire.length), { maxLength: 8 }), (cuts) => {
        const errors: string[] = []
        const count = makeCounter((line) => errors.push(line))
        const edges = [0, ...cuts.toSorted((a, b) => a - b), wire.length]
        const counted = edges.slice(1).reduce((sum, to, i) => sum + count(wire.subarray(edges[i], to)), 0)
        expect([counted, errors]).toEqual([6, ["ERR bad"]])
      }),
    )
  })

  test.each([
    ["batch by batch", false],
    ["for each caller that has its answer", true],
  ])("a connection sends what it may, %s, and comes back after a cut", async (_, callers) => {
    const store = makeStore()
    const server = await startFake(store)
    cleanups.push(server.close)
    let left = 50
    let answered = 0
    const failures: string[] = []
    let cut = false
    store.fate = () => {
      if (cut || store.effects.length < 20) return "serve"
      cut = true
      return "cut-before"
    }
    await new Promise<void>((ended) => {
      const load = startLoad(
        {
          endpoint: { host: "127.0.0.1", port: server.port },
          pipeline: 4,
          callers,
          reads: 30,
          valueSize: 10,
          keys: 100,
          preamble: [],
          tls: null,
        },
        {
          take: (wanted) => {
            const given = Math.min(wanted, left)
            left -= given
            return given
          },
          answered: (__, replies) => void (answered += replies),
          up: () => {
            expect(left, "it asks nothing before it is told to begin").toBe(50)
            load.begin()
          },
          failed: (reason, commands) => {
            failures.push(reason)
            left += commands
          },
          ended,
        },
      )
    })
    expect(answered).toBe(50)
    expect(failures).toHaveLength(1)
    for (const key of store.data.keys()) expect(key).toMatch(/^key:0000000000\d\d$/)
  })
})

describe("a node that hangs, and an outage", () => {
  test("a verb goes on at another node, which the first one named before it hung", async () => {
    const store = makeStore()
    const servers = [await startFake(store, "n1"), await startFake(store, "n2")]
    for (const { close } of servers) cleanups.push(close)
    const asked: string[] = []
    store.fate = ([, verb], id) => {
      if (verb !== "TRANSFER") return "serve"
      asked.push(id)
      if (id === "n2") return { reply: "+n3 leads\r\n", executed: false }
      const again = asked.length > 1
      return again
        ? "mute"
        : { reply: "-UNFINISHED not done within 0.5 s: it is wanted. Nothing was changed\r\n", executed: false }
    }
    const said = listening()
    try {
      const [first] = servers
      const endpoints = [{ host: "127.0.0.1", port: first?.port ?? 0 }]
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
      const options = { endpoints, output: "table" } as const
      const carried = carryOut(["STEPRAFT", "TRANSFER"], 600_000, options, new AbortController().signal)
      await inTime("it hangs", () => asked.length === 2)
      vi.advanceTimersByTime(1000)
      await carried
      expect([asked, said.out()]).toEqual([["n1", "n1", "n2"], "n3 leads\n"])
      // Nobody waits for the one that hangs: it would keep the program from its end.
      await inTime("the question that hangs is dropped", () => servers.every(({ open }) => open() === 0))
    } finally {
      vi.useRealTimers()
      said.stop()
    }
  })

  test("watch goes on after it, and says that changes were not seen", async () => {
    const store = makeStore()
    const server = await startFake(store)
    cleanups.push(server.close)
    store.data.set("k", "one")
    const over = new AbortController()
    const said = listening()
    const watching = watchKey(
      { endpoints: [{ host: "127.0.0.1", port: server.port }], timeoutMs: 60, key: "k", intervalMs: 5 },
      over.signal,
    )
    try {
      await inTime("it has looked", () => said.out() === "one\n")
      store.fate = () => ({ reply: "-NOLEADER no leader\r\n", executed: false })
      await inTime("it has noticed", () => said.err().includes("still trying"))
      store.data.set("k", "two")
      store.fate = () => "serve"
      await inTime("it looks again", () => said.out() === "one\ntwo\n")
      expect(said.err()).toMatch(/answered again after \d+ s; changes in between were not seen/)
      // What no time mends ends it.
      store.fate = () => ({ reply: "-NOPERM not allowed\r\n", executed: false })
      await expect(watching).rejects.toThrow(/NOPERM/)
    } finally {
      over.abort()
      said.stop()
      await watching.catch(() => undefined)
    }
  })
})
