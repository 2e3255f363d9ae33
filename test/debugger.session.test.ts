/** Stepping through a world: the same world as when it runs, forwards and backwards, with what-ifs that lose nothing. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PassThrough, Readable, Writable } from "node:stream"
import * as fc from "fast-check"
import { afterEach, describe, expect, test, vi } from "vitest"
import {
  differencesOf,
  command,
  openSession,
  readTrace,
  runPiped,
  type DebugSession,
  type DebugSessionOptions,
} from "../interpreters/debugger/index.ts"
import { runScript, scenarioText, type Script, type WorldStep } from "../interpreters/simulation/index.ts"
import { debug, type DebugOptions } from "../spec/cli/debug.ts"
import { checkerOf, generateScript, InvariantViolated } from "../spec/index.ts"

const story: Script = {
  seed: 7,
  options: { nodes: 3 },
  actions: [
    { type: "run", ms: 1500 },
    { type: "propose", node: "leader", id: 7 },
    { type: "run", ms: 30 },
    { type: "crash", node: "leader" },
    { type: "run", ms: 2500 },
  ],
}
/** With all invariants. */
const open = (script: Script, options: DebugSessionOptions = {}): DebugSession =>
  openSession(script, { checker: checkerOf, ...options })
const tell = (session: DebugSession, ...lines: readonly string[]): string =>
  lines.map((line) => command(session, line).text).join("\n")

describe("a session", () => {
  test("goes through the very world that runs, and what it did replays to the same world", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.constantFrom("lossy", "partitions", "disks", "membership", "everything" as const),
        (seed, profile) => {
          const script = { ...generateScript(seed, profile, { nodes: 3 }) }
          const short = { ...script, actions: script.actions.slice(0, 25) }
          const session = open(short)
          session.goTo(300)
          const again = open(session.script())
          again.goTo(session.at())
          expect(session.frame().violation).toBe(null)
          expect([again.at(), again.hash(), runScript(session.script()).hash()]).toEqual([
            session.at(),
            session.hash(),
            session.hash(),
          ])
        },
      ),
      { numRuns: 8 },
    )
  })

  test("goes back to the worlds that were, and forward to the same ones", () => {
    const session = open(story)
    session.finish()
    const [end, hash] = [session.at(), session.hash()]
    const worlds = [40, 20, 10].map((i) => {
      session.goTo(i)
      return session.frame().world
    })
    expect(session.back()).toBe(true)
    session.goTo(end)
    expect([session.hash(), ...[40, 20, 10].map((i) => session.frameAt(i)?.world)]).toEqual([hash, ...worlds])
    expect(hash).toBe(runScript(story).hash())
  })

  test("an action at an earlier frame begins a branch; what came after stays where it was", () => {
    const session = open(story)
    session.goTo(60)
    const hash = session.hash()
    session.goTo(12)
    session.act({ type: "isolate", node: "n1" })
    expect(session.branches()).toEqual([
      { id: 0, parent: null, from: 0, length: 61 },
      { id: 1, parent: 0, from: 13, length: 14 },
    ])
    session.goTo(40)
    session.switchTo(0)
    session.goTo(60)
    expect(session.hash()).toBe(hash)
    // At the last frame made too, while the script has something left to do.
    session.act({ type: "isolate", node: "n1" })
    expect([session.branch(), session.switchTo(0)]).toEqual([2, true])
    session.finish()
    expect(session.hash()).toBe(runScript(story).hash())
  })

  test("saves what can be opened again, however long nothing happened", () => {
    const hour = { type: "run", ms: 3_600_000 } as const
    const session = open({
      ...story,
      actions: [...["n1", "n2", "n3"].map((node) => ({ type: "crash", node }) as const), hour, hour, hour],
    })
    session.finish()
    expect(runScript(readTrace(scenarioText(session.script())).script).hash()).toBe(session.hash())
  })

  test("ends at a violation, which is told; the steps before it can still be looked at", () => {
    const checker = () => (step: WorldStep) => {
      if (step.state.role.type === "leader")
        throw new InvariantViolated("ElectionSafety", step.node, "nobody shall lead")
    }
    const session = open(story, { checker })
    expect(session.seek((_, after) => after.violation !== null, "on")).toBe(true)
    expect([
      session.frame().violation?.name,
      session.step(),
      command(session, "crash n1").failed,
      session.back(),
    ]).toEqual(["ElectionSafety", false, true, true])
    expect(session.frame().violation).toBe(null)
  })

  test("messages are delivered, lost and doubled by hand", () => {
    const session = open(story)
    tell(session, "continue node n2")
    const before = session.frame().world.messages
    expect(tell(session, "messages")).toContain("RequestPreVote")
    const name = /^\S+/.exec(tell(session, "messages"))?.[0] ?? ""
    expect(tell(session, `duplicate ${name}`, "messages")).toContain(`${name}.1`)
    tell(session, `deliver ${name}`)
    expect(session.frame().steps.length).toBe(1)
    expect(command(session, `drop ${name}`).failed).toBe(true)
    expect(session.frame().world.messages).toBeGreaterThan(before)
  })
})

