/**
 * What a terminal of any size shows of a session, as lines: a header that always stays visible (where we are, what
 * happened, by which rule), a body that scrolls, and a footer with messages, the position in the body, and the prompt.
 * Pure.
 */
import type { DebugSession } from "./session.ts"
import { frameView, invariantsText } from "./view.ts"

export interface Size {
  readonly rows: number
  readonly columns: number
}
export type Style = "plain" | "bold" | "red" | "dim"
export interface Line {
  readonly text: string
  readonly style: Style
}
/** The state of the user interface beside the session. */
export interface Showing {
  /** A reply that is not a frame, such as help; null: the frame at the cursor is shown. */
  readonly page: string | null
  /** A message shown beside the frame, until the next command. */
  readonly notice: string
  /** How many lines of the body are above the screen. */
  readonly top: number
  readonly prompt: { readonly text: string; readonly cursor: number }
}
export interface Picture {
  readonly lines: readonly Line[]
  /** The column of the cursor in the last line. */
  readonly column: number
  /** The number of visible lines of the body, and the largest useful value of `top`. */
  readonly height: number
  readonly lastTop: number
}

/** In a text of two columns, continued lines are indented to the second column. */
const hanging = (line: string, width: number): number => {
  const second = /^ *\S.*? {2,}(?=\S)/.exec(line)?.[0].length ?? 0
  const lead = /^ */.exec(line)?.[0].length ?? 0
  return second > 0 && second <= width / 2 ? second : Math.min(lead + 2, width >> 1)
}
/** Breaks between words. A word that is longer than a line is broken behind a comma or a slash, or anywhere. */
export const wrap = (line: string, width: number): readonly string[] => {
  const out: string[] = []
  const indent = " ".repeat(hanging(line, width))
  let rest = line
  while (rest.length > width) {
    const lead = out.length === 0 ? (/^ */.exec(rest)?.[0].length ?? 0) : indent.length
    const space = rest.lastIndexOf(" ", width)
    const joint = Math.max(...[",", "/", ";"].map((sign) => rest.lastIndexOf(sign, width - 1)))
    const at = space > lead ? space : joint > lead ? joint + 1 : width
    out.push(rest.slice(0, at).trimEnd())
    rest = indent + rest.slice(at).trimStart()
  }
  return [...out, rest]
}
const wrapped = (texts: readonly string[], width: number, style: Style): readonly Line[] =>
  texts.flatMap((text) => text.split("\n")).flatMap((text) => wrap(text, width).map((part) => ({ text: part, style })))
const cut = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`

const first = (lines: readonly Line[], most: number): readonly Line[] => {
  const rest = lines.length - most
  return rest <= 0 ? lines : [...lines.slice(0, most - 1), { text: `  … ${rest + 1} more lines below`, style: "dim" }]
}

const HINTS: readonly string[] = [
  "→ ← step · ↓ ↑ ten · Home End · PgDn PgUp scroll · type a command, Tab completes, help lists them · q quits",
  "→ ← step · ↓ ↑ ten · PgDn PgUp scroll · help lists commands · q quits",
  "→ ← step · help · q quits",
]
const hint = (columns: number): string =>
  HINTS.find((text) => text.length <= columns) ?? cut(HINTS.at(-1) ?? "", columns)

export const picture = (
  session: DebugSession,
  { page, notice, top, prompt }: Showing,
  { rows, columns }: Size,
): Picture => {
  const width = Math.max(10, columns)
  const view = frameView(session)
  const share = Math.max(2, Math.floor(rows / 5))
  // Rows for the action and its consequences: at least three, on any screen. What does not fit is cut, and counted below.
  const eventShare = Math.max(3, share)
  const events = wrapped(view.events, width, "plain")
  const headEvents =
    events.length <= eventShare ? events : view.events.map((text): Line => ({ text: cut(text, width), style: "plain" }))
  const rules = wrapped(view.rules, width, "dim")
  const violation = wrapped(view.violation === null ? [] : [view.violation], width, "red")
  const head = [
    { text: cut(view.heading, width), style: "bold" as const },
    ...first(violation, share),
    ...first(headEvents, eventShare),
    ...first(rules, share),
  ]
  const whole = events.length <= eventShare && rules.length <= share && violation.length <= share
  const body =
    page === null
      ? [
          ...wrapped(
            [...view.cluster, view.violation === null ? `${view.flying}; ${invariantsText(session)}` : view.flying, ""],
            width,
            "plain",
          ),
          ...wrapped(whole ? view.effects : view.happened, width, "plain"),
          ...wrapped(view.changed, width, "plain"),
          ...(whole ? [] : violation),
        ]
      : wrapped(page.split("\n"), width, "plain")
  const said = first(wrapped(notice === "" ? [] : [notice], width, "plain"), share)
  const height = Math.max(1, rows - head.length - said.length - 3)
  const lastTop = Math.max(0, body.length - height)
  const from = Math.min(top, lastTop)
  const shown = body.slice(from, from + height)
  const blank: readonly Line[] = Array.from({ length: height - shown.length }, () => ({ text: "", style: "plain" }))
  const where =
    lastTop === 0
      ? ""
      : `lines ${from + 1}–${from + shown.length} of ${body.length}${from < lastTop ? ", PgDn for more" : ""}`
  // The cursor stays visible: of a long line its end is shown.
  const skip = Math.max(0, prompt.cursor - (width - 4))
  const typed = prompt.text.slice(skip, skip + width - 3)
  return {
    lines: [
      ...head,
      { text: "", style: "plain" as const },
      ...shown,
      ...blank,
      ...said,
      {
        text: cut(where === "" ? hint(width) : `${where} · ${hint(width - where.length - 3)}`, width),
        style: "dim" as const,
      },
      { text: `> ${typed}`, style: "plain" as const },
    ].slice(-rows),
    column: 2 + prompt.cursor - skip,
    height,
    lastTop,
  }
}
