/** What may go wrong in a random world, by name. */
export const profileNames = ["calm", "lossy", "partitions", "disks", "membership", "directories", "everything"] as const
/**
 * What may go wrong. calm: nothing; only load and transfers. lossy: messages and connections, pauses and plain crashes.
 * partitions: complete, partial and one-way ones, besides crashes. disks: slow, stalled, failing, full and lost ones,
 * and damage. membership: servers are added, removed and replaced, also while partitioned. directories: they are
 * restored to earlier states, exist twice, and lose the end of their logs. everything: all of these together, except
 * for directories.
 */
export type Profile = (typeof profileNames)[number]
export const isProfile = (text: string): text is Profile => profileNames.some((name) => name === text)
