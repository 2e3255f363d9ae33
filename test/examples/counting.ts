/** Counts on a replica under load, prints its state at the end, and hands leadership over. */
import type { Replica } from "stepraft"
import { load } from "./load.ts"

export interface Add {
  readonly by: string
  readonly number: number
}
export interface Counted {
  /** The executed numbers, by the name of their client. */
  readonly seen: Readonly<Record<string, readonly number[]>>
  /** How often a number was executed again. */
  readonly doubled: number
}

/** The result of an Add is the total. */
export const count = async <State>(
  counters: Replica<State, Add, number>,
  total: (state: State) => number,
  counted: (state: State) => Counted,
): Promise<void> => {
  counters.failure.catch((error: unknown) => {
    console.log("failed", String(error))
    process.exit(1)
  })
  await counters.ready()
  await load({
    id: counters.id,
    add: (by, number) => counters.execute({ by, number }),
    read: () => counters.read(total),
  })
  console.log(`state ${JSON.stringify(await counters.read(counted))}`)
  await counters.close()
  process.exit(0)
}
