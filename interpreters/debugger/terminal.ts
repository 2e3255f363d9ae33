/**
 * The session's user interface in a terminal. On a terminal: arrow keys step and go back, everything else is typed as a
 * command, and the picture (screen.ts) fits the terminal's size. In a pipe: one command per line, each answered in
 * plain text; the exit code says whether all were understood.
 */
import { emitKeypressEvents } from "node:readline"
import { createInterface } from "node:readline/promises"
import type { Readable, Writable } from "node:stream"
import { command, wordsFor, type CommandAnswer } from "./commands.ts"
import { completed, edited, emptyPrompt, entered, type Key } from "./prompt.ts"
import { picture, type Line, type Picture, type Showing, type Style } from "./screen.ts"
import type { DebugSession } from "./session.ts"

export interface Face {
  readonly input: Readable
  readonly output: Writable
  /** Writes a scenario; returns the message to show. */
  readonly save: (path: string, session: DebugSession) => string
}

const answerTo = (session: DebugSession, line: string, face: Face): CommandAnswer => {
  const answer = command(session, line)
  if (answer.save === null) return answer
  try {
    return { ...answer, text: face.save(answer.save, session) }
  } catch (error) {
    return { ...answer, failed: true, text: error instanceof Error ? error.message : String(error) }
  }
}

/** Runs commands from lines, in a pipe or given. Returns how many were not understood. */
export const runLines = async (
  session: DebugSession,
  lines: AsyncIterable<string> | Iterable<string>,
  face: Face,
): Promise<number> => {
  let failed = 0
  for await (const line of lines) {
    if (line.trim() === "" || line.trim().startsWith("#")) continue
    const answer = answerTo(session, line, face)
    if (answer.quit) break
    if (answer.failed) failed += 1
    face.output.write(`> ${line.trim()}\n${answer.text}\n\n`)
  }
  return failed
}

export const runPiped = (session: DebugSession, face: Face): Promise<number> =>
  runLines(session, createInterface({ input: face.input }), face)

/** Keys that count while no text is typed. */
const KEYS: Readonly<Record<string, string>> = {
  right: "step",
  left: "back",
  home: "goto start",
  end: "goto end",
  up: "back 10",
  down: "step 10",
}
const SGR: Readonly<Record<Style, string>> = { plain: "", bold: "\x1b[1m", red: "\x1b[31m", dim: "\x1b[2m" }
const painted = ({ text, style }: Line): string =>
  style === "plain" || process.env["NO_COLOR"] !== undefined ? text : `${SGR[style]}${text}\x1b[0m`
/** The alternate screen, so that the earlier content comes back afterwards. */
const ENTER = "\x1b[?1049h"
const LEAVE = "\x1b[?1049l"

export interface TerminalFace extends Face {
  readonly input: NodeJS.ReadStream
  readonly output: NodeJS.WriteStream
}

/** `opened` is shown beside the first frame. */
export const runTerminal = (session: DebugSession, face: TerminalFace, opened = ""): Promise<void> =>
  new Promise((resolve) => {
    const { input, output } = face
    let showing: Omit<Showing, "prompt"> = { page: null, notice: opened, top: 0 }
    let prompt = emptyPrompt
    const look = (): Picture =>
      picture(session, { ...showing, prompt }, { rows: output.rows ?? 24, columns: output.columns ?? 80 })
    const draw = (): void => {
      const { lines, column } = look()
      output.write(
        `\x1b[H${lines.map((line) => `${painted(line)}\x1b[K`).join("\r\n")}\x1b[J\x1b[${lines.length};${column + 1}H`,
      )
    }
    const leave = (): void => void output.write(LEAVE)
    const close = (): void => {
      input.off("keypress", onKey)
      output.off("resize", draw)
      process.off("exit", leave)
      input.setRawMode(false)
      input.pause()
      leave()
      resolve()
    }
    const scroll = (by: number): void => {
      const { height, lastTop } = look()
      showing = {
        ...showing,
        top: Math.max(0, Math.min(lastTop, Math.min(showing.top, lastTop) + by * Math.max(1, height - 1))),
      }
    }
    /** False: it was the last command. */
    const run = (line: string): boolean => {
      const answer = answerTo(session, line, face)
      if (answer.quit) return false
      // A command that is not understood leaves the page that is open, so that help can be read while typing.
      if (answer.failed) showing = { ...showing, notice: answer.text }
      else
        showing =
          answer.frame === null
            ? { page: answer.text, notice: "", top: 0 }
            : { page: null, notice: answer.frame, top: 0 }
      return true
    }
    const complete = (): void => {
      const { prompt: longer, choice } = completed(prompt, (before) => wordsFor(session, before))
      prompt = longer
      showing = { ...showing, notice: choice.join("  ") }
    }
    const onKey = (text: string | undefined, key: Key): void => {
      const { name = "", ctrl = false } = key
      const idle = prompt.text === ""
      if (ctrl && (name === "c" || name === "d")) return close()
      if (idle && text === "q") return close()
      if (name === "pagedown" || (idle && text === " ")) scroll(1)
      else if (name === "pageup") scroll(-1)
      else if (name === "tab") complete()
      else if (name === "return" || name === "enter") {
        const line = prompt.text
        prompt = entered(prompt)
        if (!run(line)) return close()
      } else if (idle && name === "escape") showing = { page: null, notice: "", top: 0 }
      else if (idle && !ctrl && KEYS[name] !== undefined) run(KEYS[name])
      else prompt = edited(prompt, text, key) ?? prompt
      draw()
    }
    emitKeypressEvents(input)
    input.setRawMode(true)
    input.resume()
    input.on("keypress", onKey)
    output.on("resize", draw)
    // A signal from outside ends it too: the terminal is restored first.
    process.once("exit", leave)
    output.write(ENTER)
    draw()
  })
