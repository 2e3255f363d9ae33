/** The metrics of the store itself. */
import { counter, gauge, histogram, type Metric } from "../../interpreters/metrics/index.ts"
import type { KvMachine } from "../machine/index.ts"

/** How large the data are is asked of LevelDB aside: an answer tells what it was when the one before was given. */
export const makeStoreMetrics = (machine: () => KvMachine | null): (() => readonly Metric[]) => {
  let size: number | null = null
  let asking: Promise<void> | null = null
  const ask = (store: KvMachine): void => {
    // An estimate that cannot be had just now (the data are being replaced) stays what it was.
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
      counter("db_expired_keys_total", "Keys removed because their time was over.", stats.expired),
      gauge("db_sessions", "Open sessions of clients and nodes.", stats.sessions),
      gauge("db_kept_reply_bytes", "Replies kept for copies of commands.", stats.keptReplyBytes),
      gauge("db_pinned_images", "Snapshots that are being sent.", stats.pinnedImages),
      counter(
        "db_internal_errors_total",
        "Commands that ended in an exception while they were executed: a bug, told in the log.",
        stats.internalErrors,
      ),
    ]
  }
}
