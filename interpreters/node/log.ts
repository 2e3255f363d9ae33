/**
 * One line per fact: for people, or as JSON with STEPRAFT_LOG_FORMAT=json. STEPRAFT_LOG_LEVEL is the lowest level
 * shown.
 */
import type { Logger, LogLevel } from "../log.ts"
import { shown } from "../text.ts"

/** Long enough for a stack trace with its message, which has a few thousand characters. */
const LONGEST = 8192

const order: readonly LogLevel[] = ["debug", "info", "warn", "error"]

export interface LogOptions {
  readonly node: string
  readonly json: boolean
  readonly least: LogLevel
  readonly write?: (line: string) => void
}

export const makeLog = ({
  node,
  json,
  least,
  write = (line) => void process.stderr.write(line),
}: LogOptions): Logger => {
  const from = order.indexOf(least)
  return (level, text) => {
    if (order.indexOf(level) < from) return
    const time = new Date().toISOString()
    // Whatever the text contains, and whoever sent it: it stays on one line, and cannot control the terminal.
    const line = shown(text.replaceAll("\n", " ⏎ "), LONGEST)
    write(
      json ? `${JSON.stringify({ time, level, node, text: line })}\n` : `${time} ${level.padEnd(5)} ${node} ${line}\n`,
    )
  }
}
