/** What may go wrong in a random world, by name. */
export const profileNames = ["calm", "lossy", "partitions", "disks", "membership", "directories", "everything"] as const
/**
 * What may go wrong. calm: nothing but load and transfers. lossy: messages and connections, pauses and plain crashes.
 * partitions: cuts, whole, partial and one-way, beside crashes. disks: slow, stalled, failing, full and lost ones, and damage.
 * membership: servers come, go and are replaced, also while partitioned. directories: they are put back, exist twice, and lose
 * the end of their logs. everything: all of it together, but for that.
 */
export type Profile = (typeof profileNames)[number]
export const isProfile = (text: string): text is Profile => profileNames.some((name) => name === text)
