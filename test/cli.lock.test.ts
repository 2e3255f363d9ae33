/** `stepraft lock` and `stepraft watch` against a node in this process. */
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test, vi } from "vitest"
import { defaultSettings } from "../core/index.ts"
import { runLocked, watchKey, type LockOptions } from "../kv/cli/data/lock.ts"
import { Failure } from "../interpreters/cli/runtime.ts"
import { temporaryFolder, until } from "./cluster.ts"
import { withLocalCluster } from "./node.help.ts"

/** One that has ended may wait for a while until its new parent looks at it. */
const lives = (pid: number): boolean =>
  /^[^Z\s]/.test(execFileSync("sh", ["-c", `ps -o stat= -p ${pid} || true`], { encoding: "utf8" }))

test("a command runs while its lock is held: one holder at a time, tokens that grow, and its end when the lock is lost", () =>
  withLocalCluster(
    1,
    async (cluster) => {
      await cluster.startAll()
      const node = await cluster.leader()
      const folder = temporaryFolder("stepraft-lock-")
      /** A file that is there and empty is still being written. */
      const read = (name: string): string | null =>
        (existsSync(join(folder, name)) && readFileSync(join(folder, name), "utf8").trim()) || null
      const locked = async (
        script: string,
        change: Partial<LockOptions> = {},
        signal = new AbortController().signal,
      ) => {
        const options: LockOptions = {
          endpoints: [node.config.client],
          timeoutMs: 5000,
          name: "job",
          words: ["sh", "-c", `cd ${folder}; ${script}`],
          ttlMs: 60_000,
          waitMs: null,
          ...change,
        }
        return runLocked(options, signal).then(
          () => ({ code: 0, said: "" }),
          (error: unknown) => {
            if (error instanceof Failure) return { code: error.code, said: error.message }
            throw error
          },
        )
      }

      expect(await locked("echo $STEPRAFT_LOCK $STEPRAFT_LOCK_TOKEN > first; exit 7")).toEqual({ code: 7, said: "" })
      expect(await locked("", { words: [join(folder, "none")] })).toMatchObject({ code: 2 })

      // It will not end when it is asked to, and has a child that would outlive it.
      const holding = locked('trap "" TERM; sleep 60 & echo $! > child.new; mv child.new child; wait; wait; wait', {
        ttlMs: 1000,
      })
      await until("it runs", () => read("child") !== null)
      expect(await locked("echo ran > never", { waitMs: 50 })).toEqual({
        code: 1,
        said: "another holder has job: it was not acquired within 50 ms, so the command was not run",
      })
      expect(read("never")).toBeNull()
      const client = await cluster.connect(node)
      expect(await client.call("DEL", "lease:job")).toBe(1)
      expect(await holding).toMatchObject({
        code: 1,
        said: expect.stringMatching(/exit code 137, and the lease job could not/) as unknown,
      })
      const child = Number(read("child"))
      await until("what it started has ended with it", () => !lives(child))

      const [word, token] = (read("first") ?? "").split(" ")
      expect(word).toBe("job")
      const stop = new AbortController()
      const stopped = locked("echo $STEPRAFT_LOCK_TOKEN > later; exec sleep 60", {}, stop.signal)
      await until("it runs, too", () => read("later") !== null)
      expect(Number(read("later"))).toBeGreaterThan(Number(token))
      stop.abort()
      expect(await stopped).toEqual({ code: 143, said: "" })
      // Released, not left to end by itself.
      expect(await client.call("EXISTS", "lease:job")).toBe(0)

      // What a command leaves behind ends before the lock is another's.
      const tidy = '(trap "sleep 0.3; echo done > tidied; exit" TERM; echo > ready; while :; do sleep 0.02; done) &'
      expect(await locked(`${tidy} until [ -e ready ]; do sleep 0.02; done; exit 3`)).toEqual({ code: 3, said: "" })
      expect(read("tidied")).toBe("done")

      const printed: string[] = []
      const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => printed.push(String(text)) > 0)
      const over = new AbortController()
      const options = { endpoints: [node.config.client], timeoutMs: 5000, key: "watched", intervalMs: 5 }
      const watching = watchKey(options, over.signal)
      const lines = (): string => printed.join("")
      try {
        for (const [value, expected] of [
          ["", "\n"],
          ["one", "\none\n"],
          ["one", "\none\n"],
          ["two", "\none\ntwo\n"],
        ] as const) {
          if (value !== "") await client.call("SET", "watched", value)
          await until(`it has printed ${expected}`, () => lines() === expected)
        }
      } finally {
        over.abort()
        await watching
        write.mockRestore()
      }
    },
    { settings: { ...defaultSettings, heartbeat: 10, electionMin: 20, electionMax: 40 } },
  ))
