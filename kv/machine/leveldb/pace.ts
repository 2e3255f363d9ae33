/** How much housekeeping the machine does at a time, so that commands need not wait for it. */

/** Records of an earlier generation removed at a time. */
export const RECLAIM = 4096
/** Large values removed at a time: LevelDB reads each to skip it, and nothing is executed meanwhile. */
export const RECLAIM_LARGE = 16
/** Pause in milliseconds after each slice of a scrub, so that it takes at most a tenth of a core. */
export const SCRUB_REST = 40
