/**
 * How a test sees that nothing happens: it lets so many turns of the event loop pass that it would have happened, and
 * no time. (If something must happen, the test waits for it: `until` of cluster.ts and tcp.nodes.ts.)
 */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
export const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await turn()
}

/** Each polls every socket of this process, on both sides. */
const ROUNDS = 50
/**
 * Everything that any client has sent was read by now, if it is read at all, and its immediate effects have happened.
 */
export const quiet = async (client: { readonly send: (word: string) => Promise<unknown> }): Promise<void> => {
  for (let i = 0; i < ROUNDS; i++) await client.send("PING")
}
