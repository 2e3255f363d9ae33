/** The line that is being typed: editing, history and completion. Pure. */

export interface Prompt {
  readonly text: string
  readonly cursor: number
  /** Lines that were entered, the latest last. */
  readonly history: readonly string[]
  /** Index of the line of history that is shown; null: the line being typed. */
  readonly recalled: { readonly place: number; readonly typed: string } | null
}
export const emptyPrompt: Prompt = { text: "", cursor: 0, history: [], recalled: null }

export interface Key {
  readonly name?: string | undefined
  readonly ctrl?: boolean | undefined
  readonly sequence?: string | undefined
}

const MOST_HISTORY = 1000
const typedAs = (prompt: Prompt, text: string, cursor = text.length): Prompt => ({
  ...prompt,
  text,
  cursor,
  recalled: null,
})

/** The line was entered: an empty one follows. */
export const entered = ({ text, history }: Prompt): Prompt => {
  const line = text.trim()
  return {
    ...emptyPrompt,
    history: line === "" || history.at(-1) === line ? history : [...history, line].slice(-MOST_HISTORY),
  }
}

/** Moves back, or forward, to a line of the history that begins like the text that was typed. */
const recall = (prompt: Prompt, step: -1 | 1): Prompt => {
  const { history, recalled } = prompt
  const typed = recalled?.typed ?? prompt.text
  for (let place = (recalled?.place ?? history.length) + step; place >= 0 && place < history.length; place += step) {
    const line = history[place]
    if (line !== undefined && line !== prompt.text && line.startsWith(typed))
      return { ...prompt, text: line, cursor: line.length, recalled: { place, typed } }
  }
  return step === 1 && recalled !== null ? typedAs(prompt, typed) : prompt
}

const prefixOf = (words: readonly string[]): string => {
  const [first = "", ...rest] = words
  let length = first.length
  for (const word of rest) while (!word.startsWith(first.slice(0, length))) length -= 1
  return first.slice(0, length)
}

/** `words`: the completions of the last word before the cursor. Returns them if there are several. */
export const completed = (
  prompt: Prompt,
  wordsOf: (before: string) => readonly string[],
): { readonly prompt: Prompt; readonly choice: readonly string[] } => {
  const before = prompt.text.slice(0, prompt.cursor)
  const begun = /\S*$/.exec(before)?.[0] ?? ""
  const words = [...new Set(wordsOf(before))].filter((word) => word.startsWith(begun)).sort()
  const [only] = words
  if (only === undefined) return { prompt, choice: [] }
  const longer = words.length === 1 ? `${only} ` : prefixOf(words)
  const head = before.slice(0, before.length - begun.length) + longer
  return {
    prompt: typedAs(prompt, head + prompt.text.slice(prompt.cursor), head.length),
    choice: words.length === 1 || longer !== begun ? [] : words,
  }
}

const removed = (prompt: Prompt, from: number, to: number): Prompt =>
  typedAs(prompt, prompt.text.slice(0, from) + prompt.text.slice(to), from)

/** null: not a key that the prompt handles. */
export const edited = (prompt: Prompt, typed: string | undefined, { name = "", ctrl = false }: Key): Prompt | null => {
  const { text, cursor } = prompt
  const word = (): number => cursor - (/\S+\s*$/.exec(text.slice(0, cursor))?.[0].length ?? 0)
  if (ctrl) {
    const edits: Readonly<Record<string, () => Prompt>> = {
      a: () => ({ ...prompt, cursor: 0 }),
      e: () => ({ ...prompt, cursor: text.length }),
      u: () => removed(prompt, 0, cursor),
      k: () => removed(prompt, cursor, text.length),
      w: () => removed(prompt, word(), cursor),
      p: () => recall(prompt, -1),
      n: () => recall(prompt, 1),
    }
    return edits[name]?.() ?? null
  }
  switch (name) {
    case "up":
      return recall(prompt, -1)
    case "down":
      return recall(prompt, 1)
    case "left":
      return { ...prompt, cursor: Math.max(0, cursor - 1) }
    case "right":
      return { ...prompt, cursor: Math.min(text.length, cursor + 1) }
    case "home":
      return { ...prompt, cursor: 0 }
    case "end":
      return { ...prompt, cursor: text.length }
    case "escape":
      return typedAs(prompt, "")
    case "backspace":
      return cursor === 0 ? prompt : removed(prompt, cursor - 1, cursor)
    case "delete":
      return removed(prompt, cursor, cursor + 1)
    default:
      return typed === undefined || typed < " " || typed === "\x7f"
        ? null
        : typedAs(prompt, text.slice(0, cursor) + typed + text.slice(cursor), cursor + typed.length)
  }
}
