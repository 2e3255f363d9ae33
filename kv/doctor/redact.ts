/**
 * A node's log may quote what clients sent: a damaged key, or the message of an internal error that contains its input.
 * Diagnostics that are given to others must not contain such data. So quoted text, the messages of internal errors, and
 * lines that are not in the format of the log are left out.
 */

/** The format that interpreters/node/log.ts writes. */
const AS_TEXT = /^\d{4}-\d\d-\d\dT[\d:.]+Z (?:debug|info|warn|error) +\S+ /u
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)
const asJson = (line: string): Readonly<Record<string, unknown>> | null => {
  try {
    const value: unknown = JSON.parse(line)
    return isRecord(value) && typeof value["level"] === "string" && typeof value["text"] === "string" ? value : null
  } catch {
    return null
  }
}

/**
 * Text in double quotes, escaped as in JSON, or in single quotes, as in Redis errors; up to the end if it was cut off.
 */
const QUOTED = /"(?:[^"\\]|\\.)*(?:"|$)|(?<![\p{L}\p{N}])'(?:[^'\\]|\\.)*(?:'(?![\p{L}\p{N}])|$)/gu
export const withoutQuotes = (text: string): string =>
  text.replace(QUOTED, (quoted) => `(${quoted.length} characters left out)`)

/** An error with its stack: only its kind and where it was thrown are kept. */
const INTERNAL = /(Please report it\. |internal error[^:]*: )(.*)$/u
const FRAMES = /(?: ⏎ +at [^⏎]*)+$/u
const withoutMessage = (text: string): string =>
  text.replace(INTERNAL, (_, before: string, error: string) => {
    const kind = /^[A-Za-z]*Error\b/u.exec(error)?.[0] ?? "an error"
    return `${before}${kind} (its text left out)${FRAMES.exec(error)?.[0] ?? ""}`
  })

export const withoutData = (line: string): string => {
  const record = asJson(line)
  if (record !== null) {
    const { time, level, node, text } = record
    return JSON.stringify({ time, level, node, text: withoutQuotes(withoutMessage(String(text))) })
  }
  return AS_TEXT.test(line)
    ? withoutQuotes(withoutMessage(line))
    : `(a line of ${line.length} characters that is not in the log's format, left out)`
}

/** The same value, with all quoted text in it left out. */
export const quietly = (value: unknown): unknown => {
  if (typeof value === "string") return withoutQuotes(value)
  if (Array.isArray(value)) return value.map(quietly)
  return isRecord(value) ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, quietly(one)])) : value
}
