/** The emitted program as people call it (npm test builds it first). */
import { execFile, execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import type { NodeStatus } from "../kv/types.ts"
import { freePort, launch, root, temporaryFolder, until, within, type Watched } from "./cluster.ts"
import { openResp } from "./resp.ts"

const program = join("dist", "kv", "cli.js")
const run = (
  ...words: readonly string[]
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> =>
  new Promise((resolve) => {
    const child = execFile(process.execPath, [program, ...words], { cwd: root }, (_, out, err) =>
      resolve({ code: child.exitCode ?? -1, out, err }),
    )
  })

describe("stepraft", () => {
  test.concurrent(
    "help teaches: every command stands in it, and has a description, an example and its defaults",
    { timeout: 120_000 },
    async () => {
      const [help, bench] = await Promise.all([run("--help"), run("bench", "--help")])
      expect(help.code).toBe(0)
      for (const command of [
        "cluster",
        "serve",
        "status",
        "get",
        "set",
        "append",
        "del",
        "cas",
        "incr",
        "scan",
        "bench",
      ])
        expect(help.out).toContain(`  ${command} `)
      expect(bench.out).toMatch(/DESCRIPTION[^]*\(default: 7001\)[^]*EXAMPLES/)
    },
  )

  test.concurrent(
    "wrong usage: one clear line on stderr, nothing on stdout, exit code 2",
    { timeout: 120_000 },
    async () => {
      const [lacking, wrong, misspelt, undecided] = await Promise.all([
        run("get"),
        run("bench", "--clients", "many"),
        run("stauts"),
        run("serve", "--id", "n1"),
      ])
      expect(lacking).toMatchObject({
        code: 2,
        out: "",
        err: expect.stringContaining("Missing required argument: key") as unknown,
      })
      expect(wrong).toMatchObject({ code: 2, out: "" })
      expect(misspelt.err).toMatch(/stauts/)
      expect(undecided.err).toMatch(/--data, STEPRAFT_DATA or the configuration file/)
    },
  )

  test.concurrent("the version is that of the package", { timeout: 120_000 }, async () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly version: string }
    expect((await run("--version")).out).toBe(`stepraft ${version}\n`)
  })

  test.concurrent(
    "debug runs a machine of a user's own from its TypeScript, and tells its commands and states",
    { timeout: 120_000 },
    async () => {
      const { code, out, err } = await run(
        "debug",
        "--machine",
        join("test", "examples", "tickets.ts"),
        "--nodes",
        "1",
        "-c",
        'continue leader; step 3; propose n1 {"op":"buy","by":"zoe"}; continue commit 2; show n1',
      )
      expect({ code, err }).toEqual({ code: 0, err: "" })
      for (const part of [
        "n1: a client proposes zoe buys a seat",
        "zoe buys a seat → yes",
        "n1.state.free: 3 → 2",
        'sold: {"zoe":true}',
      ])
        expect(out).toContain(part)
    },
  )

  const nodeIn = async (folder: string, data: string) => {
    const peer = `127.0.0.1:${await freePort()}`
    return launch(
      process.execPath,
      [
        join(root, program),
        "serve",
        "--id",
        "n1",
        "--data",
        data,
        "--client",
        `127.0.0.1:${await freePort()}`,
        "--peer",
        peer,
        "--peers",
        `n1=${peer}`,
        "--bootstrap",
      ],
      {},
      folder,
    )
  }
  test.concurrent(
    "a new folder is made wherever it is: relative, of one letter; and the next start finds it",
    { timeout: 120_000 },
    async () => {
      const folder = temporaryFolder()
      for (const word of [/founded cluster/, /recovered: term 1/]) {
        const node = await nodeIn(folder, "d")
        await until(`the node says ${word}`, () => word.test(node.output()))
        await until("and leads", () => /leading/.test(node.output()))
        node.signal("SIGTERM")
        expect(await node.exited).toBe(0)
      }
      expect(readdirSync(join(folder, "d", "log"))).toContain("FORMAT")
    },
  )

  test.concurrent(
    "a start that hangs is ended by a signal; what no restart can mend has an exit code of its own",
    { timeout: 120_000 },
    async () => {
      const folder = temporaryFolder()
      mkdirSync(join(folder, "d", "log"), { recursive: true })
      // Whoever opens it to read waits for a writer, as for a disk that does not answer.
      execFileSync("mkfifo", [join(folder, "d", "log", "FORMAT")])
      const hanging = await nodeIn(folder, "d")
      await until("it has begun", () => readdirSync(join(folder, "d", "log")).some((name) => name.startsWith("LOCK.")))
      hanging.signal("SIGTERM")
      expect(await hanging.exited).toBe("SIGTERM")
      writeFileSync(join(folder, "file"), "")
      const refused = await nodeIn(folder, "file")
      expect(await refused.exited).toBe(3)
      expect(refused.output().match(/ENOTDIR/g), "said once").toHaveLength(1)
    },
  )

  test(
    "a cluster: started, used, a node killed and back, stopped, resumed with its data",
    { timeout: 180_000 },
    async () => {
      const data = join(temporaryFolder(), "cluster")
      const port = await freePort()
      const peerPort = await freePort()
      const httpPort = await freePort()
      const where = ["--port", String(port)]
      const words = [
        program,
        "cluster",
        "--data",
        data,
        ...where,
        "--peer-port",
        String(peerPort),
        "--http-port",
        String(httpPort),
      ]
      const status = async () =>
        JSON.parse((await run("status", ...where, "-o", "json")).out) as {
          readonly leader: string | null
          readonly nodes: readonly { readonly id: string; readonly pid: number | null; readonly health: string }[]
        }
      /** Asked over the protocol: a command each time would cost more than the cluster. */
      const told = async (node: number): Promise<Partial<NodeStatus>> => {
        const client = await openResp(port + node)
        try {
          const reply = await within(3000, client.call("STEPRAFT", "STATUS"))
          return JSON.parse(typeof reply === "string" ? reply : "{}") as Partial<NodeStatus>
        } finally {
          client.close()
        }
      }
      const well = async (of: Watched) => {
        for (const node of [0, 1, 2])
          await until("a leader, and all are well", async () => {
            if (!of.running()) throw new Error(`the cluster has ended: ${of.output()}`)
            const status = await told(node).catch(() => null)
            return typeof status?.leader === "string" && status.health === "ok"
          })
        await until("the command says so, too", async () => (await run("status", ...where)).code === 0)
      }

      const first = launch(process.execPath, words)
      const watching = launch(process.execPath, [program, "status", "--watch", "--interval", "400", ...where])
      try {
        await well(first)
        expect(await run("set", "greeting", "hello", ...where)).toMatchObject({ code: 0, out: "OK\n" })
        expect(await Promise.all([run("get", "greeting", ...where), run("get", "none", ...where)])).toMatchObject([
          { code: 0, out: "hello\n" },
          { code: 1, out: "" },
        ])
        expect(await run("cas", "greeting", "hello", "bye", ...where)).toMatchObject({ code: 0, out: "1\n" })
        expect(await run("cas", "greeting", "hello", "bye", ...where)).toMatchObject({ code: 1, out: "0\n" })

        const before = await status()
        process.kill(before.nodes.find(({ id }) => id === before.leader)?.pid ?? -1, "SIGKILL")
        expect((await run("incr", "n", ...where, "--timeout", "30000")).code).toBe(0)
        await well(first)
        const open = readdirSync(data, { recursive: true, encoding: "utf8" }).filter(
          (name) => (statSync(join(data, name)).mode & 0o077) !== 0,
        )
        expect(open, "nothing is readable for others").toEqual([])
        const changes = watching.output().trimEnd().split("\n")
        expect(changes.length, changes.join("\n")).toBeLessThan(60)
        for (const change of changes) expect(change).toMatch(/^\d{4}-\S+Z \S+ \S+/)
        await until("the death is told", () => /ended \(signal SIGKILL\); its last line: /.test(first.output()))

        const layout = readFileSync(join(data, "cluster.json"), "utf8")
        const misspelt = launch(process.execPath, words, { STEPRAFT_HEARTBAET: "20" })
        const [again, elsewhere, five, load] = await Promise.all([
          run(...words.slice(1)),
          run("cluster", "--data", data, "--port", String(await freePort())),
          run(...words.slice(1), "--nodes", "5"),
          run("bench", ...where, "--requests", "300", "--clients", "4", "-o", "json"),
        ])
        expect(again.err).toContain(`port ${port} is in use`)
        expect(elsewhere).toMatchObject({
          code: 1,
          out: "",
          err: expect.stringMatching(/is in use by another "stepraft cluster" \(pid \d+/) as unknown,
        })
        expect(readFileSync(join(data, "cluster.json"), "utf8")).toBe(layout)
        expect(await misspelt.exited).toBe(2)
        expect(
          misspelt.output().match(/did you mean STEPRAFT_HEARTBEAT\?/g),
          "said once, not by every node",
        ).toHaveLength(1)
        expect(five.err).toContain("holds a cluster of 3 nodes, not of 5")
        const bench = JSON.parse(load.out) as { readonly requests: number; readonly errors: object }
        expect(bench).toMatchObject({ requests: 300, errors: {} })
        // Whoever has read enough, as head does, ends the reading only.
        first.close()
        const pid = (await told(0)).pid ?? -1
        process.kill(pid, "SIGKILL")
        await until(
          "another one has taken its place",
          async () => ![pid, null, undefined].includes((await told(0).catch(() => null))?.pid),
        )
        await well(first)
        watching.signal("SIGTERM")
      } finally {
        first.signal("SIGINT")
      }
      expect(await first.exited).toBe(0)
      const second = launch(process.execPath, words)
      try {
        await well(second)
        expect(await Promise.all([run("get", "greeting", ...where), run("get", "n", ...where)])).toMatchObject([
          { out: "bye\n" },
          { out: "1\n" },
        ])
      } finally {
        second.signal("SIGTERM")
      }
      expect(await second.exited).toBe(0)
      rmSync(data, { recursive: true, force: true })
    },
  )
})
