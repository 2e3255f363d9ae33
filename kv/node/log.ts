/** One line per fact: for people, or as JSON with STEPRAFT_LOG=json. STEPRAFT_LOG_LEVEL names the least level shown. */
export type LogLevel = "debug" | "info" | "warn" | "error"
export type Log = (level: LogLevel, text: string) => void

const order: readonly LogLevel[] = ["debug", "info", "warn", "error"]

export interface LogOptions {
  readonly node: string
  readonly json: boolean
  readonly least: LogLevel
  readonly write?: (line: string) => void
}

export const makeLog = ({ node, json, least, write = (line) => void process.stderr.write(line) }: LogOptions): Log => {
  const from = order.indexOf(least)
  return (level, text) => {
    if (order.indexOf(level) < from) return
    const time = new Date().toISOString()
    const line = text.replaceAll("\n", " ⏎ ")
    write(json ? `${JSON.stringify({ time, level, node, text })}\n` : `${time} ${level.padEnd(5)} ${node} ${line}\n`)
  }
}