describe("the words for it", () => {
  test("tell what happened, the rule with its section, what changed, and where everybody is", () => {
    const text = tell(open(story), "continue leader")
    for (const part of [
      "RequestVoteReply term 1: granted",
      "election.won",
      "§5.2",
      "role: candidate → leader",
      "AppendEntries",
      "follower",
      "invariants hold",
    ])
      expect(text).toContain(part)
  })
  test("find steps ahead and behind", () => {
    const session = open(story, { seekLimit: 600 })
    expect(tell(session, "continue commit 2")).toContain("commit.advanced")
    const at = session.at()
    expect(tell(session, "continue term 2")).not.toContain("found nothing")
    tell(session, "reverse commit 2")
    expect(session.at()).toBe(at)
    const made = session.length()
    expect(tell(session, "continue message TimeoutNow")).toContain("found nothing ahead")
    expect([session.at(), session.length()]).toEqual([at, made])
  })
  test("find a server that the script is still to add", () => {
    const adding = open({
      ...story,
      actions: [
        { type: "run", ms: 1500 },
        { type: "add", name: "n4" },
      ],
    })
    expect(tell(adding, "continue node n4")).toContain("action: add name=n4")
  })
  test("go to the end of the script, and say where it is over", () => {
    const session = open(story)
    expect(tell(session, "goto end")).not.toContain("past the end of the script")
    expect([session.at() > 0, session.hash()]).toEqual([true, runScript(story).hash()])
    expect(tell(session, "step")).toContain("past the end of the script")
    expect(tell(session, "back")).not.toContain("past the end of the script")
  })
  test("are answered in a pipe one by one, comments skipped, and what is not understood counted", async () => {
    let out = ""
    const output = new Writable({ write: (chunk: Buffer, _, done) => ((out += chunk.toString()), done()) })
    const face = {
      input: Readable.from(["# who leads?\ncontinue leader\nshow n2\nwhat\nsave x\nquit\nshow"]),
      output,
      save: (path: string) => `saved ${path}`,
    }
    expect(await runPiped(open(story), face)).toBe(1)
    for (const part of ["> continue leader", "> show n2", "unknown command what; help lists", "saved x"])
      expect(out).toContain(part)
    expect(out).not.toContain("# who")
  })
  test("every command tells its use when it is used wrongly, and changes nothing", () => {
    const session = open(story)
    session.goTo(5)
    const made = session.length()
    for (const line of [
      "crash",
      "crash n9",
      "crash n1 softly",
      "fire n1 alarm",
      "cut n1",
      "partition",
      "partition n9",
      "deliver x",
      "do",
      "do 5",
      "goto x",
      "step x",
      "branch 9",
      "next n9",
      "continue what",
      "save",
      "propose n1 x",
      "step 1000001",
      "goto 1000001",
      'do {"type":"partition"}',
      'do {"type":"foo"}',
      'do {"type":"run","ms":-5}',
      'do {"type":"heal","node":"n1"}',
      "continue n1.role == lead",
      "continue n1.role > leader",
      "continue n1.term > abc",
      "continue n9.term > 1",
      "continue node zz",
      "next zz",
      "continue rule nonsense",
      "continue message Nonsense",
      "continue commit x",
      "continue leader n1",
    ]) {
      const { failed, text } = command(session, line)
      expect([line, failed, text.includes("found nothing")]).toEqual([line, true, false])
    }
    expect([session.at(), session.length(), session.branches().length]).toEqual([5, made, 1])
  })
})

test("a difference is told by the paths that changed, entries of a log one by one", () => {
  const session = open(story)
  session.seek((_, after) => after.steps.some(({ events }) => events.some(({ type }) => type === "Proposed")), "on")
  const [{ node, changes: found } = { node: "", changes: [] }] = session.changed()
  expect(found.map(({ path }) => path)).toEqual(expect.arrayContaining(["log[2]"]))
  expect(node).toBe(/n\d/.exec(session.frame().steps[0]?.node ?? "")?.[0])
  expect(differencesOf({ a: 1, b: { c: [1, 2] } }, { a: 1, b: { c: [1, 3], d: null } })).toEqual([
    { path: "b.c.1", before: 2, after: 3 },
  ])
})

describe("stepraft debug", () => {
  afterEach(() => vi.restoreAllMocks())

  /** What it writes of a file with this text; without commands on a terminal, where q is typed at once. */
  const opened = async (text: string, commands: DebugOptions["commands"]): Promise<string> => {
    const folder = mkdtempSync(join(tmpdir(), "stepraft-debug-"))
    let out = ""
    const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => input })
    const output = Object.assign(
      new Writable({ write: (chunk: Buffer, _, done) => ((out += chunk.toString()), done()) }),
      { isTTY: true },
    )
    vi.spyOn(process, "stdin", "get").mockReturnValue(input as unknown as typeof process.stdin)
    vi.spyOn(process, "stdout", "get").mockReturnValue(output as unknown as typeof process.stdout)
    try {
      const file = join(folder, "trace.ndjson")
      writeFileSync(file, text)
      input.write("q")
      await debug({ file, seed: 1, profile: null, nodes: 3, refine: false, machine: null, check: null, commands })
      return out
    } finally {
      rmSync(folder, { recursive: true })
    }
  }

  test.each([
    ["ElectionSafety", "ElectionSafety was violated when this was written, and is no longer violated"],
    ["Liveness", "Liveness was violated when this was written, and is no longer violated"],
    ["MachinesAgree", "MachinesAgree was violated when this was written, and is no longer violated"],
  ])("of %s, which does not show, tells why; on a terminal too", async (name, told) => {
    const text = scenarioText(story, { violation: { name, at: 7 } })
    for (const commands of ["frame", null]) expect(await opened(text, commands)).toContain(told)
  })
  test("more servers than a world has room for are wrong usage", async () => {
    await expect(
      debug({
        file: null,
        seed: 1,
        profile: null,
        nodes: 50,
        refine: false,
        machine: null,
        check: null,
        commands: "frame",
      }),
    ).rejects.toMatchObject({ code: 2, message: "--nodes must be at most 31, not 50" })
  })
  test("what cannot be opened is told with code 3", async () => {
    await expect(opened('{"v":1,"seed":1,"config":{"nodes":50}}', "frame")).rejects.toMatchObject({
      code: 3,
      message: /config\.nodes is to be a whole number from 1 to 31, not 50/,
    })
  })
})
