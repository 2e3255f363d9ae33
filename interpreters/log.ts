/** A logger: lines for people. */
export type LogLevel = "debug" | "info" | "warn" | "error"
export type Logger = (level: LogLevel, text: string) => void
/** Lines with the same `key` count as repetitions. */
export type LimitedLogger = (key: string, level: LogLevel, text: string) => void

const WINDOW_MS = 10_000
const KEYS = 256
/**
 * A node that is down for a day must not fill the log: the same line appears once in ten seconds, with the number of
 * lines left out.
 */
export const limitedLog = (log: Logger, now: () => number = () => performance.now()): LimitedLogger => {
  const seen = new Map<string, { readonly until: number; more: number }>()
  return (key, level, text) => {
    const at = now()
    const last = seen.get(key)
    if (last !== undefined && at < last.until) {
      last.more += 1
      return
    }
    if (last === undefined && seen.size >= KEYS) seen.clear()
    seen.set(key, { until: at + WINDOW_MS, more: 0 })
    log(level, last !== undefined && last.more > 0 ? `${text} (${last.more} more like it before this one)` : text)
  }
}
