/**
 * The terminal's face of a session. On a terminal: arrows step and go back, everything else is typed as a command. In a
 * pipe: one command a line, each answered in plain text; the exit code tells whether all were understood.
 */
import { emitKeypressEvents } from "node:readline"
import { createInterface } from "node:readline/promises"
import type { Readable, Writable } from "node:stream"
import { command, type Answer } from "./commands.ts"
import type { Session } from "./session.ts"
import { frameText } from "./view.ts"

export interface Face {
  readonly input: Readable
  readonly output: Writable
  /** Writes a scenario; answers what to tell. */
  readonly save: (path: string, session: Session) => string
}

const answerTo = (session: Session, line: string, face: Face): Answer => {
  const answer = command(session, line)
  if (answer.save === null) return answer
  try {
    return { ...answer, text: face.save(answer.save, session) }
  } catch (error) {
    return { ...answer, failed: true, text: error instanceof Error ? error.message : String(error) }
  }
}

/** Commands from lines, in a pipe or given. Answers how many were not understood. */
export const runLines = async (session: Session, lines: AsyncIterable<string> | Iterable<string>, face: Face): Promise<number> => {
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

export const runPiped = (session: Session, face: Face): Promise<number> => runLines(session, createInterface({ input: face.input }), face)

interface Key {
  readonly name?: string | undefined
  readonly ctrl?: boolean | undefined
  readonly sequence?: string | undefined
}
const KEYS: Readonly<Record<string, string>> = { right: "step", left: "back", home: "goto start", end: "goto end", up: "back 10", down: "step 10", pagedown: "continue", pageup: "reverse" }
const HINT = "→ ← step · ↓ ↑ ten · Home End · type a command, help lists them · q quits"

const bold = (text: string): string => `\x1b[1m${text}\x1b[0m`
const red = (text: string): string => `\x1b[31m${text}\x1b[0m`
const dim = (text: string): string => `\x1b[2m${text}\x1b[0m`
const coloured = (text: string): string =>
  process.env["NO_COLOR"] !== undefined
    ? text
    : text.split("\n").map((line) => (line.startsWith("──") ? bold(line) : line.includes("VIOLATED") ? red(line) : line.startsWith("  rule") ? dim(line) : line)).join("\n")

/** `opened` is told above the first frame. */
export const runTerminal = (session: Session, face: Face & { readonly input: NodeJS.ReadStream }, opened = ""): Promise<void> =>
  new Promise((resolve) => {
    const { input, output } = face
    let typed = ""
    const draw = (text: string): void => {
      output.write(`\x1b[2J\x1b[H${coloured(text)}\n\n${dim(HINT)}\n> ${typed}`)
    }
    const close = (): void => {
      input.off("keypress", onKey)
      input.setRawMode(false)
      input.pause()
      output.write("\n")
      resolve()
    }
    const run = (line: string): void => {
      typed = ""
      const answer = answerTo(session, line, face)
      if (answer.quit) close()
      else draw(answer.failed ? `${frameText(session)}\n\n${answer.text}` : answer.text)
    }
    const onKey = (text: string | undefined, key: Key): void => {
      if (key.ctrl === true && (key.name === "c" || key.name === "d")) return close()
      const bound = typed === "" ? KEYS[key.name ?? ""] : undefined
      if (bound !== undefined) return run(bound)
      if (key.name === "return" || key.name === "enter") return run(typed)
      if (key.name === "backspace") typed = typed.slice(0, -1)
      else if (typed === "" && text === "q") return close()
      else if (text !== undefined && text >= " " && key.ctrl !== true) typed += text
      output.write(`\r\x1b[K> ${typed}`)
    }
    emitKeypressEvents(input)
    input.setRawMode(true)
    input.resume()
    input.on("keypress", onKey)
    draw(opened === "" ? frameText(session) : `${opened}\n\n${frameText(session)}`)
  })
