/**
 * Delta debugging (Zeller and Hildebrandt 2002): finds a list from which nothing more can be left out. Deterministic,
 * except for the deadline.
 */

/** `fails` says whether a shorter list still fails; `items` itself must fail. */
export const minimize = <T>(
  items: readonly T[],
  fails: (items: readonly T[]) => boolean,
  expired: () => boolean,
): readonly T[] => {
  let kept = items
  for (let size = Math.max(1, kept.length >> 1); ; size = Math.max(1, size >> 1)) {
    let removed = false
    // From the end: later actions depend on earlier ones more often than the reverse.
    for (let end = kept.length; end > 0 && !expired(); end = Math.min(end - size, kept.length)) {
      const start = Math.max(0, end - size)
      const fewer = [...kept.slice(0, start), ...kept.slice(end)]
      if (!fails(fewer)) continue
      kept = fewer
      removed = true
    }
    if (expired() || (size === 1 && !removed)) return kept
    // What was removed may have been needed only by something before it.
    if (removed && size > 1) size = Math.min(size * 2, kept.length)
  }
}
