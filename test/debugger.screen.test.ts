/** What a person sees at a terminal, of whatever size: nothing scrolls out of sight that is to stay, no word is broken. */
import { EventEmitter } from "node:events"
import { PassThrough, Writable } from "node:stream"
import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { command, openSession, runTerminal, type DebugSession } from "../interpreters/debugger/index.ts"
import { completed, edited, emptyPrompt, entered, type Key, type Prompt } from "../interpreters/debugger/prompt.ts"
import { picture, wrap, type Showing, type Size } from "../interpreters/debugger/screen.ts"
import { checkerOf, generateScript } from "../spec/index.ts"
import { turns } from "./waiting.ts"

const idle: Showing = { page: null, notice: "", top: 0, prompt: { text: "", cursor: 0 } }
const textOf = (session: DebugSession, size: Size, showing: Showing = idle): readonly string[] =>
  picture(session, showing, size).lines.map(({ text }) => text)
const busy = (): DebugSession =>
  openSession(generateScript(5, "everything", { nodes: 5, steps: 20 }), { checker: checkerOf })

describe("a picture", () => {
  test("fits its size; heading, event and rule stay in sight, whatever is below them and however far that is scrolled", () => {
    const session = busy()
    session.goTo(400)
    const last = session.at()
    expect(last).toBeGreaterThan(100)
    fc.assert(
      fc.property(
        fc.constantFrom({ rows: 24, columns: 80 }, { rows: 50, columns: 200 }, { rows: 12, columns: 40 }),
        fc.nat(last),
        fc.nat(60),
        fc.constantFrom("", "nothing is planned any more"),
        fc.boolean(),
        (size, at, top, notice, help) => {
          session.goTo(at)
          const { steps, violation, action } = session.frame()
          const lines = textOf(session, size, {
            ...idle,
            top,
            notice,
            page: help ? command(session, "help").text : null,
          })
          expect(lines.length).toBeLessThanOrEqual(size.rows)
          for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(size.columns)
          expect(violation).toBeNull()
          expect(lines[0]).toContain(`── frame ${at} of `)
          const [step] = steps
          if (step !== undefined) expect(lines.slice(1, size.rows >> 1).join("\n")).toContain(`${step.node}: `)
          if (action === null && steps.length === 1 && step?.effects.some(({ type }) => type === "Note") === true)
            expect(lines.slice(1, size.rows >> 1).join("\n")).toContain("  rule  ")
          expect(lines.at(-1)).toBe("> ")
          if (notice !== "") expect(lines.at(-3)).toBe(notice)
        },
      ),
      { numRuns: 200 },
    )
  })

  test("no word is broken, unless it is longer than a line", () => {
    const word = fc.stringMatching(/^[a-z.·→]{1,12}$/)
    fc.assert(
      fc.property(
        fc.array(word, { minLength: 1, maxLength: 40 }),
        fc.nat(6),
        fc.integer({ min: 24, max: 80 }),
        (words, indent, width) => {
          const line = " ".repeat(indent) + words.join(" ")
          const lines = wrap(line, width)
          for (const one of lines) expect(one.length).toBeLessThanOrEqual(width)
          expect(lines.flatMap((one) => one.trim().split(" "))).toEqual(words)
        },
      ),
    )
    expect(
      wrap(`x ${"a,".repeat(30)}b`, 20).every((one) => one.length <= 20 && /^( *x|[ a,]*,| *b|[ a,]*b)$/.test(one)),
    ).toBe(true)
    expect(wrap("  step [N] (s →)    go on by one event, or N", 30)).toEqual([
      "  step [N] (s →)    go on by",
      "    one event, or N",
    ])
    expect(wrap("  step    go on by one event, or N", 24)).toEqual(["  step    go on by one", "          event, or N"])
  })

  test("help is read page by page, to its last line", () => {
    const session = busy()
    const size = { rows: 24, columns: 80 }
    const page = command(session, "help").text
    const seen = new Set<string>()
    const { lastTop, height } = picture(session, { ...idle, page }, size)
    for (let top = 0; top < lastTop + height; top += height)
      for (const line of textOf(session, size, { ...idle, page, top: Math.min(top, lastTop) })) seen.add(line)
    const all = page.split("\n").flatMap((line) => wrap(line, 80))
    expect(all.filter((line) => !seen.has(line))).toEqual([])
    expect(lastTop).toBeGreaterThan(0)
  })
})

