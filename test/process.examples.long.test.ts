/**
 * The library as its users have it: packed, installed into an empty project, compiled under strict TypeScript, run as three
 * processes and killed. The programs are those of test/examples.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { beforeAll, describe, expect, test } from "vitest"
import { freePort, launch, root, startCluster, temporaryFolder, until, type Watched } from "./cluster.ts"
import { acknowledgedBy, countAndKill, judgeCounting, judgeHistory } from "./counting.ts"

const project = temporaryFolder("stepraft-packed-")
const run = (command: string, ...words: string[]): string =>
  execFileSync(command, words, { cwd: project, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })
const compiled = (program: string): string => join(project, "out", program.replace(/ts$/, "js"))

let copies = 0
/** A program of a README as it stands there, but for the ports. */
const onPorts = (program: string, ports: Readonly<Record<string, string>>): readonly [string, ...string[]] => {
  const file = compiled(program).replace(/js$/, `${++copies}.js`)
  let text = readFileSync(compiled(program), "utf8")
  for (const [there, here] of Object.entries(ports)) {
    expect(text.split(`"${there}"`)).toHaveLength(2)
    text = text.replace(`"${there}"`, `"${here}"`)
  }
  writeFileSync(file, text)
  return ["node", file]
}
const readmePeers = ({
  a = "",
  b = "",
  c = "",
}: Readonly<Record<string, string>>): Readonly<Record<string, string>> => ({
  "127.0.0.1:8001": a,
  "127.0.0.1:8002": b,
  "127.0.0.1:8003": c,
})

beforeAll(() => {
  const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly devDependencies: Readonly<Record<string, string>>
  }
  // It is built already: npm test and test:all begin with that.
  const packed = JSON.parse(
    execFileSync("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", project], {
      cwd: root,
      encoding: "utf8",
    }),
  ) as readonly { readonly filename: string }[]
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "empty", private: true, type: "module" }))
  const wanted = ["typescript", "@types/node", "libsql"].map((name) => `${name}@${devDependencies[name] ?? "latest"}`)
  run("npm", "install", "--no-audit", "--no-fund", "--prefer-offline", `./${packed[0]?.filename ?? ""}`, ...wanted)
  mkdirSync(join(project, "src"))
  cpSync(join(root, "test/examples"), join(project, "src"), {
    recursive: true,
    filter: (path) => !path.endsWith(".test.ts"),
  })
  const compilerOptions = {
    target: "es2023",
    lib: ["es2023"],
    types: ["node"],
    module: "nodenext",
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true,
    rootDir: "src",
    outDir: "out",
  }
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["src"] }))
  // Effect's own declarations want the names of browsers, which "types": ["node"] does not give; all others are looked at.
  const found = spawnSync("npx", ["tsc"], { cwd: project, encoding: "utf8" })
    .stdout.split("\n")
    .filter((line) => line.includes(": error ") && !line.startsWith("node_modules/effect/"))
  expect(found).toEqual([])
}, 600_000)

/** Three servers of a program; each start of one is kept. */
const three = async (program: string, ...more: string[]) => {
  const folder = temporaryFolder("stepraft-three-")
  const ids = ["a", "b", "c"]
  const peers: Record<string, string> = {}
  for (const id of ids) peers[id] = `127.0.0.1:${await freePort()}`
  const started: Watched[] = []
  const begin = (id: string): Watched => {
    const child = launch("node", [compiled(program), id, join(folder, id), JSON.stringify(peers), ...more], {}, project)
    started.push(child)
    return child
  }
  const now = new Map(ids.map((id) => [id, begin(id)]))
  const of = (id: string): Watched => now.get(id) ?? begin(id)
  return {
    ids,
    started,
    of,
    lines: (pattern: RegExp): string[] =>
      started.flatMap(({ output }) => Array.from(output().matchAll(pattern), ([, word = ""]) => word)),
    kill: async (id: string): Promise<void> => {
      of(id).signal("SIGKILL")
      await of(id).exited
    },
    restart: (id: string): void => void now.set(id, begin(id)),
    end: async (): Promise<void> => {
      for (const child of started) child.signal("SIGKILL")
      await Promise.all(started.map(({ exited }) => exited))
    },
  }
}

