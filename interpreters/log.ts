/** A logger: lines for people. */
export type LogLevel = "debug" | "info" | "warn" | "error"
export type Logger = (level: LogLevel, text: string) => void
/** Lines with the same `key` count as repetitions. */
export type LimitedLogger = (key: string, level: LogLevel, text: string) => void

const WINDOW_MS = 10_000
const KEYS = 256
/** The key of all lines that are left over when a log has met too many different keys. */
const REST = "\u0000"
/**
 * A node that is down for a day must not fill the log: the same line appears once in ten seconds, with the number of
 * lines left out.
 */
export const limitedLog = (log: Logger, now: () => number = () => performance.now()): LimitedLogger => {
  const seen = new Map<string, { readonly until: number; more: number }>()
  const limited: LimitedLogger = (key, level, text) => {
    const at = now()
    const last = seen.get(key)
    if (last !== undefined && at < last.until) {
      last.more += 1
      return
    }
    if (last === undefined && seen.size >= KEYS) {
      for (const [known, { until }] of seen) if (at >= until) seen.delete(known)
      // Keys may be made up by strangers: more of them than that count as one.
      if (seen.size >= KEYS && key !== REST) return limited(REST, level, text)
    }
    seen.set(key, { until: at + WINDOW_MS, more: 0 })
    log(level, last !== undefined && last.more > 0 ? `${text} (${last.more} more like it before this one)` : text)
  }
  return limited
}
