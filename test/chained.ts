/** Entries made by hand, with the chained checksum that a leader would have given them. */
import { chainAfter, type Entry, type UnchainedEntry } from "../core/index.ts"

export const chained = (entries: readonly (Entry | UnchainedEntry)[], before = 0): readonly Entry[] => {
  let chain = before
  return entries.map((entry): Entry => {
    chain = chainAfter(chain, entry)
    return { ...entry, chain }
  })
}
