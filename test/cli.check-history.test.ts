import { execFile } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { parseLimit } from "../spec/cli/check-history.ts"
import { kv, writeHistory, type HistoryEvent } from "../spec/index.ts"
import { root } from "./cluster.ts"
import { generate } from "./linearizability.kit.ts"

// The emitted program: what users run. Without a build (a single test in watch mode) there is none, and the sources run.
const built = join(root, "dist", "kv", "cli.js")
const command = existsSync(join(root, "dist", "spec", "cli", "check-history.js"))
  ? [built]
  : ["--import", "tsx", join(root, "kv", "cli.ts")]
const run = (
  words: readonly string[],
  input = "",
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> =>
  new Promise((resolve) => {
    const child = execFile(process.execPath, [...command, "check-history", ...words], { cwd: root }, (_, out, err) =>
      resolve({ code: child.exitCode ?? -1, out, err }),
    )
    child.stdin?.end(input)
  })

const line = (process: number, type: string, f: string, value: unknown, key: string | null = null): string =>
  `${JSON.stringify({ process, type, f, value, ...(key === null ? {} : { key }) })}\n`
const fine =
  line(1, "invoke", "write", 3) + line(2, "invoke", "read", null) + line(1, "ok", "write", 3) + line(2, "ok", "read", 3)
const stale =
  fine +
  line(1, "invoke", "write", 4) +
  line(1, "ok", "write", 4) +
  line(2, "invoke", "read", null) +
  line(2, "ok", "read", 3)

describe("stepraft check-history", () => {
  let folder = ""
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "stepraft-history-"))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }

  test("exit code 0: linearizable", { timeout: 60_000 }, async () => {
    expect(await run([file("fine.jsonl", fine), "--model", "register"])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^Linearizable: 2 operations, \d+ model steps\.\n$/) as unknown,
      err: "",
    })
  })

  test(
    "exit code 1: not, with the part that is impossible, in words, as JSON and drawn",
    { timeout: 60_000 },
    async () => {
      const page = join(folder, "why.html")
      const told = await run([file("stale.jsonl", stale), "--model", "register", "--drawing", page])
      expect(told.code).toBe(1)
      expect(told.out).toContain(
        "Once process 1's write 4 (lines 5–6) had returned, the value can only have been 4.\nThen this operation has no explanation:\n  lines 7–8  process 2  read → 3  <- has no place\n",
      )
      expect(told.out).toContain(
        "ends just before process 2's read → 3 (lines 7–8) returns:\n3 operations of the 4 on this key fit in an order before it.\nThere the value can only have been 4",
      )
      const html = readFileSync(page, "utf8")
      expect(html).toMatch(
        /^<!doctype html>[^]*prefers-color-scheme: dark[^]*<g class="bar culprit" tabindex="0"[^>]*aria-label="process 2: read → 3; lines 7–8; has no place"/,
      )
      expect(html).not.toMatch(/https?:\/\/(?!www\.w3\.org\/2000\/svg)/)
      const drawn = join(folder, "why.svg")
      const parsed = JSON.parse(
        (await run(["-", "--model", "register", "-o", "json", "--drawing", drawn], stale)).out,
      ) as { readonly explanation: { readonly core: readonly unknown[] } }
      expect(parsed).toMatchObject({
        verdict: "not linearizable",
        operations: 4,
        explanation: { start: [4], coreCulprit: { process: 2, lines: [7, 8] }, smallest: true },
      })
      expect(parsed.explanation.core).toHaveLength(1)
      expect(readFileSync(drawn, "utf8")).toMatch(/^<svg [^]*<\/svg>\n$/)
    },
  )

  test("exit code 2: no verdict within the limit", { timeout: 60_000 }, async () => {
    const hard = generate(kv, {
      seed: 1,
      operations: 3_000,
      clients: 40,
      keys: 1,
      values: 2,
      functions: ["read", "append", "append", "write"],
      unknown: 20,
    })
    const events = hard
      .flatMap(({ process, input, output, invoked, returned }) => [
        { at: invoked, event: { process, type: "invoke", ...input, time: invoked } satisfies HistoryEvent },
        ...(returned === null
          ? []
          : [
              {
                at: returned,
                event: { process, type: "ok", ...input, value: output ?? null, time: returned } satisfies HistoryEvent,
              },
            ]),
      ])
      .sort((a, b) => a.at - b.at)
    expect(
      await run([
        file(
          "hard.jsonl",
          writeHistory(
            events.map(({ event }) => event),
            "jsonl",
          ),
        ),
        "--limit",
        "50ms",
      ]),
    ).toMatchObject({
      code: 2,
      out: expect.stringMatching(/^Unknown: no verdict within the limit for key k0/) as unknown,
    })
  })

  test(
    "exit code 3: a history that cannot be read, with its line; a file that is not there",
    { timeout: 60_000 },
    async () => {
      expect(await run(["-"], `${fine}{"process":3,"type":"invoke","f":"pop"}\n`)).toMatchObject({
        code: 3,
        out: "",
        err: expect.stringMatching(/stepraft: -: line 5: the operation is "pop"; expected read, write/) as unknown,
      })
      expect(await run([join(folder, "none")])).toMatchObject({
        code: 3,
        out: "",
        err: expect.stringMatching(/ENOENT.*expected a file that can be read, or - for standard input/) as unknown,
      })
    },
  )

  test("a drawing that cannot be written takes the verdict from nobody", { timeout: 60_000 }, async () => {
    const taken = join(folder, "taken.svg")
    mkdirSync(taken)
    expect(await run(["-", "--drawing", taken], fine)).toMatchObject({
      code: 3,
      out: expect.stringMatching(/^Linearizable/) as unknown,
      err: expect.stringMatching(/^stepraft: the drawing cannot be written: EISDIR.*--drawing\n$/) as unknown,
    })
    expect(await run(["-", "--drawing", "why.png"], fine)).toMatchObject({
      code: 2,
      out: "",
      err: expect.stringMatching(
        /--drawing: "why\.png"\. Expected: must end in \.svg or \.html, not be why\.png\n/,
      ) as unknown,
    })
  })

  test(
    "wrong usage is code 2 and told; the help teaches the format and the exit codes",
    { timeout: 60_000 },
    async () => {
      expect(await run(["-", "--limit", "soon"], fine)).toMatchObject({
        code: 2,
        out: "",
        err: expect.stringMatching(/must be a duration such as 500ms/) as unknown,
      })
      const { code, out } = await run(["--help"])
      expect(code).toBe(0)
      expect(out).toMatch(
        /"type":"invoke"[^]*\n  delete +null +true or 1[^]*0 linearizable; 1 not; 2 no verdict[^]*EXAMPLES/,
      )
      expect(["60s", "500ms", "2m", "1.5", "1h", "x"].map(parseLimit)).toEqual([
        60_000,
        500,
        120_000,
        1_500,
        undefined,
        undefined,
      ])
    },
  )
})
