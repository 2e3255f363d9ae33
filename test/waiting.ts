/**
 * How a test sees that nothing happens: it lets turns of the event loop go by, in each of which it would have happened,
 * and no time. (That something happens it awaits: `until` of cluster.ts and tcp.nodes.ts.)
 */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
export const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await turn()
}

/** Each polls every socket of this process, on both sides. */
const ROUNDS = 50
/** What any client has sent has been read by now, if it is read at all, and what came of it at once has come. */
export const quiet = async (client: { readonly send: (word: string) => Promise<unknown> }): Promise<void> => {
  for (let i = 0; i < ROUNDS; i++) await client.send("PING")
}