describe("the line that is typed", () => {
  const press = (prompt: Prompt, ...keys: readonly (string | Key)[]): Prompt =>
    keys.reduce<Prompt>(
      (now, key) =>
        typeof key === "string"
          ? key.split("").reduce((each, letter) => edited(each, letter, {}) ?? each, now)
          : (edited(now, undefined, key) ?? now),
      prompt,
    )
  const [up, down, left, home, ctrlW] = [
    { name: "up" },
    { name: "down" },
    { name: "left" },
    { name: "home" },
    { name: "w", ctrl: true },
  ]

  test("is edited where the cursor stands", () => {
    expect(press(emptyPrompt, "crah", left, "s", home, "x", { name: "delete" })).toMatchObject({
      text: "xrash",
      cursor: 1,
    })
    expect(press(emptyPrompt, "crash n1 all", ctrlW, { name: "backspace" })).toMatchObject({
      text: "crash n1",
      cursor: 8,
    })
  })
  test("recalls what was entered, of what begins alike, and what was typed before", () => {
    const lines = ["show n1", "step 5", "show n2", "show n2"].reduce(
      (prompt, line) => entered(press(prompt, line)),
      emptyPrompt,
    )
    expect(lines.history).toEqual(["show n1", "step 5", "show n2"])
    const once = press(lines, "sh", up)
    expect([
      once.text,
      press(once, up).text,
      press(once, up, up).text,
      press(once, up, down).text,
      press(once, down).text,
    ]).toEqual(["show n2", "show n1", "show n1", "show n2", "sh"])
  })
  test("is completed by what the place takes", () => {
    const words = (): readonly string[] => ["step", "start", "show", "save"]
    expect(completed(press(emptyPrompt, "sh"), words)).toEqual({
      prompt: { ...emptyPrompt, text: "show ", cursor: 5 },
      choice: [],
    })
    expect(completed(press(emptyPrompt, "st"), words)).toMatchObject({
      prompt: { text: "st" },
      choice: ["start", "step"],
    })
    expect(completed(press(emptyPrompt, "x"), words)).toMatchObject({ prompt: { text: "x" }, choice: [] })
  })
})

describe("at a terminal", () => {
  const open = () => {
    const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => input })
    let written = ""
    const sink = new Writable({ write: (chunk: Buffer, _, done) => ((written += chunk.toString()), done()) })
    const output = Object.assign(sink as Writable & EventEmitter, { isTTY: true, rows: 24, columns: 80 })
    const session = openSession({ seed: 1, options: { nodes: 3 }, actions: [] })
    const over = runTerminal(session, {
      input: input as unknown as NodeJS.ReadStream,
      output: output as unknown as NodeJS.WriteStream,
      save: () => "",
    })
    const screen = (): readonly string[] =>
      (written.split("\x1b[H").at(-1)?.split("\x1b[J")[0] ?? "")
        .split("\x1b[")
        .map((part, i) => (i === 0 ? part : part.replace(/^[\d;]*[mK]/, "")))
        .join("")
        .split("\r\n")
    const keys = async (text: string): Promise<readonly string[]> => {
      input.write(text)
      // A lone escape is told from the beginning of a key by a pause of the reader's.
      await turns(20)
      return screen()
    }
    return { session, output, keys, screen, over }
  }
  const [RIGHT, PAGE_DOWN, UP] = ["\x1b[C", "\x1b[6~", "\x1b[A"]

  test("keys step, scroll and complete; a resize draws anew; what is typed stays; q leaves", async () => {
    const { output, keys, screen, over } = open()
    expect((await keys(RIGHT))[0]).toMatch(/^── frame 1 of 1 made/)
    expect(screen()).toHaveLength(24)
    const help = await keys("help\r")
    expect([help[0], help.join("\n")]).toEqual([
      expect.stringMatching(/^── frame 1 /),
      expect.stringContaining("  step [N]"),
    ])
    expect(help.join("\n")).not.toContain("quit (q)")
    await keys(PAGE_DOWN)
    await keys(PAGE_DOWN)
    expect((await keys(PAGE_DOWN)).join("\n")).toContain("quit (q)")
    await keys("cont\tle")
    Object.assign(output, { rows: 50, columns: 200 })
    output.emit("resize")
    expect([screen().length, screen().at(-1)]).toEqual([50, "> continue le"])
    const won = await keys("\t\r")
    expect(won.join("\n")).toContain("election.won")
    expect((await keys(`s${UP}`)).at(-1)).toBe("> s")
    expect((await keys(`\x7fc${UP}`)).at(-1)).toBe("> continue leader")
    await keys("\x15q")
    await over
  })
})
