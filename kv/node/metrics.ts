/** The metrics of the store itself. */
import { counter, gauge, histogram, type Metric } from "../../interpreters/metrics/index.ts"
import type { KvMachine } from "../machine/index.ts"

/**
 * The size of the data is asked of LevelDB in the background: each answer gives the size that was known when the one
 * before was given.
 */
export const makeStoreMetrics = (machine: () => KvMachine | null): (() => readonly Metric[]) => {
  let size: number | null = null
  let asking: Promise<void> | null = null
  const ask = (store: KvMachine): void => {
    // If no estimate is available at the moment (the data are being replaced), the last one remains.
    asking ??= store
      .dataBytes()
      .then(
        (bytes) => void (size = bytes),
        () => undefined,
      )
      .finally(() => (asking = null))
  }
  return () => {
    const store = machine()
    if (store === null) return []
    ask(store)
    const stats = store.stats()
    return [
      gauge("db_total_size_in_bytes", "Bytes of the live data on disk, roughly.", size),
      histogram("disk_backend_commit_duration_seconds", "Batches handed to LevelDB.", stats.commitTimes),
      counter("disk_backend_write_bytes_total", "Bytes written to LevelDB.", stats.bytesWritten),
      counter("db_expired_keys_total", "Keys removed because they had expired.", stats.expired),
      gauge("db_sessions", "Open sessions of clients and nodes.", stats.sessions),
      gauge("db_kept_reply_bytes", "Bytes of replies kept for retries of commands.", stats.keptReplyBytes),
      gauge("db_pinned_images", "Snapshots that are being sent.", stats.pinnedImages),
      counter(
        "db_internal_errors_total",
        "Commands that ended in an exception while they were executed: a bug, described in the log.",
        stats.internalErrors,
      ),
    ]
  }
}