describe("packed, installed and compiled", () => {
  test.each(["counters.ts", "counters.sqlite.ts"])(
    "%s: each of three killed under load, nothing lost, nothing doubled, linearizable",
    async (program) => {
      console.log(program, judgeCounting(await countAndKill(["node", compiled(program)], project)))
    },
  )

  test("jobs.ts: every job is done once, whoever is killed", async () => {
    const servers = await three("jobs.ts")
    const { ids, lines } = servers
    try {
      await until("all are ready", () => lines(/^(ready)$/gmu).length === 3)
      let given = 0
      const give = (id: string): void => {
        for (let i = 0; i < 40; i++) servers.of(id).tell(`j${given++}\n`)
      }
      for (const [killed, id] of ids.entries()) {
        const other = ids.find((name) => name !== id) ?? ""
        give(other)
        await until("some are done", () => lines(/^did (\S+)$/gmu).length > given - 30)
        await servers.kill(id)
        give(other)
        servers.restart(id)
        // Before the next one is killed: it could not say any more which jobs it had not taken.
        await until("all are added", () => lines(/^added (\S+)$/gmu).length >= given)
        // What a server had finished when it was killed, it could not say.
        await until(
          "the jobs of the dead are done by others",
          () => new Set(lines(/^did (\S+)$/gmu)).size >= given - killed - 1,
        )
      }
      const states: { readonly open: object; readonly done: object }[] = []
      // What is done from here on, the states need not know.
      const did = lines(/^did (\S+)$/gmu)
      for (const id of ids.slice(0, 2)) {
        servers.of(id).signal("SIGTERM")
        expect(await servers.of(id).exited).toBe(0)
        states.push(
          JSON.parse(/^state (.*)$/mu.exec(servers.of(id).output())?.[1] ?? "null") as (typeof states)[number],
        )
      }
      for (const { open, done } of states) {
        expect([...Object.keys(open), ...Object.keys(done)].toSorted()).toEqual(
          Array.from({ length: given }, (_, i) => `j${i}`).toSorted(),
        )
        expect(did.filter((job) => !(job in done))).toEqual([])
      }
      const all = lines(/^did (\S+)$/gmu)
      expect(new Set(all).size).toBe(all.length)
    } finally {
      await servers.end()
    }
  })

  test("replicate.ts, the README's own machine: each of three killed under load, no job lost, none claimed twice, linearizable", async () => {
    const { processes, states } = await countAndKill<{
      readonly open: readonly string[]
      readonly owners: Readonly<Record<string, string>>
    }>((peers) => onPorts("replicate.ts", readmePeers(peers)))
    const claimed = processes
      .flatMap(({ output }) =>
        Array.from(output().matchAll(/^claimed (\S+) (\S+)$/gmu), ([, by = "", job = ""]) => ({ by, job })),
      )
      .filter(({ job }) => job !== "null")
    expect(claimed.length).toBeGreaterThan(100)
    expect(new Set(claimed.map(({ job }) => job)).size).toBe(claimed.length)
    for (const { open, owners } of states) {
      const jobs = [...open, ...Object.keys(owners)]
      const there = new Set(jobs)
      expect(there.size).toBe(jobs.length)
      expect(acknowledgedBy(processes).filter(({ by, number }) => !there.has(`${by}/${number}`))).toEqual([])
      expect(claimed.filter(({ by, job }) => owners[job] !== by)).toEqual([])
    }
    const told = processes.map(({ output }) => output()).join("\n")
    expect(told).toMatch(/^[abc] works on \S+; \d+ jobs are open$/mu)
    const tokens = Array.from(told.matchAll(/^[abc] leads with token (\d+)$/gmu), ([, token]) => Number(token))
    expect(tokens.length).toBeGreaterThan(0)
    expect(new Set(tokens).size).toBe(tokens.length)
    console.log("replicate.ts", judgeHistory(processes), `${claimed.length} claimed, ${tokens.length} led`)
  })

  test("counter.effect.ts: each of three killed under load, nothing lost, nothing doubled, linearizable", async () => {
    const { processes, states } = await countAndKill<number>((peers) =>
      onPorts("counter.effect.ts", readmePeers(peers)),
    )
    const counts = processes.flatMap(({ output }) =>
      Array.from(output().matchAll(/^ack \S+ \d+ (\d+) \d+$/gmu), ([, now]) => Number(now)),
    )
    expect(new Set(counts).size).toBe(counts.length)
    expect(Math.min(...states)).toBeGreaterThanOrEqual(Math.max(...counts))
    expect(processes.map(({ output }) => output()).join("\n")).toMatch(/^counted to \d+$/mu)
    console.log("counter.effect.ts", judgeHistory(processes))
  })

  test("store.ts, the README's client: each of three nodes killed under load, nothing lost, nothing doubled, linearizable", async () => {
    const cluster = await startCluster()
    const { members, ids } = cluster
    const [command, ...words] = onPorts(
      "store.ts",
      Object.fromEntries(members.map(({ clientPort }, i) => [`127.0.0.1:${7001 + i}`, `127.0.0.1:${clientPort}`])),
    )
    const client = launch(command, words, {}, project)
    const more = (): Promise<unknown> => {
      const before = acknowledgedBy([client]).length
      return until("more is acknowledged", () => {
        if (!client.running()) throw new Error(client.output().slice(-2000))
        return acknowledgedBy([client]).length > before + 100
      })
    }
    try {
      await more()
      for (const id of ids) {
        await cluster.kill(id)
        await more()
        cluster.start(id)
        await more()
      }
      client.signal("SIGTERM")
      expect(await client.exited).toBe(0)
      expect(client.output()).toMatch(/^hello world$/mu)
      console.log("store.ts", judgeHistory([client]))
    } finally {
      client.signal("SIGKILL")
      await cluster.dispose()
    }
  })

  test("lock.ts: one at a time, with growing tokens, whoever is killed", async () => {
    const file = join(temporaryFolder("stepraft-lock-"), "number")
    writeFileSync(file, "0")
    const servers = await three("lock.ts", file)
    const { ids, lines } = servers
    const wrote = (): string[] => lines(/^wrote (\d+) with/gmu)
    const more = (): Promise<unknown> => {
      const before = wrote().length
      return until("more is written", () => wrote().length > before + 20)
    }
    try {
      await more()
      for (const id of ids) {
        await servers.kill(id)
        await more()
        servers.restart(id)
        await more()
      }
      expect(new Set(wrote()).size).toBe(wrote().length)
      const pairs = servers.started
        .flatMap(({ output }) =>
          Array.from(
            output().matchAll(/^wrote (\d+) with token (\d+)$/gmu),
            ([, number, token]) => [Number(number), Number(token)] as const,
          ),
        )
        .toSorted(([a], [b]) => a - b)
      expect(pairs.map(([, token]) => token)).toEqual(pairs.map(([, token]) => token).toSorted((a, b) => a - b))
    } finally {
      await servers.end()
    }
  })

  test("cron.ts: a leader that is stopped (SIGSTOP) and goes on is refused by the resource; one that is killed is followed", async () => {
    const cluster = await startCluster()
    let greatest = 0
    const seen: { readonly token: number; readonly by: number; readonly refused: boolean }[] = []
    const resource = createServer((request, response) => {
      let body = ""
      request.on("data", (chunk: Buffer) => (body += chunk.toString()))
      request.on("end", () => {
        const { token, by } = JSON.parse(body) as { readonly token: number; readonly by: number }
        const refused = token < greatest
        greatest = Math.max(greatest, token)
        seen.push({ token, by, refused })
        response.writeHead(refused ? 409 : 200).end()
      })
    })
    await new Promise<void>((resolve) => resource.listen(0, "127.0.0.1", resolve))
    const url = `http://127.0.0.1:${(resource.address() as AddressInfo).port}`
    const started: Watched[] = []
    const begin = (): void =>
      void started.push(
        launch(
          "node",
          [compiled("cron.ts"), cluster.members.map(({ clientPort }) => `127.0.0.1:${clientPort}`).join(","), url],
          {},
          project,
        ),
      )
    const writer = (not: readonly number[]): Promise<number> => {
      const from = seen.length
      return until(
        "another one writes",
        () => seen.slice(from).find(({ by, refused }) => !refused && !not.includes(by))?.by ?? null,
      )
    }
    try {
      for (let i = 0; i < 3; i++) begin()
      // Paused between its look at the lease and its write it is refused; paused elsewhere it sees that its lease is over.
      for (let round = 0; round < 3 || (round < 20 && seen.every(({ refused }) => !refused)); round++) {
        const first = await writer([])
        const paused = started.find(({ pid }) => pid === first)
        const ends = (): number => paused?.output().match(/^(?:refused|over) /gmu)?.length ?? 0
        const before = ends()
        paused?.signal("SIGSTOP")
        await writer([first])
        paused?.signal("SIGCONT")
        await until("it leads no more", () => ends() > before)
      }
      const last = await writer([])
      started.find(({ pid }) => pid === last)?.signal("SIGKILL")
      await writer([last])
      const written = seen.filter(({ refused }) => !refused).map(({ token }) => token)
      expect(written).toEqual(written.toSorted((a, b) => a - b))
      expect(seen.filter(({ refused }) => refused).length).toBeGreaterThanOrEqual(1)
    } finally {
      for (const child of started) child.signal("SIGKILL")
      resource.close()
      await cluster.dispose()
    }
  })

  test("importing it costs little", () => {
    for (const name of ["stepraft", "stepraft/kv/client"]) {
      const times = Array.from({ length: 10 }, () =>
        Number(
          run(
            "node",
            "--input-type=module",
            "-e",
            `const from = performance.now(); await import("${name}"); console.log(performance.now() - from)`,
          ),
        ),
      ).toSorted((a, b) => a - b)
      console.log(
        `import ${name}: median ${((times[4] ?? 0) + (times[5] ?? 0)) / 2} ms of 10, ${times.map((time) => time.toFixed(0)).join(" ")}`,
      )
      expect(times).toHaveLength(10)
    }
  })
})
