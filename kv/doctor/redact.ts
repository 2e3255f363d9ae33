/**
 * A node's log may quote what clients sent: a damaged key, an error of this program that names its input. What leaves the
 * house does not. What is quoted is left out, so is the message of an internal error, and a line that is none of the log.
 */

/** As interpreters/node/log.ts writes it. */
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

/** In double quotes, escaped as JSON is, or in single ones as Redis' errors have them; to the end if it was cut off. */
const QUOTED = /"(?:[^"\\]|\\.)*(?:"|$)|(?<![\p{L}\p{N}])'(?:[^'\\]|\\.)*(?:'(?![\p{L}\p{N}])|$)/gu
export const withoutQuotes = (text: string): string =>
  text.replace(QUOTED, (quoted) => `(${quoted.length} characters left out)`)

/** Of an error with its stack: which kind it is, and where. */
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
    : `(a line of ${line.length} characters that is none of the log, left out)`
}

/** The same value, and in no text of it what is quoted. */
export const quietly = (value: unknown): unknown => {
  if (typeof value === "string") return withoutQuotes(value)
  if (Array.isArray(value)) return value.map(quietly)
  return isRecord(value) ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, quietly(one)])) : value
}
